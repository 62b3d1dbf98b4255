"""Resizing of pictures together with their labels.

Images are resized bilinearly, labels of an integer type by nearest neighbour, corners aligned: the
corner pixels of the result are the corner pixels of the source.
"""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.core import shapes


def get_label_resize_method(label):
    """Returns the `tf.image.ResizeMethod` for labels: nearest neighbour, bilinear for floats."""
    methods = tf.image.ResizeMethod
    return methods.NEAREST_NEIGHBOR if label.dtype.is_integer else methods.BILINEAR


def scaled_size(height, width, scale):
    """Returns the int32 `[2]` size of a scaled picture: rounded down, never below one pixel."""
    size = tf.cast(tf.stack([height, width]), tf.float32) * scale
    return tf.maximum(tf.cast(size, tf.int32), 1)


def _resize(picture, size, method, align_corners=True):
    # A size known to be unchanged makes tf.image.resize_images hand the picture back as it is, so
    # the dtype of the result would depend on what is known when building.
    resized = tf.image.resize_images(picture, size, method=method, align_corners=align_corners)
    bilinear = method == tf.image.ResizeMethod.BILINEAR
    return tf.cast(resized, tf.float32) if bilinear else resized


def randomly_scale_image_and_label(image, label=None, scale=1.0):
    """Scales image and label alike, by a scale that was drawn before.

    Args:
        image: `[height, width, channels]`, float32 or uint8.
        label: `[height, width, 1]`, integers, or None.
        scale: a number or a scalar float32; the number 1.0 leaves both as they are.

    Returns:
        (image, label): image float32 `[int(height * scale), int(width * scale), channels]`, label
        of its own dtype or None.
    """
    if not tf.is_tensor(scale) and scale == 1.0:
        return image, label
    height, width = shapes.resolve_shape(image, rank=3)[:2]
    size = scaled_size(height, width, scale)
    scaled = tf.image.resize_bilinear(tf.expand_dims(image, 0), size, align_corners=True)
    if label is not None:
        label = tf.image.resize_nearest_neighbor(
            tf.expand_dims(label, 0), size, align_corners=True)[0]
    return scaled[0], label


def _range_size(library, height, width, min_size, max_size, factor, keep_aspect_ratio):
    """Returns (height, width) after `resize_to_range`, as float64.

    One formula for numpy and for TensorFlow (`library`). Multiplying before dividing in float64
    makes every quotient that is a whole number exact: a side that must become 321 becomes 321.
    """
    short, long_side = library.minimum(height, width), library.maximum(height, width)

    def scaled(side, target, reference_side):
        return library.floor(side * target / reference_side)

    new = [scaled(side, min_size, short) for side in (height, width)]
    if max_size is not None:
        if factor is not None:
            max_size = max_size - (max_size - 1) % factor
        too_large = library.maximum(new[0], new[1]) > max_size
        new = [library.where(too_large, scaled(side, max_size, long_side), large)
               for side, large in zip((height, width), new)]
    if factor is not None:
        new = [side + (factor - (side - 1) % factor) % factor for side in new]
    new = [library.maximum(side, 1.0 + 0 * side) for side in new]
    if not keep_aspect_ratio:
        new = [library.maximum(new[0], new[1])] * 2
    return new


def _check_range(min_size, max_size):
    if min_size is None:
        raise errors.UserError('min_resize_value must be given with max_resize_value ({}).'.format(
            max_size))


def size_in_range(height: int, width: int, min_size, max_size=None, factor=None,
                  keep_aspect_ratio=True) -> tuple:
    """Returns the (height, width) `resize_to_range` gives a picture, as ints, without a graph."""
    _check_range(min_size, max_size)
    new = _range_size(np, np.float64(height), np.float64(width), min_size, max_size, factor,
                      keep_aspect_ratio)
    return int(new[0]), int(new[1])


def resize_to_range(image, label=None, min_size=None, max_size=None, factor=None,
                    keep_aspect_ratio=True, align_corners=True, label_layout_is_chw=False,
                    scope=None, method=tf.image.ResizeMethod.BILINEAR):
    """Resizes image and label so that the shorter side is `min_size` and the longer not too long.

    Args:
        image: `[height, width, channels]`.
        label: `[height, width, channels]`, or None. Integers are resized by nearest neighbour.
        min_size: wanted length of the shorter side.
        max_size: upper bound of the longer side; where it would be exceeded, the longer side gets
            this length and the shorter one less than `min_size`.
        factor: both sides are enlarged to the next multiple of `factor` plus one; `max_size` is
            reduced to such a number first.
        keep_aspect_ratio: False makes both sides as long as the longer one.
        align_corners: whether the corner pixels stay corner pixels.
        label_layout_is_chw: the label is `[channels, height, width]`.
        scope: name scope.
        method: `tf.image.ResizeMethod` of the image.

    Returns:
        [image, label]: the image float32, the label of its own dtype or None.

    Raises:
        UserError: when `min_size` is None.
    """
    _check_range(min_size, max_size)
    with tf.name_scope(scope, 'resize_to_range', [image]):
        sides = shapes.resolve_shape(image, rank=3)[:2]
        height, width = (tf.cast(side, tf.float64) for side in sides)
        limits = [None if limit is None else tf.cast(limit, tf.float64)
                  for limit in (min_size, max_size, factor)]
        size = tf.cast(tf.stack(_range_size(tf, height, width, *limits, keep_aspect_ratio)),
                       tf.int32)
        resized = _resize(image, size, method, align_corners)
        if label is None:
            return [resized, None]
        label_method = get_label_resize_method(label)
        if label_layout_is_chw:
            planes = _resize(tf.expand_dims(label, 3), size, label_method, align_corners)
            return [resized, tf.squeeze(planes, 3)]
        return [resized, _resize(label, size, label_method, align_corners)]
