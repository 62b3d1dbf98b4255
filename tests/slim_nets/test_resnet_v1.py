"""Tests of the residual networks of the first form."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils
from slim_nets import resnet_v1

_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def _images(size=33, batch=1):
    return tf.random.stateless_normal([batch, size, size, 3], seed=[3, 4])


def _small(inputs, num_classes=None, is_training=False, scope='net', **options):
    """A network with every depth between 1 and 32 that runs in no time."""
    block = resnet_v1.resnet_v1_block
    blocks = [block('block1', 1, 2, 2), block('block2', 2, 2, 2), block('block3', 4, 2, 2),
              block('block4', 8, 1, 1)]
    with slim.arg_scope(resnet_v1.resnet_arg_scope()):
        return resnet_v1.resnet_v1(inputs, blocks, num_classes, is_training, scope=scope, **options)


def _run(fetches, feed=None):
    tf.set_random_seed(11)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feed)


def _released_variables(scope, units_per_block, num_classes):
    """Returns {name: shape} of a released checkpoint of 4-fold expanded bottlenecks."""
    shapes = {}

    def convolution(name, *shape):
        shapes[name + '/weights'] = list(shape)
        shapes.update({'{}/BatchNorm/{}'.format(name, part): [shape[-1]] for part in _NORM})

    convolution(scope + '/conv1', 7, 7, 3, 64)
    channels = 64
    for block, units in enumerate(units_per_block, 1):
        depth = 32 * 2 ** block
        for unit in range(1, units + 1):
            name = '{}/block{}/unit_{}/bottleneck_v1/'.format(scope, block, unit)
            if unit == 1:
                convolution(name + 'shortcut', 1, 1, channels, 4 * depth)
            convolution(name + 'conv1', 1, 1, channels, depth)
            convolution(name + 'conv2', 3, 3, depth, depth)
            convolution(name + 'conv3', 1, 1, depth, 4 * depth)
            channels = 4 * depth
    shapes[scope + '/logits/weights'] = [1, 1, channels, num_classes]
    shapes[scope + '/logits/biases'] = [num_classes]
    return shapes


@pytest.mark.parametrize('network, units, parameters', [
    # Weights, biases, gammas and betas as counted by other libraries for the same architecture.
    (resnet_v1.resnet_v1_50, (3, 4, 6, 3), 25557032),
    (resnet_v1.resnet_v1_101, (3, 4, 23, 3), 44549160),
])
def test_variables_are_those_of_the_released_checkpoints(network, units, parameters):
    with slim.arg_scope(resnet_v1.resnet_arg_scope()):
        logits, end_points = network(tf.zeros([2, 33, 33, 3]), num_classes=1000, is_training=False)
    assert logits.shape.as_list() == [2, 1000]
    assert end_points['predictions'].shape.as_list() == [2, 1000]
    made = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    assert made == _released_variables(network.__name__, units, 1000)
    assert sum(np.prod(variable.shape.as_list()) for variable in
               tf.trainable_variables()) == parameters
    # One regularised weight tensor a convolution, the classifier's among them.
    weights = [name for name in made if name.endswith('/weights')]
    assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == len(weights)
    assert len(slim.get_model_variables()) == len(made)


def _blocks_of(monkeypatch, network, **options):
    """Returns the blocks a network asks `resnet_v1` to build."""
    asked_for = []
    monkeypatch.setattr(resnet_v1, 'resnet_v1',
                        lambda inputs, blocks, *args, **kwargs: asked_for.append(blocks))
    network(None, **options)
    return asked_for[0]


@pytest.mark.parametrize('network, units', [
    (resnet_v1.resnet_v1_50, [3, 4, 6, 3]), (resnet_v1.resnet_v1_101, [3, 4, 23, 3]),
    (resnet_v1.resnet_v1_152, [3, 8, 36, 3]), (resnet_v1.resnet_v1_200, [3, 24, 36, 3])])
def test_units_and_strides(monkeypatch, network, units):
    blocks = _blocks_of(monkeypatch, network)
    assert [len(block.args) for block in blocks] == units
    assert [[unit['stride'] for unit in block.args if unit['stride'] > 1]
            for block in blocks] == [[2], [2], [2], []]


def test_networks_know_their_image_size():
    for network in (resnet_v1.resnet_v1, resnet_v1.resnet_v1_50, resnet_v1.resnet_v1_101,
                    resnet_v1.resnet_v1_152, resnet_v1.resnet_v1_200):
        assert network.default_image_size == 224


def test_classification_shapes():
    logits, end_points = _small(_images(224, 2), num_classes=10)
    assert logits.shape.as_list() == [2, 10]
    assert end_points['net/logits'].shape.as_list() == [2, 1, 1, 10]
    assert end_points['net/spatial_squeeze'].shape.as_list() == [2, 10]
    assert end_points['global_pool'].shape.as_list() == [2, 1, 1, 32]
    shapes = {name: end_points[name].shape.as_list() for name in
              ('net/conv1', 'net/block1', 'net/block2', 'net/block3', 'net/block4')}
    assert shapes == {'net/conv1': [2, 112, 112, 64], 'net/block1': [2, 28, 28, 4],
                      'net/block2': [2, 14, 14, 8], 'net/block3': [2, 7, 7, 16],
                      'net/block4': [2, 7, 7, 32]}
    assert 'net/block2/unit_1/bottleneck_v1/shortcut' in end_points
    assert 'net/block2/unit_2/bottleneck_v1/shortcut' not in end_points
    predictions = _run(end_points['predictions'])
    np.testing.assert_allclose(predictions.sum(axis=1), [1, 1], rtol=1e-5)


def test_logits_can_keep_their_size():
    logits, end_points = _small(_images(), num_classes=10, spatial_squeeze=False)
    assert logits.shape.as_list() == [1, 1, 1, 10]
    assert 'net/spatial_squeeze' not in end_points
    logits, end_points = _small(_images(65), num_classes=10, spatial_squeeze=False,
                                global_pool=False, scope='dense')
    assert logits.shape.as_list() == [1, 3, 3, 10]
    assert 'global_pool' not in end_points


def test_logits_larger_than_one_position_cannot_be_squeezed():
    with pytest.raises(ValueError, match='3 x 3.*spatial_squeeze=False'):
        _small(_images(65), num_classes=10, global_pool=False)


@pytest.mark.parametrize('num_classes', [None, 0])
def test_without_classes_there_is_no_head(num_classes):
    net, end_points = _small(_images(), num_classes=num_classes)
    assert net.shape.as_list() == [1, 1, 1, 32]
    assert 'predictions' not in end_points
    assert not slim.get_variables_by_name('biases')


def test_stored_activations_are_those_before_the_stride():
    features, end_points = _small(_images(65), global_pool=False,
                                  store_non_strided_activations=True)
    sides = [end_points['net/block{}'.format(block)].shape.as_list()[1] for block in (1, 2, 3, 4)]
    assert sides == [17, 9, 5, 3]
    usual, _ = _small(_images(65), global_pool=False, reuse=True)
    features, usual = _run([features, usual])
    np.testing.assert_allclose(features, usual, rtol=1e-4, atol=1e-4)


def test_without_root_block_the_stride_is_that_of_the_blocks():
    inputs = tf.zeros([1, 33, 33, 7])
    net, end_points = _small(inputs, include_root_block=False, global_pool=False, output_stride=4)
    assert net.shape.as_list() == [1, 9, 9, 32]
    assert 'net/conv1' not in end_points
    with pytest.raises(ValueError, match=r'one of \[1, 2, 4, 8\].*got 16'):
        _small(inputs, include_root_block=False, output_stride=16, scope='other')


@pytest.mark.parametrize('output_stride', [0, 1, 2, 5, 24, 64])
def test_output_strides_out_of_reach(output_stride):
    with pytest.raises(ValueError, match=r'one of \[4, 8, 16, 32\].*got {}'.format(output_stride)):
        _small(_images(), output_stride=output_stride)
    assert not tf.global_variables()


@pytest.mark.parametrize('size', [64, 65])
def test_dense_features_subsampled_equal_nominal_ones(size):
    nominal, _ = _small(_images(size), global_pool=False)
    dense = {stride: _small(_images(size), global_pool=False, output_stride=stride, reuse=True)[0]
             for stride in (4, 8, 16, 32)}
    assert [net.shape.as_list()[1] for net in dense.values()] == [
        -(-size // stride) for stride in dense]
    nominal, subsampled = _run([nominal, {
        stride: resnet_utils.subsample(net, 32 // stride) for stride, net in dense.items()}])
    assert nominal.std() > 1e-4
    for stride in dense:
        np.testing.assert_allclose(subsampled[stride], nominal, rtol=1e-4, atol=1e-5)


def test_resnet_v1_50_at_stride_8_subsampled_equals_its_nominal_features():
    def features(output_stride, reuse):
        with slim.arg_scope(resnet_v1.resnet_arg_scope()):
            return resnet_v1.resnet_v1_50(
                _images(65), is_training=False, global_pool=False, output_stride=output_stride,
                depth_multiplier=0.25, reuse=reuse)[0]

    dense, nominal = _run([resnet_utils.subsample(features(8, None), 4), features(None, True)])
    # The multiplier leaves the root as it is.
    assert slim.get_unique_variable('resnet_v1_50/conv1/weights').shape.as_list() == [7, 7, 3, 64]
    assert nominal.shape == (1, 3, 3, 512)
    np.testing.assert_allclose(dense, nominal, rtol=1e-4, atol=1e-4 * nominal.std())


def test_unknown_image_size_and_batch():
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    logits, _ = _small(images, num_classes=10)
    assert logits.shape.as_list() == [None, 10]
    dense, _ = _small(images, global_pool=False, output_stride=8, reuse=True)
    pixels = np.random.RandomState(0).normal(size=[2, 35, 49, 3])
    logits, dense = _run([logits, dense], {images: pixels})
    assert logits.shape == (2, 10)
    assert dense.shape == (2, 5, 7, 32)


@pytest.mark.parametrize('multiplier, smallest, depths', [
    (1, 8, [64, 128, 256, 512]), (0.5, 8, [32, 64, 128, 256]), (0.1, 20, [20, 20, 25, 51]),
    (1.25, 8, [80, 160, 320, 640])])
def test_depth_multiplier_scales_the_blocks(monkeypatch, multiplier, smallest, depths):
    blocks = _blocks_of(monkeypatch, resnet_v1.resnet_v1_50, depth_multiplier=multiplier,
                        min_base_depth=smallest)
    for block, depth in zip(blocks, depths):
        assert {unit['depth_bottleneck'] for unit in block.args} == {depth}
        assert {unit['depth'] for unit in block.args} == {4 * depth}


def test_depth_multiplier_must_be_positive():
    with pytest.raises(ValueError, match='depth_multiplier must be positive, got 0'):
        resnet_v1.resnet_v1_50(tf.zeros([1, 17, 17, 3]), depth_multiplier=0)


@pytest.mark.parametrize('is_training, updates', [(True, True), (False, False)])
def test_batch_norm_trains_when_the_network_does(is_training, updates):
    _small(_images(batch=2), is_training=is_training)
    norms = len(slim.get_variables_by_name('moving_mean'))
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == (2 * norms if updates else 0)


def test_training_mode_can_be_left_to_the_caller():
    with slim.arg_scope([slim.batch_norm], is_training=False):
        resnet_v1.resnet_v1(_images(), [resnet_v1.resnet_v1_block('block1', 1, 1, 1)],
                            is_training=None, scope='net')
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_gradients_reach_the_first_convolution_through_atrous_ones():
    features, _ = _small(_images(batch=2), is_training=True, global_pool=False, output_stride=4)
    weights = slim.get_variables_by_name('weights')[0]
    assert weights.op.name == 'net/conv1/weights'
    gradient = _run(tf.gradients(tf.reduce_sum(tf.square(features)), weights)[0])
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_bottleneck_is_the_rectified_sum_of_shortcut_and_residual():
    inputs = 3.0 * tf.random.stateless_normal([1, 5, 5, 4], seed=[5, 6])
    with slim.arg_scope(resnet_v1.resnet_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False), \
            slim.arg_scope([slim.conv2d], outputs_collections='convolutions'):
        same = resnet_v1.bottleneck(inputs, 4, 2, 1, scope='same')
        strided = resnet_v1.bottleneck(inputs, 8, 2, 2, scope='strided')
    parts = slim.utils.convert_collection_to_dict('convolutions')
    assert list(parts) == ['same/conv1', 'same/conv2', 'same/conv3', 'strided/shortcut',
                           'strided/conv1', 'strided/conv2', 'strided/conv3']
    values, parts, same, strided = _run([inputs, parts, same, strided])
    np.testing.assert_allclose(same, np.maximum(values + parts['same/conv3'], 0), rtol=1e-5,
                               atol=1e-6)
    np.testing.assert_allclose(
        strided, np.maximum(parts['strided/shortcut'] + parts['strided/conv3'], 0), rtol=1e-5,
        atol=1e-6)
    assert strided.shape == (1, 3, 3, 8)
    assert parts['same/conv3'].min() < 0 and parts['strided/shortcut'].min() < 0


def test_bounded_activations_stay_within_six():
    inputs = 100.0 * tf.random.stateless_normal([1, 5, 5, 4], seed=[5, 6])
    with slim.arg_scope(resnet_v1.resnet_arg_scope(activation_fn=tf.nn.relu6)), \
            slim.arg_scope([slim.batch_norm], is_training=False), \
            slim.arg_scope([slim.conv2d], outputs_collections='convolutions'), \
            slim.arg_scope([resnet_v1.bottleneck], use_bounded_activations=True):
        net = resnet_v1.bottleneck(inputs, 8, 2, 1, scope='unit')
    parts = slim.utils.convert_collection_to_dict('convolutions')
    shortcut, residual, net = _run([parts['unit/shortcut'], parts['unit/conv3'], net])
    assert 0 <= shortcut.min() and shortcut.max() == 6
    np.testing.assert_allclose(net, np.clip(shortcut + np.clip(residual, -6, 6), 0, 6), rtol=1e-5)
    assert net.max() == 6


def test_no_op_scope_lets_errors_through():
    with resnet_v1.NoOpScope():
        assert tf.get_variable_scope().name == ''
    with pytest.raises(KeyError):
        with resnet_v1.NoOpScope():
            raise KeyError('out')
