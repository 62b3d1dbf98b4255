"""The input pipeline: what it gives, in which order, and what it refuses."""
import io
import json
import os
import subprocess
import sys
import zlib

import numpy as np
from PIL import Image
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import names
from deeplab.datasets import build_data
from deeplab.datasets import data_generator
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file
from tests.datasets import record_factory

NUM_CLASSES = 3
GREY = 127.5
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def folder(tmp_path):
    """A folder that describes itself, without records yet."""
    (tmp_path / 'dataset.json').write_text(json.dumps(
        {'name': 'tiny', 'splits': ['train', 'val'], 'num_classes': NUM_CLASSES}))
    return tmp_path


def make(folder, split='train', batch_size=1, crop_size=(20, 30), **kwargs):
    kwargs.setdefault('model_variant', 'mobilenet_v2')
    return data_generator.Dataset('tiny', split, str(folder), batch_size, crop_size, **kwargs)


def batches(dataset, count=None):
    """Runs the pipeline in a graph of its own, to its end or for `count` batches."""
    found = []
    with tf.Graph().as_default(), tf.Session() as session:
        batch = dataset.get_one_shot_iterator().get_next()
        try:
            while count is None or len(found) < count:
                found.append(session.run(batch))
        except tf.errors.OutOfRangeError:
            assert count is None, 'ended after {} batches'.format(len(found))
    return found


def image_names(found):
    return [name.decode() for batch in found for name in batch[names.IMAGE_NAME]]


def all_names(count):
    return ['picture{}'.format(index) for index in range(count)]


# -------------------------------------------------------------------------------- what it gives


def test_names_of_the_reference():
    descriptor = data_generator.DatasetDescriptor({'train': 1}, 2, 255)
    assert descriptor.splits_to_sizes == {'train': 1} and descriptor.num_classes == 2
    assert data_generator.get_cityscapes_dataset_name() == 'cityscapes'


def test_evaluation_batches(folder):
    record_factory.write_split(folder, 'val', count=5, num_shards=2)
    dataset = make(folder, 'val', crop_size=(25, 33))
    assert (dataset.num_of_classes, dataset.ignore_label, dataset.num_samples) == (3, 255, 5)
    assert dataset.dataset_name == 'tiny' and dataset.has_labels
    found = batches(dataset)
    assert sorted(image_names(found)) == all_names(5)
    for batch in found:
        index = int(batch[names.IMAGE_NAME][0].decode()[len('picture'):])
        image, label = record_factory.picture(index, 20, 30)
        assert set(batch) == {names.IMAGE, names.IMAGE_NAME, names.HEIGHT, names.WIDTH,
                              names.LABEL, names.ORIGINAL_IMAGE}
        assert batch[names.IMAGE].shape == (1, 25, 33, 3)
        assert batch[names.IMAGE].dtype == np.float32
        np.testing.assert_array_equal(batch[names.IMAGE][0, :20, :30], image)
        assert np.all(batch[names.IMAGE][0, 20:] == GREY)
        assert np.all(batch[names.IMAGE][0, :, 30:] == GREY)
        assert batch[names.LABEL].dtype == np.int32
        np.testing.assert_array_equal(batch[names.LABEL][0, :20, :30, 0], label)
        assert np.all(batch[names.LABEL][0, 20:] == 255)
        assert batch[names.ORIGINAL_IMAGE].dtype == np.uint8
        np.testing.assert_array_equal(batch[names.ORIGINAL_IMAGE][0], image)
        assert (batch[names.HEIGHT], batch[names.WIDTH]) == (20, 30)


def test_evaluation_keeps_the_order_of_the_records(folder):
    paths = record_factory.write_split(folder, 'val', count=7, num_shards=2)
    expected = [record.name for path in paths for record in records.read(path)]
    assert image_names(batches(make(folder, 'val', num_readers=1))) == expected
    twice = [image_names(batches(make(folder, 'val', num_readers=2))) for _ in range(2)]
    assert twice[0] == twice[1] and sorted(twice[0]) == all_names(7)


def test_evaluation_of_different_sizes_in_one_batch(folder):
    path = str(folder / records.shard_name('val', 0, 1))
    sizes = [(20, 30), (10, 32), (17, 5)]
    tfrecord_file.write(path, [record_factory.example(index, *size)
                               for index, size in enumerate(sizes)])
    found = batches(make(folder, 'val', batch_size=2, crop_size=None))
    assert [batch[names.IMAGE].shape for batch in found] == [(2, 33, 33, 3), (1, 33, 33, 3)]
    assert found[0][names.ORIGINAL_IMAGE].shape == (2, 20, 32, 3)
    assert list(zip(found[0][names.HEIGHT], found[0][names.WIDTH])) == sizes[:2]
    image, _ = record_factory.picture(1, 10, 32)
    np.testing.assert_array_equal(found[0][names.ORIGINAL_IMAGE][1, :10], image)
    assert not found[0][names.ORIGINAL_IMAGE][1, 10:].any()


def test_training_batches(folder):
    record_factory.write_split(folder, count=4)
    dataset = make(folder, batch_size=3, crop_size=(9, 11), is_training=True, should_shuffle=True,
                   should_repeat=True, min_scale_factor=0.5, max_scale_factor=2.0,
                   scale_factor_step_size=0.25)
    for batch in batches(dataset, 5):
        assert set(batch) == {names.IMAGE, names.IMAGE_NAME, names.HEIGHT, names.WIDTH,
                              names.LABEL}
        assert batch[names.IMAGE].shape == (3, 9, 11, 3)
        assert batch[names.LABEL].shape == (3, 9, 11, 1)
        assert set(np.unique(batch[names.LABEL])) <= {0, 1, 2, 255}


def test_static_shapes(folder):
    record_factory.write_split(folder, count=4)
    dataset = make(folder, batch_size=2, crop_size=(9, 11), is_training=True, should_repeat=True)
    batch = dataset.get_one_shot_iterator().get_next()
    assert batch[names.IMAGE].get_shape().as_list() == [2, 9, 11, 3]
    assert batch[names.LABEL].get_shape().as_list() == [2, 9, 11, 1]


@pytest.mark.parametrize('axis', [0, 1])
def test_image_and_label_stay_together_through_augmentation(tmp_path, axis):
    """Labels are places, painted into the image: scaled, cropped and flipped alike they agree."""
    (tmp_path / 'dataset.json').write_text(json.dumps(
        {'name': 'tiny', 'splits': ['train'], 'num_classes': 50}))
    label = np.indices((40, 50))[axis].astype(np.uint8)
    image = (label * 5)[..., np.newaxis].repeat(3, axis=2)
    tfrecord_file.write(str(tmp_path / records.shard_name('train', 0, 1)), [
        build_data.image_seg_to_tfexample(
            record_factory.encode(image), 'painted', 40, 50,
            build_data.encode_label(label)).SerializeToString()])
    dataset = make(tmp_path, crop_size=(24, 24), is_training=True, should_repeat=True, seed=1,
                   min_scale_factor=0.5, max_scale_factor=2.0)
    for batch in batches(dataset, 12):
        labels = batch[names.LABEL][..., 0]
        apart = np.abs(batch[names.IMAGE][..., 0] - labels * 5.0)[labels != 255]
        # Half a place, the most that nearest neighbour can be off.
        assert apart.max() <= 2.5 + 1e-3


def test_resize_to_range_before_evaluation(folder):
    record_factory.write_split(folder, 'val', count=2, num_shards=1)
    dataset = make(folder, 'val', crop_size=(41, 61), min_resize_value=40, max_resize_value=60)
    batch = batches(dataset)[0]
    assert batch[names.ORIGINAL_IMAGE].shape == (1, 40, 60, 3)
    assert batch[names.ORIGINAL_IMAGE].dtype == np.uint8
    assert (batch[names.HEIGHT], batch[names.WIDTH]) == (20, 30)


def test_splits_without_labels(folder):
    record_factory.write_split(folder, 'val', count=2, with_label=False)
    dataset = make(folder, 'val')
    assert not dataset.has_labels
    assert names.LABEL not in batches(dataset)[0]
    with pytest.raises(errors.UserError, match='Split val of tiny has no labels'):
        dataset.require_labels()
    with pytest.raises(errors.UserError, match='Split val of tiny has no labels'):
        make(folder, 'val', is_training=True)


def test_grey_and_jpeg_and_alpha_images(folder):
    image, label = record_factory.picture(0, 20, 30)
    alpha = np.concatenate([image, image[..., :1]], axis=2)
    encodings = {'jpeg': record_factory.encode(image, 'JPEG', quality=95),
                 'grey': record_factory.encode(image[..., 0]),
                 'greyjpeg': record_factory.encode(image[..., 0], 'JPEG', quality=95),
                 'alpha': record_factory.encode(alpha)}
    path = str(folder / records.shard_name('val', 0, 1))
    tfrecord_file.write(path, [build_data.image_seg_to_tfexample(
        encoded, name, 20, 30, build_data.encode_label(label)).SerializeToString()
        for name, encoded in encodings.items()])
    found = {batch[names.IMAGE_NAME][0].decode(): batch[names.IMAGE][0]
             for batch in batches(make(folder, 'val'))}
    np.testing.assert_array_equal(found['alpha'], image)
    np.testing.assert_array_equal(found['grey'], image[..., :1].repeat(3, axis=2))
    reader = build_data.ImageReader('jpeg')
    for name in ('jpeg', 'greyjpeg'):
        np.testing.assert_array_equal(found[name], reader.decode_image(encodings[name]))


def test_records_of_tf_deeplabv3(folder):
    made = []
    for index in range(3):
        image, label = record_factory.picture(index, 20, 30)
        example = tf.train.Example()
        feature = example.features.feature
        feature['image'].bytes_list.value.append(record_factory.encode(image))
        feature['label'].bytes_list.value.append(build_data.encode_label(label))
        feature['height'].int64_list.value.append(20)
        made.append(example.SerializeToString())
    for number in (1, 2, 3):
        tfrecord_file.write(str(folder / 'val-0000{}-of-00003.tfrecord'.format(number)),
                            made[number - 1:number])
    found = batches(make(folder, 'val'))
    assert image_names(found) == ['(without a name)'] * 3
    for index, batch in enumerate(found):
        image, label = record_factory.picture(index, 20, 30)
        np.testing.assert_array_equal(batch[names.IMAGE][0], image)
        np.testing.assert_array_equal(batch[names.LABEL][0, ..., 0], label)


# ---------------------------------------------------------------------------------- in which order


def training(folder, **kwargs):
    values = dict(batch_size=2, crop_size=(8, 8), is_training=True, should_shuffle=True,
                  should_repeat=True, min_scale_factor=0.5, max_scale_factor=2.0, num_readers=2)
    values.update(kwargs)
    return make(folder, **values)


def digest(found):
    return zlib.crc32(b''.join(batch[names.IMAGE].tobytes() for batch in found))


def same(found, expected):
    return len(found) == len(expected) and all(
        np.array_equal(one[key], other[key]) for one, other in zip(found, expected) for key in one)


def test_seed_makes_order_and_augmentation_repeatable(folder):
    record_factory.write_split(folder, count=10, num_shards=3)
    first, again = [batches(training(folder, seed=5), 12) for _ in range(2)]
    assert same(first, again)
    assert not same(first, batches(training(folder, seed=6), 12))
    assert not same(first, batches(training(folder), 12))


def test_seed_of_the_graph_is_taken(folder):
    record_factory.write_split(folder, count=10, num_shards=3)
    found = []
    for graph_seed in (4, 4, 9):
        tf.reset_default_graph()
        tf.set_random_seed(graph_seed)
        dataset = training(folder)
        assert dataset.seed == graph_seed
        found.append(batches(dataset, 6))
    assert same(found[0], found[1]) and not same(found[0], found[2])


def test_seed_repeats_in_another_process(folder):
    record_factory.write_split(folder, count=6)
    program = (
        'import sys\n'
        'from tests.datasets import test_data_generator as module\n'
        'print(module.digest(module.batches(module.training(sys.argv[1], seed=3), 5)))\n')
    output = subprocess.check_output(
        [sys.executable, '-W', 'ignore', '-c', program, str(folder)], cwd=ROOT,
        stderr=subprocess.DEVNULL)
    assert int(output) == digest(batches(training(folder, seed=3), 5))


def test_each_epoch_holds_every_record_once_in_an_order_of_its_own(folder):
    record_factory.write_split(folder, count=12, num_shards=3)
    found = image_names(batches(training(folder, seed=2, batch_size=3), 16))
    epochs = [found[start:start + 12] for start in range(0, 48, 12)]
    for epoch in epochs:
        assert sorted(epoch) == sorted(all_names(12))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_one_epoch_when_not_repeated(folder):
    record_factory.write_split(folder, count=7)
    found = batches(training(folder, should_repeat=False, batch_size=3))
    assert [len(batch[names.IMAGE]) for batch in found] == [3, 3, 1]
    assert sorted(image_names(found)) == all_names(7)


def test_a_run_can_be_taken_up_anywhere(folder):
    record_factory.write_split(folder, count=10, num_shards=3)
    whole = batches(training(folder, seed=8), 14)
    for used in (3, 5, 9):
        rest = batches(training(folder, seed=8, start=2 * used), 14 - used)
        assert same(rest, whole[used:])


@pytest.mark.parametrize('num_shards, workers', [(4, 2), (3, 2), (1, 3)])
def test_workers_share_the_records(folder, num_shards, workers):
    record_factory.write_split(folder, count=9, num_shards=num_shards)
    shares = [image_names(batches(training(
        folder, should_repeat=False, worker_count=workers, worker_index=index, seed=1)))
        for index in range(workers)]
    assert sorted(sum(shares, [])) == all_names(9)
    assert all(shares)


def test_workers_that_cannot_be(folder):
    record_factory.write_split(folder, count=2, num_shards=1)
    with pytest.raises(errors.UserError, match='Worker number 2 of 2'):
        training(folder, worker_count=2, worker_index=2)
    with pytest.raises(errors.UserError, match='No record for worker 2 of 3: there are only 2'):
        training(folder, worker_count=3, worker_index=2)


def test_shuffle_buffer(folder):
    record_factory.write_split(folder, count=12, num_shards=1)
    plain = image_names(batches(training(folder, should_repeat=False, should_shuffle=False)))
    assert plain == all_names(12)
    barely = image_names(batches(training(folder, should_repeat=False, shuffle_buffer=1)))
    assert barely == all_names(12)


# -------------------------------------------------------------------------------- what it refuses


def failure(dataset):
    """Returns the one line a job prints when this data set is read."""
    with pytest.raises(tf.errors.OpError) as caught:
        batches(dataset)
    translated = dataset.translate_error(caught.value)
    assert isinstance(translated, errors.UserError)
    message = str(translated)
    assert '\n' not in message
    return message


def write_one(folder, label_data, image=None, name='culprit'):
    image = record_factory.picture(1, 20, 30)[0] if image is None else image
    path = str(folder / records.shard_name('val', 0, 1))
    tfrecord_file.write(path, [record_factory.example(0), build_data.image_seg_to_tfexample(
        image if isinstance(image, bytes) else record_factory.encode(image), name, 20, 30,
        label_data).SerializeToString()])
    return path


def test_label_value_out_of_range(folder):
    label = record_factory.picture(1, 20, 30)[1]
    label[3, :5] = 7
    label[19, 29] = 3
    write_one(folder, build_data.encode_label(label), name='wét "x" [1]')
    message = failure(make(folder, 'val'))
    assert 'the label of picture wét "x" [1] holds 3 (1 pixels), 7 (5 pixels);' in message
    assert 'allowed are 0..2 and the ignore label 255' in message


def test_label_value_out_of_range_is_found_wherever_the_crop_lies(folder):
    label = record_factory.picture(1, 20, 30)[1]
    label[19, 29] = 9
    os.rename(write_one(folder, build_data.encode_label(label)),
              str(folder / records.shard_name('train', 0, 1)))
    message = failure(training(folder, crop_size=(2, 2), should_repeat=False))
    assert 'culprit holds 9 (1 pixels)' in message


def test_ignore_label_inside_the_classes(tmp_path):
    """As ADE20K: 0 is both a class number and the ignore label."""
    (tmp_path / 'dataset.json').write_text(json.dumps(
        {'name': 'tiny', 'splits': ['val'], 'num_classes': 3, 'ignore_label': 0}))
    label = record_factory.picture(1, 20, 30, ignore_label=0)[1]
    path = str(tmp_path / records.shard_name('val', 0, 1))
    tfrecord_file.write(path, [record_factory.example(1, ignore_label=0)])
    found = batches(make(tmp_path, 'val', crop_size=(20, 33)))[0][names.LABEL][0, ..., 0]
    np.testing.assert_array_equal(found[:, :30], label)
    assert not found[:, 30:].any()
    tfrecord_file.write(path, [record_factory.example(1, ignore_label=255)])
    assert 'holds 255 (2 pixels); allowed are 0..2 and the ignore label 0' in failure(
        make(tmp_path, 'val'))


def test_image_and_label_of_different_size(folder):
    write_one(folder, build_data.encode_label(np.zeros((20, 29), np.uint8)))
    assert ('picture culprit and its label differ in size: 20 x 30 against 20 x 29 pixels'
            in failure(make(folder, 'val')))


def _palette_label():
    image = Image.fromarray(record_factory.picture(1, 20, 30)[1])
    image.putpalette(list(range(256)) * 3)
    return image


def _png(image, **options):
    stream = io.BytesIO()
    image.save(stream, format='PNG', **options)
    return stream.getvalue()


@pytest.mark.parametrize('image', [
    _palette_label(),
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)),
    Image.fromarray(np.zeros((20, 30), np.uint16)),
    Image.fromarray(np.zeros((20, 30), np.uint8)).convert('1'),
], ids=['palette', 'colour', '16 bit', '1 bit'])
def test_labels_of_another_kind(folder, image):
    write_one(folder, _png(image))
    assert 'the label of picture culprit is not an 8-bit grey PNG' in failure(make(folder, 'val'))


def test_labels_that_are_not_there_or_no_png(folder):
    write_one(folder, None)
    assert 'picture culprit has no label in its record' in failure(make(folder, 'val'))
    write_one(folder, record_factory.encode(np.zeros((20, 30), np.uint8), 'JPEG'))
    assert 'the label of picture culprit is not a PNG' in failure(make(folder, 'val'))


@pytest.mark.parametrize('image_format', ['PNG', 'JPEG'])
def test_image_that_cannot_be_decoded(folder, image_format):
    encoded = record_factory.encode(
        np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8), image_format)
    label = build_data.encode_label(record_factory.picture(1, 20, 30)[1])
    path = write_one(folder, label, image=encoded[:len(encoded) * 2 // 3])
    message = failure(make(folder, 'val'))
    assert 'Picture culprit in {}: its image cannot be decoded'.format(path) in message


def test_corrupt_content_is_named_by_shard_and_record(folder):
    path = record_factory.write_split(folder, 'val', count=4, num_shards=2)[1]
    second = tfrecord_file.spans(path)[1]
    with open(path, 'r+b') as stream:
        inside_a_picture = stream.read().index(b'IDAT', second.start) + 8
        stream.seek(inside_a_picture)
        byte = stream.read(1)
        stream.seek(inside_a_picture)
        stream.write(bytes([byte[0] ^ 1]))
    message = failure(make(folder, 'val'))
    assert '{}: record 1 does not match its checksum'.format(path) in message


def test_cut_shard_is_refused_before_any_graph(folder):
    path = record_factory.write_split(folder, count=4, num_shards=2)[1]
    with open(path, 'r+b') as stream:
        stream.truncate(os.path.getsize(path) - 10)
    with pytest.raises(errors.UserError, match='{}: record 1 is cut short'.format(path)):
        training(folder)


def test_crop_smaller_than_a_picture(folder):
    record_factory.write_split(folder, 'val', count=2)
    with pytest.raises(errors.UserError, match=(
            '--crop_size=20,29 is smaller than picture picture[01] of 20 x 30 pixels. '
            'Use --crop_size=33,33')):
        make(folder, 'val', crop_size=(20, 29))
    with pytest.raises(errors.UserError, match=r'\(40 x 60 after resizing\). Use .*=49,65'):
        make(folder, 'val', crop_size=(40, 59), min_resize_value=40)
    assert make(folder, 'val', crop_size=None).crop_size == [33, 33]
    assert make(folder, 'val', crop_size=None, output_stride=8).crop_size == [25, 33]
    assert make(folder, 'val', crop_size=None, min_resize_value=40).crop_size == [49, 65]
    with pytest.raises(errors.UserError, match='Training needs a crop size'):
        make(folder, 'val', crop_size=None, is_training=True)


def test_other_mistakes(folder):
    record_factory.write_split(folder, 'val', count=2)
    with pytest.raises(errors.UserError, match="has no split 'vall'.*Did you mean 'val'"):
        make(folder, 'vall')
    with pytest.raises(errors.UserError, match=r'No file matches .*train-\*'):
        make(folder, 'train')
    with pytest.raises(errors.UserError, match='batch size must be at least 1, got 0'):
        make(folder, 'val', batch_size=0)
    with pytest.raises(errors.UserError, match='Unexpected value of min_scale_factor'):
        make(folder, 'val', min_scale_factor=2.0)


def test_other_errors_pass_unchanged(folder):
    record_factory.write_split(folder, 'val', count=2)
    dataset = make(folder, 'val')
    for error in (KeyError('x'), tf.errors.InvalidArgumentError(None, None, 'Incompatible shapes'),
                  tf.errors.ResourceExhaustedError(None, None, 'OOM')):
        assert dataset.translate_error(error) is error
