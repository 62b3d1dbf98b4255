"""Residual networks of the first form: normalisation and activation follow each convolution.

He et al., "Deep residual learning for image recognition", arXiv 1512.03385, table 1. Build them in
the arg scope of `resnet_utils.resnet_arg_scope()`:

    with slim.arg_scope(resnet_v1.resnet_arg_scope()):
        logits, end_points = resnet_v1.resnet_v1_50(images, num_classes=1000, is_training=False)

    with slim.arg_scope(resnet_v1.resnet_arg_scope()):
        features, end_points = resnet_v1.resnet_v1_101(
            images, is_training=False, global_pool=False, output_stride=16)

Images are float32 with the ImageNet mean taken off. Networks of `num_classes=1000` have the
variables of the ImageNet checkpoints that TF-Slim released.
"""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils

resnet_arg_scope = resnet_utils.resnet_arg_scope

# Bounded activations keep every value in [-6, 6], for arithmetic in few bits.
_BOUND = 6.0


class NoOpScope:
    """A context manager that changes nothing."""

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return False


@slim.add_arg_scope
def bottleneck(inputs: tf.Tensor, depth: int, depth_bottleneck: int, stride: int, rate: int = 1,
               outputs_collections: str = None, scope: str = None,
               use_bounded_activations: bool = False) -> tf.Tensor:
    """A bottleneck unit: 1x1, 3x3 and 1x1 convolutions beside a shortcut (figure 5, right).

    Args:
        inputs: [batch, height, width, channels].
        depth: number of output channels.
        depth_bottleneck: number of channels between the convolutions.
        stride: stride of the 3x3 convolution and the shortcut.
        rate: atrous rate of the 3x3 convolution.
        outputs_collections: collection to which the result is added.
        scope: variable scope; 'bottleneck_v1' if None.
        use_bounded_activations: whether to keep shortcut, residual and their sum in [-6, 6].

    Returns:
        [batch, ceil(height / stride), ceil(width / stride), depth].
    """
    activation = tf.nn.relu6 if use_bounded_activations else tf.nn.relu
    with tf.variable_scope(scope, 'bottleneck_v1', [inputs]) as unit_scope:
        if slim.utils.last_dimension(inputs.shape, min_rank=4) == depth:
            shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
        else:
            shortcut = slim.conv2d(inputs, depth, 1, stride=stride, scope='shortcut',
                                   activation_fn=activation if use_bounded_activations else None)
        net = slim.conv2d(inputs, depth_bottleneck, 1, scope='conv1')
        net = resnet_utils.conv2d_same(net, depth_bottleneck, 3, stride, rate=rate, scope='conv2')
        residual = slim.conv2d(net, depth, 1, activation_fn=None, scope='conv3')
        if use_bounded_activations:
            residual = tf.clip_by_value(residual, -_BOUND, _BOUND)
        return slim.utils.collect_named_outputs(outputs_collections, unit_scope.name,
                                                activation(shortcut + residual))


def resnet_v1_block(scope: str, base_depth: int, num_units: int,
                    stride: int) -> resnet_utils.Block:
    """Returns a block of this module's bottlenecks, see `resnet_utils.bottleneck_block`."""
    return resnet_utils.bottleneck_block(bottleneck, scope, base_depth, num_units, stride)


def resnet_v1(inputs: tf.Tensor, blocks, num_classes: int = None, is_training=True,
              global_pool: bool = True, output_stride: int = None, include_root_block: bool = True,
              spatial_squeeze: bool = True, store_non_strided_activations: bool = False,
              reuse=None, scope: str = None):
    """Builds a residual network from its blocks.

    Args:
        inputs: float32 images [batch, height, width, 3], mean taken off. Without root block any
            map [batch, height, width, channels]. For features that align with the image's corners
            choose height and width a multiple of the output stride, plus 1.
        blocks: list of `resnet_utils.Block`s.
        num_classes: number of classes; None or 0 for features instead of logits.
        is_training: bool or bool tensor, whether batch norm uses the batch's statistics and updates
            its moving averages; None leaves that to the surrounding arg scope.
        global_pool: whether to average the features over height and width.
        output_stride: image pixels per position of the features; None for 32, the nominal one.
            Smaller ones are reached by atrous convolution.
        include_root_block: whether to start with a 7x7 convolution and a pooling, of stride 4
            together.
        spatial_squeeze: whether to drop the logits' height and width.
        store_non_strided_activations: whether end points of blocks are taken before their stride.
        reuse: whether to reuse the variables; needs `scope`.
        scope: variable scope; 'resnet_v1' if None.

    Returns:
        (net, end_points): logits [batch, num_classes] or, without classes, the last block's
        features, pooled or not; and a dictionary of every convolution's, unit's and block's result
        by its scope's name, with 'global_pool', '<scope>/logits' and 'predictions' if built.

    Raises:
        ValueError: the network does not come by this `output_stride`.
    """
    return resnet_utils.build_network(
        inputs, blocks, bottleneck, resnet_utils.root_block if include_root_block else None,
        lambda net: net, num_classes, is_training, global_pool, output_stride, spatial_squeeze,
        store_non_strided_activations, reuse, scope, default_scope='resnet_v1')


resnet_v1.default_image_size = 224


def _blocks(units_per_block, depth_multiplier: float, min_base_depth: int) -> list:
    """Returns the four blocks of an ImageNet network.

    Raises:
        ValueError: `depth_multiplier` is not positive.
    """
    if depth_multiplier <= 0:
        raise ValueError('depth_multiplier must be positive, got {}.'.format(depth_multiplier))

    def depth_fn(base_depth):
        return max(int(base_depth * depth_multiplier), min_base_depth)

    return resnet_utils.imagenet_blocks(resnet_v1_block, units_per_block, depth_fn)


def resnet_v1_50(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                 global_pool: bool = True, output_stride: int = None, spatial_squeeze: bool = True,
                 store_non_strided_activations: bool = False, min_base_depth: int = 8,
                 depth_multiplier: float = 1, reuse=None, scope: str = 'resnet_v1_50'):
    """ResNet-50: blocks of 3, 4, 6 and 3 bottlenecks. See `resnet_v1` for what is not said here.

    Args:
        min_base_depth: smallest depth of the bottlenecks, whatever the multiplier.
        depth_multiplier: factor of the blocks' depths; the root always has 64 channels.
    """
    blocks = _blocks((3, 4, 6, 3), depth_multiplier, min_base_depth)
    return resnet_v1(inputs, blocks, num_classes, is_training, global_pool, output_stride,
                     spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
                     store_non_strided_activations=store_non_strided_activations)


def resnet_v1_101(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                  global_pool: bool = True, output_stride: int = None, spatial_squeeze: bool = True,
                  store_non_strided_activations: bool = False, min_base_depth: int = 8,
                  depth_multiplier: float = 1, reuse=None, scope: str = 'resnet_v1_101'):
    """ResNet-101: blocks of 3, 4, 23 and 3 bottlenecks. Arguments as `resnet_v1_50`."""
    blocks = _blocks((3, 4, 23, 3), depth_multiplier, min_base_depth)
    return resnet_v1(inputs, blocks, num_classes, is_training, global_pool, output_stride,
                     spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
                     store_non_strided_activations=store_non_strided_activations)


def resnet_v1_152(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                  global_pool: bool = True, output_stride: int = None,
                  store_non_strided_activations: bool = False, spatial_squeeze: bool = True,
                  min_base_depth: int = 8, depth_multiplier: float = 1, reuse=None,
                  scope: str = 'resnet_v1_152'):
    """ResNet-152: blocks of 3, 8, 36 and 3 bottlenecks. Arguments as `resnet_v1_50`."""
    blocks = _blocks((3, 8, 36, 3), depth_multiplier, min_base_depth)
    return resnet_v1(inputs, blocks, num_classes, is_training, global_pool, output_stride,
                     spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
                     store_non_strided_activations=store_non_strided_activations)


def resnet_v1_200(inputs: tf.Tensor, num_classes: int = None, is_training=True,
                  global_pool: bool = True, output_stride: int = None,
                  store_non_strided_activations: bool = False, spatial_squeeze: bool = True,
                  min_base_depth: int = 8, depth_multiplier: float = 1, reuse=None,
                  scope: str = 'resnet_v1_200'):
    """ResNet-200: blocks of 3, 24, 36 and 3 bottlenecks. Arguments as `resnet_v1_50`."""
    blocks = _blocks((3, 24, 36, 3), depth_multiplier, min_base_depth)
    return resnet_v1(inputs, blocks, num_classes, is_training, global_pool, output_stride,
                     spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
                     store_non_strided_activations=store_non_strided_activations)


for _network in (resnet_v1_50, resnet_v1_101, resnet_v1_152, resnet_v1_200):
    _network.default_image_size = resnet_v1.default_image_size
