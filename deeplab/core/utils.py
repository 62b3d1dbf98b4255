"""Small parts that backbones and heads share."""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.names import DEFAULT_BATCH_NORM_DECAY

# Methods of normalising over a batch, by the name `ModelOptions.sync_batch_norm_method` gives.
_BATCH_NORM_FUNCTIONS = {'None': slim.batch_norm}


def q_sigmoid(x):
    """Sigmoid made of a clipped line, relu6(x + 3) / 6, exact under 8-bit quantisation.

    The factor is 0.16667 as in the trained MobileNetV3 networks, not 1/6 (arXiv 1905.02244,
    section 5.2). Any shape; values from 0 to 1.00002.
    """
    return tf.nn.relu6(x + 3) * 0.16667


def resize_bilinear(images, size, output_dtype=tf.float32):
    """Resizes [batch, height, width, channels] bilinearly with aligned corners.

    Args:
        images: tensor of any numeric dtype.
        size: [height, width], ints or int32 tensors.
        output_dtype: dtype of the result.
    """
    resized = tf.image.resize_bilinear(images, size, align_corners=True)
    return tf.cast(resized, dtype=output_dtype)


def scale_dimension(dim, scale):
    """Scales a side so that aligned corners stay on the grid: (dim - 1) * scale + 1.

    Args:
        dim: int, or int32 scalar tensor.
        scale: float.

    Returns:
        int, or int32 tensor where `dim` is one.
    """
    if isinstance(dim, tf.Tensor):
        return tf.cast((tf.cast(dim, tf.float32) - 1.0) * scale + 1.0, dtype=tf.int32)
    return int((float(dim) - 1.0) * scale + 1.0)


def split_separable_conv2d(inputs, filters, kernel_size=3, rate=1, weight_decay=0.00004,
                           depthwise_weights_initializer_stddev=0.33,
                           pointwise_weights_initializer_stddev=0.06, scope=None):
    """Depthwise, then 1x1 convolution, with the arg scope's normaliser and activation after each.

    Depthwise weights are not regularised (Chollet, arXiv 1610.02357; DeepLabv3+, arXiv 1802.02611,
    section 3.1).

    Args:
        inputs: [batch, height, width, channels].
        filters: output channels.
        kernel_size: of the depthwise convolution.
        rate: atrous rate of the depthwise convolution.
        weight_decay: L2 factor of the 1x1 convolution's weights.
        depthwise_weights_initializer_stddev, pointwise_weights_initializer_stddev: of their
            truncated normal initialisers.
        scope: name; the two layers are `<scope>_depthwise` and `<scope>_pointwise`.

    Returns:
        [batch, height, width, filters].
    """
    def initializer(stddev):
        return tf.truncated_normal_initializer(stddev=stddev)

    spatial = slim.separable_conv2d(
        inputs, None, kernel_size, depth_multiplier=1, rate=rate, weights_regularizer=None,
        weights_initializer=initializer(depthwise_weights_initializer_stddev),
        scope=scope + '_depthwise')
    return slim.conv2d(
        spatial, filters, 1, weights_regularizer=slim.l2_regularizer(weight_decay),
        weights_initializer=initializer(pointwise_weights_initializer_stddev),
        scope=scope + '_pointwise')


def get_label_weight_mask(labels, ignore_label, num_classes, label_weights=1.0):
    """Gives every pixel its weight in the loss.

    Args:
        labels: int tensor of any shape.
        ignore_label: pixels of this label weigh 0.
        num_classes: number of classes.
        label_weights: one float for all classes, or a list with one weight a class.

    Returns:
        float32 tensor of the labels' shape.

    Raises:
        ValueError: `label_weights` is neither a float nor a list of `num_classes` weights.
    """
    if not isinstance(label_weights, (float, list)):
        raise ValueError('label_weights must be a float or a list with one float a class. '
                         'Received instead: {!r}.'.format(label_weights))
    counted = tf.cast(tf.not_equal(labels, ignore_label), tf.float32)
    if isinstance(label_weights, float):
        return counted * label_weights
    if len(label_weights) != num_classes:
        raise ValueError('label_weights needs {} weights, one a class, got {}: {}.'.format(
            num_classes, len(label_weights), label_weights))
    of_class = tf.one_hot(labels, num_classes) * tf.constant(label_weights, tf.float32)
    return counted * tf.reduce_sum(of_class, axis=-1)


def get_batch_norm_fn(sync_batch_norm_method):
    """Returns the batch norm function of that name.

    Raises:
        ValueError: the name is not known.
    """
    if sync_batch_norm_method not in _BATCH_NORM_FUNCTIONS:
        raise ValueError('sync_batch_norm_method must be one of {}. Received instead: {!r}.'.format(
            sorted(_BATCH_NORM_FUNCTIONS), sync_batch_norm_method))
    return _BATCH_NORM_FUNCTIONS[sync_batch_norm_method]


def get_batch_norm_params(decay=DEFAULT_BATCH_NORM_DECAY, epsilon=1e-5, center=True, scale=True,
                          is_training=True, sync_batch_norm_method='None',
                          initialize_gamma_as_zeros=False):
    """Returns the keyword arguments of the batch norm of the heads.

    Args:
        decay: of the moving averages.
        epsilon: added to the variance.
        center, scale: whether there is a beta, a gamma.
        is_training: normalise by the batch's statistics and update the moving averages.
        sync_batch_norm_method: see `get_batch_norm_fn`; checked only.
        initialize_gamma_as_zeros: start gamma at 0 instead of 1 (residual branches that start as
            the identity: Goyal et al., arXiv 1706.02677, section 5.1).
    """
    get_batch_norm_fn(sync_batch_norm_method)
    params = dict(decay=decay, epsilon=epsilon, center=center, scale=scale,
                  is_training=is_training)
    if initialize_gamma_as_zeros:
        params['param_initializers'] = {'gamma': tf.zeros_initializer()}
    return params
