"""The cell of DeepLab's searched backbones.

It differs from the NASNet cell it is made of (`slim_nets.nasnet.cells`) where dense prediction
asks for it: atrous convolutions, explicit padding before strides, so that features stay aligned
with the image's corners, and bilinear resizing in place of a reduction between resolutions.

Liu et al., "Auto-DeepLab: Hierarchical Neural Architecture Search for Semantic Image
Segmentation", arXiv 1901.02985, section 3.1.
"""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import utils
from deeplab.core import xception
from slim_nets.nasnet import cells

# Atrous rate of the 'atrous' operations.
_ATROUS_RATE = 2


def spatial_size(net):
    """Returns [height, width] of [batch, height, width, channels]: ints where static, else tensors.
    """
    sides = net.shape.as_list()[1:3]
    if None not in sides:
        return sides
    dynamic = tf.shape(net)
    return [dynamic[axis + 1] if side is None else side for axis, side in enumerate(sides)]


def rescale(net, scale):
    """Resizes [batch, height, width, channels] bilinearly, corners aligned.

    Args:
        net: float tensor.
        scale: factor on the sides, see `utils.scale_dimension`.
    """
    size = [utils.scale_dimension(side, scale) for side in spatial_size(net)]
    return utils.resize_bilinear(net, size, net.dtype)


class NASBaseCell(cells.NasNetABaseCell):
    """A cell for dense prediction, [batch, height, width, channels] only.

    Args:
        batch_norm_fn: function that normalises, called with a tensor and `scope`.
        num_conv_filters, operations, used_hiddenstates, hiddenstate_indices, drop_path_keep_prob,
        total_num_cells, total_training_steps: as in `slim_nets.nasnet.cells.NasNetABaseCell`;
            operations may also be 'atrous_3x3' or 'atrous_5x5'.
    """

    KINDS = cells.NasNetABaseCell.KINDS + ('atrous',)

    def __init__(self, num_conv_filters, operations, used_hiddenstates, hiddenstate_indices,
                 drop_path_keep_prob, total_num_cells, total_training_steps,
                 batch_norm_fn=slim.batch_norm):
        super().__init__(num_conv_filters, operations, used_hiddenstates, hiddenstate_indices,
                         drop_path_keep_prob, total_num_cells, total_training_steps)
        self._batch_norm = batch_norm_fn

    def _apply_atrous(self, net, operation, filters, stride):
        """Convolves at atrous rate 2; a strided one halves the resolution first, at rate 1."""
        net = self._activation(net)
        if stride > 1:
            net = rescale(net, 1.0 / stride)
        suffix = '{0}x{0}'.format(operation.kernel_size)
        net = slim.conv2d(net, filters, operation.kernel_size, scope='atrous_' + suffix,
                          rate=_ATROUS_RATE if stride == 1 else 1)
        return self._batch_norm(net, scope='bn_atr_' + suffix)

    def _channel_axis(self):
        return 3

    def _separable_conv(self, net, filters, kernel_size, stride, scope):
        return xception.separable_conv2d_same(
            net, filters, kernel_size, depth_multiplier=1, stride=stride, scope=scope,
            regularize_depthwise=True)

    def _match_previous(self, net, prev_layer, filters):
        size = spatial_size(net)
        # Where a side is known only at run time, resizing to the same size changes nothing.
        if size != spatial_size(prev_layer):
            prev_layer = utils.resize_bilinear(prev_layer, size, prev_layer.dtype)
        if self._channels(prev_layer) == filters:
            return prev_layer
        return self._project(self._activation(prev_layer), filters, 1, 'prev_1x1', 'prev_bn')

    def _concatenate_unused(self, states):
        return tf.concat([state for state, used in zip(states, self._used_hiddenstates)
                          if not used], axis=self._channel_axis())
