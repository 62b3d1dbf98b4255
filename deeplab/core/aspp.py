"""Atrous spatial pyramid pooling (ASPP)."""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import image_pooling
from deeplab.core import utils
from slim_nets import draws

ASPP_SCOPE = 'aspp'
CONCAT_PROJECTION_SCOPE = 'concat_projection'
DROPOUT_KEEP_PROB = 0.9


def _atrous_branch(features, model_options, rate, weight_decay, scope):
    filters = model_options.aspp_convs_filters
    if model_options.aspp_with_separable_conv:
        return utils.split_separable_conv2d(features, filters=filters, rate=rate,
                                            weight_decay=weight_decay, scope=scope)
    return slim.conv2d(features, filters, 3, rate=rate, scope=scope)


def aspp(features, model_options, weight_decay=0.0001, is_training=False):
    """Looks at the features at several scales at once (arXiv 1706.05587, section 3.3).

    Branches: the image level (if asked for), a 1x1 convolution, and a 3x3 atrous convolution for
    each of `atrous_rates`; concatenated, projected by 1x1 and, in training, dropped out. Has to
    be called inside `head_scope.head_arg_scope`.

    Args:
        features: [batch, height, width, channels], the backbone's.
        model_options: a ModelOptions.
        weight_decay: L2 factor of the weights.
        is_training: whether dropout acts. It does whenever the model trains, also where batch
            norm is frozen.

    Returns:
        [batch, height, width, aspp_convs_filters]; without the projection as many times that
        as there are branches.
    """
    branches = []
    gate = None
    if model_options.add_image_level_feature:
        image_level = image_pooling.image_level_branch(features, model_options)
        if model_options.aspp_with_squeeze_and_excitation:
            gate = image_level
        else:
            branches.append(image_level)
    branches.append(slim.conv2d(features, model_options.aspp_convs_filters, 1,
                                scope=ASPP_SCOPE + '0'))
    for number, rate in enumerate(model_options.atrous_rates or (), start=1):
        branches.append(_atrous_branch(features, model_options, rate, weight_decay,
                                       ASPP_SCOPE + str(number)))
    joined = tf.concat(branches, 3)
    if model_options.aspp_with_concat_projection:
        joined = slim.conv2d(joined, model_options.aspp_convs_filters, 1,
                             scope=CONCAT_PROJECTION_SCOPE)
        joined = draws.dropout(joined, keep_prob=DROPOUT_KEEP_PROB, is_training=is_training,
                               scope=CONCAT_PROJECTION_SCOPE + '_dropout')
    return joined if gate is None else joined * gate
