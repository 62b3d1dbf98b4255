"""The residual networks of DeepLab: ResNet-18, -50 and -101, plain and 'beta'.

Residual networks of the first form (He et al., arXiv 1512.03385, table 1) that differ from those
of `slim_nets.resnet_v1` in three ways:

* the last block's units have atrous rates of their own, the multi-grid (Chen et al.,
  arXiv 1706.05587, section 3.2.1);
* the 'beta' variants start with three 3x3 convolutions instead of one of 7x7;
* convolutions take group norm and weight standardisation (arXiv 1903.10520) if asked for.

    with slim.arg_scope(resnet_v1_beta.resnet_arg_scope()):
        features, end_points = resnet_v1_beta.resnet_v1_50_beta(
            images, is_training=False, output_stride=16, multi_grid=[1, 2, 4])

Images are float32; the plain variants want the ImageNet mean taken off, the beta ones [-1, 1].
"""
import functools
import math

import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import errors
from deeplab.core import conv2d_ws
from deeplab.core import utils
from slim_nets import resnet_utils

# Number of groups in Wu and He, "Group normalization", arXiv 1803.08494, section 4.1.
_NORM_GROUPS = 32


@slim.add_arg_scope
def bottleneck(inputs: tf.Tensor, depth: int, depth_bottleneck: int, stride: int,
               unit_rate: int = 1, rate: int = 1, outputs_collections: str = None,
               scope: str = None) -> tf.Tensor:
    """A bottleneck unit: 1x1, 3x3 and 1x1 convolutions beside a shortcut.

    Args:
        inputs: [batch, height, width, channels].
        depth: number of output channels.
        depth_bottleneck: number of channels between the convolutions.
        stride: stride of the 3x3 convolution and the shortcut.
        unit_rate: the unit's own atrous rate, its share of the multi-grid.
        rate: atrous rate that makes up for strides left out; the 3x3 convolution has the product.
        outputs_collections: collection to which the result is added.
        scope: variable scope; 'bottleneck_v1' if None.

    Returns:
        [batch, ceil(height / stride), ceil(width / stride), depth], not negative.
    """
    with tf.variable_scope(scope, 'bottleneck_v1', [inputs]) as unit_scope:
        shortcut = _shortcut(inputs, depth, stride)
        net = conv2d_ws.conv2d(inputs, depth_bottleneck, 1, scope='conv1')
        net = conv2d_ws.conv2d_same(net, depth_bottleneck, 3, stride, rate * unit_rate, 'conv2')
        net = conv2d_ws.conv2d(net, depth, 1, activation_fn=None, scope='conv3')
        return slim.utils.collect_named_outputs(outputs_collections, unit_scope.name,
                                                tf.nn.relu(shortcut + net))


@slim.add_arg_scope
def lite_bottleneck(inputs: tf.Tensor, depth: int, stride: int, unit_rate: int = 1, rate: int = 1,
                    outputs_collections: str = None, scope: str = None) -> tf.Tensor:
    """The unit of ResNet-18: two 3x3 convolutions beside a shortcut.

    Args:
        inputs: [batch, height, width, channels].
        depth: number of output channels.
        stride: stride of the second convolution and the shortcut.
        unit_rate: the unit's own atrous rate, its share of the multi-grid.
        rate: atrous rate that makes up for strides left out; the convolutions have the product.
        outputs_collections: collection to which the result is added.
        scope: variable scope; 'lite_bottleneck_v1' if None.

    Returns:
        [batch, ceil(height / stride), ceil(width / stride), depth], not negative.
    """
    with tf.variable_scope(scope, 'lite_bottleneck_v1', [inputs]) as unit_scope:
        shortcut = _shortcut(inputs, depth, stride)
        net = conv2d_ws.conv2d_same(inputs, depth, 3, 1, rate * unit_rate, 'conv1')
        with slim.arg_scope([conv2d_ws.conv2d], activation_fn=None):
            net = conv2d_ws.conv2d_same(net, depth, 3, stride, rate * unit_rate, 'conv2')
        return slim.utils.collect_named_outputs(outputs_collections, unit_scope.name,
                                                tf.nn.relu(shortcut + net))


def _shortcut(inputs: tf.Tensor, depth: int, stride: int) -> tf.Tensor:
    """Brings a unit's inputs to its depth and stride: subsampled, projected if depths differ."""
    if slim.utils.last_dimension(inputs.shape, min_rank=4) == depth:
        return resnet_utils.subsample(inputs, stride, 'shortcut')
    return conv2d_ws.conv2d(inputs, depth, 1, stride=stride, activation_fn=None, scope='shortcut')


def root_block_fn_for_beta_variant(net: tf.Tensor, depth_multiplier: float = 1.0) -> tf.Tensor:
    """The root of the beta variants: three 3x3 convolutions, the first of stride 2.

    Args:
        net: images [batch, height, width, 3].
        depth_multiplier: factor of the convolutions' depths, 64, 64 and 128.

    Returns:
        [batch, ceil(height / 2), ceil(width / 2), int(128 * depth_multiplier)].
    """
    for number, (depth, stride) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
        net = conv2d_ws.conv2d_same(net, int(depth * depth_multiplier), 3, stride,
                                    scope='conv1_{}'.format(number))
    return net


def resnet_v1_beta(inputs: tf.Tensor, blocks, num_classes: int = None, is_training=None,
                   global_pool: bool = True, output_stride: int = None, root_block_fn=None,
                   reuse=None, scope: str = None, sync_batch_norm_method: str = 'None'):
    """Builds a residual network from its blocks.

    Args:
        inputs: float32 images [batch, height, width, 3]. For features that align with the image's
            corners choose height and width a multiple of the output stride, plus 1.
        blocks: list of `resnet_utils.Block`s.
        num_classes: number of classes; None for features instead of logits.
        is_training: bool or bool tensor, whether batch norm uses the batch's statistics and updates
            its moving averages; None leaves that to the surrounding arg scope.
        global_pool: whether to average the features over height and width.
        output_stride: image pixels per position of the features; None for 32, the nominal one.
            Smaller ones are reached by atrous convolution.
        root_block_fn: function from the images to a map of stride 2; None for one 7x7 convolution
            of depth 64.
        reuse: whether to reuse the variables; needs `scope`.
        scope: variable scope; 'resnet_v1' if None.
        sync_batch_norm_method: see `core.utils.get_batch_norm_fn`.

    Returns:
        (net, end_points): features [batch, ceil(height / output_stride),
        ceil(width / output_stride), depth], height and width 1 if pooled, or logits in their place;
        and a dictionary of every convolution's, unit's and block's result by its scope's name,
        with 'predictions' (softmax) if there are classes.

    Raises:
        UserError: the network does not come by this `output_stride`.
    """
    blocks_stride = _stride_within_blocks(output_stride, blocks, scope or 'resnet_v1')
    root_block_fn = root_block_fn or functools.partial(
        conv2d_ws.conv2d_same, num_outputs=64, kernel_size=7, stride=2, scope='conv1')
    batch_norm = utils.get_batch_norm_fn(sync_batch_norm_method)
    with tf.variable_scope(scope, 'resnet_v1', [inputs], reuse=reuse) as network_scope:
        collection = network_scope.original_name_scope + '_end_points'
        collectors = [conv2d_ws.conv2d, bottleneck, lite_bottleneck,
                      resnet_utils.stack_blocks_dense]
        with slim.arg_scope(collectors, outputs_collections=collection), \
                resnet_utils.training_scope(batch_norm, is_training):
            net = slim.max_pool2d(root_block_fn(inputs), 3, stride=2, padding='SAME', scope='pool1')
            net = resnet_utils.stack_blocks_dense(net, blocks, blocks_stride)
            if global_pool:
                net = tf.reduce_mean(net, [1, 2], name='pool5', keepdims=True)
            if num_classes is not None:
                # Standardised weights need a normaliser after them, which logits have not.
                net = conv2d_ws.conv2d(net, num_classes, 1, activation_fn=None, normalizer_fn=None,
                                       use_weight_standardization=False, scope='logits')
        end_points = slim.utils.convert_collection_to_dict(collection)
        if num_classes is not None:
            end_points['predictions'] = slim.softmax(net, scope='predictions')
    return net, end_points


def _stride_within_blocks(output_stride, blocks, name: str):
    usable = resnet_utils.usable_output_strides(blocks, resnet_utils.ROOT_STRIDE)
    if output_stride is not None and output_stride not in usable:
        raise errors.UserError('--output_stride must be one of {} for {}, got {}.'.format(
            ', '.join(map(str, usable)), name, output_stride))
    return resnet_utils.stride_within_blocks(output_stride, blocks, resnet_utils.ROOT_STRIDE)


def resnet_v1_beta_block(scope: str, base_depth: int, num_units: int,
                         stride: int) -> resnet_utils.Block:
    """Returns a block of this module's bottlenecks, see `resnet_utils.bottleneck_block`."""
    return resnet_utils.bottleneck_block(bottleneck, scope, base_depth, num_units, stride,
                                         unit_rate=1)


def resnet_v1_small_beta_block(scope: str, base_depth: int, num_units: int,
                               stride: int) -> resnet_utils.Block:
    """Returns a block of `num_units` lite bottlenecks of depth `base_depth`, the last one strided.

    Args:
        scope: str, the block's variable scope.
        base_depth: number of output channels.
        num_units: number of units.
        stride: stride of the last unit.
    """
    unit = dict(depth=base_depth, unit_rate=1)
    return resnet_utils.block_with_last_strided(scope, lite_bottleneck, unit, num_units, stride)


def _blocks(name: str, block_fn, units_per_block, multi_grid) -> list:
    """Returns the four blocks of a network, the last one's units at the rates of `multi_grid`.

    Raises:
        UserError: `multi_grid` is not one positive rate a unit.
    """
    blocks = resnet_utils.imagenet_blocks(block_fn, units_per_block)
    if multi_grid is None:
        return blocks
    units = blocks[-1].args
    if len(multi_grid) != len(units) or any(rate < 1 for rate in multi_grid):
        raise errors.UserError(
            '--multi_grid must give {} positive rates for {}, one for each unit of its last block, '
            'got {}: {}.'.format(len(units), name, len(multi_grid), list(multi_grid)))
    units = [dict(unit, unit_rate=rate) for unit, rate in zip(units, multi_grid)]
    return blocks[:-1] + [blocks[-1]._replace(args=units)]


def _define(name: str, block_fn, units_per_block, root_block_fn=None):
    """Returns the function that builds one network.

    Args:
        name: the network's variable scope, unless the caller names another.
        block_fn: function `(scope, base_depth, num_units, stride)` that returns a `Block`.
        units_per_block: four numbers of units.
        root_block_fn: see `resnet_v1_beta`.
    """
    def network(inputs: tf.Tensor, num_classes: int = None, is_training=None,
                global_pool: bool = False, output_stride: int = None, multi_grid=None, reuse=None,
                scope: str = name, sync_batch_norm_method: str = 'None'):
        blocks = _blocks(scope, block_fn, units_per_block, multi_grid)
        return resnet_v1_beta(inputs, blocks, num_classes, is_training, global_pool, output_stride,
                              root_block_fn, reuse, scope, sync_batch_norm_method)

    variant = name + ('_beta' if root_block_fn else '')
    network.__name__ = network.__qualname__ = variant
    network.__doc__ = """{}: blocks of {}, {}, {} and {} units, {}.

    Args:
        multi_grid: the atrous rates of the last block's {} units; None for all 1.
        The others: see `resnet_v1_beta`.

    Returns:
        (net, end_points), see `resnet_v1_beta`.

    Raises:
        UserError: `multi_grid` of another length, or an output stride other than 4, 8, 16, 32.
    """.format(variant, *units_per_block, 'three 3x3 convolutions at the root' if root_block_fn
               else 'a 7x7 convolution at the root', units_per_block[-1])
    return network


resnet_v1_18 = _define('resnet_v1_18', resnet_v1_small_beta_block, (2, 2, 2, 2))
resnet_v1_50 = _define('resnet_v1_50', resnet_v1_beta_block, (3, 4, 6, 3))
resnet_v1_101 = _define('resnet_v1_101', resnet_v1_beta_block, (3, 4, 23, 3))
resnet_v1_50_beta = _define('resnet_v1_50', resnet_v1_beta_block, (3, 4, 6, 3),
                            root_block_fn_for_beta_variant)
resnet_v1_101_beta = _define('resnet_v1_101', resnet_v1_beta_block, (3, 4, 23, 3),
                             root_block_fn_for_beta_variant)


def resnet_v1_18_beta(inputs: tf.Tensor, num_classes: int = None, is_training=None,
                      global_pool: bool = False, output_stride: int = None, multi_grid=None,
                      root_depth_multiplier: float = 0.25, reuse=None, scope: str = 'resnet_v1_18',
                      sync_batch_norm_method: str = 'None'):
    """resnet_v1_18_beta: `resnet_v1_18` with three thin 3x3 convolutions at the root.

    Args:
        root_depth_multiplier: factor of the root's depths, 64, 64 and 128.
        The others: see `resnet_v1_18`.
    """
    thin_root = functools.partial(root_block_fn_for_beta_variant,
                                  depth_multiplier=root_depth_multiplier)
    build = _define('resnet_v1_18', resnet_v1_small_beta_block, (2, 2, 2, 2), thin_root)
    return build(inputs, num_classes, is_training, global_pool, output_stride, multi_grid, reuse,
                 scope, sync_batch_norm_method)


def _group_norm(inputs: tf.Tensor) -> tf.Tensor:
    # Depths that 32 does not divide, such as the 16 of a thin root, get fewer groups.
    channels = slim.utils.last_dimension(inputs.shape)
    return slim.group_norm(inputs, groups=math.gcd(channels, _NORM_GROUPS))


def resnet_arg_scope(weight_decay: float = 0.0001, batch_norm_decay: float = 0.997,
                     batch_norm_epsilon: float = 1e-5, batch_norm_scale: bool = True,
                     activation_fn=tf.nn.relu, use_batch_norm: bool = True,
                     sync_batch_norm_method: str = 'None',
                     normalization_method: str = 'unspecified',
                     use_weight_standardization: bool = False) -> dict:
    """Returns the arg scope in which this module's networks are built.

    Args:
        use_batch_norm: what 'unspecified' means: batch norm, or no normalisation and biases.
        sync_batch_norm_method: see `core.utils.get_batch_norm_fn`.
        normalization_method: 'batch', 'group', 'none' or 'unspecified'. Group norm wants images of
            a known size.
        use_weight_standardization: whether weights are standardised before they are used.
        others: see `slim_nets.resnet_utils.resnet_arg_scope`.

    Raises:
        ValueError: an unknown `normalization_method` or `sync_batch_norm_method`.
    """
    batch_norm = utils.get_batch_norm_fn(sync_batch_norm_method)
    normalizers = {'batch': batch_norm, 'group': _group_norm, 'none': None,
                   'unspecified': batch_norm if use_batch_norm else None}
    if normalization_method not in normalizers:
        raise ValueError('normalization_method must be one of {}, got {!r}.'.format(
            sorted(normalizers), normalization_method))
    convolution_defaults = dict(
        activation_fn=activation_fn,
        normalizer_fn=normalizers[normalization_method],
        weights_initializer=slim.variance_scaling_initializer(),
        weights_regularizer=slim.l2_regularizer(weight_decay),
        use_weight_standardization=use_weight_standardization)
    with slim.arg_scope([conv2d_ws.conv2d], **convolution_defaults), \
            slim.arg_scope([batch_norm], decay=batch_norm_decay, epsilon=batch_norm_epsilon,
                           scale=batch_norm_scale) as scope:
        return scope
