"""Squeeze and excite."""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import channels


@slim.add_arg_scope
def squeeze_excite(input_tensor, divisible_by=8, squeeze_factor=3,
                   inner_activation_fn=tf.nn.relu, gating_fn=tf.sigmoid,
                   squeeze_input_tensor=None, pool=None):
    """Scales each channel by a gate computed from the average of all (arXiv 1709.01507).

    Args:
        input_tensor: [batch, height, width, channels], float.
        divisible_by: int, the inner width becomes a multiple of it.
        squeeze_factor: number, by which the inner width is smaller than the input's.
        inner_activation_fn: activation between the two 1x1 convolutions.
        gating_fn: activation that gives the gates.
        squeeze_input_tensor: tensor of the same height and width to average in place of the input.
        pool: int or (height, width) of a window to average over instead of the whole picture; the
            gates then vary over the picture, interpolated to its size.

    Returns:
        Same shape as `input_tensor`.
    """
    source = input_tensor if squeeze_input_tensor is None else squeeze_input_tensor
    with tf.variable_scope('squeeze_excite'):
        num_channels = input_tensor.shape.as_list()[3]
        squeezed = _average(source, pool)
        gates = slim.conv2d(
            squeezed, channels.make_divisible(source.shape.as_list()[3] / squeeze_factor,
                                              divisible_by),
            (1, 1), normalizer_fn=None, activation_fn=inner_activation_fn)
        gates = slim.conv2d(gates, num_channels, (1, 1), normalizer_fn=None,
                            activation_fn=gating_fn)
        if pool is not None:
            gates = tf.image.resize_bilinear(gates, tf.shape(input_tensor)[1:3],
                                             align_corners=True)
        return input_tensor * gates


def _average(net, pool):
    """Averages over the whole picture, or over each window of at most size `pool`."""
    if pool is None:
        return tf.reduce_mean(net, axis=(1, 2), keepdims=True)
    window = (pool, pool) if isinstance(pool, int) else tuple(pool)
    size = net.shape.as_list()[1:3]
    window = [extent if available is None else min(extent, available)
              for extent, available in zip(window, size)]
    return slim.avg_pool2d(net, window, stride=1, padding='VALID')
