"""Further augmentation of training crops: moved, recoloured, blurred and noisy pictures.

Everything here is off unless an option says otherwise. `draw` turns a seed into the `Amounts` of
one picture; the functions that change pixels take amounts and nothing random, but for the noise,
which has a seed of its own. So the same seed gives the same pixels under any parallelism.

Order: colours and blur on the picture, then padding to the crop, then the affine map, then noise.
So padding, and what a map brings in from outside, stays the exact mean colour.
"""
import collections

import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.core import affine

_FULL_RANGE = 255.0
_MAX_STDDEVS = 3.0
_MAX_SEED = 2 ** 31 - 1

# name: (value that changes nothing, what it is).
OPTIONS = collections.OrderedDict([
    ('shear_stddev', (0.0, 'Shear, drawn from N(0, this) for each axis and cut at 3 sigma.')),
    ('affine_scale_stddev', (0.0, 'Stretching of each axis by 1 + N(0, this), cut at 3 sigma.')),
    ('translation_stddev', (0.0, 'Shift of each axis by N(0, this) times the side of the crop, '
                            'cut at 3 sigma.')),
    ('max_hue_delta', (0.0, 'Largest turn of the hue, either way; 1 is the whole circle.')),
    ('min_saturation_factor', (1.0, 'Smallest factor of the saturation.')),
    ('max_saturation_factor', (1.0, 'Largest factor of the saturation.')),
    ('max_brightness_delta', (0.0, 'Largest change of brightness, either way; 1 is the full range '
                              'of pixel values.')),
    ('min_contrast_factor', (1.0, 'Smallest factor of the contrast.')),
    ('max_contrast_factor', (1.0, 'Largest factor of the contrast.')),
    ('blur_probability', (0.0, 'Probability of a Gaussian blur.')),
    ('max_blur_stddev', (1.5, 'Largest sigma of that blur in pixels; drawn from 0 up to it.')),
    ('noise_stddev', (0.0, 'Sigma of normal noise, one number a pixel and channel; 1 is the full '
                      'range of pixel values.')),
])

_Fields = collections.namedtuple('_Fields', OPTIONS)
_Fields.__new__.__defaults__ = tuple(default for default, _ in OPTIONS.values())


class Options(_Fields):
    """Ranges to draw from; fields, defaults and meanings as in `OPTIONS`."""

    __slots__ = ()

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return bool(self.shear_stddev or self.affine_scale_stddev or self.translation_stddev)

    @property
    def acts(self) -> bool:
        """Whether anything is done at all; `max_blur_stddev` alone does nothing."""
        return self._replace(max_blur_stddev=OPTIONS['max_blur_stddev'][0]) != Options()

    def check(self):
        """Raises UserError for a range that makes no sense."""
        for name, value in self._asdict().items():
            if value < 0:
                raise errors.UserError('{} must not be negative, got {}.'.format(name, value))
        for name in ('max_hue_delta', 'max_brightness_delta', 'blur_probability', 'noise_stddev',
                     'translation_stddev'):
            if getattr(self, name) > 1:
                raise errors.UserError('{} must lie in 0..1, got {}.'.format(
                    name, getattr(self, name)))
        for what in ('saturation', 'contrast'):
            low, high = [getattr(self, '{}_{}_factor'.format(end, what)) for end in ('min', 'max')]
            if low > high:
                raise errors.UserError(
                    'min_{0}_factor must not be above max_{0}_factor, got {1} and {2}.'.format(
                        what, low, high))
        # Up to here the map has an inverse, whatever is drawn.
        if _MAX_STDDEVS * (self.shear_stddev + self.affine_scale_stddev) >= 1:
            raise errors.UserError(
                'shear_stddev + affine_scale_stddev must be below 1/3 (at 3 sigma pictures would '
                'fold over), got {} and {}.'.format(self.shear_stddev, self.affine_scale_stddev))


PRESETS = collections.OrderedDict([
    ('none', Options()),
    ('forma', Options(
        shear_stddev=0.05, affine_scale_stddev=0.05, translation_stddev=0.05, max_hue_delta=0.08,
        min_saturation_factor=0.5, max_saturation_factor=1.5, max_brightness_delta=0.2,
        min_contrast_factor=0.7, max_contrast_factor=1.3, blur_probability=0.1,
        noise_stddev=0.01)),
])

# What happens to one picture; scalar float32 tensors unless said otherwise, None for what is off.
# affine: float32 `[2, 2]` matrix and `[2]` shift in sides of the crop, both in (row, column) order.
# noise: float stddev and int64 `[2]` seed.
# max_blur: float, bound of `blur` known when the graph is built.
Amounts = collections.namedtuple('Amounts', [
    'affine', 'hue', 'saturation', 'brightness', 'contrast', 'blur', 'max_blur', 'noise'])


def draw(options: Options, seed) -> Amounts:
    """Draws what happens to one picture.

    Args:
        options: `Options`.
        seed: int64 `[2]`; all that is drawn follows from it.
    """
    seeds = tf.random.stateless_uniform([3, 2], seed, maxval=_MAX_SEED, dtype=tf.int64)
    uniform = tf.unstack(tf.random.stateless_uniform([6], seeds[0]))

    def between(place, low, high):
        return None if low == high else low + (high - low) * uniform[place]

    blur = None
    if options.blur_probability:
        blur = tf.where(uniform[4] < options.blur_probability,
                        uniform[5] * options.max_blur_stddev, tf.zeros([]))
    return Amounts(
        affine=_draw_affine(options, seeds[1]) if options.moves else None,
        hue=between(0, -options.max_hue_delta, options.max_hue_delta),
        saturation=_factor(between, 1, options.min_saturation_factor,
                           options.max_saturation_factor),
        brightness=between(2, -options.max_brightness_delta, options.max_brightness_delta),
        contrast=_factor(between, 3, options.min_contrast_factor, options.max_contrast_factor),
        blur=blur,
        max_blur=options.max_blur_stddev,
        noise=(options.noise_stddev, seeds[2]) if options.noise_stddev else None)


def _factor(between, place, low, high):
    if low == high != 1:
        return tf.constant(low, tf.float32)
    return between(place, low, high)


def _draw_affine(options, seed):
    normal = tf.clip_by_value(
        tf.random.stateless_normal([3, 2], seed), -_MAX_STDDEVS, _MAX_STDDEVS)
    shear, scale, shift = tf.unstack(normal * tf.constant(
        [[options.shear_stddev], [options.affine_scale_stddev], [options.translation_stddev]]))
    matrix = tf.stack([tf.stack([1 + scale[0], shear[0]]), tf.stack([shear[1], 1 + scale[1]])])
    return matrix, shift


def augment_picture(image, amounts: Amounts):
    """Changes colours and sharpness of a picture that is not padded yet.

    Args:
        image: float32 `[height, width, 3]` in 0..255.
        amounts: `Amounts`.

    Returns:
        float32 `[height, width, 3]` in 0..255.
    """
    for change, amount in ((adjust_brightness, amounts.brightness),
                           (adjust_contrast, amounts.contrast),
                           (adjust_saturation, amounts.saturation),
                           (adjust_hue, amounts.hue)):
        if amount is not None:
            image = change(image, amount)
    if amounts.blur is not None:
        unchanged = image
        image = tf.cond(amounts.blur > 0,
                        lambda: blur(unchanged, amounts.blur, amounts.max_blur),
                        lambda: tf.identity(unchanged))
    return image


def augment_crop(image, label, height, width, amounts: Amounts, mean_pixel, ignore_label):
    """Moves a padded crop and adds noise to what is picture in it.

    Args:
        image: float32 `[crop_height, crop_width, 3]` in 0..255.
        label: int32 `[crop_height, crop_width, 1]`.
        height, width: int32 scalars; the rest of the crop, below and to the right, is padding.
        amounts: `Amounts`.
        mean_pixel: colour of padding, 3 numbers.
        ignore_label: label of padding.

    Returns:
        Image and label, in the same shapes, dtypes and range.
    """
    rows, columns = affine.grid(*image.get_shape().as_list()[:2])
    if amounts.affine is not None:
        rows, columns = affine.source_positions(rows, columns, *amounts.affine)
        image = affine.sample_bilinear(image, rows, columns, mean_pixel)
        label = affine.sample_nearest(label, rows, columns, ignore_label)
    if amounts.noise is not None:
        row, column = affine.nearest(rows), affine.nearest(columns)
        is_picture = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        noisy = add_noise(image, *amounts.noise)
        image = tf.where(tf.tile(is_picture[:, :, tf.newaxis], [1, 1, 3]), noisy, image)
    return image, label


def _clip(image):
    return tf.clip_by_value(image, 0.0, _FULL_RANGE)


def adjust_brightness(image, delta):
    """Adds `delta`, in -1..1 of the full range, to all values of a float32 image in 0..255."""
    return _clip(image + delta * _FULL_RANGE)


def adjust_contrast(image, factor):
    """Multiplies each channel's distance from its mean in a float32 image in 0..255."""
    mean = tf.reduce_mean(image, axis=[0, 1])
    return _clip((image - mean) * factor + mean)


def adjust_saturation(image, factor):
    """Multiplies the saturation (HSV) of a float32 `[height, width, 3]` image in 0..255."""
    return _clip(tf.image.adjust_saturation(image, factor))


def adjust_hue(image, delta):
    """Turns the hue (HSV) by `delta` of the circle in a float32 `[height, width, 3]` image."""
    return _clip(tf.image.adjust_hue(image, delta))


def add_noise(image, stddev, seed):
    """Adds normal noise of `stddev` times the full range to a float32 image in 0..255.

    Args:
        image: float32 `[height, width, 3]`.
        stddev: float, 1 for the full range.
        seed: int64 `[2]`.
    """
    noise = tf.random.stateless_normal(tf.shape(image), seed)
    return _clip(image + noise * (stddev * _FULL_RANGE))


def blur(image, stddev, max_stddev):
    """Blurs by a Gaussian, cut at 3 sigma of `max_stddev`; borders are continued by their pixels.

    Args:
        image: float32 `[height, width, 3]`.
        stddev: scalar float32 in pixels, above 0.
        max_stddev: float, upper bound of `stddev`.
    """
    radius = max(1, int(_MAX_STDDEVS * max_stddev + 0.5))
    offsets = tf.range(-radius, radius + 1)
    weights = tf.exp(-0.5 * tf.square(tf.cast(offsets, tf.float32) / tf.maximum(stddev, 1e-3)))
    weights /= tf.reduce_sum(weights)
    for axis in (0, 1):
        size = tf.shape(image)[axis]
        places = tf.clip_by_value(tf.range(-radius, size + radius), 0, size - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = 2 * radius + 1
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, 3, 1])
        wider = tf.gather(image, places, axis=axis)[tf.newaxis]
        image = tf.nn.depthwise_conv2d(wider, kernel, [1, 1, 1, 1], 'VALID')[0]
    return image
