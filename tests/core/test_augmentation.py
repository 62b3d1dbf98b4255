"""Each further augmentation alone against numpy, and all of them inside tf.data."""
import colorsys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.core import augmentation

HEIGHT, WIDTH = 12, 17
MEAN = [120.0, 130.0, 110.0]
FORMA = augmentation.PRESETS['forma']


def image_of(height=HEIGHT, width=WIDTH):
    return np.random.RandomState(3).uniform(0, 255, (height, width, 3)).astype(np.float32)


def label_of(height=HEIGHT, width=WIDTH):
    return np.random.RandomState(4).randint(0, 5, (height, width, 1)).astype(np.int32)


def run(tensors):
    with tf.Session() as session:
        return session.run(tensors)


def draws(options, count=400):
    """Amounts drawn from `count` seeds, as a dict of arrays."""
    seeds = tf.data.Dataset.range(count).map(lambda number: {
        name: value for name, value in augmentation.draw(
            options, tf.stack([tf.constant(5, tf.int64), number]))._asdict().items()
        if value is not None and name not in ('noise', 'max_blur')})
    return run(tf.data.make_one_shot_iterator(seeds.batch(count)).get_next())


def in_hsv(image, change):
    changed = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel)))
               for pixel in image.reshape(-1, 3) / 255.0]
    return np.reshape(changed, image.shape) * 255


def test_brightness():
    image = image_of()
    for delta in (-0.2, 0.0, 0.4):
        found = run(augmentation.adjust_brightness(tf.constant(image), delta))
        np.testing.assert_allclose(found, np.clip(image + 255 * delta, 0, 255), atol=1e-4)


def test_contrast():
    image = image_of()
    mean = image.mean(axis=(0, 1))
    for factor in (0.7, 1.0, 1.6):
        found = run(augmentation.adjust_contrast(tf.constant(image), factor))
        np.testing.assert_allclose(
            found, np.clip((image - mean) * factor + mean, 0, 255), atol=1e-3)


def test_saturation():
    image = image_of()
    for factor in (0.0, 0.5, 1.5):
        found = run(augmentation.adjust_saturation(tf.constant(image), factor))
        expected = in_hsv(image, lambda h, s, v: (h, min(1, s * factor), v))
        np.testing.assert_allclose(found, expected, atol=0.01)


def test_hue():
    image = image_of()
    for delta in (-0.08, 0.0, 0.3):
        found = run(augmentation.adjust_hue(tf.constant(image), delta))
        expected = in_hsv(image, lambda h, s, v: ((h + delta) % 1, s, v))
        np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize('height, width', [(HEIGHT, WIDTH), (1, 2)])
def test_blur(height, width):
    image = image_of(height, width)
    found = run(augmentation.blur(tf.constant(image), tf.constant(1.2), 1.5))
    places = np.arange(-5, 6)
    weights = np.exp(-0.5 * (places / 1.2) ** 2)
    weights /= weights.sum()
    expected = np.float64(image)
    for axis, size in enumerate((height, width)):
        expected = sum(weight * expected.take(np.clip(np.arange(size) + place, 0, size - 1), axis)
                       for place, weight in zip(places, weights))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_noise():
    image = np.full((64, 64, 3), 127.0, np.float32)
    first, again, other = run([augmentation.add_noise(
        tf.constant(image), 0.01, tf.constant(seed, tf.int64))
                               for seed in ([1, 2], [1, 2], [1, 3])])
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == other) < 0.01
    assert abs((first - image).std() - 2.55) < 0.1 and abs((first - image).mean()) < 0.1
    assert np.unique(first[0, 0]).size == 3


def test_draws_fill_their_ranges():
    found = draws(FORMA)
    for name, low, high in (('hue', -0.08, 0.08), ('saturation', 0.5, 1.5),
                            ('brightness', -0.2, 0.2), ('contrast', 0.7, 1.3)):
        values = found[name]
        assert low <= values.min() < low + 0.02 * (high - low), name
        assert high - 0.02 * (high - low) < values.max() <= high, name
        assert abs(values.mean() - (low + high) / 2) < 0.05 * (high - low), name
    assert 0.06 < np.mean(found['blur'] > 0) < 0.15 and found['blur'].max() <= 1.5
    matrix, shift = found['affine']
    for values in np.moveaxis(matrix - np.eye(2), 0, -1).reshape(4, -1).tolist() + shift.T.tolist():
        assert abs(np.std(values) - 0.05) < 0.008 and np.abs(values).max() <= 0.1501
    # What is drawn for one thing says nothing about another.
    independent = np.corrcoef([found[name] for name in ('hue', 'saturation', 'brightness',
                                                        'contrast')] + list(shift.T))
    assert np.abs(independent - np.eye(6)).max() < 0.2


def test_each_option_acts_alone():
    nothing = augmentation.Options()
    assert not nothing.acts and not nothing._replace(max_blur_stddev=4.0).acts
    assert all(value in (None, 1.5) for value in augmentation.draw(
        nothing, tf.constant([0, 1], tf.int64)))
    changes = [dict(shear_stddev=.1), dict(affine_scale_stddev=.1), dict(translation_stddev=.1),
               dict(max_hue_delta=.1), dict(min_saturation_factor=.2),
               dict(max_saturation_factor=3.), dict(max_brightness_delta=.3),
               dict(min_contrast_factor=.3), dict(max_contrast_factor=2.),
               dict(blur_probability=1.), dict(noise_stddev=.02),
               dict(min_contrast_factor=.5, max_contrast_factor=.5)]
    label = label_of()
    tensors = []
    for change in changes:
        options = nothing._replace(**change)
        assert options.acts
        options.check()
        amounts = augmentation.draw(options, tf.constant([0, 1], tf.int64))
        image = augmentation.augment_picture(tf.constant(image_of()), amounts)
        tensors.append(augmentation.augment_crop(
            image, tf.constant(label), HEIGHT, WIDTH, amounts, MEAN, 255))
    for change, (image, moved) in zip(changes, run(tensors)):
        assert not np.allclose(image, image_of(), atol=0.5), change
        assert 0 <= image.min() and image.max() <= 255
        is_affine = next(iter(change)) in ('shear_stddev', 'affine_scale_stddev',
                                           'translation_stddev')
        assert np.array_equal(moved, label) != is_affine, change


def test_noise_leaves_padding_alone():
    options = augmentation.Options(noise_stddev=0.05)
    amounts = augmentation.draw(options, tf.constant([0, 1], tf.int64))
    image = np.tile(np.float32(MEAN), [HEIGHT, WIDTH, 1])
    found, _ = run(augmentation.augment_crop(
        tf.constant(image), tf.constant(label_of()), 8, 9, amounts, MEAN, 255))
    changed = np.any(found != image, axis=-1)
    assert changed[:8, :9].all() and not changed[8:].any() and not changed[:, 9:].any()


def test_padding_and_outside_keep_colour_and_label():
    """With all of the preset on, what is ignored has exactly the mean colour, but at borders."""
    amounts = augmentation.draw(FORMA._replace(translation_stddev=0.3),
                                tf.constant([2, 7], tf.int64))
    image, label = np.tile(np.float32(MEAN), [40, 50, 1]), np.full((40, 50, 1), 255, np.int32)
    image[:20, :30] = image_of(20, 30)
    label[:20, :30] = label_of(20, 30)
    found, moved = run(augmentation.augment_crop(
        tf.constant(image), tf.constant(label), 20, 30, amounts, MEAN, 255))
    ignored = moved[..., 0] == 255
    assert 600 < ignored.sum() < 2000
    far = np.pad(ignored, 1, 'edge')
    far = np.all([far[row:row + 40, column:column + 50]
                  for row in range(3) for column in range(3)], axis=0)
    np.testing.assert_allclose(found[far], np.tile(MEAN, [far.sum(), 1]), atol=2e-5)


def test_repeatable_inside_parallel_tf_data():
    def augment(number):
        amounts = augmentation.draw(FORMA, tf.stack([tf.constant(9, tf.int64), number]))
        image = augmentation.augment_picture(tf.constant(image_of()), amounts)
        return augmentation.augment_crop(
            image, tf.constant(label_of()), HEIGHT, WIDTH, amounts, MEAN, 255)

    batches = [tf.data.make_one_shot_iterator(tf.data.Dataset.range(12).map(
        augment, num_parallel_calls=threads).batch(12)).get_next() for threads in (1, 4)]
    (images, labels), (again, labels_again) = run(batches)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert len({image.tobytes() for image in images}) == 12
    assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 255


@pytest.mark.parametrize('change, message', [
    (dict(shear_stddev=-0.1), 'shear_stddev must not be negative, got -0.1'),
    (dict(blur_probability=1.5), 'blur_probability must lie in 0..1, got 1.5'),
    (dict(max_hue_delta=30.0), 'max_hue_delta must lie in 0..1'),
    (dict(min_contrast_factor=1.2), 'min_contrast_factor must not be above max_contrast_factor'),
    (dict(shear_stddev=0.2, affine_scale_stddev=0.2), 'below 1/3'),
])
def test_ranges_that_make_no_sense(change, message):
    with pytest.raises(errors.UserError, match=message):
        augmentation.Options(**change).check()


def test_presets_are_sound():
    for name, options in augmentation.PRESETS.items():
        options.check()
        assert options.acts == (name != 'none')
