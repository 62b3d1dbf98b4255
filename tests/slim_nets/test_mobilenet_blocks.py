"""Tests of the MobileNets' building blocks, channel arithmetic and arg scope helpers."""
import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import channels
from slim_nets.mobilenet import conv_blocks
from slim_nets.mobilenet import scopes


def _images(height=9, width=9, depth=16):
    values = np.random.RandomState(5).normal(size=(2, height, width, depth))
    return tf.constant(values.astype(np.float32))


def _run(*tensors):
    tf.set_random_seed(3)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensors)


def _shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}


@pytest.mark.parametrize('value, divisor, minimum, expected', [
    (32, 8, None, 32),
    (35, 8, None, 32),
    (36, 8, None, 40),      # halves go up
    (11, 8, None, 16),      # 8 would lose more than a tenth
    (8.7, 8, None, 8),      # 8 is still 92 %
    (3, 8, None, 8),
    (3, 1, 1, 3),
    (8.4, 1, 1, 8),
    (16, 8, 24, 24),
    (112.0, 16, 8, 112),
])
def test_make_divisible(value, divisor, minimum, expected):
    result = channels.make_divisible(value, divisor, minimum)
    assert result == expected
    assert isinstance(result, int)


def test_make_divisible_never_loses_more_than_a_tenth():
    for value in np.arange(1, 400, 0.7):
        for divisor in (1, 4, 8, 16):
            result = channels.make_divisible(value, divisor)
            assert result % divisor == 0
            assert result >= 0.9 * value
            assert result - value <= divisor


def test_make_divisible_rejects_divisor_zero():
    with pytest.raises(ValueError, match='positive'):
        channels.make_divisible(8, 0)


@pytest.mark.parametrize('total, parts, divisor, expected', [
    (32, 2, 8, [16, 16]),
    (40, 2, 8, [24, 16]),
    (56, 3, 8, [24, 16, 16]),
    (48, 4, 4, [12, 12, 12, 12]),
])
def test_split_evenly(total, parts, divisor, expected):
    assert channels.split_evenly(total, parts, divisor) == expected


@pytest.mark.parametrize('total, parts', [(33, 2), (8, 2)])
def test_split_evenly_rejects_what_does_not_fit(total, parts):
    with pytest.raises(ValueError, match='Cannot split {} channels'.format(total)):
        channels.split_evenly(total, parts, 8)


@pytest.mark.parametrize('kernel, rate, before, after', [
    ((3, 3), 1, (1, 1), (1, 1)), ((3, 5), 2, (2, 4), (2, 4)), ((2, 2), 1, (0, 0), (1, 1)), (3, 1, (1, 1), (1, 1))])
def test_fixed_padding(kernel, rate, before, after):
    padded, = _run(conv_blocks.fixed_padding(tf.ones([1, 4, 5, 1]), kernel, rate))
    assert padded.shape == (1, 4 + before[0] + after[0], 5 + before[1] + after[1], 1)
    assert padded.sum() == 20
    inside = padded[0, before[0]:before[0] + 4, before[1]:before[1] + 5, 0]
    np.testing.assert_array_equal(inside, np.ones((4, 5)))


def test_expand_input_by_factor():
    assert conv_blocks.expand_input_by_factor(6)(num_inputs=24) == 144
    assert conv_blocks.expand_input_by_factor(6)(num_inputs=3) == 24
    assert conv_blocks.expand_input_by_factor(1, divisible_by=1)(num_inputs=11) == 11
    assert conv_blocks.expand_input_by_factor(184 / 80.)(num_inputs=80) == 184


def test_expanded_conv_variables_and_marks():
    end_points = {}
    net = conv_blocks.expanded_conv(_images(), 24, stride=2, normalizer_fn=slim.batch_norm,
                                    endpoints=end_points)
    assert net.op.name == 'expanded_conv/output'
    assert net.shape.as_list() == [2, 5, 5, 24]
    shapes = _shapes()
    assert shapes['expanded_conv/expand/weights'] == [1, 1, 16, 96]
    assert shapes['expanded_conv/depthwise/depthwise_weights'] == [3, 3, 96, 1]
    assert shapes['expanded_conv/project/weights'] == [1, 1, 96, 24]
    assert not any(name.endswith('biases') for name in shapes)
    assert {name: tensor.shape.as_list() for name, tensor in end_points.items()} == {
        'expansion_output': [2, 9, 9, 96], 'depthwise_output': [2, 5, 5, 96],
        'projection_output': [2, 5, 5, 24]}


@pytest.mark.parametrize('outputs, stride, residual, added', [
    (16, 1, True, True), (16, 1, False, False), (24, 1, True, False), (16, 2, True, False)])
def test_expanded_conv_adds_its_input_where_it_fits(outputs, stride, residual, added):
    end_points = {}
    images = _images()
    net = conv_blocks.expanded_conv(images, outputs, stride=stride, residual=residual,
                                    endpoints=end_points)
    result, projected, before = _run(net, end_points['projection_output'], images)
    expected = projected + before if added else projected
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_expanded_conv_takes_a_function_as_residual():
    end_points = {}
    net = conv_blocks.expanded_conv(
        _images(), 16, endpoints=end_points,
        residual=lambda input_tensor, output_tensor: output_tensor - 2 * input_tensor)
    result, projected, before = _run(net, end_points['projection_output'], _images())
    np.testing.assert_allclose(result, projected - 2 * before, rtol=1e-5, atol=1e-5)


def test_expanded_conv_projection_is_linear_and_inside_is_not():
    end_points = {}
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=tf.nn.relu6):
        net = conv_blocks.expanded_conv(_images(), 16, residual=False, endpoints=end_points)
    result, inner, depthwise = _run(net, end_points['expansion_output'],
                                    end_points['depthwise_output'])
    assert result.min() < 0
    assert inner.min() == 0 and inner.max() <= 6
    assert depthwise.min() == 0


def test_expanded_conv_activations_can_be_chosen():
    end_points = {}
    conv_blocks.expanded_conv(_images(), 16, endpoints=end_points, inner_activation_fn=tf.nn.tanh,
                              depthwise_activation_fn=tf.nn.sigmoid)
    inner, depthwise = _run(end_points['expansion_output'], end_points['depthwise_output'])
    assert -1 <= inner.min() < 0 and inner.max() <= 1
    assert 0 < depthwise.min() and depthwise.max() < 1


@pytest.mark.parametrize('location, depth', [('input', 16), ('expansion', 96), ('output', 24)])
def test_expanded_conv_depthwise_location(location, depth):
    net = conv_blocks.expanded_conv(_images(), 24, stride=2, depthwise_location=location)
    assert net.shape.as_list() == [2, 5, 5, 24]
    assert _shapes()['expanded_conv/depthwise/depthwise_weights'] == [3, 3, depth, 1]


def test_expanded_conv_without_depthwise():
    conv_blocks.expanded_conv(_images(), 24, depthwise_location=None)
    assert not any('depthwise' in name for name in _shapes())


def test_expanded_conv_with_an_absolute_width_and_transform():
    widths = []

    def double(expansion_tensor, input_tensor):
        widths.extend([expansion_tensor.shape.as_list()[3], input_tensor.shape.as_list()[3]])
        return 2 * expansion_tensor

    conv_blocks.expanded_conv(_images(), 24, expansion_size=40, expansion_transform=double)
    assert widths == [40, 16]
    assert _shapes()['expanded_conv/project/weights'] == [1, 1, 40, 24]


@pytest.mark.parametrize('size', [9, 13])
@pytest.mark.parametrize('options', [
    {'stride': 2}, {'rate': 2}, {'kernel_size': (5, 5), 'stride': 2},
    {'depthwise_location': None,
     'expansion_fn': functools.partial(slim.conv2d, kernel_size=(3, 3), stride=2)},
])
def test_explicit_padding_equals_same_on_odd_sizes(size, options):
    images = _images(size, size)
    same = conv_blocks.expanded_conv(images, 24, scope='block', **options)
    with tf.variable_scope('', reuse=True):
        explicit = conv_blocks.expanded_conv(images, 24, scope='block', use_explicit_padding=True,
                                             **options)
    assert same.shape == explicit.shape
    np.testing.assert_allclose(*_run(same, explicit), rtol=1e-5, atol=1e-5)


def test_explicit_padding_differs_from_same_on_even_sizes():
    images = _images(8, 8)
    same = conv_blocks.expanded_conv(images, 24, stride=2, scope='block')
    with tf.variable_scope('', reuse=True):
        explicit = conv_blocks.expanded_conv(images, 24, stride=2, scope='block',
                                             use_explicit_padding=True)
    first, second = _run(same, explicit)
    assert first.shape == second.shape
    assert abs(first - second).max() > 1e-3


def test_expanded_conv_rejects_bad_arguments():
    with pytest.raises(TypeError, match="depthwise_location.*'middle'"):
        conv_blocks.expanded_conv(_images(), 24, depthwise_location='middle')
    with pytest.raises(TypeError, match="cannot go with padding 'VALID'"):
        conv_blocks.expanded_conv(_images(), 24, padding='VALID', use_explicit_padding=True)


def test_split_conv_cuts_into_independent_groups():
    net = conv_blocks.split_conv(_images(depth=32), 48, 2, 'conv')
    assert net.shape.as_list() == [2, 9, 9, 48]
    shapes = _shapes()
    assert shapes['conv_part_0/weights'] == [1, 1, 16, 24]
    assert shapes['conv_part_1/weights'] == [1, 1, 16, 24]
    # The second half of the input has no influence on the first group.
    gradient = tf.gradients(net[..., :24], net.graph.get_tensor_by_name('split_conv:1'))
    assert gradient == [None] or not np.any(_run(gradient[0])[0])


@pytest.mark.parametrize('ways, outputs', [(1, 48), (8, 48), (2, 8)])
def test_split_conv_stays_whole_where_groups_would_be_small(ways, outputs):
    conv_blocks.split_conv(_images(depth=32), outputs, ways, 'conv')
    assert _shapes() == {'conv/weights': [1, 1, 32, outputs], 'conv/biases': [outputs]}


def test_expanded_conv_with_splits():
    conv_blocks.expanded_conv(_images(), 32, split_expansion=2, split_projection=2)
    shapes = _shapes()
    assert shapes['expanded_conv/expand_part_1/weights'] == [1, 1, 8, 48]
    assert shapes['expanded_conv/project_part_1/weights'] == [1, 1, 48, 16]


@pytest.mark.parametrize('scope, prefix', [(None, 'separable/'), ('Conv2d_1', 'Conv2d_1_')])
def test_split_separable_conv2d(scope, prefix):
    end_points = {}
    net = conv_blocks.split_separable_conv2d(_images(), 24, scope=scope, stride=2,
                                             normalizer_fn=slim.batch_norm, endpoints=end_points)
    assert net.shape.as_list() == [2, 5, 5, 24]
    shapes = _shapes()
    assert shapes[prefix + 'depthwise/depthwise_weights'] == [3, 3, 16, 1]
    assert shapes[prefix + 'pointwise/weights'] == [1, 1, 16, 24]
    assert len(end_points) == 2


def test_split_separable_conv2d_explicit_padding_equals_same():
    same = conv_blocks.split_separable_conv2d(_images(), 24, 'a', stride=2)
    with tf.variable_scope('', reuse=True):
        explicit = conv_blocks.split_separable_conv2d(_images(), 24, 'a', stride=2,
                                                      use_explicit_padding=True)
    np.testing.assert_allclose(*_run(same, explicit), rtol=1e-5, atol=1e-5)


def test_squeeze_excite_scales_each_channel_by_a_gate():
    images = _images(depth=32)
    net, before = _run(conv_blocks.squeeze_excite(images, squeeze_factor=4), images)
    gates = net / before
    assert gates.min() > 0 and gates.max() < 1
    np.testing.assert_allclose(gates, gates[:, :1, :1, :] * np.ones((1, 9, 9, 1)), rtol=1e-4)
    assert _shapes() == {
        'squeeze_excite/Conv/weights': [1, 1, 32, 8], 'squeeze_excite/Conv/biases': [8],
        'squeeze_excite/Conv_1/weights': [1, 1, 8, 32], 'squeeze_excite/Conv_1/biases': [32]}


def test_squeeze_excite_with_unknown_size():
    net = conv_blocks.squeeze_excite(tf.placeholder_with_default(_images(), [2, None, None, 16]))
    assert net.shape.as_list() == [2, None, None, 16]
    assert _run(net)[0].shape == (2, 9, 9, 16)


def test_squeeze_excite_with_other_squeeze_input():
    conv_blocks.squeeze_excite(_images(depth=32), squeeze_input_tensor=_images(depth=48))
    assert _shapes()['squeeze_excite/Conv/weights'] == [1, 1, 48, 16]
    assert _shapes()['squeeze_excite/Conv_1/weights'] == [1, 1, 16, 32]


def test_squeeze_excite_over_windows():
    images = _images()
    windowed = conv_blocks.squeeze_excite(images, pool=(5, 4))
    with tf.variable_scope('', reuse=True):
        larger_than_picture = conv_blocks.squeeze_excite(images, pool=20)
        whole = conv_blocks.squeeze_excite(images)
    first, second, third, before = _run(windowed, larger_than_picture, whole, images)
    np.testing.assert_allclose(second, third, rtol=1e-5, atol=1e-6)
    gates = first / before
    assert abs(gates - gates[:, :1, :1]).max() > 1e-3


def test_safe_arg_scope_leaves_none_out():
    assert isinstance(scopes.safe_arg_scope([slim.batch_norm], decay=None), scopes.NoOpScope)
    with slim.arg_scope([slim.batch_norm], is_training=False, decay=0.5):
        with scopes.safe_arg_scope([slim.batch_norm], is_training=None, decay=0.9):
            assert scopes.surrounding_value(slim.batch_norm, 'is_training', None) is False
            assert scopes.surrounding_value(slim.batch_norm, 'decay', None) == 0.9
    assert scopes.surrounding_value(slim.batch_norm, 'decay', 'none') == 'none'


def test_no_op_scope_lets_errors_through():
    with pytest.raises(KeyError):
        with scopes.NoOpScope():
            raise KeyError('x')


def test_arg_scopes_later_tables_win():
    convolutions = (slim.conv2d, slim.fully_connected)
    with scopes.arg_scopes({convolutions: {'activation_fn': tf.nn.relu, 'normalizer_fn': None}},
                           {(slim.conv2d,): {'activation_fn': tf.nn.tanh}}):
        assert scopes.surrounding_value(slim.conv2d, 'activation_fn', None) is tf.nn.tanh
        assert scopes.surrounding_value(slim.fully_connected, 'activation_fn', 0) is tf.nn.relu
    assert scopes.surrounding_value(slim.conv2d, 'activation_fn', 0) == 0


def test_layer_scope_reentered_keeps_operation_names():
    with tf.variable_scope('net') as scope:
        pass
    with scopes.layer_scope(scope, 'unused'):
        assert tf.identity(1.0, name='x').op.name == 'net/x'
    with scopes.layer_scope(None, 'block'), scopes.layer_scope(None, 'inner'):
        assert tf.get_variable('v', []).op.name == 'block/inner/v'
    with scopes.layer_scope(None, 'block'):
        assert tf.get_variable('v', []).op.name == 'block_1/v'
