"""Labels of the part of the canvas that a picture covers, from logits much smaller than it.

A network's logits lie on a grid, one every `step` pixels, and are made as large as the picture by
bilinear interpolation. Inside a cell of the grid they are weighted means of those at its four
corners. Where all four corners are led by the same class, so is every pixel between them, and only
the other cells, those at the borders of objects, have to be interpolated.

The labels are those that interpolating everything gives, to the last one: steps of the grid are
whole numbers, so a cell alone is interpolated with the same weights; and a class leads only where
it is ahead by more than rounding can take away.
"""
import collections

import tensorflow.compat.v1 as tf

from deeplab import prediction

# Of the largest logit, the lead that no rounding takes away. Three interpolations of two values
# round by less than 10 units of 2 ** -24 of that.
_SAFE_LEAD = 1e-5

# logits: float32 [batch, rows, columns, classes]; step: pixels between them, down and across.
Grid = collections.namedtuple('Grid', ['logits', 'step'])


def find(labels):
    """Returns the Grid that labels `[batch, height, width]` are interpolated from.

    None where they are made in another way, or the grid does not fit the labels exactly.
    """
    argmax = _behind(labels)
    resize = _behind(argmax.inputs[0]) if argmax.type == 'ArgMax' else argmax
    if resize.type != 'ResizeBilinear' or not resize.get_attr('align_corners'):
        return None
    before, after = [tensor.shape.as_list()[1:] for tensor in (resize.inputs[0], labels)]
    if None in before + after or min(before[:2]) < 2:
        return None
    step = [(large - 1) // (small - 1) for small, large in zip(before, after)]
    if min(step) < 2 or any((small - 1) * pixels != large - 1
                            for small, pixels, large in zip(before, step, after)):
        return None
    return Grid(resize.inputs[0], step)


def _behind(tensor):
    op = tensor.op
    while op.type == 'Identity':
        op = op.inputs[0].op
    return op


def cut_out(grid, size) -> prediction.Prediction:
    """Returns the Prediction of the top left part of the canvas.

    Args:
        grid: a Grid.
        size: int32 `[2]`, height and width of the part in pixels.
    """
    with tf.name_scope('cells'):
        count = -(-(size - 1) // grid.step)
        part = Grid(grid.logits[:, :count[0] + 1, :count[1] + 1], grid.step)
        whole = prediction.Prediction(
            _labels(part, count), tf.nn.softmax(_interpolated(part.logits, count * grid.step + 1)))
        return prediction.Prediction(*(values[:, :size[0], :size[1]] for values in whole))


def _interpolated(logits, size):
    return tf.image.resize_bilinear(logits, size, align_corners=True)


def _interpolated_labels(logits, size):
    return tf.argmax(_interpolated(logits, size), 3, output_type=tf.int32)


def _labels(grid, count):
    """Returns int32 [batch, pixel rows, pixel columns] up to the last row and column of the grid.

    `count` is how many cells there are, down and across.
    """
    logits, (down, across) = grid
    rows, columns = count[0] * down, count[1] * across
    inside = tf.reshape(_labels_of_cells(grid), [tf.shape(logits)[0], rows, columns])
    # The grid's last row and column belong to no cell.
    right = _interpolated_labels(logits[:, :, -1:], tf.stack([rows + 1, 1]))
    bottom = _interpolated_labels(logits[:, -1:], tf.stack([1, columns + 1]))
    return tf.concat([tf.concat([inside, right[:, :-1]], 2), bottom], 1)


def _labels_of_cells(grid):
    """Returns int32 [batch, cells down, pixels down, cells across, pixels across]."""
    logits, (down, across) = grid
    best, leaders = tf.nn.top_k(logits, 2)
    leads = best[..., 0] - best[..., 1] > _SAFE_LEAD * tf.reduce_max(tf.abs(logits))
    leader = _corners(leaders[..., 0])
    settled = tf.reduce_all(tf.stack(
        _corners(leads) + [tf.equal(leader[0], other) for other in leader[1:]]), 0)
    mixed = tf.where(tf.logical_not(settled))
    # [mixed cells, 2, 2, classes]
    corners = tf.reshape(
        tf.gather_nd(logits, mixed[:, tf.newaxis] + tf.constant(
            [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]], tf.int64)),
        [-1, 2, 2, logits.shape.as_list()[3]])
    found = _interpolated_labels(corners, [down + 1, across + 1])[:, :-1, :-1]
    of_cells = tf.tile(leader[0][..., tf.newaxis, tf.newaxis], [1, 1, 1, down, across])
    return tf.transpose(tf.tensor_scatter_update(of_cells, mixed, found), [0, 1, 3, 2, 4])


def _corners(values):
    """Returns the values at the four corners of each cell, each [batch, cells down, across]."""
    return [values[:, :-1, :-1], values[:, :-1, 1:], values[:, 1:, :-1], values[:, 1:, 1:]]
