"""Residual networks of the second form: normalisation and activation precede each convolution.

He et al., "Identity mappings in deep residual networks", arXiv 1603.05027, figure 1b: shortcuts
carry the signal from one end to the other untouched, so the last block's sum needs a batch norm and
an activation of its own. Build them in the arg scope of `resnet_utils.resnet_arg_scope()`:

    with slim.arg_scope(resnet_v2.resnet_arg_scope()):
        logits, end_points = resnet_v2.resnet_v2_50(images, num_classes=1001, is_training=False)

Images are float32 in [-1, 1]. Networks of `num_classes=1001` (class 0 is the background) have the
variables of the ImageNet checkpoints that TF-Slim released.
"""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils

resnet_arg_scope = resnet_utils.resnet_arg_scope

# What makes a convolution a mere linear map with biases.
_LINEAR = dict(activation_fn=None, normalizer_fn=None)


@slim.add_arg_scope
def bottleneck(inputs: tf.Tensor, depth: int, depth_bottleneck: int, stride: int, rate: int = 1,
               outputs_collections: str = None, scope: str = None) -> tf.Tensor:
    """A bottleneck unit with full preactivation (arXiv 1603.05027, figure 4e).

    Arguments and shapes as `resnet_v1.bottleneck`; the scope is 'bottleneck_v2' if None. The result
    may be negative.
    """
    with tf.variable_scope(scope, 'bottleneck_v2', [inputs]) as unit_scope:
        active = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope='preact')
        if slim.utils.last_dimension(inputs.shape, min_rank=4) == depth:
            shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
        else:
            shortcut = slim.conv2d(active, depth, 1, stride=stride, scope='shortcut', **_LINEAR)
        net = slim.conv2d(active, depth_bottleneck, 1, scope='conv1')
        net = resnet_utils.conv2d_same(net, depth_bottleneck, 3, stride, rate=rate, scope='conv2')
        residual = slim.conv2d(net, depth, 1, scope='conv3', **_LINEAR)
        return slim.utils.collect_named_outputs(outputs_collections, unit_scope.name,
                                                shortcut + residual)


def resnet_v2_block(scope: str, base_depth: int, num_units: int,
                    stride: int) -> resnet_utils.Block:
    """Returns a block of this module's bottlenecks, see `resnet_utils.bottleneck_block`."""
    return resnet_utils.bottleneck_block(bottleneck, scope, base_depth, num_units, stride)


def _linear_root(images: tf.Tensor) -> tf.Tensor:
    # The first unit normalises and activates its input; here too would be twice.
    with slim.arg_scope([slim.conv2d], **_LINEAR):
        return resnet_utils.root_block(images)


def _postnorm(net: tf.Tensor) -> tf.Tensor:
    return slim.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')


def resnet_v2(inputs: tf.Tensor, blocks, num_classes: int = None, is_training=True,
              global_pool: bool = True, output_stride: int = None, include_root_block: bool = True,
              spatial_squeeze: bool = True, reuse=None, scope: str = None):
    """Builds a residual network of the second form from its blocks.

    Args:
        inputs: float32 images [batch, height, width, 3] in [-1, 1]. Without root block any map
            [batch, height, width, channels]. For features that align with the image's corners
            choose height and width a multiple of the output stride, plus 1.
        blocks: list of `resnet_utils.Block`s.
        The others: see `slim_nets.resnet_v1.resnet_v1`.

    Returns:
        (net, end_points) as there; features are normalised and rectified, while the end points of
        blocks and units are what they are before that.

    Raises:
        ValueError: the network does not come by this `output_stride`.
    """
    return resnet_utils.build_network(
        inputs, blocks, bottleneck, _linear_root if include_root_block else None, _postnorm,
        num_classes, is_training, global_pool, output_stride, spatial_squeeze, False, reuse,
        scope, default_scope='resnet_v2')


resnet_v2.default_image_size = 224


def _blocks(*units_per_block) -> list:
    return resnet_utils.imagenet_blocks(resnet_v2_block, units_per_block)


def resnet_v2_50(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                 global_pool: bool = True, output_stride: int = None, spatial_squeeze: bool = True,
                 reuse=None, scope: str = 'resnet_v2_50'):
    """ResNet-50 v2: blocks of 3, 4, 6 and 3 bottlenecks. Arguments and results: `resnet_v2`."""
    return resnet_v2(inputs, _blocks(3, 4, 6, 3), num_classes, is_training, global_pool,
                     output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope)


def resnet_v2_101(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                  global_pool: bool = True, output_stride: int = None, spatial_squeeze: bool = True,
                  reuse=None, scope: str = 'resnet_v2_101'):
    """ResNet-101 v2: blocks of 3, 4, 23 and 3 bottlenecks. Arguments and results: `resnet_v2`."""
    return resnet_v2(inputs, _blocks(3, 4, 23, 3), num_classes, is_training, global_pool,
                     output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope)


def resnet_v2_152(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                  global_pool: bool = True, output_stride: int = None, spatial_squeeze: bool = True,
                  reuse=None, scope: str = 'resnet_v2_152'):
    """ResNet-152 v2: blocks of 3, 8, 36 and 3 bottlenecks. Arguments and results: `resnet_v2`."""
    return resnet_v2(inputs, _blocks(3, 8, 36, 3), num_classes, is_training, global_pool,
                     output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope)


def resnet_v2_200(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                  global_pool: bool = True, output_stride: int = None, spatial_squeeze: bool = True,
                  reuse=None, scope: str = 'resnet_v2_200'):
    """ResNet-200 v2: blocks of 3, 24, 36 and 3 bottlenecks. Arguments and results: `resnet_v2`."""
    return resnet_v2(inputs, _blocks(3, 24, 36, 3), num_classes, is_training, global_pool,
                     output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope)


for _network in (resnet_v2_50, resnet_v2_101, resnet_v2_152, resnet_v2_200):
    _network.default_image_size = resnet_v2.default_image_size
