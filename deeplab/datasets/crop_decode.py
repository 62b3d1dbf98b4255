"""A training crop made from its own part of the picture alone: the same pixels for less work.

Scaling a whole picture and then cutting a crop out of it computes mostly pixels that are thrown
away. Here the draws decide first which crop it will be; then only the source window under it is
decoded (JPEG) and resized. Every step repeats the float32 arithmetic of TensorFlow's own resize
kernels, so the result equals that of the long way bit by bit.
"""
import collections

import tensorflow.compat.v1 as tf

from deeplab import input_preprocess
from deeplab.core import preprocess_utils
from deeplab.datasets import decode

# libjpeg smooths chroma across columns, so the outermost columns of a part differ from the whole.
_JPEG_MARGIN = 4

# Where the pixels of a stretch of resized rows (or columns) come from: int32 [count] indices of the
# neighbours before and after, float32 [count] weight of the one after, int32 [count] index of the
# nearest; `start` and `count` delimit the source rows that are needed.
_Sampling = collections.namedtuple(
    '_Sampling', ['low', 'high', 'weight', 'nearest', 'start', 'count'])


def image_size(encoded):
    """Returns the int32 `[2]` height and width of a JPEG or PNG picture, by its header."""
    def of_png():
        # IHDR: width and height, big endian, at bytes 16 to 23.
        width_height = tf.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32,
                                     little_endian=False)
        return tf.reverse(width_height, [0])

    size = tf.cond(decode.is_jpeg(encoded),
                   lambda: tf.image.extract_jpeg_shape(encoded)[:2], of_png)
    size.set_shape([2])
    return size


def can_be_used(options: input_preprocess.Options) -> bool:
    """Whether crops of these options can be made so: training, without resizing to a range."""
    return options.is_training and not options.resizes_to_range


def training_crop(encoded, size, label, options: input_preprocess.Options,
                  draws: input_preprocess.Draws, amounts=None):
    """Makes the crop `input_preprocess.preprocess` would make of the decoded picture.

    Args:
        encoded: scalar string, the JPEG or PNG image.
        size: int32 `[2]`, its height and width.
        label: uint8 `[height, width, 1]`.
        options: `Options`; `can_be_used(options)` must hold.
        draws: `Draws`.
        amounts: `augmentation.Amounts`, or None.

    Returns:
        (float32 `[crop_height, crop_width, 3]`, int32 `[crop_height, crop_width, 1]`).
    """
    new_size = size
    if options.scales:
        new_size = preprocess_utils.scaled_size(size[0], size[1], options.scale_from(draws.scale))
    rows, columns = [
        _sampling(size[axis], new_size[axis], draw, crop) for axis, draw, crop in (
            (0, draws.row, options.crop_height), (1, draws.column, options.crop_width))]
    if amounts is None:
        # Mirrored while columns are picked anyway, and padded at the other side: no pass more.
        is_flipped = input_preprocess.is_flipped(draws)
        columns = _mirrored_where(columns, is_flipped)
    window = _decode_window(encoded, size, rows, columns)
    if options.scales:
        image = _resize(window, rows, columns)
    else:
        image = tf.gather(window[:tf.size(rows.low)], columns.low - columns.start, axis=1)
    label = tf.gather(tf.gather(label, rows.nearest), columns.nearest, axis=1)
    if amounts is None:
        return input_preprocess.fit_to_crop(image, label, options, pads_left=is_flipped)
    return input_preprocess.pad_and_flip(image, label, options, draws, amounts)


def _mirrored_where(columns, is_flipped):
    """Returns a `_Sampling` of the same columns from right to left where `is_flipped` holds."""
    last = tf.size(columns.low) - 1
    places = tf.range(last + 1)
    places = tf.where(is_flipped, last - places, places)
    picked = {name: tf.gather(getattr(columns, name), places)
              for name in ('low', 'high', 'weight', 'nearest')}
    return columns._replace(**picked)


def _sampling(size, new_size, draw, crop):
    """Samples one side of `size` pixels, resized to `new_size`, where its crop lies."""
    offset = preprocess_utils.offset_from_draw(draw, new_size, crop)
    places = offset + tf.range(tf.minimum(new_size, crop))
    # Corners aligned: the last pixel of the result lies on the last pixel of the source.
    step = (tf.cast(size - 1, tf.float32) /
            tf.cast(tf.maximum(new_size - 1, 1), tf.float32))
    position = tf.cast(places, tf.float32) * step
    whole = tf.floor(position)
    low = tf.cast(whole, tf.int32)
    high = tf.minimum(low + 1, size - 1)
    # float64, because 0.49999997 + 0.5 is 1 in float32.
    nearest = tf.cast(tf.floor(tf.cast(position, tf.float64) + 0.5), tf.int32)
    return _Sampling(low, high, position - whole, tf.minimum(nearest, size - 1),
                     low[0], high[-1] + 1 - low[0])


def _decode_window(encoded, size, rows, columns):
    """Decodes the window of an image that `rows` and `columns` need, uint8."""
    def of_jpeg():
        left = tf.maximum(columns.start - _JPEG_MARGIN, 0)
        right = tf.minimum(columns.start + columns.count + _JPEG_MARGIN, size[1])
        part = tf.image.decode_and_crop_jpeg(
            encoded, tf.stack([rows.start, left, rows.count, right - left]), channels=3)
        skipped = columns.start - left
        return part[:, skipped:skipped + columns.count]

    def of_png():
        whole = tf.image.decode_png(encoded, channels=3)
        return preprocess_utils.crop_window(
            [whole], rows.start, columns.start, rows.count, columns.count)[0]

    window = tf.cond(decode.is_jpeg(encoded), of_jpeg, of_png)
    window.set_shape([None, None, 3])
    return window


def _resize(window, rows, columns):
    """Bilinear interpolation, along the columns first, as the kernel does it.

    Columns and channels are one dimension: TensorFlow broadcasts two dimensions faster than three.
    """
    def between(before, after, weight):
        return before + (after - before) * weight

    # Cast first: where a picture grows, the window has fewer values than its columns picked out.
    window = tf.cast(window, tf.float32)

    def lines_at(places):
        return tf.reshape(tf.gather(window, places - columns.start, axis=1), [rows.count, -1])

    weight_of_each_value = tf.reshape(tf.tile(columns.weight[:, tf.newaxis], [1, 3]), [-1])
    along = between(lines_at(columns.low), lines_at(columns.high), weight_of_each_value)
    lines = between(tf.gather(along, rows.low - rows.start),
                    tf.gather(along, rows.high - rows.start), rows.weight[:, tf.newaxis])
    return tf.reshape(lines, [tf.size(rows.low), tf.size(columns.low), 3])
