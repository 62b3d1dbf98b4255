"""Tests of the parts all residual networks share."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils
from slim_nets import resnet_v1


def _run(*fetches, seed=7):
    tf.set_random_seed(seed)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        results = session.run(list(fetches))
    return results[0] if len(fetches) == 1 else results


def _mesh(height, width):
    """Returns a map whose value tells its position: 10 * row + column."""
    return tf.constant(np.add.outer(10.0 * np.arange(height), np.arange(width))
                       .reshape(1, height, width, 1).astype(np.float32))


def _small_blocks():
    block = resnet_v1.resnet_v1_block
    return [block('block1', 1, 2, 2), block('block2', 2, 2, 2), block('block3', 4, 2, 2),
            block('block4', 8, 2, 1)]


@pytest.mark.parametrize('size, expected', [
    (3, [[0, 2], [20, 22]]),
    (4, [[0, 2], [20, 22]]),
    (5, [[0, 2, 4], [20, 22, 24], [40, 42, 44]]),
])
def test_subsample_keeps_every_second_position(size, expected):
    result = _run(resnet_utils.subsample(_mesh(size, size), 2))
    np.testing.assert_array_equal(result[0, :, :, 0], expected)


def test_subsample_by_one_is_the_input_itself():
    inputs = _mesh(3, 3)
    assert resnet_utils.subsample(inputs, 1) is inputs


@pytest.mark.parametrize('kernel_size, rate, before, after', [
    (3, 1, 1, 1), (3, 2, 2, 2), (7, 1, 3, 3), (2, 1, 0, 1), (4, 3, 4, 5)])
def test_pad_like_stride_one(kernel_size, rate, before, after):
    padded = _run(resnet_utils.pad_like_stride_one(1.0 + _mesh(3, 4), kernel_size, rate))
    assert padded.shape == (1, 3 + before + after, 4 + before + after, 1)
    np.testing.assert_array_equal(padded[0, before:before + 3, before:before + 4, 0],
                                  np.add.outer([1, 11, 21], [0, 1, 2, 3]))
    assert np.count_nonzero(padded) == 12


@pytest.mark.parametrize('size', [4, 5])
@pytest.mark.parametrize('kernel_size', [3, 7])
@pytest.mark.parametrize('stride', [2, 3])
def test_conv2d_same_strided_is_unstrided_subsampled(size, kernel_size, stride):
    inputs = _mesh(size, size)
    with slim.arg_scope([slim.conv2d], activation_fn=None):
        dense = resnet_utils.conv2d_same(inputs, 2, kernel_size, 1, scope='conv')
        with tf.variable_scope('', reuse=True):
            strided = resnet_utils.conv2d_same(inputs, 2, kernel_size, stride, scope='conv')
    dense, strided = _run(dense, strided)
    np.testing.assert_allclose(strided, dense[:, ::stride, ::stride], rtol=1e-5, atol=1e-5)
    assert np.abs(strided).max() > 0


def test_conv2d_same_by_hand():
    # A kernel of ones sums the 3 x 3 neighbourhood, of which a corner's lies half outside.
    with slim.arg_scope([slim.conv2d], weights_initializer=tf.ones_initializer(),
                        activation_fn=None):
        result = _run(resnet_utils.conv2d_same(_mesh(4, 4), 1, 3, 2))
    np.testing.assert_allclose(result[0, :, :, 0], [[22, 42], [123, 9 * 22]])


def test_usable_output_strides():
    assert resnet_utils.usable_output_strides(_small_blocks()) == [1, 2, 4, 8]
    assert resnet_utils.usable_output_strides(_small_blocks(), 4) == [4, 8, 16, 32]
    without_strides = [resnet_utils.Block('block1', None, [{}, {'stride': 3}])]
    assert resnet_utils.usable_output_strides(without_strides) == [1, 3]


def test_stride_within_blocks():
    assert resnet_utils.stride_within_blocks(None, _small_blocks(), 4) is None
    assert resnet_utils.stride_within_blocks(16, _small_blocks(), 4) == 4
    for wrong in (0, 2, 6, 64):
        with pytest.raises(ValueError, match=r'one of \[4, 8, 16, 32\].*got {}'.format(wrong)):
            resnet_utils.stride_within_blocks(wrong, _small_blocks(), 4)


def test_block_with_last_strided():
    block = resnet_utils.block_with_last_strided('block3', len, {'depth': 5}, 3, 2)
    assert block == ('block3', len, [{'depth': 5, 'stride': 1}, {'depth': 5, 'stride': 1},
                                     {'depth': 5, 'stride': 2}])
    assert (block.scope, block.unit_fn) == ('block3', len)


class _Recorder:
    """Stands in for a unit and notes the strides and rates it is asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, inputs, stride, rate):
        self.calls.append((stride, rate))
        return resnet_utils.subsample(inputs, stride)


@pytest.mark.parametrize('output_stride, expected', [
    (None, [(1, 1), (2, 1), (1, 1), (3, 1), (2, 1), (1, 1)]),
    (12, [(1, 1), (2, 1), (1, 1), (3, 1), (2, 1), (1, 1)]),
    (6, [(1, 1), (2, 1), (1, 1), (3, 1), (1, 1), (1, 2)]),
    (2, [(1, 1), (2, 1), (1, 1), (1, 1), (1, 3), (1, 6)]),
    (1, [(1, 1), (1, 1), (1, 2), (1, 2), (1, 6), (1, 12)]),
])
def test_strides_left_out_become_rates(output_stride, expected):
    unit = _Recorder()
    blocks = [resnet_utils.Block('a', unit, [{'stride': 1}, {'stride': 2}]),
              resnet_utils.Block('b', unit, [{'stride': 1}, {'stride': 3}]),
              resnet_utils.Block('c', unit, [{'stride': 2}, {'stride': 1}])]
    net = resnet_utils.stack_blocks_dense(_mesh(25, 25), blocks, output_stride)
    assert unit.calls == expected
    side = -(-25 // (output_stride or 12))
    assert net.shape.as_list() == [1, side, side, 1]


def test_unreachable_output_stride_is_named():
    with pytest.raises(ValueError, match=r'one of \[1, 2, 4, 8\].*got 3'):
        resnet_utils.stack_blocks_dense(tf.zeros([1, 8, 8, 3]), _small_blocks(), 3)


@pytest.mark.parametrize('size', [16, 17])
@pytest.mark.parametrize('output_stride', [1, 2, 4])
def test_dense_features_subsampled_equal_nominal_ones(size, output_stride):
    inputs = tf.random.stateless_normal([1, size, size, 3], seed=[1, 2])
    with slim.arg_scope(resnet_utils.resnet_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False):
        dense = resnet_utils.stack_blocks_dense(inputs, _small_blocks(), output_stride)
        dense = resnet_utils.subsample(dense, 8 // output_stride)
        with tf.variable_scope('', reuse=True):
            nominal = resnet_utils.stack_blocks_dense(inputs, _small_blocks())
    dense, nominal = _run(dense, nominal)
    assert nominal.std() > 1e-3
    np.testing.assert_allclose(dense, nominal, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('output_stride, sides', [
    (None, [33, 17, 9, 5]), (8, [33, 17, 9, 5]), (4, [33, 17, 9, 9]), (2, [33, 17, 17, 17]),
    (1, [33, 33, 33, 33])])
def test_end_points_before_the_stride(output_stride, sides):
    inputs = tf.random.stateless_normal([1, 33, 33, 3], seed=[1, 2])

    def features(store):
        return resnet_utils.stack_blocks_dense(
            inputs, _small_blocks(), output_stride, store_non_strided_activations=store,
            outputs_collections='stored' if store else None)

    with slim.arg_scope(resnet_utils.resnet_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False):
        stored = features(True)
        with tf.variable_scope('', reuse=True):
            usual = features(False)
    end_points = slim.utils.convert_collection_to_dict('stored')
    assert [(name, point.shape.as_list()[1]) for name, point in end_points.items()] == list(
        zip(['block1', 'block2', 'block3', 'block4'], sides))
    stored, usual = _run(stored, usual)
    np.testing.assert_allclose(stored, usual, atol=1e-4, rtol=1e-4)


def test_imagenet_blocks():
    blocks = resnet_utils.imagenet_blocks(resnet_v1.resnet_v1_block, (3, 4, 6, 3), lambda d: d + 1)
    assert [(block.scope, len(block.args), block.args[-1]['stride'],
             block.args[0]['depth_bottleneck']) for block in blocks] == [
                 ('block1', 3, 2, 65), ('block2', 4, 2, 129), ('block3', 6, 2, 257),
                 ('block4', 3, 1, 513)]


def test_arg_scope_sets_what_it_is_asked_for():
    images = tf.random.stateless_normal([2, 5, 5, 3], seed=[1, 2])
    scope = resnet_utils.resnet_arg_scope(
        weight_decay=0.01, batch_norm_decay=0.9, batch_norm_epsilon=0.1, batch_norm_scale=False,
        activation_fn=tf.nn.relu6, batch_norm_updates_collections='updates')
    with slim.arg_scope(scope):
        net = slim.conv2d(images, 4, 3, scope='conv')
        pooled = slim.max_pool2d(net, 3, stride=2)
    assert net.op.type == 'Relu6'
    assert pooled.shape.as_list() == [2, 3, 3, 4]
    assert [variable.op.name for variable in tf.global_variables()] == [
        'conv/weights', 'conv/BatchNorm/beta', 'conv/BatchNorm/moving_mean',
        'conv/BatchNorm/moving_variance']
    assert len(tf.get_collection('updates')) == 2
    loss, weights = _run(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)[0],
                         slim.get_variables_by_name('weights')[0])
    assert loss == pytest.approx(0.01 * 0.5 * np.sum(weights ** 2), rel=1e-5)


def test_arg_scope_moves_the_averages_by_one_minus_the_decay():
    values = np.random.RandomState(0).normal(3.0, 1.0, [1, 5, 5, 1]).astype(np.float32)
    with slim.arg_scope(resnet_utils.resnet_arg_scope(batch_norm_decay=0.9)):
        slim.batch_norm(tf.constant(values), scope='norm')
    mean = slim.get_variables_by_name('moving_mean')[0]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        assert session.run(mean)[0] == pytest.approx(0.1 * values.mean(), rel=1e-5)


def test_arg_scope_without_batch_norm_has_biases():
    with slim.arg_scope(resnet_utils.resnet_arg_scope(use_batch_norm=False)):
        slim.conv2d(tf.zeros([1, 5, 5, 3]), 4, 3, scope='conv')
    assert [variable.op.name for variable in tf.global_variables()] == ['conv/weights',
                                                                        'conv/biases']


def test_initial_weights_are_scaled_by_fan_in():
    with slim.arg_scope(resnet_utils.resnet_arg_scope()):
        slim.conv2d(tf.zeros([1, 5, 5, 64]), 128, 3, scope='conv')
    weights = _run(slim.get_variables_by_name('weights')[0])
    expected = np.sqrt(2.0 / (3 * 3 * 64))
    assert weights.std() == pytest.approx(expected, rel=0.02)
    # Truncation: at two deviations of the untruncated distribution, which is 1.3 / 1.1436 wide.
    assert np.abs(weights).max() < 2.3 * expected
