"""Small networks, images and released variable lists for the tests of both forms of ResNets."""
import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils
from slim_nets import resnet_v1
from slim_nets import resnet_v2

_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


class Form:
    """One form of residual networks, under names that both share."""

    def __init__(self, module, version):
        self.version = version
        self.module = module
        self.bottleneck = module.bottleneck
        self.networks = {depth: getattr(module, 'resnet_{}_{}'.format(version, depth))
                         for depth in (50, 101, 152, 200)}

    def small(self, inputs, num_classes=None, is_training=False, scope='net', **options):
        """Builds a network with every depth between 1 and 32 that runs in no time."""
        block = getattr(self.module, 'resnet_{}_block'.format(self.version))
        blocks = [block('block1', 1, 2, 2), block('block2', 2, 2, 2), block('block3', 4, 2, 2),
                  block('block4', 8, 1, 1)]
        network = getattr(self.module, 'resnet_' + self.version)
        with slim.arg_scope(self.module.resnet_arg_scope()):
            return network(inputs, blocks, num_classes, is_training, scope=scope, **options)

    def blocks_of(self, monkeypatch, depth, **options):
        """Returns the blocks that the network of that depth asks to be built."""
        asked_for = []
        monkeypatch.setattr(self.module, 'resnet_' + self.version,
                            lambda inputs, blocks, *args, **kwargs: asked_for.append(blocks))
        self.networks[depth](None, **options)
        return asked_for[0]


V1 = Form(resnet_v1, 'v1')
V2 = Form(resnet_v2, 'v2')


def images(size=33, batch=1):
    """Returns repeatable random images [batch, size, size, 3]."""
    # Seeds the weights too: narrow networks drawn at random are sometimes dead throughout.
    tf.set_random_seed(0)
    return tf.random.stateless_normal([batch, size, size, 3], seed=[3, 4])


def run(fetches, feed=None):
    """Evaluates `fetches` with freshly initialised variables."""
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feed)


def check_dense_features(build, size):
    """Checks that features of a lower output stride hold the nominal ones at every nth place.

    Args:
        build: function of output_stride and reuse, for the features of a network of stride 32.
        size: side of the network's images.
    """
    nominal = build()
    dense = {stride: build(output_stride=stride, reuse=True) for stride in (4, 8, 16, 32)}
    assert [net.shape.as_list()[1] for net in dense.values()] == [
        -(-size // stride) for stride in dense]
    nominal, subsampled = run([nominal, {
        stride: resnet_utils.subsample(net, 32 // stride) for stride, net in dense.items()}])
    assert nominal.std() > 1e-4
    for features in subsampled.values():
        np.testing.assert_allclose(features, nominal, rtol=1e-4, atol=1e-5)


class VariableList:
    """Collects {name: shape} of a checkpoint, layer by layer."""

    def __init__(self):
        self.shapes = {}

    def weights(self, name, *shape):
        self.shapes[name + '/weights'] = list(shape)

    def linear(self, name, *shape):
        self.weights(name, *shape)
        self.shapes[name + '/biases'] = [shape[-1]]

    def norm(self, name, channels):
        self.shapes.update({'{}/{}'.format(name, part): [channels] for part in _NORM})

    def normalized(self, name, *shape):
        self.weights(name, *shape)
        self.norm(name + '/BatchNorm', shape[-1])


def released_variables(version, scope, units_per_block, num_classes):
    """Returns {name: shape} of TF-Slim's released checkpoint of a network."""
    layers = VariableList()
    preactivated = version == 'v2'
    outer = layers.linear if preactivated else layers.normalized
    outer(scope + '/conv1', 7, 7, 3, 64)
    channels = 64
    for block, units in enumerate(units_per_block, 1):
        depth = 32 * 2 ** block
        for unit in range(1, units + 1):
            name = '{}/block{}/unit_{}/bottleneck_{}/'.format(scope, block, unit, version)
            if preactivated:
                layers.norm(name + 'preact', channels)
            if unit == 1:
                outer(name + 'shortcut', 1, 1, channels, 4 * depth)
            layers.normalized(name + 'conv1', 1, 1, channels, depth)
            layers.normalized(name + 'conv2', 3, 3, depth, depth)
            outer(name + 'conv3', 1, 1, depth, 4 * depth)
            channels = 4 * depth
    if preactivated:
        layers.norm(scope + '/postnorm', channels)
    layers.linear(scope + '/logits', 1, 1, channels, num_classes)
    return layers.shapes
