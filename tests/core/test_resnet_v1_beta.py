"""Tests of DeepLab's residual networks."""
import functools
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import compat
from deeplab import errors
from deeplab.core import backbone
from deeplab.core import conv2d_ws
from deeplab.core import resnet_v1_beta
from slim_nets import resnet_utils
from slim_nets import resnet_v1
from tests import golden_net
from tests import shared_data
from tests.slim_nets import resnet_examples as examples

_VARIANTS = ('resnet_v1_18', 'resnet_v1_18_beta', 'resnet_v1_50', 'resnet_v1_50_beta',
             'resnet_v1_101', 'resnet_v1_101_beta')
_OUTPUT_GOLDENS = ('resnet_v1_18__aspp_os16_dec4', 'resnet_v1_18_beta__aspp_os16_dec4',
                   'resnet_v1_50__aspp_os16_dec4', 'resnet_v1_50_beta__aspp_os16_dec4_mg124')
# Largest difference of features, in units of their standard deviation.
_TOLERANCE = 2e-5 if compat.IS_TF1 else 1e-4


def _network(variant):
    return getattr(resnet_v1_beta, variant)


def _build(variant, inputs, is_training=False, scope_options=None, **options):
    with slim.arg_scope(resnet_v1_beta.resnet_arg_scope(**(scope_options or {}))):
        return _network(variant)(inputs, is_training=is_training, **options)


def _small(inputs, is_training=False, scope_options=None, lite=False, **options):
    """A network with every depth between 1 and 32 that runs in no time."""
    block = (resnet_v1_beta.resnet_v1_small_beta_block if lite
             else resnet_v1_beta.resnet_v1_beta_block)
    blocks = [block('block1', 1, 2, 2), block('block2', 2, 2, 2), block('block3', 4, 2, 2),
              block('block4', 8, 1, 1)]
    options = dict(dict(global_pool=False, scope='net'), **options)
    with slim.arg_scope(resnet_v1_beta.resnet_arg_scope(**(scope_options or {}))):
        return resnet_v1_beta.resnet_v1_beta(inputs, blocks, is_training=is_training, **options)


def _facts(variant):
    with open(shared_data.path('facts/variants.json')) as handle:
        return json.load(handle)['variants'][variant]


# -- against the reference -------------------------------------------------------------------------

@pytest.mark.parametrize('variant, output_stride', [(variant, '16') for variant in _VARIANTS] + [
    ('resnet_v1_18_beta', '8'), ('resnet_v1_50', '8')])
def test_end_points_are_those_of_the_reference(variant, output_stride):
    facts = _facts(variant)
    features, end_points = _build(variant, tf.zeros([1, 129, 129, 3]),
                                  output_stride=int(output_stride))
    shapes = {name: point.shape.as_list() for name, point in end_points.items()}
    assert shapes == facts['end_points_for_129x129'][output_stride]
    assert features.shape.as_list() == (
        facts['features_shape_for_129x129_by_output_stride'][output_stride])
    for served in facts['decoder_end_points'].values():
        assert {entry['end_point_key'] for entry in served} <= set(end_points)
    training = facts['backbone_training']
    assert len(tf.global_variables()) == training['global_variables']
    assert len(tf.trainable_variables()) == training['trainable']
    norms = [operation for operation in tf.get_default_graph().get_operations()
             if operation.type == 'FusedBatchNormV3']
    assert {str(len(norms))} == {str(count) for count in training['batch_norm_ops'].values()}
    for operation in norms:
        assert operation.get_attr('epsilon') == pytest.approx(1.001e-5, rel=1e-5)


@pytest.mark.parametrize('key', ['resnet_v1_18__aspp_os16_dec4', 'resnet_v1_50__aspp_os8_dec4',
                                 'resnet_v1_50_beta__aspp_os16_dec4_mg124'])
def test_variables_and_losses_are_those_of_the_reference(key):
    with open(shared_data.path('goldens/variables/{}.json'.format(key))) as handle:
        golden = json.load(handle)
    config = golden['config']
    _build(config['variant'], tf.zeros([1, 97, 97, 3]), is_training=True,
           output_stride=config['output_stride'], multi_grid=config['flags'].get('multi_grid'))
    expected = [entry for entry in golden['variables'] if entry['name'].startswith('resnet')]
    assert [(variable.op.name, variable.shape.as_list()) for variable in tf.global_variables()] == [
        (entry['name'], entry['shape']) for entry in expected]
    assert {variable.op.name for variable in tf.trainable_variables()} == {
        entry['name'] for entry in expected if entry['trainable']}
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert sorted(loss.op.name.split('/weights/')[0] for loss in losses) == sorted(
        name for name in golden['l2_regularized'] if name.startswith('resnet'))


@pytest.mark.parametrize('key', _OUTPUT_GOLDENS)
def test_features_are_those_of_the_reference(key):
    golden = np.load(shared_data.path('goldens/outputs/{}.npz'.format(key)))
    meta = json.loads(str(golden['meta_json']))
    config = meta['config']
    variant = config['variant']
    preprocess = (backbone.scale_to_unit_range if variant.endswith('beta')
                  else backbone.subtract_imagenet_mean)
    image = golden_net.image(config)
    features, end_points = _build(
        variant, preprocess(tf.constant(image)), output_stride=config['output_stride'],
        multi_grid=config['flags'].get('multi_grid'))
    weights = golden_net.Weights(tf.global_variables())
    # The second draw keeps values small; the first tells errors of scale. One is enough each.
    init = 'he' if variant.startswith('resnet_v1_18') else 'mid'
    with tf.Session() as session:
        weights.load(session, init)
        values, points = session.run([features, end_points])
    expected = golden[init + '_features']
    assert np.abs(values - expected).max() < _TOLERANCE * expected.std()
    recorded = meta[init + '_end_points']
    recorded = json.loads(recorded) if isinstance(recorded, str) else recorded
    assert set(points) == set(recorded)
    for name, record in recorded.items():
        point = points[name].astype(np.float64)
        assert list(point.shape) == record['shape'], name
        found = [point.mean(), point.std(), np.abs(point).max()]
        np.testing.assert_allclose(
            found, [record['mean'], record['std'], record['absmax']], rtol=1e-5,
            atol=1e-5 * record['std'], err_msg=name)


def test_plain_resnet_v1_50_is_the_classification_networks():
    """With the same weights, features equal those of slim's network."""
    with slim.arg_scope(resnet_v1.resnet_arg_scope()):
        expected, expected_points = resnet_v1.resnet_v1_50(
            examples.images(), is_training=False, global_pool=False, output_stride=8)
    variables = [variable.op.name for variable in tf.global_variables()]
    features, end_points = _build('resnet_v1_50', examples.images(), output_stride=8, reuse=True)
    assert list(end_points) == list(expected_points)
    assert [variable.op.name for variable in tf.global_variables()] == variables
    features, expected = examples.run([features, expected])
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5 * expected.std())


# -- what a caller can ask for ---------------------------------------------------------------------

@pytest.mark.parametrize('variant', _VARIANTS[:4])
def test_multi_grid_sets_the_rates_of_the_last_block(monkeypatch, variant):
    rates = [1, 3] if '18' in variant else [1, 2, 4]
    asked_for = []
    monkeypatch.setattr(resnet_v1_beta, 'resnet_v1_beta',
                        lambda inputs, blocks, *args: asked_for.append(blocks))
    _network(variant)(None, multi_grid=rates)
    _network(variant)(None)
    with_grid, without = asked_for
    assert [unit['unit_rate'] for unit in with_grid[-1].args] == rates
    every = [unit['unit_rate'] for block in with_grid[:-1] + without for unit in block.args]
    assert set(every) == {1}


@pytest.mark.parametrize('variant, wanted, multi_grid', [
    (variant, 2 if '18' in variant else 3, multi_grid) for variant in _VARIANTS
    for multi_grid in ([], [1], [0, 1], [-1, 1, 1], [1, 1, 1, 1])])
def test_multi_grid_of_another_length_is_refused(variant, wanted, multi_grid):
    message = r'--multi_grid must give {} .* for {}.*got {}: \['.format(
        wanted, variant.replace('_beta', ''), len(multi_grid))
    with pytest.raises(errors.UserError, match=message):
        _network(variant)(tf.zeros([1, 33, 33, 3]), multi_grid=multi_grid)


@pytest.mark.parametrize('variant', _VARIANTS)
@pytest.mark.parametrize('output_stride', [0, 2, 6, 64])
def test_output_strides_out_of_reach_are_refused(variant, output_stride):
    message = '--output_stride must be one of 4, 8, 16, 32 for {}, got {}'.format(
        variant.replace('_beta', ''), output_stride)
    with pytest.raises(errors.UserError, match=message):
        _network(variant)(tf.zeros([1, 33, 33, 3]), output_stride=output_stride)
    assert not tf.global_variables()


@pytest.mark.parametrize('size', [64, 65])
@pytest.mark.parametrize('lite', [False, True])
def test_dense_features_subsampled_equal_nominal_ones(size, lite):
    images = examples.images(size)
    examples.check_dense_features(
        lambda **strides: _small(images, lite=lite, **strides)[0], size)


def test_resnet_v1_18_at_stride_8_subsampled_equals_its_nominal_features():
    # Rates of the multi-grid multiply with those that make up for strides.
    dense, _ = _build('resnet_v1_18', examples.images(65), output_stride=8, multi_grid=[1, 2])
    nominal, _ = _build('resnet_v1_18', examples.images(65), multi_grid=[1, 2], reuse=True)
    plain, _ = _build('resnet_v1_18', examples.images(65), reuse=True)
    dense, nominal, plain = examples.run([resnet_utils.subsample(dense, 4), nominal, plain])
    assert nominal.shape == (1, 3, 3, 512)
    np.testing.assert_allclose(dense, nominal, rtol=1e-4, atol=1e-4 * nominal.std())
    assert np.abs(plain - nominal).max() > 0.1 * nominal.std()


def test_beta_root_is_three_convolutions():
    net = resnet_v1_beta.root_block_fn_for_beta_variant(tf.zeros([2, 33, 34, 3]), 0.25)
    assert net.shape.as_list() == [2, 17, 17, 32]
    weights = slim.get_variables_by_name('weights')
    assert [(variable.op.name, variable.shape.as_list()) for variable in weights] == [
        ('conv1_1/weights', [3, 3, 3, 16]), ('conv1_2/weights', [3, 3, 16, 16]),
        ('conv1_3/weights', [3, 3, 16, 32])]


def test_root_depth_multiplier():
    _build('resnet_v1_18_beta', tf.zeros([1, 33, 33, 3]), root_depth_multiplier=0.5)
    shapes = [slim.get_unique_variable('resnet_v1_18/conv1_{}/weights'.format(number)).shape[3]
              for number in (1, 2, 3)]
    assert shapes == [32, 32, 64]


def test_classification():
    logits, end_points = _small(examples.images(batch=2), num_classes=5, global_pool=True)
    assert logits.shape.as_list() == [2, 1, 1, 5]
    assert end_points['net/logits'].shape.as_list() == [2, 1, 1, 5]
    assert slim.get_unique_variable('net/logits/biases').shape.as_list() == [5]
    predictions = examples.run(end_points['predictions'])
    np.testing.assert_allclose(predictions.sum(axis=3), np.ones([2, 1, 1]), rtol=1e-5)


def test_unknown_image_size_and_batch():
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    features, _ = _small(images, output_stride=8)
    pixels = np.random.RandomState(0).normal(size=[2, 35, 49, 3])
    assert examples.run(features, {images: pixels}).shape == (2, 5, 7, 32)


@pytest.mark.parametrize('is_training, scope_training, trains', [
    (True, False, True), (False, True, False), (None, True, True), (None, False, False)])
def test_is_training_is_the_callers_or_the_scopes(is_training, scope_training, trains):
    with slim.arg_scope([slim.batch_norm], is_training=scope_training):
        _small(examples.images(batch=2), is_training=is_training)
    norms = len(slim.get_variables_by_name('moving_mean'))
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert len(updates) == (2 * norms if trains else 0)


def test_batch_norm_decay_is_the_scopes():
    _small(examples.images(batch=2), is_training=True, scope_options=dict(batch_norm_decay=0.5))
    mean = slim.get_unique_variable('net/conv1/BatchNorm/moving_mean')
    convolution = tf.get_default_graph().get_tensor_by_name('net/conv1/Conv2D:0')
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run(tf.reduce_mean(convolution, [0, 1, 2]))
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        np.testing.assert_allclose(session.run(mean), 0.5 * before, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_first_convolution_through_atrous_ones():
    features, _ = _small(examples.images(batch=2), is_training=True, output_stride=4)
    weights = slim.get_unique_variable('net/conv1/weights')
    gradient = examples.run(tf.gradients(tf.reduce_sum(tf.square(features)), weights)[0])
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.parametrize('method, use_batch_norm, standardize, layers', [
    ('unspecified', True, False, ['BatchNorm/beta', 'BatchNorm/gamma']),
    ('batch', False, True, ['BatchNorm/beta', 'BatchNorm/gamma']),
    ('group', True, True, ['GroupNorm/beta', 'GroupNorm/gamma']),
    ('none', True, True, ['biases']),
    ('unspecified', False, False, ['biases'])])
def test_normalization_methods(method, use_batch_norm, standardize, layers):
    features, _ = _small(
        examples.images(), is_training=True, output_stride=8, root_block_fn=functools.partial(
            resnet_v1_beta.root_block_fn_for_beta_variant, depth_multiplier=0.25),
        scope_options=dict(normalization_method=method, use_batch_norm=use_batch_norm,
                           use_weight_standardization=standardize))
    made = [variable.op.name for variable in tf.trainable_variables()
            if variable.op.name.startswith('net/conv1_1/')]
    assert sorted(made) == sorted('net/conv1_1/' + layer for layer in layers + ['weights'])
    values = examples.run(features)
    assert np.isfinite(values).all() and values.max() > 0


def test_weight_standardization_makes_the_scale_of_weights_irrelevant():
    # Checkpoints with and without it look the same; logits are never standardised.
    options = dict(scope_options=dict(normalization_method='none', weight_decay=0.0,
                                      use_weight_standardization=True), num_classes=3)
    logits, end_points = _small(examples.images(), **options)
    standardized = [variable for variable in slim.get_variables_by_name('weights')
                    if 'logits' not in variable.op.name]
    scale = tf.group(*[tf.assign(variable, 100.0 * variable) for variable in standardized])
    kernel = slim.get_unique_variable('net/logits/weights')
    bias = slim.get_unique_variable('net/logits/biases')
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run(end_points['net/conv1'])
        session.run(scale)
        after = session.run(end_points['net/conv1'])
        block, kernel, bias, values = session.run([end_points['net/block4'], kernel, bias, logits])
    # Not quite equal: the small constant that keeps the division defined is not scaled.
    np.testing.assert_allclose(after, before, rtol=5e-3, atol=5e-3 * before.std())
    np.testing.assert_allclose(values, block @ kernel[0, 0] + bias, rtol=1e-3, atol=1e-3)


def test_group_norm_takes_32_groups_where_depths_allow():
    images = tf.random.stateless_normal([1, 9, 9, 3], seed=[1, 1])
    with slim.arg_scope(resnet_v1_beta.resnet_arg_scope(normalization_method='group',
                                                        activation_fn=None)):
        nets = [conv2d_ws.conv2d(images, depth, 3) for depth in (64, 24)]
    for net, groups in zip(examples.run(nets), (32, 8)):
        grouped = net.reshape(81, groups, -1)
        np.testing.assert_allclose(grouped.mean(axis=(0, 2)), 0, atol=1e-3)
        np.testing.assert_allclose(grouped.std(axis=(0, 2)), 1, atol=1e-2)


def test_unknown_methods_are_refused():
    with pytest.raises(ValueError, match="normalization_method must be one of .*got 'layer'"):
        resnet_v1_beta.resnet_arg_scope(normalization_method='layer')
    with pytest.raises(ValueError, match='sync_batch_norm_method'):
        resnet_v1_beta.resnet_arg_scope(sync_batch_norm_method='cloud')
    with pytest.raises(ValueError, match='sync_batch_norm_method'):
        resnet_v1_beta.resnet_v1_18(tf.zeros([1, 33, 33, 3]), sync_batch_norm_method='cloud')


@pytest.mark.parametrize('unit_fn, options, convolutions', [
    (resnet_v1_beta.bottleneck, dict(depth_bottleneck=2), ['conv1', 'conv2', 'conv3']),
    (resnet_v1_beta.lite_bottleneck, dict(), ['conv1', 'conv2'])])
def test_units_are_rectified_sums(unit_fn, options, convolutions):
    inputs = 3.0 * tf.random.stateless_normal([1, 9, 9, 4], seed=[5, 6])
    with slim.arg_scope(resnet_v1_beta.resnet_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False), \
            slim.arg_scope([conv2d_ws.conv2d], outputs_collections='convolutions'):
        same = unit_fn(inputs, depth=4, stride=2, scope='same', **options)
        other = unit_fn(inputs, depth=8, stride=1, rate=2, scope='other', **options)
    parts = slim.utils.convert_collection_to_dict('convolutions')
    assert list(parts) == ['same/' + name for name in convolutions] + [
        'other/' + name for name in ['shortcut'] + convolutions]
    values, parts, same, other = examples.run([inputs, parts, same, other])
    last = convolutions[-1]
    np.testing.assert_allclose(same, np.maximum(values[:, ::2, ::2] + parts['same/' + last], 0),
                               rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other, np.maximum(parts['other/shortcut'] + parts['other/' + last],
                                                 0), rtol=1e-5, atol=1e-5)
    assert parts['same/' + last].min() < 0 <= parts['same/conv1'].min()


@pytest.mark.parametrize('unit_fn', [
    functools.partial(resnet_v1_beta.bottleneck, depth_bottleneck=2),
    resnet_v1_beta.lite_bottleneck])
def test_rate_and_unit_rate_multiply(unit_fn):
    inputs = tf.random.stateless_normal([1, 17, 17, 4], seed=[5, 6])
    with slim.arg_scope(resnet_v1_beta.resnet_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False):
        product = unit_fn(inputs, depth=4, stride=1, rate=2, unit_rate=3, scope='unit')
        with tf.variable_scope('', reuse=True):
            rate = unit_fn(inputs, depth=4, stride=1, rate=6, scope='unit')
            smaller = unit_fn(inputs, depth=4, stride=1, rate=3, scope='unit')
    product, rate, smaller = examples.run([product, rate, smaller])
    np.testing.assert_array_equal(product, rate)
    assert np.abs(product - smaller).max() > 1e-2
