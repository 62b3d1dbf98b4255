"""Tests of what both forms of residual networks promise."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from tests.slim_nets import resnet_examples as examples

_FORMS = pytest.mark.parametrize('form', [examples.V1, examples.V2], ids=['v1', 'v2'])
_UNITS = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3], 200: [3, 24, 36, 3]}


@pytest.mark.parametrize('form, depth, num_classes, parameters', [
    # Weights, biases, gammas and betas as other libraries count them for the same architectures,
    # those of the second form plus a 1001st class.
    (examples.V1, 50, 1000, 25557032), (examples.V1, 101, 1000, 44549160),
    (examples.V2, 50, 1001, 25568360 + 2049), (examples.V2, 101, 1001, 44577896 + 2049)])
def test_variables_are_those_of_the_released_checkpoints(form, depth, num_classes, parameters):
    network = form.networks[depth]
    with slim.arg_scope(form.module.resnet_arg_scope()):
        logits, end_points = network(tf.zeros([2, 33, 33, 3]), num_classes, is_training=False)
    assert logits.shape.as_list() == [2, num_classes]
    assert end_points['predictions'].shape.as_list() == [2, num_classes]
    made = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    assert made == examples.released_variables(form.version, network.__name__, _UNITS[depth],
                                               num_classes)
    assert sum(np.prod(variable.shape.as_list()) for variable in
               tf.trainable_variables()) == parameters
    # One regularised weight tensor a convolution, the classifier's among them.
    weights = [name for name in made if name.endswith('/weights')]
    assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == len(weights)
    assert len(slim.get_model_variables()) == len(made)


@_FORMS
@pytest.mark.parametrize('depth', sorted(_UNITS))
def test_units_strides_and_image_size(monkeypatch, form, depth):
    blocks = form.blocks_of(monkeypatch, depth)
    assert [block.scope for block in blocks] == ['block1', 'block2', 'block3', 'block4']
    assert [len(block.args) for block in blocks] == _UNITS[depth]
    assert [[unit['stride'] for unit in block.args if unit['stride'] > 1]
            for block in blocks] == [[2], [2], [2], []]
    assert form.networks[depth].default_image_size == 224


@_FORMS
def test_classification(form):
    logits, end_points = form.small(examples.images(224, 2), num_classes=10)
    shapes = {name: point.shape.as_list() for name, point in end_points.items()
              if 'unit' not in name}
    assert shapes == {
        'net/conv1': [2, 112, 112, 64], 'net/block1': [2, 28, 28, 4], 'net/block2': [2, 14, 14, 8],
        'net/block3': [2, 7, 7, 16], 'net/block4': [2, 7, 7, 32], 'global_pool': [2, 1, 1, 32],
        'net/logits': [2, 1, 1, 10], 'net/spatial_squeeze': [2, 10], 'predictions': [2, 10]}
    unit = 'net/block2/unit_{}/bottleneck_' + form.version
    assert unit.format(1) + '/shortcut' in end_points
    assert unit.format(2) in end_points and unit.format(2) + '/shortcut' not in end_points
    logits, pooled, last, predictions = examples.run(
        [logits, end_points['global_pool'], end_points['net/block4'], end_points['predictions']])
    assert logits.shape == (2, 10) and predictions.std() > 0
    np.testing.assert_allclose(predictions.sum(axis=1), [1, 1], rtol=1e-5)
    if form is examples.V1:
        np.testing.assert_allclose(pooled, last.mean(axis=(1, 2), keepdims=True), rtol=1e-4)


@_FORMS
@pytest.mark.parametrize('num_classes', [None, 0])
def test_without_classes_there_is_no_head(form, num_classes):
    net, end_points = form.small(tf.zeros([1, 33, 33, 3]), num_classes=num_classes)
    assert net.shape.as_list() == [1, 1, 1, 32]
    assert 'predictions' not in end_points
    assert not slim.get_variables('net/logits')


@_FORMS
def test_logits_can_keep_their_size(form):
    logits, end_points = form.small(tf.zeros([1, 33, 33, 3]), num_classes=10, spatial_squeeze=False)
    assert logits.shape.as_list() == [1, 1, 1, 10]
    assert 'net/spatial_squeeze' not in end_points
    logits, end_points = form.small(tf.zeros([1, 65, 65, 3]), num_classes=10, scope='dense',
                                    spatial_squeeze=False, global_pool=False)
    assert logits.shape.as_list() == [1, 3, 3, 10]
    assert 'global_pool' not in end_points
    with pytest.raises(ValueError, match='3 x 3.*spatial_squeeze=False'):
        form.small(tf.zeros([1, 65, 65, 3]), num_classes=10, scope='wrong', global_pool=False)


@_FORMS
def test_without_root_block_the_stride_is_that_of_the_blocks(form):
    inputs = tf.zeros([1, 33, 33, 7])
    net, end_points = form.small(inputs, include_root_block=False, global_pool=False,
                                 output_stride=4)
    assert net.shape.as_list() == [1, 9, 9, 32]
    assert 'net/conv1' not in end_points
    with pytest.raises(ValueError, match=r'one of \[1, 2, 4, 8\].*got 16'):
        form.small(inputs, include_root_block=False, output_stride=16, scope='other')


@_FORMS
@pytest.mark.parametrize('output_stride', [0, 1, 2, 5, 24, 64])
def test_output_strides_out_of_reach(form, output_stride):
    with pytest.raises(ValueError, match=r'one of \[4, 8, 16, 32\].*got {}'.format(output_stride)):
        form.small(tf.zeros([1, 33, 33, 3]), output_stride=output_stride)
    assert not tf.global_variables()


@_FORMS
@pytest.mark.parametrize('size', [64, 65])
def test_dense_features_subsampled_equal_nominal_ones(form, size):
    images = examples.images(size)
    examples.check_dense_features(
        lambda **strides: form.small(images, global_pool=False, **strides)[0], size)


@_FORMS
def test_unknown_image_size_and_batch(form):
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    logits, _ = form.small(images, num_classes=10)
    dense, _ = form.small(images, global_pool=False, output_stride=8, reuse=True)
    assert logits.shape.as_list() == [None, 10]
    assert dense.shape.as_list() == [None, None, None, 32]
    pixels = np.random.RandomState(0).normal(size=[2, 35, 49, 3])
    logits, dense = examples.run([logits, dense], {images: pixels})
    assert logits.shape == (2, 10) and dense.shape == (2, 5, 7, 32)


@_FORMS
@pytest.mark.parametrize('is_training, scope_training, trains', [
    (True, False, True), (False, True, False), (None, True, True), (None, False, False)])
def test_is_training_is_the_callers_or_the_scopes(form, is_training, scope_training, trains):
    with slim.arg_scope([slim.batch_norm], is_training=scope_training):
        form.small(tf.zeros([2, 33, 33, 3]), is_training=is_training)
    norms = len(slim.get_variables_by_name('moving_mean'))
    # Root, three a unit and four shortcuts; or three a unit and one after the last.
    assert norms == {'v1': 1 + 3 * 7 + 4, 'v2': 3 * 7 + 1}[form.version]
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == (2 * norms if trains else 0)


@_FORMS
def test_gradients_reach_the_first_convolution_through_atrous_ones(form):
    features, _ = form.small(examples.images(batch=2), is_training=True, global_pool=False,
                             output_stride=4)
    weights = slim.get_unique_variable('net/conv1/weights')
    gradient = examples.run(tf.gradients(tf.reduce_sum(tf.square(features)), weights)[0])
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
