"""From a decoded picture to the network's input: resize, scale, pad, crop and flip.

All that is random comes in as one vector of uniform numbers (`Draws`), so a crop is a function of
picture, options and draws: repeatable under any parallelism, and the same in a test.
"""
import collections

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.core import augmentation
from deeplab.core import feature_extractor
from deeplab.core import preprocess_utils

# Probability of a left-right flip while training.
_PROB_OF_FLIP = 0.5

# Uniform numbers in [0, 1), one scalar a decision.
Draws = collections.namedtuple('Draws', ['scale', 'row', 'column', 'flip'])


class Options(collections.namedtuple('Options', [
        'crop_height', 'crop_width', 'min_resize_value', 'max_resize_value', 'resize_factor',
        'min_scale_factor', 'max_scale_factor', 'scale_factor_step_size', 'ignore_label',
        'is_training', 'model_variant'])):
    """What is done to a picture; fields as the arguments of `preprocess_image_and_label`."""

    __slots__ = ()

    @property
    def resizes_to_range(self) -> bool:
        """Whether every picture is first resized to a range of sizes."""
        return bool(self.min_resize_value or self.max_resize_value)

    @property
    def scales(self) -> bool:
        """Whether pictures are scaled at all; a fixed scale of 1 changes no pixel."""
        return not self.min_scale_factor == self.max_scale_factor == 1

    def check(self):
        """Raises UserError when the options contradict each other."""
        if self.max_resize_value and not self.min_resize_value:
            raise errors.UserError('min_resize_value must be given with max_resize_value ({}).'
                                   .format(self.max_resize_value))
        if min(self.crop_height, self.crop_width) < 1:
            raise errors.UserError('The crop must have at least one pixel a side, got {}.'.format(
                [self.crop_height, self.crop_width]))
        preprocess_utils.check_scales(
            self.min_scale_factor, self.max_scale_factor, self.scale_factor_step_size)

    def scale_from(self, draw):
        """Returns the scale, scalar float32, a draw stands for."""
        return preprocess_utils.scale_from_draw(
            draw, self.min_scale_factor, self.max_scale_factor, self.scale_factor_step_size)

    def size_before_crop(self, height: int, width: int) -> tuple:
        """Returns the (height, width) of an evaluated picture before it is padded to the crop."""
        if not self.resizes_to_range:
            return height, width
        return preprocess_utils.size_in_range(
            height, width, self.min_resize_value, self.max_resize_value, self.resize_factor)


def draws_of(uniform) -> Draws:
    """Splits a float32 `[4]` vector of uniform numbers in [0, 1)."""
    return Draws(*tf.unstack(uniform, num=len(Draws._fields)))


def preprocess_image_and_label(image, label, crop_height, crop_width, min_resize_value=None,
                               max_resize_value=None, resize_factor=None, min_scale_factor=1.,
                               max_scale_factor=1., scale_factor_step_size=0, ignore_label=255,
                               is_training=True, model_variant=None):
    """Prepares one picture for training or evaluation; draws its random numbers itself.

    Args:
        image: `[height, width, 3]`, uint8 or float32, in 0..255.
        label: `[height, width, 1]`, integers, or None where there is none (not for training).
        crop_height: height of the result in pixels.
        crop_width: width of the result in pixels.
        min_resize_value: wanted length of the shorter side, or None not to resize.
        max_resize_value: upper bound of the longer side.
        resize_factor: resized sides become a multiple of this plus one.
        min_scale_factor: smallest random scale.
        max_scale_factor: largest random scale.
        scale_factor_step_size: distance of the scales; 0 draws from the whole range.
        ignore_label: label of padded pixels.
        is_training: whether to crop and flip at random; otherwise the picture is only padded to
            the crop at its bottom and right.
        model_variant: backbone, which decides the colour of padded pixels; None gives ImageNet's
            mean colour.

    Returns:
        original_image: the picture as it came, or as resized to the range (then float32).
        processed_image: float32 `[crop_height, crop_width, 3]` in 0..255.
        label: int32 `[crop_height, crop_width, 1]`, or None.

    Raises:
        ValueError: when there is no label to train on, when a picture to evaluate is known to be
            larger than the crop, or for contradicting options.
    """
    if model_variant is None:
        logging.warning('No model_variant given: padded with the mean colour of ImageNet.')
    options = Options(
        crop_height, crop_width, min_resize_value, max_resize_value, resize_factor,
        min_scale_factor, max_scale_factor, scale_factor_step_size, ignore_label, is_training,
        model_variant)
    uniform = tf.random_uniform([len(Draws._fields)])
    return preprocess(image, label, options, draws_of(uniform))


def preprocess(image, label, options: Options, draws: Draws, amounts=None):
    """As `preprocess_image_and_label`, with the options as a record and the draws given.

    `amounts`, an `augmentation.Amounts` or None, is what else happens to a training crop.
    """
    if options.is_training and label is None:
        raise errors.UserError('During training, label must be provided.')
    if label is not None and not label.dtype.is_integer:
        label = tf.cast(label, tf.int32)
    original = image
    if options.resizes_to_range:
        image, label = preprocess_utils.resize_to_range(
            image, label, options.min_resize_value, options.max_resize_value,
            options.resize_factor)
        original = tf.identity(image)
    if options.scales:
        image, label = preprocess_utils.randomly_scale_image_and_label(
            image, label, options.scale_from(draws.scale))
    image.set_shape([None, None, 3])
    if not options.is_training:
        return (original,) + fit_to_crop(image, label, options)
    image, label = _crop([image, label], options, draws)
    return (original,) + pad_and_flip(image, label, options, draws, amounts)


def pad_and_flip(image, label, options: Options, draws: Draws, amounts=None):
    """Finishes a training crop that may be smaller than wanted; as `fit_to_crop`, then flips.

    The flip comes last, so padding can lie at the left side too. `amounts`, an
    `augmentation.Amounts` or None, acts before it.
    """
    if amounts is None:
        image, label = fit_to_crop(image, label, options)
    else:
        height, width = preprocess_utils.resolve_shape(image, rank=3)[:2]
        image = augmentation.augment_picture(tf.cast(image, tf.float32), amounts)
        image, label = fit_to_crop(image, label, options)
        image, label = augmentation.augment_crop(
            image, label, height, width, amounts,
            feature_extractor.mean_pixel(options.model_variant), options.ignore_label)
    return tuple(preprocess_utils.flip_where([image, label], is_flipped(draws)))


def is_flipped(draws: Draws):
    """Returns a scalar bool: whether a training crop is mirrored."""
    return draws.flip < _PROB_OF_FLIP


def _crop(pictures, options, draws):
    """Cuts the crop out of all pictures, or all there is along a side shorter than the crop.

    The reference pads to the crop first and then crops: the same pixels, but of far more.
    """
    height, width = preprocess_utils.resolve_shape(pictures[0], rank=3)[:2]
    return preprocess_utils.crop_window(
        pictures,
        preprocess_utils.offset_from_draw(draws.row, height, options.crop_height),
        preprocess_utils.offset_from_draw(draws.column, width, options.crop_width),
        tf.minimum(height, options.crop_height), tf.minimum(width, options.crop_width))


def fit_to_crop(image, label, options: Options, pads_left=False):
    """Pads image and label to the crop at bottom and right, in their final dtypes.

    Args:
        image: `[height, width, 3]`, uint8 or float32.
        label: `[height, width, 1]`, integers, or None.
        options: `Options`.
        pads_left: whether to pad at the left instead of the right; a bool or scalar bool tensor.

    Returns:
        (float32 `[crop_height, crop_width, 3]`, int32 `[crop_height, crop_width, 1]` or None).

    Raises:
        ValueError: when a picture is known to be larger than the crop.
    """
    height, width = preprocess_utils.resolve_shape(image, rank=3)[:2]
    crop = [options.crop_height, options.crop_width]
    target_height = _at_least(options.crop_height, height, 'height')
    target_width = _at_least(options.crop_width, width, 'width')
    left = 0 if pads_left is False else tf.where(pads_left, target_width - width, 0)
    mean_pixel = feature_extractor.mean_pixel(options.model_variant)
    image = preprocess_utils.pad_to_bounding_box(
        tf.cast(image, tf.float32), 0, left, target_height, target_width, mean_pixel)
    image.set_shape(crop + [3])
    if label is not None:
        label = preprocess_utils.pad_to_bounding_box(
            tf.cast(label, tf.int32), 0, left, target_height, target_width, options.ignore_label)
        label.set_shape(crop + [1])
    return image, label


def _at_least(wanted, side, what):
    """Returns the longer of a side of the crop and of the picture."""
    if not isinstance(side, int):
        return tf.maximum(side, wanted)
    if side > wanted:
        raise errors.UserError('The crop has a {0} of {1}, less than the {0} of the picture, {2}.'
                               .format(what, wanted, side))
    return wanted
