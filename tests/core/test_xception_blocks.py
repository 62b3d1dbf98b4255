"""Xception's parts: padding, separable convolutions, modules, the description of blocks."""
import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import xception
from deeplab.errors import UserError
from tests import golden_net
from tests.core import small_runs


def _linear_layers():
    return slim.arg_scope([slim.conv2d, slim.separable_conv2d], normalizer_fn=None,
                          activation_fn=None, biases_initializer=None,
                          weights_initializer=tf.ones_initializer())


def _module(features, skip='none', depths=(2, 3, 4), stride=1, **options):
    return xception.xception_module(features, depths, skip, stride, **options)


@pytest.mark.parametrize('kernel_size, rate, before, after', [
    (1, 1, 0, 0), (2, 1, 0, 1), (3, 1, 1, 1), (4, 1, 1, 2), (3, 2, 2, 2), (2, 3, 1, 2)])
def test_fixed_padding_puts_the_larger_half_behind(kernel_size, rate, before, after):
    image = np.float32([[1, 2], [3, 4]]).reshape(1, 2, 2, 1)
    padded = xception.fixed_padding(tf.constant(image), kernel_size, rate)
    side = 2 + before + after
    expected = np.zeros((side, side), np.float32)
    expected[before:before + 2, before:before + 2] = [[1, 2], [3, 4]]
    assert padded.shape.as_list() == [1, side, side, 1]
    np.testing.assert_array_equal(small_runs.seeded(padded)[0, :, :, 0], expected)


def test_separable_conv2d_same_by_hand():
    image = np.float32([[1, 2], [3, 4]]).reshape(1, 2, 2, 1)
    with _linear_layers():
        strided = xception.separable_conv2d_same(tf.constant(image), 2, 3, 1, stride=2, scope='a')
        dense = xception.separable_conv2d_same(tf.constant(image), 1, 3, 1, stride=1, scope='b')
    strided, dense = small_runs.initial([strided, dense])
    # A 3 x 3 window of ones sees the whole picture from each of its four pixels.
    np.testing.assert_array_equal(dense, np.full((1, 2, 2, 1), 10.0))
    np.testing.assert_array_equal(strided, np.full((1, 1, 1, 2), 10.0))


@pytest.mark.parametrize('regularize_depthwise', [False, True])
@pytest.mark.parametrize('kernel_size', [3, 5])
@pytest.mark.parametrize('size', [8, 9])
def test_stride_equals_subsampling(size, kernel_size, regularize_depthwise):
    features = tf.constant(small_runs.noise(2, size, size, 3))
    conv = functools.partial(
        xception.separable_conv2d_same, features, 4, kernel_size, depth_multiplier=2,
        regularize_depthwise=regularize_depthwise, scope='conv')
    strided = conv(stride=2)
    dense = conv(stride=1, reuse=True)
    plain = conv(stride=2, use_explicit_padding=False, reuse=True)
    strided, dense, plain = small_runs.seeded([strided, dense, plain])
    np.testing.assert_allclose(strided, dense[:, ::2, ::2], atol=1e-5)
    # TensorFlow's own padding agrees for odd sizes only, which is why there is an explicit one.
    assert np.allclose(plain, dense[:, ::2, ::2], atol=1e-5) == (size % 2 == 1)


@pytest.mark.parametrize('regularize_depthwise, scope, expected', [
    (True, 'conv', ['conv/depthwise_weights', 'conv/pointwise_weights', 'conv/biases']),
    (False, 'conv', ['conv_depthwise/depthwise_weights', 'conv_depthwise/biases',
                     'conv_pointwise/weights', 'conv_pointwise/biases']),
    (False, None, ['SeparableConv2d/depthwise_weights', 'SeparableConv2d/biases',
                   'Conv/weights', 'Conv/biases'])])
def test_variables_of_separable_convolutions(regularize_depthwise, scope, expected):
    xception.separable_conv2d_same(tf.zeros([1, 5, 5, 3]), 4, 3, 1, stride=1,
                                   regularize_depthwise=regularize_depthwise, scope=scope)
    assert [variable.op.name for variable in tf.global_variables()] == expected


@pytest.mark.parametrize('skip, depths, stride, shape', [
    ('conv', (2, 3, 4), 2, [1, 5, 5, 4]), ('conv', (2, 3, 4), 1, [1, 9, 9, 4]),
    ('sum', (2, 3, 3), 1, [1, 9, 9, 3]), ('none', (2, 3, 4), 2, [1, 5, 5, 4])])
def test_module_shapes_and_layers(skip, depths, stride, shape):
    output = _module(tf.zeros([1, 9, 9, 3]), skip, depths, stride,
                     outputs_collections='ends', scope='here')
    assert output.shape.as_list() == shape
    assert tf.get_collection('ends') == [output]
    kernels = [variable.op.name for variable in tf.global_variables()
               if variable.op.name.endswith('weights')]
    expected = ['here/separable_conv{}_{}'.format(number, part) for number in (1, 2, 3)
                for part in ('depthwise/depthwise_weights', 'pointwise/weights')]
    assert kernels == expected + ['here/shortcut/weights'] * (skip == 'conv')


def test_sum_adds_the_input_itself():
    features = tf.constant(small_runs.noise(1, 5, 5, 3))
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d],
                        weights_initializer=tf.zeros_initializer()):
        merged = _module(features, 'sum', (3, 3, 3))
        alone = _module(features, 'none', (3, 3, 3))
    merged, alone = small_runs.initial([merged, alone])
    np.testing.assert_array_equal(merged, small_runs.noise(1, 5, 5, 3))
    np.testing.assert_array_equal(alone, np.zeros((1, 5, 5, 3)))


def test_activation_before_or_inside_the_convolutions():
    features = tf.ones([1, 3, 3, 1])
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], biases_initializer=None,
                        weights_initializer=tf.constant_initializer(-1.0)):
        before = _module(features, depths=(1, 1, 1), scope='before')
        inside = _module(features, depths=(1, 1, 1), scope='inside',
                         activation_fn_in_separable_conv=True)
    before, inside = small_runs.initial([before, inside])
    # The depthwise and the pointwise kernel both change the sign: that cancels out, unless an
    # activation sits between the two and leaves nothing of the negative values.
    assert (before > 0).all()
    assert not inside.any()


@pytest.mark.parametrize('rates, rate, reach', [
    (None, 1, 3), ((1, 2, 4), 1, 7), ([1, 1, 1], 2, 6), ((1, 2, 4), 2, 14)])
def test_multi_grid_multiplies_rates(rates, rate, reach):
    impulse = np.zeros((1, 31, 31, 1), np.float32)
    impulse[0, 15, 15, 0] = 1
    with _linear_layers():
        response = _module(tf.constant(impulse), depths=(1, 1, 1), unit_rate_list=rates, rate=rate)
    touched = np.nonzero(small_runs.initial(response)[0, 15, :, 0])[0]
    assert (touched.min(), touched.max()) == (15 - reach, 15 + reach)


@pytest.mark.parametrize('options, message', [
    (dict(depths=(1, 2)), r'depth_list needs exactly 3 positive integers.*got 2: \[1, 2\]'),
    (dict(depths=5), r'depth_list needs exactly 3 .* got 5$'),
    (dict(unit_rate_list=[1, 2, 4, 8]), r'unit_rate_list .* got 4: \[1, 2, 4, 8\]'),
    (dict(unit_rate_list=[]), r'unit_rate_list .* got 0: \[\]'),
    (dict(unit_rate_list=[1, 0, 1]), r'got 3: \[1, 0, 1\]'),
    (dict(unit_rate_list=[1, True, 2.0]), r'got 3: \[1, True, 2.0\]'),
    (dict(skip='add'), r"expected one of conv, sum, none, got 'add'")])
def test_module_mistakes_are_found_before_building(options, message):
    features = tf.zeros([1, 5, 5, 1])
    ops_before = len(tf.get_default_graph().get_operations())
    with pytest.raises(UserError, match=message):
        _module(features, **options)
    assert len(tf.get_default_graph().get_operations()) == ops_before


def test_bounded_activations_stay_in_range():
    with slim.arg_scope(xception.xception_arg_scope(use_bounded_activation=True)), \
            slim.arg_scope([slim.batch_norm], is_training=False):
        features = 50 * tf.constant(small_runs.noise(1, 9, 9, 3))
        with slim.arg_scope([slim.conv2d, slim.separable_conv2d], outputs_collections='layers'):
            outputs = [_module(features, 'conv', stride=2), _module(features, 'sum', (3, 3, 3))]
            inside = _module(features, activation_fn_in_separable_conv=True)
    layers = [layer for layer in tf.get_collection('layers') if 'separable' in layer.op.name]
    outputs, inside, layers = small_runs.seeded([outputs, inside, layers])
    for output in outputs + [inside]:
        assert 0 <= output.min() and output.max() <= 6
    assert len(layers) == 18
    assert max(layer.max() for layer in layers) == 6
    assert min(layer.min() for layer in layers) == -6


def test_bounded_activations_use_plain_padding():
    features = tf.constant(small_runs.noise(1, 8, 8, 3))
    for bounded in (False, True):
        with slim.arg_scope(xception.xception_arg_scope(use_bounded_activation=bounded)):
            _module(features, stride=2, scope='bounded_{}'.format(bounded))
    pads = [op.name for op in tf.get_default_graph().get_operations() if op.type == 'Pad']
    assert [name.split('/')[0] for name in pads] == ['bounded_False']


def test_squeeze_excite_gates_the_residual():
    features = tf.constant(small_runs.noise(1, 6, 6, 3))
    plain = _module(features, depths=(2, 2, 32), scope='module')
    gated = _module(features, depths=(2, 2, 32), scope='gated', use_squeeze_excite=True)
    pooled = _module(features, depths=(2, 2, 32), scope='pooled', use_squeeze_excite=True,
                     se_pool_size=2)
    kernels = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()
               if 'squeeze_excite' in variable.op.name and 'weights' in variable.op.name}
    # An inner width of 32 / 16, raised to a multiple of 8.
    assert kernels == {
        scope + '/squeeze_excite/' + name: shape for scope in ('gated', 'pooled')
        for name, shape in (('Conv/weights', [1, 1, 32, 8]), ('Conv_1/weights', [1, 1, 8, 32]))}
    with tf.Session(config=small_runs.ONE_THREAD) as session:
        golden_net.Weights(tf.global_variables('module/')).load(session, 'he')
        session.run([
            tf.assign(variable, tf.zeros_like(variable) if 'squeeze' in variable.op.name else
                      tf.global_variables('module' + variable.op.name[len(scope):])[0])
            for scope in ('gated', 'pooled') for variable in tf.global_variables(scope + '/')])
        plain, gated, pooled = session.run([plain, gated, pooled])
    # The hard sigmoid of 0 is 3 * 0.16667.
    np.testing.assert_allclose(gated, 0.50001 * plain, rtol=1e-5)
    np.testing.assert_allclose(pooled, 0.50001 * plain, rtol=1e-5)


def test_block_describes_its_units():
    block = xception.xception_block(
        'flow/block', [1, 2, 3], 'none', activation_fn_in_separable_conv=True,
        regularize_depthwise=False, num_units=3, stride=2, kernel_size=5, unit_rate_list=[1, 2, 4],
        use_squeeze_excite=True, se_pool_size=4)
    assert isinstance(block, xception.Block)
    assert (block.scope, block.unit_fn, len(block.args)) == ('flow/block',
                                                             xception.xception_module, 3)
    assert block.args[0] == block.args[2] == dict(
        depth_list=(1, 2, 3), skip_connection_type='none', activation_fn_in_separable_conv=True,
        regularize_depthwise=False, stride=2, kernel_size=5, unit_rate_list=(1, 2, 4),
        use_squeeze_excite=True, se_pool_size=4)
    assert tf.get_default_graph().get_operations() == []
