"""Geometry of pictures and labels before the network: resize, scale, pad, crop, flip.

Random decisions are kept apart from what they do. Everything drawn is a uniform number in [0, 1),
and `scale_from_draw`, `offset_from_draw` and `flip_where` turn such numbers into pixels; so the same
draw gives the same picture wherever it comes from (a stateful op, a seed, a test). The names of the
reference (`get_random_scale`, `random_crop`, `flip_dim`) draw for themselves.

Images are bilinearly resized, labels of an integer type by nearest neighbour, corners aligned.
"""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import errors

# Absorbs the rounding of e.g. (0.6 - 0.5) / 0.1, which is just below 1.
_STEP_SLACK = 1e-6


def resolve_shape(tensor, rank=None, scope=None):
    """Returns the shape of a tensor, each dimension an int where it is known when building.

    Args:
        tensor: any tensor of known rank.
        rank: the rank it must have, or None to take it from the tensor.
        scope: name scope of the ops made.

    Returns:
        A list of ints and scalar int32 tensors.

    Raises:
        ValueError: when the tensor is of another rank than `rank`.
    """
    with tf.name_scope(scope, 'resolve_shape', [tensor]):
        static = tensor.get_shape() if rank is None else tensor.get_shape().with_rank(rank)
        sizes = static.as_list()
        if None in sizes:
            dynamic = tf.shape(tensor)
            sizes = [dynamic[axis] if size is None else size for axis, size in enumerate(sizes)]
        return sizes


def get_label_resize_method(label):
    """Returns the `tf.image.ResizeMethod` for labels: nearest neighbour, bilinear for floats."""
    methods = tf.image.ResizeMethod
    return methods.NEAREST_NEIGHBOR if label.dtype.is_integer else methods.BILINEAR


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
        fits = [_assert(padding >= 0, 'target size not possible with the given target offsets')
                for side in sides for padding in side]
        with tf.control_dependencies(sum(fits, size_checks)):
            # Zero is what tf.pad writes, so the pad value becomes zero for a moment. (Floats that
            # are not whole numbers may change in their last bit, exactly as in the reference.)
            pad_value = tf.cast(pad_value, image.dtype)
            paddings = [[0, 0]] * (rank - 3) + sides + [[0, 0]]
            return tf.pad(image - pad_value, paddings) + pad_value


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
    height, width = resolve_shape(image, rank=3)[:2]
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
        height, width = (tf.cast(side, tf.float64) for side in resolve_shape(image, rank=3)[:2])
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
