"""The MobileNets as DeepLab uses them: cut before the classifier, slimmer at the end.

MobileNetV2 (arXiv 1801.04381), MobileNetV3 with the segmentation tail (arXiv 1905.02244, section
6.4) and MobileNet-EdgeTPU.
"""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import backbone
from slim_nets.mobilenet import mobilenet_v2 as v2
from slim_nets.mobilenet import mobilenet_v3 as v3


def mobilenet_v2_arg_scope(is_training=True, weight_decay=0.00004, stddev=0.09,
                           activation=tf.nn.relu6, bn_decay=0.997, bn_epsilon=None,
                           bn_renorm=None):
    """Returns the arg scope of all MobileNets.

    Args:
        is_training: whether batch norm and dropout are in training mode.
        weight_decay: L2 factor of the convolutions; depthwise weights are left out.
        stddev: of the truncated normal that initialises weights.
        activation: after each convolution, unless the network says otherwise.
        bn_decay, bn_epsilon, bn_renorm: of batch norm; None leaves slim's default.
    """
    chosen = {'epsilon': bn_epsilon, 'renorm': bn_renorm}
    batch_norm = {key: value for key, value in chosen.items() if value is not None}
    batch_norm.update(is_training=is_training, center=True, scale=True, decay=bn_decay)
    weighted = [slim.conv2d, slim.fully_connected, slim.separable_conv2d]
    with slim.arg_scope([slim.separable_conv2d], weights_regularizer=None), \
            slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)), \
            slim.arg_scope([slim.dropout], is_training=is_training), \
            slim.arg_scope([slim.batch_norm], **batch_norm), \
            slim.arg_scope(weighted, activation_fn=activation, normalizer_fn=slim.batch_norm,
                           weights_initializer=tf.truncated_normal_initializer(stddev=stddev)
                           ) as scope:
        return scope


def mobilenet_v2(net, depth_multiplier, output_stride, divisible_by=None, reuse=None, scope=None,
                 final_endpoint=None):
    """Builds MobileNetV2 up to its last bottleneck, `layer_18`.

    Args:
        net: [batch, height, width, 3], float in [-1, 1].
        depth_multiplier: scale of the channel counts.
        output_stride: ratio of input to output resolution.
        divisible_by: channel counts become multiples of it; None for 8 at depth multiplier 1.0
            and for no rounding elsewhere.
        reuse, scope: of the variables.
        final_endpoint: where to stop; None for the last bottleneck.

    Returns:
        ([batch, height / output_stride, width / output_stride, channels], dict of end points).
    """
    full_width = depth_multiplier == 1.0
    rounding = divisible_by or (8 if full_width else 1)
    with tf.variable_scope(scope, 'MobilenetV2', [net], reuse=reuse) as variable_scope:
        return v2.mobilenet_base(
            net, conv_defs=v2.V2_DEF, depth_multiplier=depth_multiplier,
            min_depth=8 if full_width else 1, divisible_by=rounding,
            final_endpoint=final_endpoint or 'layer_18', output_stride=output_stride,
            scope=variable_scope)


def _segmentation_definition(conv_defs, first, widths):
    """Halves the outputs from spec entry `first` on, and sets inner widths of the last blocks."""
    slimmer = v3.scale_layers(conv_defs, first, first + 3)
    return v3.set_inner_widths(slimmer, dict(zip(range(first, first + 3), widths)))


_V3_LARGE_SEG = _segmentation_definition(v3.V3_LARGE, 13, (336, 480, 480))
_V3_SMALL_SEG = _segmentation_definition(v3.V3_SMALL, 9, (144, 288, 288))


def _mobilenet_v3(net, conv_defs, last_layer, default_scope, depth_multiplier, output_stride,
                  reuse, scope, final_endpoint):
    with tf.variable_scope(scope, default_scope, [net], reuse=reuse) as variable_scope:
        return v3.mobilenet_base(
            net, conv_defs=conv_defs, depth_multiplier=depth_multiplier,
            final_endpoint=final_endpoint or last_layer, output_stride=output_stride,
            scope=variable_scope)


def mobilenet_v3_large_seg(net, depth_multiplier, output_stride, divisible_by=None, reuse=None,
                           scope=None, final_endpoint=None):
    """Builds MobileNetV3-Large with the tail for segmentation (arXiv 1905.02244, section 6.4).

    Arguments and results as `mobilenet_v2`; ends at `layer_17`. `divisible_by` is accepted for
    uniformity: channel counts are multiples of 8 here.
    """
    del divisible_by
    return _mobilenet_v3(net, _V3_LARGE_SEG, 'layer_17', 'MobilenetV3', depth_multiplier,
                         output_stride, reuse, scope, final_endpoint)


def mobilenet_v3_small_seg(net, depth_multiplier, output_stride, divisible_by=None, reuse=None,
                           scope=None, final_endpoint=None):
    """Builds MobileNetV3-Small with the tail for segmentation (arXiv 1905.02244, section 6.4).

    Arguments and results as `mobilenet_v2`; ends at `layer_13`. `divisible_by` is accepted for
    uniformity: channel counts are multiples of 8 here.
    """
    del divisible_by
    return _mobilenet_v3(net, _V3_SMALL_SEG, 'layer_13', 'MobilenetV3', depth_multiplier,
                         output_stride, reuse, scope, final_endpoint)


def mobilenet_edgetpu(net, depth_multiplier, output_stride, divisible_by=None, reuse=None,
                      scope=None, final_endpoint=None):
    """Builds MobileNet-EdgeTPU up to its last layer, `layer_24`.

    Arguments and results as `mobilenet_v2`. `divisible_by` is accepted for uniformity: channel
    counts are multiples of 8 here.
    """
    del divisible_by
    return _mobilenet_v3(net, v3.V3_EDGETPU, 'layer_24', 'MobilenetEdgeTPU', depth_multiplier,
                         output_stride, reuse, scope, final_endpoint)


def _arg_scope(settings):
    return mobilenet_v2_arg_scope(
        is_training=backbone.trains_batch_norm(settings), weight_decay=settings.weight_decay,
        bn_decay=backbone.decay_or(settings, 0.997))


def _arguments(record, settings):
    return dict(depth_multiplier=settings.depth_multiplier, output_stride=settings.output_stride,
                divisible_by=settings.divisible_by, reuse=settings.reuse, scope=record.scope,
                final_endpoint=settings.final_endpoint)


FAMILY = backbone.Family(arg_scope=_arg_scope, arguments=_arguments, scoped_end_points=False)
