"""Brings pictures onto the canvas a network is laid out for, and its results back to their size."""
import tensorflow.compat.v1 as tf

from deeplab import prediction
from deeplab.core import feature_extractor
from deeplab.core import preprocess_utils
from deeplab.export import cells
from deeplab.export import network


class Fitted:
    """A batch of pictures of one size on the canvas.

    Attributes:
        canvas: float32 `[batch, crop height, crop width, 3]`.
        size: int32 `[2]`, height and width of the pictures.
        inner: int32 `[2]`, height and width of what they cover on the canvas.
    """

    def __init__(self, pictures, recipe):
        """Resizes and pads pictures, in the default graph.

        Args:
            pictures: `[batch, height, width, 3]`, uint8 or float32 in 0..255.
            recipe: a `network.Recipe`.
        """
        crop = list(recipe.model_options.crop_size)
        self.size = tf.shape(pictures)[1:3]
        pictures = _in_range(pictures, recipe.resize_range)
        if recipe.large_pictures == network.RESIZE:
            pictures = _shrunk(pictures, crop)
        else:
            pictures = _checked(pictures, crop, recipe)
        self.inner = tf.shape(pictures)[1:3]
        if recipe.large_pictures == network.REFUSE:
            self.inner = _looked_up(self.inner, crop)
        self.inner = tf.identity(self.inner, name=network.COVERED_SIZE)
        canvas = preprocess_utils.pad_to_bounding_box(
            tf.cast(pictures, tf.float32), 0, 0, crop[0], crop[1],
            feature_extractor.mean_pixel(recipe.model_options.model_variant))
        self.canvas = tf.identity(canvas, name=network.PADDED_IMAGE)
        self._recipe = recipe

    def cut_out(self, raw, by_cells=False) -> prediction.Prediction:
        """Returns the network's result on the canvas as one for the pictures, at their own size.

        See `cut_out`.
        """
        return cut_out(raw, self.inner, self.size, self._recipe, by_cells)


def cut_out(raw, inner, size, recipe, by_cells=False) -> prediction.Prediction:
    """Returns the part of a result on the canvas that a picture covers, at the picture's size.

    Args:
        raw: Prediction on the canvas.
        inner, size: see `Fitted`.
        recipe: a `network.Recipe`.
        by_cells: compute that part alone where that is possible, see `cells`, instead of cutting
            it out of the whole.
    """
    grid = cells.find(raw.labels) if by_cells else None
    if grid is not None:
        whole = cells.cut_out(grid, inner)
    else:
        whole = prediction.Prediction(*(values[:, :inner[0], :inner[1]] for values in raw))
    return prediction.resized_back(whole, size) if _resizes(recipe) else whole


def _resizes(recipe):
    return recipe.resize_range != prediction.NO_RESIZE or recipe.large_pictures == network.RESIZE


def _in_range(pictures, resize_range):
    """Resizes as --min_resize_value and its companions say."""
    if resize_range == prediction.NO_RESIZE:
        return pictures
    # All pictures of a batch have one size: their channels side by side are one picture.
    shape = tf.shape(pictures)
    side_by_side = tf.reshape(tf.transpose(pictures, [1, 2, 0, 3]),
                              [shape[1], shape[2], shape[0] * 3])
    resized = preprocess_utils.resize_to_range(side_by_side, None, *resize_range)[0]
    new = tf.shape(resized)
    return tf.transpose(tf.reshape(resized, [new[0], new[1], shape[0], 3]), [2, 0, 1, 3])


def _fits(pictures, crop):
    """Returns (height, width, whether that fits into the crop), scalar tensors."""
    height, width = tf.unstack(tf.shape(pictures)[1:3])
    return height, width, tf.logical_and(height <= crop[0], width <= crop[1])


def _checked(pictures, crop, recipe):
    """Refuses pictures larger than the crop when the graph runs."""
    height, width, fits = _fits(pictures, crop)
    message = ('This graph takes pictures of at most {} x {} (height x width){}; this one '
               'has:').format(crop[0], crop[1], '' if recipe.resize_range == prediction.NO_RESIZE
                              else ' after resizing')
    with tf.control_dependencies([tf.Assert(fits, [message, height, width])]):
        return tf.identity(pictures)


def _looked_up(size, crop):
    """Returns `size`, by looking it up in a table of the sizes that fit.

    ONNX has no assertions, and would cut off what is outside of the canvas without a word. Outside
    of the table it fails, and names the op.
    """
    with tf.name_scope('picture_larger_than_{}_x_{}'.format(*crop)):
        return tf.stack([tf.gather(tf.range(limit + 1), side)
                         for limit, side in zip(crop, tf.unstack(size))])


def _shrunk(pictures, crop):
    """Resizes pictures larger than the crop, in proportion, so that they fit."""
    height, width, fits = _fits(pictures, crop)
    is_high = height * crop[1] >= width * crop[0]
    shrunk = [tf.where(is_high, crop[0], tf.maximum(height * crop[1] // width, 1)),
              tf.where(is_high, tf.maximum(width * crop[0] // height, 1), crop[1])]
    size = [tf.where(fits, old, new) for old, new in zip((height, width), shrunk)]
    return tf.image.resize_bilinear(pictures, size, align_corners=True)
