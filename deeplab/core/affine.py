"""Affine maps of pictures, resampled by gathering: the same op on every TensorFlow.

A map is given as the places in the source, in pixels, that the pixels of the result come from.
"""
import tensorflow.compat.v1 as tf


def grid(height, width):
    """Returns the rows and the columns of all pixels, both float32 `[height, width]`."""
    return tf.meshgrid(tf.range(float(height)), tf.range(float(width)), indexing='ij')


def source_positions(rows, columns, matrix, shift):
    """Finds where the pixels of a moved crop come from.

    Args:
        rows, columns: float32 `[height, width]`, places in the result.
        matrix: float32 `[2, 2]`, what is done to (row, column) as seen from the crop's centre.
        shift: float32 `[2]`, then added: parts of height and width, positive is down and right.

    Returns:
        Rows and columns in the source, float32 `[height, width]`.
    """
    height, width = rows.get_shape().as_list()
    middle = (height - 1) / 2.0, (width - 1) / 2.0
    row = rows - middle[0] - shift[0] * height
    column = columns - middle[1] - shift[1] * width
    (a, b), (c, d) = [tf.unstack(line) for line in tf.unstack(matrix)]
    determinant = a * d - b * c
    return ((d * row - b * column) / determinant + middle[0],
            (a * column - c * row) / determinant + middle[1])


def nearest(places):
    """Rounds float32 places to int32 ones, halves upwards."""
    return tf.cast(tf.floor(places + 0.5), tf.int32)


def _with_border(image, fill):
    """Flattens an image with a border of one pixel around it; returns it and its line length."""
    height, width, channels = image.get_shape().as_list()
    fill = tf.reshape(tf.cast(fill, image.dtype), [-1])
    framed = tf.pad(image - fill, [[1, 1], [1, 1], [0, 0]]) + fill
    return tf.reshape(framed, [(height + 2) * (width + 2), channels]), width + 2


def _clamp(places, size):
    return tf.clip_by_value(places, -1, size)


def sample_nearest(label, rows, columns, fill):
    """Takes the nearest pixel at each place; outside is `fill`.

    Args:
        label: `[height, width, channels]`, any number type.
        rows, columns: float32 `[new_height, new_width]`.
        fill: a number.

    Returns:
        `[new_height, new_width, channels]`.
    """
    height, width = label.get_shape().as_list()[:2]
    pixels, line = _with_border(label, fill)
    row, column = _clamp(nearest(rows), height), _clamp(nearest(columns), width)
    return tf.gather(pixels, (row + 1) * line + column + 1)


def sample_bilinear(image, rows, columns, fill):
    """Interpolates between the four pixels around each place; outside is `fill`.

    Args:
        image: float32 `[height, width, channels]`.
        rows, columns: float32 `[new_height, new_width]`.
        fill: a number, or one a channel.

    Returns:
        float32 `[new_height, new_width, channels]`.
    """
    height, width = image.get_shape().as_list()[:2]
    pixels, line = _with_border(image, fill)
    (row, next_row, down), (column, next_column, right) = [
        _neighbours(_clamp(places, float(size)), size)
        for places, size in ((rows, height), (columns, width))]

    def along(lines):
        before, after = [tf.gather(pixels, (lines + 1) * line + place + 1)
                         for place in (column, next_column)]
        return before + (after - before) * right

    above, below = along(row), along(next_row)
    return above + (below - above) * down


def _neighbours(places, size):
    """Returns int32 indices before and after, and the float32 `[..., 1]` weight of the latter."""
    whole = tf.floor(places)
    before = tf.cast(whole, tf.int32)
    return before, tf.minimum(before + 1, size), (places - whole)[:, :, tf.newaxis]
