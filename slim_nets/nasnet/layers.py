"""Layers that searched networks share: reductions, pooling, drop path, and the data format.

Tensors are [batch, height, width, channels], or [batch, channels, height, width] where the arg
scope of a network builder says `data_format='NCHW'`.
"""
from typing import List

import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import draws

DATA_FORMAT_NCHW = 'NCHW'
DATA_FORMAT_NHWC = 'NHWC'
# The default of every `data_format` below: a layer called outside a builder's arg scope, which
# would have to guess, fails instead.
INVALID = 'null'

_CHANNEL_INDEX = {DATA_FORMAT_NHWC: 3, DATA_FORMAT_NCHW: 1}


def calc_reduction_layers(num_cells: int, num_reduction_layers: int) -> List[int]:
    """Returns the numbers of the cells before which (or in which) resolution is halved.

    They split the `num_cells` cells into `num_reduction_layers` + 1 stages of equal length.
    """
    stages = num_reduction_layers + 1
    return [int(stage / stages * num_cells) for stage in range(1, stages)]


@slim.add_arg_scope
def get_channel_index(data_format=INVALID) -> int:
    """Returns the axis that holds the channels."""
    if data_format not in _CHANNEL_INDEX:
        raise ValueError('data_format must be one of {}. Received instead: {!r}.'.format(
            sorted(_CHANNEL_INDEX), data_format))
    return _CHANNEL_INDEX[data_format]


@slim.add_arg_scope
def get_channel_dim(shape, data_format=INVALID) -> int:
    """Returns the number of channels of a tensor of static shape `shape` (rank 4)."""
    return tf.TensorShape(shape).as_list()[get_channel_index(data_format=data_format)]


@slim.add_arg_scope
def global_avg_pool(x, data_format=INVALID):
    """Averages over height and width: [batch, channels]."""
    spatial = [axis for axis in (1, 2, 3) if axis != get_channel_index(data_format=data_format)]
    return tf.reduce_mean(x, spatial)


@slim.add_arg_scope
def factorized_reduction(net, output_filters, stride, data_format=INVALID):
    """Subsamples without losing every other row and column, then normalises.

    Two 1x1 convolutions of half the filters each look at the pixels of even and of odd coordinates
    (arXiv 1707.07012, appendix A.5). With stride 1 it is one 1x1 convolution.

    Args:
        net: rank 4 tensor.
        output_filters: number of output channels; the odd path has the one more if odd.
        stride: 1 or more.
        data_format: see the module.

    Returns:
        Rank 4 tensor with `output_filters` channels and 1/`stride` of the resolution, rounded up.
    """
    if stride == 1:
        return slim.batch_norm(slim.conv2d(net, output_filters, 1, scope='path_conv'),
                               scope='path_bn')
    channels = get_channel_index(data_format=data_format)
    spatial = [axis for axis in (1, 2, 3) if axis != channels]
    strides = [stride if axis in spatial else 1 for axis in range(4)]
    padding = [[0, 1] if axis in spatial else [0, 0] for axis in range(4)]
    # Zeros enter below and on the right, so that both paths keep the same size.
    corner = [1 if axis in spatial else 0 for axis in range(4)]
    shifted = tf.slice(tf.pad(net, padding), corner, [-1] * 4)
    half = output_filters // 2
    paths = []
    for name, pixels, filters in (('path1', net, half), ('path2', shifted, output_filters - half)):
        picked = tf.nn.avg_pool(pixels, [1, 1, 1, 1], strides, 'VALID', data_format=data_format)
        paths.append(slim.conv2d(picked, filters, 1, scope=name + '_conv'))
    return slim.batch_norm(tf.concat(paths, axis=channels), scope='final_path_bn')


@slim.add_arg_scope
def drop_path(net, keep_prob, is_training=True):
    """Zeroes whole examples with probability 1 - keep_prob, scaling the others by 1 / keep_prob.

    Args:
        net: rank 4 tensor; each entry of the batch is kept or dropped as a whole.
        keep_prob: float or float32 scalar tensor in (0, 1].
        is_training: Python bool; False returns `net` as it is.
    """
    if not is_training:
        return net
    draw = draws.uniform([tf.shape(net)[0], 1, 1, 1])
    kept = tf.floor(draw + keep_prob)
    return net * tf.cast(kept / keep_prob, net.dtype)


def scheduled_keep_prob(keep_prob: float, depth: float, step, total_steps: int):
    """Returns the drop path keep probability of a cell at a training step.

    It falls linearly with depth and with time, from 1 to `keep_prob` at the last cell and step
    ("ScheduledDropPath", arXiv 1707.07012, appendix A.7).

    Args:
        keep_prob: the lowest probability, in (0, 1].
        depth: (number of this cell, from 1) / (number of cells).
        step: scalar tensor, the current training step.
        total_steps: the step at which the fall ends.

    Returns:
        float32 scalar tensor.
    """
    drop_at_end = depth * (1.0 - keep_prob)
    progress = tf.minimum(1.0, tf.cast(step, tf.float32) / total_steps)
    return 1.0 - progress * drop_at_end


def root_global_step():
    """Returns the global step, made (if there is none) outside of all variable scopes."""
    step = tf.train.get_global_step()
    if step is None:
        with tf.variable_scope(tf.VariableScope(reuse=False), auxiliary_name_scope=False):
            step = tf.train.create_global_step()
    return step
