"""Geometry of pictures and labels before the network: resize, scale, pad, crop, flip.

Random decisions are kept apart from what they do. Everything drawn is a uniform number in [0, 1),
and `scale_from_draw`, `offset_from_draw` and `flip_where` turn such numbers into pixels; so the
same draw gives the same picture wherever it comes from (a stateful op, a seed, a test). The names
of the reference (`get_random_scale`, `random_crop`, `flip_dim`) draw for themselves.

Shapes and resizing have files of their own; their names are importable from here as well.
"""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.core.picture_resize import get_label_resize_method  # noqa: F401 (public name)
from deeplab.core.picture_resize import randomly_scale_image_and_label  # noqa: F401 (public name)
from deeplab.core.picture_resize import resize_to_range  # noqa: F401 (public name)
from deeplab.core.picture_resize import scaled_size  # noqa: F401 (public name)
from deeplab.core.picture_resize import size_in_range  # noqa: F401 (public name)
from deeplab.core.shapes import resolve_shape

# Absorbs the rounding of e.g. (0.6 - 0.5) / 0.1, which is just below 1.
_STEP_SLACK = 1e-6


def flip_where(tensor_list, is_flipped, dim=1) -> list:
    """Mirrors all tensors along one dimension where `is_flipped` (scalar bool) holds.

    Raises:
        ValueError: when a tensor has no such dimension.
    """
    for tensor in tensor_list:
        if not 0 <= dim < tensor.get_shape().ndims:
            raise ValueError('dim must represent a valid dimension. Got {} for rank {}.'.format(
                dim, tensor.get_shape().ndims))
    flipped = tf.cond(is_flipped,
                      lambda: [tf.reverse(tensor, [dim]) for tensor in tensor_list],
                      lambda: [tf.identity(tensor) for tensor in tensor_list],
                      strict=True)
    for before, after in zip(tensor_list, flipped):
        after.set_shape(before.get_shape())
    return flipped


def flip_dim(tensor_list, prob=0.5, dim=1):
    """Mirrors all tensors along one dimension, or none of them.

    Args:
        tensor_list: list of tensors, e.g. image and label, `[height, width, channels]`.
        prob: probability of a flip; 0 never flips and 1 always does.
        dim: the dimension.

    Returns:
        The list of tensors followed by a scalar bool: whether they were flipped.

    Raises:
        ValueError: when a tensor has no such dimension.
    """
    is_flipped = tf.random_uniform([]) < prob
    return flip_where(tensor_list, is_flipped, dim) + [is_flipped]


def _assert(condition, message):
    """Fails when building where the condition is known then, else when the graph runs."""
    known = tf.get_static_value(condition) if tf.is_tensor(condition) else condition
    if known is None:
        return [tf.Assert(condition, [message])]
    if not known:
        raise ValueError(message)
    return []


def pad_to_bounding_box(image, offset_height, offset_width, target_height, target_width, pad_value):
    """Places an image in a larger canvas.

    Args:
        image: `[height, width, channels]` or `[batch, height, width, channels]`, any number type;
            an unknown rank is taken for 3.
        offset_height: rows of canvas above the image.
        offset_width: columns of canvas left of the image.
        target_height: height of the canvas.
        target_width: width of the canvas.
        pad_value: a number, or one a channel.

    Returns:
        The canvas, of the image's dtype and rank.

    Raises:
        ValueError: for another rank, or (InvalidArgumentError when it runs, where sizes are not
            known before) when the image does not fit into the canvas.
    """
    with tf.name_scope(None, 'pad_to_bounding_box', [image]):
        image = tf.convert_to_tensor(image)
        rank = image.get_shape().ndims or 3
        if rank not in (3, 4):
            raise ValueError('Input must have either 3 or 4 dimensions, got {}.'.format(rank))
        height, width = resolve_shape(image, rank)[rank - 3:rank - 1]
        size_checks = (_assert(target_height >= height, 'target_height must be >= height') +
                       _assert(target_width >= width, 'target_width must be >= width'))
        with tf.control_dependencies(size_checks):
            sides = [_padding(offset_height, height, target_height),
                     _padding(offset_width, width, target_width)]
        for padding in sides[0] + sides[1]:
            size_checks += _assert(padding >= 0,
                                   'target size not possible with the given target offsets')
        with tf.control_dependencies(size_checks):
            return _pad(image, sides, pad_value, [target_height, target_width])


def _pad(image, sides, pad_value, target):
    """Pads rows and columns; columns and channels are one dimension, which is faster."""
    rank = image.get_shape().ndims or 3
    shape = resolve_shape(image, rank)
    batch, (height, width, channels) = shape[:-3], shape[-3:]
    rows, columns = sides
    # Zero is what tf.pad writes, so the pad value becomes zero for a moment. (Floats that are not
    # whole numbers may change in their last bit, exactly as in the reference.)
    lines = tf.reshape(image, batch + [height, width * channels])
    lines -= _line_of(pad_value, width, image.dtype)
    padded = tf.pad(lines, [[0, 0]] * len(batch) + [
        rows, [side * channels for side in columns]])
    padded += _line_of(pad_value, target[1], image.dtype)
    return tf.reshape(padded, batch + target + [channels])


def _line_of(pad_value, width, dtype):
    """Returns what to add to a line of pixels: a scalar, or `width` times one value a channel."""
    known = tf.get_static_value(tf.convert_to_tensor(pad_value))
    if known is not None and np.all(known == np.ravel(known)[0]):
        return tf.cast(np.ravel(known)[0], dtype)
    return tf.tile(tf.reshape(tf.cast(pad_value, dtype), [-1]), [width])


def _padding(before, size, target):
    after = target - before - size
    return [before, tf.identity(after) if tf.is_tensor(after) else after]


def offset_from_draw(draw, size, crop_size):
    """Turns a number in [0, 1) into where a crop starts along one side.

    Args:
        draw: scalar float32 in [0, 1).
        size: length of the side, int32 scalar or int.
        crop_size: length of the crop.

    Returns:
        Scalar int32 in 0..size - crop_size, every value equally likely; 0 where the crop is longer.
    """
    free = tf.maximum(tf.cast(size, tf.int32) - crop_size, 0)
    steps = tf.cast(draw * tf.cast(free + 1, tf.float32), tf.int32)
    return tf.minimum(steps, free)


def crop_window(image_list, offset_height, offset_width, crop_height, crop_width) -> list:
    """Cuts the same window out of all images, each `[height, width, channels]`."""
    windows = []
    for image in image_list:
        window = image[offset_height:offset_height + crop_height,
                       offset_width:offset_width + crop_width]
        sizes = [size if isinstance(size, int) else None for size in (crop_height, crop_width)]
        window.set_shape(sizes + image.get_shape().as_list()[2:])
        windows.append(window)
    return windows


def random_crop(image_list, crop_height, crop_width):
    """Cuts a window at one random place out of all images.

    Args:
        image_list: list of `[height, width, channels]`, all of one height and width.
        crop_height: height of the window.
        crop_width: width of the window.

    Returns:
        A list of `[crop_height, crop_width, channels]`.

    Raises:
        ValueError: for an empty list or another rank.
        tf.errors.InvalidArgumentError: when the graph runs, for images that differ in size and for
            a window larger than the images.
    """
    if not image_list:
        raise ValueError('Empty image_list.')
    sizes = [tf.stack(resolve_shape(image, rank=3)[:2]) for image in image_list]
    height, width = tf.unstack(sizes[0], num=2)
    checks = [tf.Assert(tf.reduce_all(sizes[0] >= [crop_height, crop_width]),
                        ['Crop size greater than the image size.', sizes[0]])]
    for image, size in zip(image_list[1:], sizes[1:]):
        checks.append(tf.Assert(tf.reduce_all(tf.equal(size, sizes[0])), [
            'Wrong size for tensor {} [expected] [actual]'.format(image.name), sizes[0], size]))
    with tf.control_dependencies(checks):
        draws = tf.random_uniform([2])
        return crop_window(image_list,
                           offset_from_draw(draws[0], height, crop_height),
                           offset_from_draw(draws[1], width, crop_width),
                           crop_height, crop_width)


def check_scales(min_scale_factor, max_scale_factor, step_size):
    """Raises UserError unless 0 <= min_scale_factor <= max_scale_factor and step_size >= 0."""
    if min_scale_factor < 0 or min_scale_factor > max_scale_factor:
        raise errors.UserError(
            'Unexpected value of min_scale_factor. It must lie between 0 and max_scale_factor ({}),'
            ' got {}.'.format(max_scale_factor, min_scale_factor))
    if step_size < 0:
        raise errors.UserError('scale_factor_step_size must be >= 0, got {}.'.format(step_size))


def scale_from_draw(draw, min_scale_factor, max_scale_factor, step_size):
    """Turns numbers in [0, 1) into scales; arguments but `draw` as in `get_random_scale`.

    Args:
        draw: float32 of any shape, in [0, 1).

    Returns:
        float32 scales of the shape of `draw`.
    """
    check_scales(min_scale_factor, max_scale_factor, step_size)
    span = max_scale_factor - min_scale_factor
    if span == 0:
        return tf.fill(tf.shape(draw), tf.cast(min_scale_factor, tf.float32))
    if step_size == 0:
        return min_scale_factor + draw * span
    count = int(span / step_size + 1 + _STEP_SLACK)
    scales = np.linspace(min_scale_factor, max_scale_factor, count).astype(np.float32)
    index = tf.minimum(tf.cast(draw * count, tf.int32), count - 1)
    return tf.gather(scales, index)


def get_random_scale(min_scale_factor, max_scale_factor, step_size):
    """Draws a scale.

    Args:
        min_scale_factor: smallest scale.
        max_scale_factor: largest scale.
        step_size: distance of the scales to choose from; 0 draws from the whole range.

    Returns:
        float32, a scalar, or of shape `[1]` where `step_size` is 0.

    Raises:
        UserError: unless 0 <= min_scale_factor <= max_scale_factor.
    """
    continuous = step_size == 0 and min_scale_factor != max_scale_factor
    return scale_from_draw(tf.random_uniform([1] if continuous else []),
                           min_scale_factor, max_scale_factor, step_size)
