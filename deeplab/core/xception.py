"""Xception backbones for dense prediction: xception_41, xception_65 and xception_71.

The networks are those of Chen et al., "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation" (arXiv 1802.02611, section 3.2 and figure 4), a deeper version of
Chollet's Xception (arXiv 1610.02357) without max pooling and with batch normalisation and
optionally an activation behind each depthwise convolution. The number in a name counts the layers.

Images come in as `image * 2 / 255 - 1`. Parts are in `deeplab.core.xception_blocks`; all public
names can be imported from here.
"""
import collections
import functools

import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import utils
from deeplab.core.xception_blocks import Block
from deeplab.core.xception_blocks import check_one_per_conv
from deeplab.core.xception_blocks import fixed_padding
from deeplab.core.xception_blocks import separable_conv2d_same
from deeplab.core.xception_blocks import stack_blocks_dense
from deeplab.core.xception_blocks import xception_block
from deeplab.core.xception_blocks import xception_module
from deeplab.errors import UserError
from slim_nets import resnet_utils

__all__ = (
    'Block', 'fixed_padding', 'separable_conv2d_same', 'stack_blocks_dense', 'xception',
    'xception_41', 'xception_65', 'xception_65_factory', 'xception_71', 'xception_71_factory',
    'xception_arg_scope', 'xception_block', 'xception_module',
)

_ROOT_STRIDE = 2
_FULL_DEPTH = 728

# What sets the variants apart: (depth, stride) of each block of the entry flow, and the number of
# modules in the middle flow. The exit flow is the same in all.
_Layout = collections.namedtuple('_Layout', ['entry', 'middle_units'])
_LAYOUTS = {
    '41': _Layout(entry=((128, 2), (256, 2), (728, 2)), middle_units=8),
    '65': _Layout(entry=((128, 2), (256, 2), (728, 2)), middle_units=16),
    '71': _Layout(entry=((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)), middle_units=16),
}


def _stride_of_blocks(blocks, output_stride):
    """Returns the part of `output_stride` that is up to the blocks; None for None."""
    usable = resnet_utils.usable_output_strides(blocks, _ROOT_STRIDE)
    if output_stride is not None and output_stride not in usable:
        raise UserError(
            'The target output_stride cannot be reached: this Xception can run at {}, got {!r}. '
            'Pass one of these as output_stride.'.format(
                ', '.join(map(str, usable)), output_stride))
    return resnet_utils.stride_within_blocks(output_stride, blocks, _ROOT_STRIDE)


def xception(inputs, blocks, num_classes=None, is_training=True, global_pool=True, keep_prob=0.5,
             output_stride=None, reuse=None, scope=None, sync_batch_norm_method='None'):
    """Builds two root convolutions (stride 2), the given blocks and, if asked for, a classifier.

    Call it under `xception_arg_scope`.

    Args:
        inputs: float tensor `[batch, height, width, 3]` in [-1, 1].
        blocks: list of `Block`.
        num_classes: int, classes of the classifier; None leaves it away.
        is_training: bool, batch normalisation uses and tracks the statistics of the batch, and
            dropout is active.
        global_pool: bool, average over height and width.
        keep_prob: float in (0, 1], share of features that dropout keeps before the classifier.
        output_stride: int, ratio of the image's size to that of the features; strides beyond it
            become atrous rates. None uses every stride (32 for the networks below).
        reuse: bool, None or tf.AUTO_REUSE, whether variables exist already.
        scope: str or None, variable scope; default 'xception'.
        sync_batch_norm_method: str, see `utils.get_batch_norm_fn`.

    Returns:
        net: float tensor. Without pooling and classifier the features
            `[batch, ceil(height / output_stride), ceil(width / output_stride), channels]`; 1 for
            both sizes under `global_pool`; `num_classes` channels (logits) with a classifier.
        end_points: dict from name (variable scope of layer, module or block) to its output; with
            `global_pool` also 'global_pool', with a classifier 'SCOPE/logits' and 'predictions'
            (softmax, same shape as `net`).

    Raises:
        UserError: `output_stride` cannot be reached; nothing has been built then.
    """
    blocks_stride = _stride_of_blocks(blocks, output_stride)
    with tf.variable_scope(scope, 'xception', [inputs], reuse=reuse) as network_scope:
        collection = network_scope.original_name_scope + 'end_points'
        recorded = [slim.conv2d, slim.separable_conv2d, xception_module, stack_blocks_dense]
        batch_norm = utils.get_batch_norm_fn(sync_batch_norm_method)
        with slim.arg_scope(recorded, outputs_collections=collection), \
                slim.arg_scope([batch_norm], is_training=is_training):
            net = inputs
            for name, depth, stride in (('conv1_1', 32, _ROOT_STRIDE), ('conv1_2', 64, 1)):
                net = resnet_utils.conv2d_same(
                    net, depth, kernel_size=3, stride=stride, scope='entry_flow/' + name)
            net = stack_blocks_dense(net, blocks, blocks_stride)
            more_end_points = {}
            if global_pool:
                net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
                more_end_points['global_pool'] = net
            if num_classes:
                net = slim.dropout(
                    net, keep_prob, is_training=is_training, scope='prelogits_dropout')
                net = slim.conv2d(
                    net, num_classes, 1, activation_fn=None, normalizer_fn=None, scope='logits')
                more_end_points['predictions'] = slim.softmax(net, scope='predictions')
        end_points = slim.utils.convert_collection_to_dict(collection, clear_collection=True)
        end_points.update(more_end_points)
    return net, end_points


def _layout_blocks(layout, multi_grid, regularize_depthwise, kernel_size=3,
                   use_squeeze_excite=False, se_pool_size=None):
    """Returns the list of `Block` of one variant."""
    if multi_grid is not None:
        multi_grid = check_one_per_conv('multi_grid', multi_grid)
    block = functools.partial(
        xception_block, activation_fn_in_separable_conv=False, num_units=1, stride=1,
        regularize_depthwise=regularize_depthwise, kernel_size=kernel_size,
        use_squeeze_excite=use_squeeze_excite, se_pool_size=se_pool_size)
    # Squeeze and excitation starts where features are at full depth and ends before the last block.
    entry_flow = [
        block('entry_flow/block{}'.format(number), (depth,) * 3, 'conv', stride=stride,
              use_squeeze_excite=use_squeeze_excite and depth == _FULL_DEPTH)
        for number, (depth, stride) in enumerate(layout.entry, start=1)
    ]
    return entry_flow + [
        block('middle_flow/block1', (_FULL_DEPTH,) * 3, 'sum', num_units=layout.middle_units),
        block('exit_flow/block1', (_FULL_DEPTH, 1024, 1024), 'conv', stride=2),
        block('exit_flow/block2', (1536, 1536, 2048), 'none', unit_rate_list=multi_grid,
              activation_fn_in_separable_conv=True, use_squeeze_excite=False),
    ]


def xception_41(inputs, num_classes=None, is_training=True, global_pool=True, keep_prob=0.5,
                output_stride=None, regularize_depthwise=False, multi_grid=None, reuse=None,
                scope='xception_41', sync_batch_norm_method='None'):
    """Xception with 41 layers: 3 modules of entry flow, 8 of middle flow, 2 of exit flow.

    Args:
        regularize_depthwise: bool, put depthwise and pointwise kernels under one regularizer (see
            `separable_conv2d_same`). Variable names differ then.
        multi_grid: three ints, atrous rates of the last module relative to its own rate; None means
            1, 1, 1.
        inputs, num_classes, is_training, global_pool, keep_prob, output_stride, reuse, scope,
            sync_batch_norm_method: see `xception`. `output_stride` is one of 2, 4, 8, 16, 32.

    Returns:
        net, end_points: see `xception`; the features have 2048 channels.

    Raises:
        UserError: `output_stride` cannot be reached or `multi_grid` is not three positive ints.
    """
    blocks = _layout_blocks(_LAYOUTS['41'], multi_grid, regularize_depthwise)
    return xception(inputs, blocks, num_classes, is_training, global_pool, keep_prob, output_stride,
                    reuse, scope, sync_batch_norm_method)


def xception_65_factory(inputs, num_classes=None, is_training=True, global_pool=True, keep_prob=0.5,
                        output_stride=None, regularize_depthwise=False, kernel_size=3,
                        multi_grid=None, reuse=None, use_squeeze_excite=False, se_pool_size=None,
                        scope='xception_65', sync_batch_norm_method='None'):
    """Xception with 65 layers (16 modules of middle flow), open to changes.

    Args:
        kernel_size: int, side of all depthwise kernels.
        use_squeeze_excite, se_pool_size: see `xception_module`; applied where features have 728
            channels and in the first block of the exit flow.
        others: see `xception_41`.

    Returns:
        net, end_points: see `xception_41`.

    Raises:
        UserError: see `xception_41`.
    """
    blocks = _layout_blocks(_LAYOUTS['65'], multi_grid, regularize_depthwise, kernel_size,
                            use_squeeze_excite, se_pool_size)
    return xception(inputs, blocks, num_classes, is_training, global_pool, keep_prob, output_stride,
                    reuse, scope, sync_batch_norm_method)


def xception_65(inputs, num_classes=None, is_training=True, global_pool=True, keep_prob=0.5,
                output_stride=None, regularize_depthwise=False, multi_grid=None, reuse=None,
                scope='xception_65', sync_batch_norm_method='None'):
    """Xception with 65 layers. Arguments, results and errors as for `xception_41`."""
    return xception_65_factory(
        inputs, num_classes, is_training, global_pool, keep_prob, output_stride,
        regularize_depthwise, multi_grid=multi_grid, reuse=reuse, scope=scope,
        sync_batch_norm_method=sync_batch_norm_method)


def xception_71_factory(inputs, num_classes=None, is_training=True, global_pool=True, keep_prob=0.5,
                        output_stride=None, regularize_depthwise=False, kernel_size=3,
                        multi_grid=None, reuse=None, scope='xception_71', use_squeeze_excite=False,
                        se_pool_size=None, sync_batch_norm_method='None'):
    """Xception with 71 layers (5 modules of entry flow, 16 of middle flow), open to changes.

    Arguments, results and errors as for `xception_65_factory`.
    """
    blocks = _layout_blocks(_LAYOUTS['71'], multi_grid, regularize_depthwise, kernel_size,
                            use_squeeze_excite, se_pool_size)
    return xception(inputs, blocks, num_classes, is_training, global_pool, keep_prob, output_stride,
                    reuse, scope, sync_batch_norm_method)


def xception_71(inputs, num_classes=None, is_training=True, global_pool=True, keep_prob=0.5,
                output_stride=None, regularize_depthwise=False, multi_grid=None, reuse=None,
                scope='xception_71', sync_batch_norm_method='None'):
    """Xception with 71 layers. Arguments, results and errors as for `xception_41`."""
    return xception_71_factory(
        inputs, num_classes, is_training, global_pool, keep_prob, output_stride,
        regularize_depthwise, multi_grid=multi_grid, reuse=reuse, scope=scope,
        sync_batch_norm_method=sync_batch_norm_method)


def xception_arg_scope(weight_decay=0.00004, batch_norm_decay=0.9997, batch_norm_epsilon=0.001,
                       batch_norm_scale=True, weights_initializer_stddev=0.09,
                       regularize_depthwise=False, use_batch_norm=True,
                       use_bounded_activation=False, sync_batch_norm_method='None'):
    """Returns the slim arg scope under which the networks of this module are built.

    Args:
        weight_decay: float, factor of the L2 penalty on the kernels.
        batch_norm_decay: float, decay of the moving statistics.
        batch_norm_epsilon: float, added to the variance.
        batch_norm_scale: bool, have a learned `gamma`.
        weights_initializer_stddev: float, standard deviation of the truncated normal that kernels
            start from.
        regularize_depthwise: bool, apply the L2 penalty to depthwise kernels too.
        use_batch_norm: bool.
        use_bounded_activation: bool, ReLU6 and clipping in place of ReLU, and plain 'SAME'
            padding.
        sync_batch_norm_method: str, see `utils.get_batch_norm_fn`.
    """
    penalty = slim.l2_regularizer(weight_decay)
    batch_norm = utils.get_batch_norm_fn(sync_batch_norm_method)
    with slim.arg_scope(
            [slim.conv2d, slim.separable_conv2d],
            weights_initializer=tf.truncated_normal_initializer(stddev=weights_initializer_stddev),
            activation_fn=tf.nn.relu6 if use_bounded_activation else tf.nn.relu,
            normalizer_fn=batch_norm if use_batch_norm else None), \
        slim.arg_scope([slim.conv2d], weights_regularizer=penalty), \
        slim.arg_scope([slim.separable_conv2d],
                       weights_regularizer=penalty if regularize_depthwise else None), \
        slim.arg_scope([batch_norm], decay=batch_norm_decay, epsilon=batch_norm_epsilon,
                       scale=batch_norm_scale), \
        slim.arg_scope([xception_module], use_bounded_activation=use_bounded_activation,
                       use_explicit_padding=not use_bounded_activation) as arg_scope:
        return arg_scope
