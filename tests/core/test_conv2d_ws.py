"""Tests of the convolution with weight standardisation."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import conv2d_ws
from slim_nets import resnet_utils


def _inputs(shape=(2, 7, 8, 3)):
    return tf.random.stateless_normal(shape, seed=[1, 2])


def _run(fetches, feed=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feed)


def _seeded(seed=3):
    return tf.random_normal_initializer(stddev=0.5, seed=seed)


def _standardized(kernel):
    """The formula of arXiv 1903.10520 in numpy."""
    flat = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    flat = (flat - flat.mean(axis=0)) / np.sqrt(flat.var(axis=0) + 1e-5)
    return flat.reshape(kernel.shape)


def _convolve(inputs, kernel):
    """'VALID' convolution of stride 1 in numpy."""
    height, width = kernel.shape[:2]
    rows, columns = inputs.shape[1] - height + 1, inputs.shape[2] - width + 1
    return sum(inputs[:, y:y + rows, x:x + columns] @ kernel[y, x]
               for y in range(height) for x in range(width))


@pytest.mark.parametrize('shape', [(3, 3, 4, 5), (1, 1, 8, 2), (7, 7, 3, 1)])
def test_standardized_weights_have_mean_0_and_variance_1(shape):
    kernel = np.random.RandomState(0).normal(3.0, 2.0, shape).astype(np.float32)
    result = _run(conv2d_ws.standardize_weights(tf.constant(kernel)))
    np.testing.assert_allclose(result.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(result.var(axis=(0, 1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(result, _standardized(kernel), rtol=1e-4, atol=1e-5)


def test_equal_weights_become_zero():
    result = _run(conv2d_ws.standardize_weights(tf.fill([3, 3, 2, 2], 5.0)))
    np.testing.assert_array_equal(result, np.zeros([3, 3, 2, 2]))


@pytest.mark.parametrize('standardize', [False, True])
def test_layer_convolves_as_numpy_does(standardize):
    layer = conv2d_ws.Conv2D(4, (3, 2), kernel_initializer=_seeded(), bias_initializer=_seeded(4),
                             use_weight_standardization=standardize)
    inputs = _inputs()
    outputs = layer(inputs)
    assert outputs.shape.as_list() == [2, 5, 7, 4]
    values, outputs, kernel, bias = _run([inputs, outputs, layer.kernel, layer.bias])
    used = _standardized(kernel) if standardize else kernel
    np.testing.assert_allclose(outputs, _convolve(values, used) + bias, rtol=1e-4, atol=1e-4)
    # What is trained and saved is never the standardised form.
    assert np.abs(kernel.mean(axis=(0, 1, 2))).min() > 1e-3


def test_layer_makes_variables_once():
    layer = conv2d_ws.Conv2D(4, 3, padding='same', name='layer')
    assert layer.variables == [] and not layer.built
    first = layer(_inputs())
    second = layer.apply(_inputs())
    assert [variable.op.name for variable in tf.global_variables()] == ['layer/kernel',
                                                                        'layer/bias']
    assert layer.variables == [layer.kernel, layer.bias]
    assert layer.kernel.shape.as_list() == [3, 3, 3, 4] and layer.built
    first, second = _run([first, second])
    np.testing.assert_array_equal(first, second)


def test_unnamed_layers_get_scopes_of_their_own():
    for _ in range(2):
        layer = conv2d_ws.Conv2D(1, 1, use_bias=False)
        layer(_inputs())
        layer(_inputs())
    assert [variable.op.name for variable in tf.global_variables()] == ['conv2d/kernel',
                                                                        'conv2d_1/kernel']


def test_layers_share_variables_by_reuse():
    with tf.variable_scope('outer'):
        conv2d_ws.Conv2D(4, 3, name='layer')(_inputs())
    with tf.variable_scope('outer', reuse=True):
        conv2d_ws.Conv2D(4, 3, name='layer')(_inputs())
    with tf.variable_scope('outer') as outer, tf.variable_scope('layer') as scope:
        pass
    again = conv2d_ws.Conv2D(4, 3, _scope=scope, _reuse=True)
    again(_inputs())
    assert outer.name == 'outer'
    assert again.kernel.op.name == 'outer/layer/kernel'
    assert len(tf.global_variables()) == 2
    with pytest.raises(ValueError, match='already exists'):
        with tf.variable_scope('outer'):
            conv2d_ws.Conv2D(4, 3, name='layer')(_inputs())


def test_layer_options():
    layer = conv2d_ws.Conv2D(
        2, 1, activation=tf.nn.relu, kernel_initializer=tf.ones_initializer(),
        kernel_regularizer=slim.l2_regularizer(0.5), bias_regularizer=slim.l1_regularizer(2.0),
        bias_initializer=tf.constant_initializer(-7.0), activity_regularizer=tf.reduce_sum,
        kernel_constraint=tf.nn.relu, bias_constraint=tf.abs, trainable=False)
    inputs = tf.constant([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], shape=[1, 2, 1, 3])
    outputs = layer(inputs)
    outputs, losses = _run([outputs, tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)])
    np.testing.assert_array_equal(outputs.ravel(), [0, 0, 8, 8])
    assert sorted(losses) == [1.5, 16.0, 28.0]
    assert not tf.trainable_variables()
    assert layer.kernel.constraint is tf.nn.relu and layer.bias.constraint is tf.abs


def test_constraint_is_applied_by_optimizers():
    layer = conv2d_ws.Conv2D(1, 1, kernel_constraint=lambda kernel: tf.clip_by_value(kernel, 0, 1),
                             kernel_initializer=tf.ones_initializer(), use_bias=False)
    loss = tf.reduce_sum(layer(tf.ones([1, 1, 1, 1])))
    step = tf.train.GradientDescentOptimizer(3.0).minimize(loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        assert session.run(layer.kernel).item() == 0.0


@pytest.mark.parametrize('arguments, message', [
    (dict(kernel_size=(1, 2, 3)), 'kernel_size must be one positive integer or two'),
    (dict(kernel_size=0), 'kernel_size .* got 0'),
    (dict(strides=1.5), 'strides .* got 1.5'),
    (dict(strides=2, dilation_rate=2), 'cannot both exceed 1'),
    (dict(padding='full'), "padding must be one of .*'full'"),
    (dict(data_format='NHWC'), "data_format must be one of .*'NHWC'"),
])
def test_layer_refuses_what_it_cannot_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        conv2d_ws.Conv2D(**dict(dict(filters=2, kernel_size=3), **arguments))


def test_layer_refuses_unknown_keywords():
    with pytest.raises(TypeError, match='groups'):
        conv2d_ws.Conv2D(2, 3, groups=4)


@pytest.mark.parametrize('shape, message', [((2, 3, 4), 'rank 4'), ((1, 4, 4, None), 'channels')])
def test_layer_refuses_inputs_it_cannot_take(shape, message):
    with pytest.raises(ValueError, match=message):
        conv2d_ws.Conv2D(2, 3)(tf.placeholder(tf.float32, shape))
    with pytest.raises(ValueError, match=message):
        conv2d_ws.conv2d(tf.placeholder(tf.float32, shape), 2, 3)


def test_layer_keeps_its_variables_in_the_inputs_type():
    layer = conv2d_ws.Conv2D(2, 1, use_weight_standardization=True)
    outputs = layer(tf.ones([1, 2, 2, 3], tf.float16))
    assert layer.kernel.dtype.base_dtype == outputs.dtype == tf.float16
    other = conv2d_ws.Conv2D(2, 1, dtype=tf.float64)
    other.build([1, 2, 2, 3])
    assert other.kernel.dtype.base_dtype == tf.float64


_SLIM_CASES = [
    dict(),
    dict(stride=2, padding='VALID'),
    dict(stride=(2, 1)),
    dict(rate=2),
    dict(rate=(1, 3), padding='VALID'),
    dict(activation_fn=None, biases_initializer=None),
    dict(weights_regularizer=slim.l2_regularizer(0.1), biases_regularizer=slim.l2_regularizer(0.2)),
    dict(normalizer_fn=slim.batch_norm, normalizer_params=dict(scale=True, is_training=True)),
    dict(trainable=False),
    dict(variables_collections=['mine']),
    dict(variables_collections={'weights': ['mine', 'ours'], 'biases': ['theirs']}),
    dict(outputs_collections='mine'),
]


@pytest.mark.parametrize('options', _SLIM_CASES)
def test_conv2d_is_slims(options):
    """Without standardisation: same variables, collections, losses and values."""
    def build(conv2d, kernel_size=3):
        with tf.Graph().as_default() as graph:
            net = conv2d(_inputs(), 4, kernel_size, weights_initializer=_seeded(), scope='conv',
                         **options)
            losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
            values = _run([net, tf.global_variables(), losses])
            skipped = (tf.GraphKeys.REGULARIZATION_LOSSES, tf.GraphKeys.UPDATE_OPS)
            collected = {name: sorted(item.name for item in graph.get_collection(name))
                         for name in graph.get_all_collection_keys()
                         if isinstance(name, str) and name not in skipped}
            updates = len(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
            order = [variable.op.name for variable in tf.global_variables()]
        return values, collected, updates, order

    (net, variables, losses), collected, updates, order = build(conv2d_ws.conv2d)
    (slim_net, slim_variables, slim_losses), *slim_rest = build(slim.conv2d)
    assert [collected, updates, order] == slim_rest
    for ours, theirs in zip([net] + variables + losses, [slim_net] + slim_variables + slim_losses):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert len(losses) == len(slim_losses)


def test_conv2d_standardizes_its_weights():
    inputs = _inputs()
    net = conv2d_ws.conv2d(inputs, 4, 3, padding='VALID', weights_initializer=_seeded(),
                           use_weight_standardization=True, scope='conv')
    values, net, weights = _run([inputs, net, slim.get_unique_variable('conv/weights')])
    expected = np.maximum(_convolve(values, _standardized(weights)), 0)
    np.testing.assert_allclose(net, expected, rtol=1e-4, atol=1e-4)


def test_conv2d_takes_channels_first():
    # A CPU has no kernel for it, so only shapes can be looked at.
    net = conv2d_ws.conv2d(tf.zeros([2, 3, 7, 8]), 4, 3, stride=2, data_format='NCHW', scope='conv')
    assert net.shape.as_list() == [2, 4, 4, 4]
    assert slim.get_unique_variable('conv/weights').shape.as_list() == [3, 3, 3, 4]
    with pytest.raises(ValueError, match="data_format must be one of .*'NWC'"):
        conv2d_ws.conv2d(tf.zeros([2, 3, 7, 8]), 4, 3, data_format='NWC')


def test_conv2d_works_in_arg_scopes():
    with slim.arg_scope([conv2d_ws.conv2d], activation_fn=tf.nn.relu6, outputs_collections='nets',
                        normalizer_fn=slim.group_norm, normalizer_params=dict(groups=2),
                        use_weight_standardization=True):
        net = conv2d_ws.conv2d(_inputs(), 4, 3, scope='conv')
    assert net.op.type == 'Relu6'
    assert [variable.op.name for variable in tf.global_variables()] == [
        'conv/weights', 'conv/GroupNorm/beta', 'conv/GroupNorm/gamma']
    assert slim.utils.convert_collection_to_dict('nets') == {'conv': net}
    assert any('moments' in operation.name for operation in tf.get_default_graph().get_operations())


def test_conv2d_reuses_by_scope_and_regularizes_once():
    def build(reuse):
        return conv2d_ws.conv2d(_inputs(), 4, 3, reuse=reuse, scope='conv',
                                weights_regularizer=slim.l2_regularizer(0.1))

    first, second = _run([build(None), build(True)])
    np.testing.assert_array_equal(first, second)
    assert len(tf.global_variables()) == 2
    assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == 1
    with pytest.raises(ValueError, match='already exists'):
        build(None)


def test_conv2d_splits_its_weights_where_a_partitioner_says_so():
    inputs = _inputs()
    partitioner = tf.fixed_size_partitioner(2, axis=3)
    with tf.variable_scope('split', partitioner=partitioner):
        net = conv2d_ws.conv2d(inputs, 4, 3, use_weight_standardization=True, padding='VALID',
                               activation_fn=None, biases_initializer=None, scope='conv',
                               weights_regularizer=slim.l2_regularizer(0.1))
    parts = tf.global_variables()
    assert [part.shape.as_list() for part in parts] == 2 * [[3, 3, 3, 2]]
    values, net, parts = _run([inputs, net, parts])
    expected = _convolve(values, _standardized(np.concatenate(parts, axis=3)))
    np.testing.assert_allclose(net, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [8, 9])
@pytest.mark.parametrize('kernel_size', [3, 7])
def test_conv2d_same_strided_is_unstrided_subsampled(size, kernel_size):
    inputs = _inputs((1, size, size, 3))
    with slim.arg_scope([conv2d_ws.conv2d], activation_fn=None):
        dense = conv2d_ws.conv2d_same(inputs, 4, kernel_size, 1, scope='conv')
        with tf.variable_scope('', reuse=True):
            strided = conv2d_ws.conv2d_same(inputs, 4, kernel_size, 2, scope='conv')
    dense, strided = _run([resnet_utils.subsample(dense, 2), strided])
    np.testing.assert_allclose(strided, dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('rate, standardize', [(1, False), (2, True), (3, False)])
def test_gradient_of_atrous_convolution(rate, standardize):
    inputs = _inputs((1, 9, 9, 2))
    net = conv2d_ws.conv2d(inputs, 2, 3, rate=rate, weights_initializer=_seeded(), scope='conv',
                           activation_fn=None, use_weight_standardization=standardize)
    weights = slim.get_unique_variable('conv/weights')
    loss = tf.reduce_sum(tf.square(net))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        gradient, values = session.run([tf.gradients(loss, weights)[0], weights])
        step = np.zeros_like(values)
        step[0, 1, 1, 0] = 1e-2
        above = session.run(loss, {weights: values + step})
        below = session.run(loss, {weights: values - step})
    assert gradient[0, 1, 1, 0] == pytest.approx((above - below) / 2e-2, rel=2e-2, abs=0.1)
