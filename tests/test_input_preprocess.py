"""From picture to network input, against the reference's records and against numpy."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import input_preprocess
from tests import preprocess_goldens

CENTRE = input_preprocess.Draws(scale=0.5, row=0.5, column=0.5, flip=0.9)
FLIPPED = CENTRE._replace(flip=0.1)


def _records():
    try:
        return preprocess_goldens.load()['preprocess_image_and_label_eval']
    except pytest.skip.Exception:
        return []


def _feed(height, width, known):
    image, label = preprocess_goldens.picture(height, width)
    if known:
        return tf.constant(image), tf.constant(label), {}
    places = [tf.placeholder(tf.uint8, [None, None, channels]) for channels in (3, 1)]
    return places[0], places[1], dict(zip(places, (image, label)))


@pytest.mark.parametrize('record', _records(), ids=lambda record: record['key'])
def test_evaluation_record(record):
    image, label, feed = _feed(*record['input'], known=record['input_shape_known_when_building'])

    def prepare():
        return input_preprocess.preprocess_image_and_label(
            image, label, *record['crop'], is_training=False,
            model_variant=record['model_variant'], **record['arguments'])
    if 'error' in record:
        with pytest.raises(ValueError):
            prepare()
        return
    tensors = prepare()
    original, processed, labels = tensors
    assert original.dtype.name == record['original_dtype']
    assert processed.get_shape().as_list() == record['processed_static_shape']
    assert labels.dtype == tf.int32
    with tf.Session() as session:
        found = session.run(tensors, feed)
    for value, name, samples in zip(found, ('original_image', 'processed_image', 'label'),
                                    ('original', 'processed', 'label')):
        preprocess_goldens.check(value, record[name], '{}_{}'.format(record['key'], samples))
    assert (found[2] == 255).sum() == record['label_ignore_pixels']
    if record['key'].startswith('resize257_crop257_') and 'resnet' not in record['key']:
        for value, name in zip(found[1:], ('processed', 'label')):
            whole = preprocess_goldens.array('{}_{}_full'.format(record['key'], name))
            np.testing.assert_array_equal(value, whole)


def options(**changes):
    values = dict(
        crop_height=25, crop_width=33, min_resize_value=None, max_resize_value=None,
        resize_factor=None, min_scale_factor=1.0, max_scale_factor=1.0, scale_factor_step_size=0,
        ignore_label=255, is_training=True, model_variant='mobilenet_v2')
    values.update(changes)
    return input_preprocess.Options(**values)


def prepare(height, width, draws, **changes):
    image, label = preprocess_goldens.picture(height, width)
    tensors = input_preprocess.preprocess(
        tf.constant(image), tf.constant(label), options(**changes),
        input_preprocess.draws_of(tf.constant(draws, tf.float32)))
    with tf.Session() as session:
        return session.run(tensors)


def test_training_crops_where_the_draws_say():
    image, label = preprocess_goldens.picture(40, 60)
    for draws, top, left in ((CENTRE, 8, 14), (CENTRE._replace(row=0.0, column=0.9999), 0, 27)):
        original, processed, labels = prepare(40, 60, draws)
        area = slice(top, top + 25), slice(left, left + 33)
        np.testing.assert_array_equal(original, image)
        np.testing.assert_array_equal(processed, image[area].astype(np.float32))
        np.testing.assert_array_equal(labels, label[area].astype(np.int32))


def test_flip_comes_after_padding():
    _, processed, labels = prepare(20, 30, FLIPPED)
    image, label = preprocess_goldens.picture(20, 30)
    np.testing.assert_array_equal(processed[:20, 3:], image[:, ::-1])
    np.testing.assert_array_equal(labels[:20, 3:], label[:, ::-1])
    assert np.all(processed[20:] == 127.5) and np.all(processed[:, :3] == 127.5)
    assert np.all(labels[20:] == 255) and np.all(labels[:, :3] == 255)


def test_one_side_padded_the_other_cropped():
    image, label = preprocess_goldens.picture(20, 60)
    _, processed, labels = prepare(20, 60, CENTRE._replace(column=0.0), ignore_label=7)
    np.testing.assert_array_equal(processed[:20], image[:, :33])
    np.testing.assert_array_equal(labels[:20], label[:, :33])
    assert np.all(processed[20:] == 127.5) and np.all(labels[20:] == 7)


def test_scaled_crop_equals_crop_of_the_scaled_picture():
    image, label = preprocess_goldens.picture(40, 60)
    limits = dict(min_scale_factor=0.5, max_scale_factor=1.5, scale_factor_step_size=0.25)
    for draw, size in ((0.0, (20, 30)), (0.5, (40, 60)), (0.99, (60, 90))):
        _, processed, labels = prepare(40, 60, CENTRE._replace(scale=draw), **limits)
        with tf.Session() as session:
            whole = session.run(tf.image.resize_bilinear(
                image[np.newaxis], size, align_corners=True))[0]
            whole_label = session.run(tf.image.resize_nearest_neighbor(
                label[np.newaxis], size, align_corners=True))[0]
        top, left = [(side - crop + 1) // 2 if side > crop else 0
                     for side, crop in zip(size, (25, 33))]
        height, width = min(25, size[0]), min(33, size[1])
        area = slice(top, top + height), slice(left, left + width)
        # Adding and subtracting the padding colour costs the last bit, as in the reference.
        np.testing.assert_allclose(processed[:height, :width], whole[area], atol=2e-5)
        np.testing.assert_array_equal(labels[:height, :width], whole_label[area])


def test_whole_pictures_are_seen_over_many_draws():
    """Cropping at random reaches every pixel of the picture, corners included."""
    label = np.arange(9 * 11).reshape(9, 11, 1).astype(np.int32)
    image = tf.zeros([9, 11, 3], tf.uint8)
    uniform = tf.placeholder(tf.float32, [4])
    crop = options(crop_height=4, crop_width=4)
    tensors = input_preprocess.preprocess(
        image, tf.constant(label), crop, input_preprocess.draws_of(uniform))
    random = np.random.RandomState(0)
    seen = set()
    with tf.Session() as session:
        for _ in range(250):
            seen |= set(session.run(tensors[2], {uniform: random.uniform(size=4)}).ravel())
    assert seen == set(label.ravel())


def test_evaluation_without_label_and_training_without():
    _, processed, label = input_preprocess.preprocess_image_and_label(
        tf.zeros([20, 30, 3], tf.uint8), None, 25, 33, is_training=False)
    assert label is None and processed.get_shape().as_list() == [25, 33, 3]
    with pytest.raises(ValueError, match='During training, label must be provided.'):
        input_preprocess.preprocess_image_and_label(tf.zeros([20, 30, 3]), None, 25, 33)


def test_float_images_and_labels_are_taken():
    image, label = preprocess_goldens.picture(40, 60)
    arguments = dict(min_resize_value=30, max_resize_value=50, model_variant='mobilenet_v2')
    both = [input_preprocess.preprocess_image_and_label(
        tf.constant(image.astype(dtype)), tf.constant(label.astype(dtype)), 41, 51,
        is_training=False, **arguments)[1:] for dtype in (np.uint8, np.float32)]
    with tf.Session() as session:
        ours, floats = session.run(both)
    for one, other in zip(ours, floats):
        np.testing.assert_array_equal(one, other)


def test_public_function_draws_for_itself():
    tf.set_random_seed(1)
    image, label = preprocess_goldens.picture(40, 60)
    tensors = input_preprocess.preprocess_image_and_label(
        tf.constant(image), tf.constant(label), 25, 33, min_scale_factor=0.5,
        max_scale_factor=2.0, scale_factor_step_size=0.25, model_variant='mobilenet_v2')
    with tf.Session() as session:
        crops = [session.run(tensors[1]).tobytes() for _ in range(6)]
    assert len(set(crops)) > 3


def test_inside_tf_data_as_downstream_code_maps_it():
    def pictures():
        for size in ((20, 30), (40, 60)):
            yield preprocess_goldens.picture(*size)

    def prepare_one(image, label):
        return input_preprocess.preprocess_image_and_label(
            image, label, 25, 33, min_scale_factor=0.5, max_scale_factor=2.0,
            scale_factor_step_size=0.25, is_training=True, model_variant='mobilenet_v2')[1:]

    dataset = tf.data.Dataset.from_generator(
        pictures, (tf.uint8, tf.uint8), ((None, None, 3), (None, None, 1))).map(prepare_one)
    batch = tf.data.make_one_shot_iterator(dataset.batch(2)).get_next()
    with tf.Session() as session:
        image, label = session.run(batch)
    assert image.shape == (2, 25, 33, 3) and label.shape == (2, 25, 33, 1)
    assert image.dtype == np.float32 and label.dtype == np.int32


@pytest.mark.parametrize('changes, message', [
    (dict(max_resize_value=5), 'min_resize_value must be given'),
    (dict(crop_height=0), 'at least one pixel'),
    (dict(min_scale_factor=2.0), 'Unexpected value of min_scale_factor'),
    (dict(scale_factor_step_size=-1), 'scale_factor_step_size must be >= 0'),
])
def test_contradicting_options(changes, message):
    options().check()
    with pytest.raises(errors.UserError, match=message):
        options(**changes).check()


def test_size_before_crop():
    assert options().size_before_crop(300, 500) == (300, 500)
    resizing = options(min_resize_value=257, max_resize_value=257, resize_factor=16)
    assert resizing.size_before_crop(375, 500) == (193, 257)
