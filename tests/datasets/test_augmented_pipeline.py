"""Further augmentation and its flags in the input pipeline, and the warning of missing classes."""
import json

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import augmentation_flags
from deeplab import errors
from deeplab import input_preprocess
from deeplab import names
from deeplab.core import augmentation
from deeplab.datasets import crop_decode
from deeplab.datasets import data_generator
from tests.datasets import recipe_runner
from tests.datasets import record_factory

FLAGS = flags.FLAGS
FORMA = augmentation.PRESETS['forma']
CROP = (24, 33)


@pytest.fixture
def folder(tmp_path):
    """Two shards of six pictures, 40 x 50, that describe themselves."""
    record_factory.write_split(tmp_path, height=40, width=50)
    (tmp_path / 'dataset.json').write_text(json.dumps(
        {'name': 'tiny', 'splits': ['train'], 'num_classes': 3}))
    return tmp_path


def training(folder, **changes):
    values = dict(
        batch_size=3, crop_size=CROP, min_scale_factor=0.5, max_scale_factor=1.5,
        model_variant='mobilenet_v2', num_readers=2, is_training=True, should_shuffle=True,
        should_repeat=True, seed=4, augmentation=FORMA)
    values.update(changes)
    return data_generator.Dataset('tiny', 'train', str(folder), **values)


def batches(dataset, count=4):
    with tf.Graph().as_default(), tf.Session() as session:
        batch = dataset.get_one_shot_iterator().get_next()
        return [session.run(batch) for _ in range(count)]


def joined(found, key):
    return np.concatenate([batch[key] for batch in found])


def test_batches_are_repeatable_and_resumable(folder):
    first, again = [batches(training(folder)) for _ in range(2)]
    resumed = batches(training(folder, start=6), 2)
    for key in (names.IMAGE, names.LABEL, names.IMAGE_NAME):
        np.testing.assert_array_equal(joined(first, key), joined(again, key))
        np.testing.assert_array_equal(joined(first[2:], key), joined(resumed, key))
    image, label = joined(first, names.IMAGE), joined(first, names.LABEL)
    assert image.shape == (12,) + CROP + (3,) and image.dtype == np.float32
    assert label.shape == (12,) + CROP + (1,) and label.dtype == np.int32
    assert image.min() >= 0 and image.max() <= 255 and set(np.unique(label)) <= {0, 1, 2, 255}


def test_seeds_differ_and_off_is_off(folder):
    plain, off, acting, other = [joined(batches(training(folder, **change)), names.IMAGE)
                                 for change in (dict(augmentation=None),
                                                dict(augmentation=augmentation.Options()),
                                                {}, dict(seed=5))]
    np.testing.assert_array_equal(plain, off)
    assert not np.allclose(plain, acting, atol=1) and not np.allclose(acting, other, atol=1)


def test_crops_are_the_same_as_without(folder):
    """Augmentation has random numbers of its own: it does not change which crop is taken."""
    barely = augmentation.Options(max_brightness_delta=1e-6)
    plain, touched = [batches(training(folder, augmentation=options))
                      for options in (None, barely)]
    np.testing.assert_array_equal(joined(plain, names.LABEL), joined(touched, names.LABEL))
    np.testing.assert_allclose(joined(plain, names.IMAGE), joined(touched, names.IMAGE), atol=1e-3)


def test_evaluation_is_never_augmented(folder):
    dataset = training(folder, is_training=False, crop_size=(40, 50), min_scale_factor=1.0,
                       max_scale_factor=1.0, should_shuffle=False, batch_size=1)
    image = batches(dataset, 1)[0][names.IMAGE][0]
    np.testing.assert_array_equal(image, record_factory.picture(0, 40, 50)[0])


@pytest.mark.parametrize('crop', [CROP, (90, 30)], ids=['inside', 'padded'])
def test_short_and_long_way_agree(crop):
    image, label = record_factory.picture(1, 40, 50)
    label = label[..., np.newaxis]
    options = input_preprocess.Options(
        crop[0], crop[1], None, None, None, 0.5, 1.5, 0, 255, True, 'mobilenet_v2')
    seed = tf.placeholder(tf.int64, [2])
    amounts = augmentation.draw(FORMA, seed)
    draws = input_preprocess.draws_of(tf.random.stateless_uniform([4], seed))
    short = crop_decode.training_crop(
        tf.constant(record_factory.encode(image)), tf.constant([40, 50]), tf.constant(label),
        options, draws, amounts)
    long_way = input_preprocess.preprocess(
        tf.constant(image), tf.constant(label), options, draws, amounts)[1:]
    with tf.Session() as session:
        for number in range(5):
            found = session.run([short, long_way], {seed: [1, number]})
            for one, other in zip(*found):
                np.testing.assert_array_equal(one, other)


def test_bad_range_is_refused_before_the_graph(folder):
    with pytest.raises(errors.UserError, match='noise_stddev must lie in 0..1, got 3'):
        training(folder, augmentation=augmentation.Options(noise_stddev=3.0))


def write_report(folder, never_seen):
    (folder / 'dataset.json').write_text(json.dumps(
        {'name': 'tiny', 'splits': ['train'], 'num_classes': 3, 'class_names': ['a', 'b', 'c'],
         'report': {'splits': {'train': {'classes_never_seen': never_seen}}}}))


def test_classes_never_seen_are_named(folder, monkeypatch):
    warnings = []
    monkeypatch.setattr(data_generator.logging, 'warning',
                        lambda text, *values: warnings.append(text % values))
    training(folder)
    write_report(folder, [])
    training(folder)
    assert not warnings
    write_report(folder, [0, 2])
    training(folder, is_training=False, crop_size=(40, 50))
    assert not warnings
    training(folder)
    assert len(warnings) == 1
    assert 'tiny: split train has no pixel of class 0 (a), 2 (c)' in warnings[0]


@pytest.fixture
def command_flags():
    added = [name for name in ['augmentation'] + list(augmentation.OPTIONS) if name not in FLAGS]
    if added:
        augmentation_flags.define_augmentation_flags()
    with flagsaver.flagsaver():
        yield
    for name in added:
        delattr(FLAGS, name)


def test_flags_and_presets(command_flags):
    read = augmentation_flags.augmentation_from_flags
    assert read() == augmentation.Options() and not read().acts
    FLAGS.augmentation = 'forma'
    assert read() == FORMA
    FLAGS.max_hue_delta, FLAGS.blur_probability = 0.2, 0.0
    assert read() == FORMA._replace(max_hue_delta=0.2, blur_probability=0.0)
    FLAGS.min_contrast_factor = 2.0
    with pytest.raises(errors.UserError, match='min_contrast_factor must not be above'):
        read()


def test_benchmark_runs_both_pipelines(folder):
    done = recipe_runner.run_fresh(
        'scripts/benchmarks/input_pipeline.py', '--dataset=tiny',
        '--dataset_dir={}'.format(folder), '--train_crop_size=33,41', '--warmup_batches=1',
        '--batches=2')
    assert 'transcription' in done.stdout and 'shuffles 6 records' in done.stdout
