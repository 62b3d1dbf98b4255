"""Tests of the residual networks of the second form."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils
from slim_nets import resnet_v2

_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def _images(size=33, batch=1):
    return tf.random.stateless_normal([batch, size, size, 3], seed=[3, 4])


def _small(inputs, num_classes=None, is_training=False, scope='net', **options):
    """A network with every depth between 1 and 32 that runs in no time."""
    block = resnet_v2.resnet_v2_block
    blocks = [block('block1', 1, 2, 2), block('block2', 2, 2, 2), block('block3', 4, 2, 2),
              block('block4', 8, 1, 1)]
    with slim.arg_scope(resnet_v2.resnet_arg_scope()):
        return resnet_v2.resnet_v2(inputs, blocks, num_classes, is_training, scope=scope, **options)


def _run(fetches, feed=None):
    tf.set_random_seed(11)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feed)


def _released_variables(scope, units_per_block, num_classes):
    """Returns {name: shape} of a released checkpoint of 4-fold expanded bottlenecks."""
    shapes = {}

    def linear(name, *shape):
        shapes[name + '/weights'] = list(shape)
        shapes[name + '/biases'] = [shape[-1]]

    def norm(name, channels):
        shapes.update({'{}/{}'.format(name, part): [channels] for part in _NORM})

    linear(scope + '/conv1', 7, 7, 3, 64)
    channels = 64
    for block, units in enumerate(units_per_block, 1):
        depth = 32 * 2 ** block
        for unit in range(1, units + 1):
            name = '{}/block{}/unit_{}/bottleneck_v2/'.format(scope, block, unit)
            norm(name + 'preact', channels)
            if unit == 1:
                linear(name + 'shortcut', 1, 1, channels, 4 * depth)
            shapes[name + 'conv1/weights'] = [1, 1, channels, depth]
            shapes[name + 'conv2/weights'] = [3, 3, depth, depth]
            norm(name + 'conv1/BatchNorm', depth)
            norm(name + 'conv2/BatchNorm', depth)
            linear(name + 'conv3', 1, 1, depth, 4 * depth)
            channels = 4 * depth
    norm(scope + '/postnorm', channels)
    linear(scope + '/logits', 1, 1, channels, num_classes)
    return shapes


@pytest.mark.parametrize('network, units, parameters', [
    # Counted by other libraries for the same architecture with 1000 classes, and one class more.
    (resnet_v2.resnet_v2_50, (3, 4, 6, 3), 25568360 + 2049),
    (resnet_v2.resnet_v2_101, (3, 4, 23, 3), 44577896 + 2049),
])
def test_variables_are_those_of_the_released_checkpoints(network, units, parameters):
    with slim.arg_scope(resnet_v2.resnet_arg_scope()):
        logits, end_points = network(tf.zeros([2, 33, 33, 3]), num_classes=1001, is_training=False)
    assert logits.shape.as_list() == [2, 1001]
    assert end_points['predictions'].shape.as_list() == [2, 1001]
    made = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    assert made == _released_variables(network.__name__, units, 1001)
    assert sum(np.prod(variable.shape.as_list()) for variable in
               tf.trainable_variables()) == parameters


def _blocks_of(monkeypatch, network, **options):
    """Returns the blocks a network asks `resnet_v2` to build."""
    asked_for = []
    monkeypatch.setattr(resnet_v2, 'resnet_v2',
                        lambda inputs, blocks, *args, **kwargs: asked_for.append(blocks))
    network(None, **options)
    return asked_for[0]


@pytest.mark.parametrize('network, units', [
    (resnet_v2.resnet_v2_50, [3, 4, 6, 3]), (resnet_v2.resnet_v2_101, [3, 4, 23, 3]),
    (resnet_v2.resnet_v2_152, [3, 8, 36, 3]), (resnet_v2.resnet_v2_200, [3, 24, 36, 3])])
def test_units_and_strides(monkeypatch, network, units):
    blocks = _blocks_of(monkeypatch, network)
    assert [len(block.args) for block in blocks] == units
    assert [[unit['stride'] for unit in block.args if unit['stride'] > 1]
            for block in blocks] == [[2], [2], [2], []]


def test_networks_know_their_image_size():
    for network in (resnet_v2.resnet_v2, resnet_v2.resnet_v2_50, resnet_v2.resnet_v2_101,
                    resnet_v2.resnet_v2_152, resnet_v2.resnet_v2_200):
        assert network.default_image_size == 224


def test_classification_shapes():
    logits, end_points = _small(_images(224, 2), num_classes=10)
    assert logits.shape.as_list() == [2, 10]
    shapes = {name: point.shape.as_list() for name, point in end_points.items()
              if 'unit' not in name}
    assert shapes == {
        'net/conv1': [2, 112, 112, 64], 'net/block1': [2, 28, 28, 4], 'net/block2': [2, 14, 14, 8],
        'net/block3': [2, 7, 7, 16], 'net/block4': [2, 7, 7, 32], 'global_pool': [2, 1, 1, 32],
        'net/logits': [2, 1, 1, 10], 'net/spatial_squeeze': [2, 10], 'predictions': [2, 10]}


def test_root_is_linear_and_features_are_rectified():
    features, end_points = _small(_images(), global_pool=False)
    root, block, features = _run([end_points['net/conv1'], end_points['net/block4'], features])
    assert root.min() < 0 and block.min() < 0
    assert features.min() == 0 and features.max() > 0


def test_without_root_block_the_stride_is_that_of_the_blocks():
    net, end_points = _small(tf.zeros([1, 33, 33, 7]), include_root_block=False, global_pool=False,
                             output_stride=4)
    assert net.shape.as_list() == [1, 9, 9, 32]
    assert 'net/conv1' not in end_points


@pytest.mark.parametrize('output_stride', [0, 1, 2, 5, 24, 64])
def test_output_strides_out_of_reach(output_stride):
    with pytest.raises(ValueError, match=r'one of \[4, 8, 16, 32\].*got {}'.format(output_stride)):
        _small(_images(), output_stride=output_stride)


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


def test_unknown_image_size_and_batch():
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    dense, _ = _small(images, global_pool=False, output_stride=8)
    assert dense.shape.as_list() == [None, None, None, 32]
    pixels = np.random.RandomState(0).normal(size=[2, 35, 49, 3])
    assert _run(dense, {images: pixels}).shape == (2, 5, 7, 32)


def test_batch_norm_trains_when_the_network_does():
    _small(_images(batch=2), is_training=False)
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    _small(_images(batch=2), is_training=True, scope='other')
    norms = len(slim.get_variables('other/.*moving_mean'))
    # A norm before each unit, two in it, one after the last.
    assert norms == 3 * 7 + 1
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2 * norms


def test_bottleneck_adds_a_residual_of_the_activated_input():
    inputs = 3.0 * tf.random.stateless_normal([1, 5, 5, 4], seed=[5, 6])
    with slim.arg_scope(resnet_v2.resnet_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False), \
            slim.arg_scope([slim.conv2d], outputs_collections='convolutions'):
        same = resnet_v2.bottleneck(inputs, 4, 2, 2, scope='same')
        other = resnet_v2.bottleneck(inputs, 8, 2, 2, scope='other')
    parts = slim.utils.convert_collection_to_dict('convolutions')
    projection = slim.get_unique_variable('other/shortcut/weights')
    values, parts, projection, same, other = _run([inputs, parts, projection, same, other])
    # A kept depth passes the input itself, a new one a projection of what was activated.
    np.testing.assert_allclose(same, values[:, ::2, ::2] + parts['same/conv3'], rtol=1e-5,
                               atol=1e-6)
    np.testing.assert_allclose(other, parts['other/shortcut'] + parts['other/conv3'], rtol=1e-5,
                               atol=1e-6)
    # Fresh statistics are 0 and 1; the fused kernel's epsilon is 1.001e-5.
    active = np.maximum(values[:, ::2, ::2], 0) / np.sqrt(1 + 1.001e-5)
    np.testing.assert_allclose(parts['other/shortcut'], active @ projection[0, 0], rtol=1e-4,
                               atol=1e-5)
