"""The image-level branch of ASPP: pooled context, as a feature or as a gate."""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import utils

IMAGE_POOLING_SCOPE = 'image_pooling'


def _pool(features, model_options):
    """Returns (pooled features, [height, width] they are to be spread to again)."""
    if model_options.crop_size is None:
        # Without a crop the picture's size is only known when it comes: pool all of it.
        return tf.reduce_mean(features, axis=[1, 2], keepdims=True), tf.shape(features)[1:3]
    scale = 1.0 / model_options.output_stride
    window_crop = model_options.image_pooling_crop_size or model_options.crop_size
    window = [utils.scale_dimension(side, scale) for side in window_crop]
    pooled = slim.avg_pool2d(features, window, list(model_options.image_pooling_stride),
                             padding='VALID')
    return pooled, [utils.scale_dimension(side, scale) for side in model_options.crop_size]


def image_level_branch(features, model_options):
    """Adds the image-level branch (DeepLabv3, arXiv 1706.05587, section 3.3).

    With `aspp_with_squeeze_and_excitation` it is a gate in 0..1 instead (Lite R-ASPP, arXiv
    1905.02244, section 6.4). Uses the arg scope around.

    Args:
        features: [batch, height, width, channels], the backbone's.
        model_options: a ModelOptions.

    Returns:
        [batch, height, width, aspp_convs_filters].
    """
    pooled, size = _pool(features, model_options)
    gate = {}
    if model_options.aspp_with_squeeze_and_excitation:
        sigmoid = utils.q_sigmoid if model_options.image_se_uses_qsigmoid else tf.nn.sigmoid
        gate = dict(activation_fn=sigmoid, normalizer_fn=None)
    branch = slim.conv2d(pooled, model_options.aspp_convs_filters, 1, scope=IMAGE_POOLING_SCOPE,
                         **gate)
    branch = utils.resize_bilinear(branch, size, branch.dtype)
    if isinstance(size, list):
        branch.set_shape([None] + [None if tf.is_tensor(side) else side for side in size] + [None])
    return branch
