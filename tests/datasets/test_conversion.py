"""The engine: from folders to records that describe themselves, whatever happens on the way."""
import io
import json
import multiprocessing
import os
import signal

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from deeplab import errors
from deeplab.datasets import build_data
from deeplab.datasets import conversion
from deeplab.datasets import conversion_pairs
from deeplab.datasets import conversion_shards
from deeplab.datasets import descriptions
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file
from tests.datasets import conversion_files_factory as factory

DESCRIPTION = descriptions.Description('own', {}, 3, class_names=('a', 'b', 'c'))


def convert(pairs, output_dir, num_workers=1, num_shards=3, split='train', orientation='auto',
            description=DESCRIPTION, **options):
    splits = pairs if isinstance(pairs, dict) else {split: pairs}
    return conversion.convert(
        description, splits, str(output_dir),
        factory.rules(orientation, num_classes=description.num_classes),
        conversion.Options(num_shards=num_shards, num_workers=num_workers, **options))


def contents(folder, ending='.tfrecord'):
    found = {}
    for name in sorted(os.listdir(str(folder))):
        if name.endswith(ending):
            with open(os.path.join(str(folder), name), 'rb') as stream:
                found[name] = stream.read()
    return found


def examples(folder, split='train'):
    for path in records.list_shards(str(folder), split):
        for content in tfrecord_file.read(path):
            yield tf.train.Example.FromString(content).features.feature


def test_records_hold_the_files_in_order(tmp_path):
    pairs = factory.make_pairs(tmp_path, 7)
    convert(pairs, tmp_path / 'out')
    assert list(contents(tmp_path / 'out')) == [
        'train-{:05d}-of-00003.tfrecord'.format(index) for index in range(3)]
    keys = records.REFERENCE_KEYS
    for pair, features in zip(pairs, examples(tmp_path / 'out')):
        with open(pair.image, 'rb') as stream:
            assert features[keys.image].bytes_list.value[0] == stream.read()
        assert features[keys.name].bytes_list.value[0].decode() == pair.name
        assert features[keys.height].int64_list.value[0] == 12
        assert features[keys.width].int64_list.value[0] == 16
        label = Image.open(io.BytesIO(features[keys.label].bytes_list.value[0]))
        np.testing.assert_array_equal(np.asarray(label), factory.label(int(pair.name[1:])))
    assert len(list(examples(tmp_path / 'out'))) == 7


@pytest.mark.parametrize('count, num_shards, expected', [
    (10, 4, [0, 2, 5, 7, 10]), (3, 10, [0, 1, 2, 3]), (8, 4, [0, 2, 4, 6, 8])])
def test_shards_are_even_and_never_empty(count, num_shards, expected):
    assert conversion_shards.boundaries(count, num_shards) == expected


def test_the_same_bytes_whatever_the_number_of_workers(tmp_path):
    pairs = factory.make_pairs(tmp_path, 21)
    convert(pairs, tmp_path / 'one', num_workers=1)
    convert(pairs, tmp_path / 'two', num_workers=2)
    assert contents(tmp_path / 'one') == contents(tmp_path / 'two')


def test_the_folder_describes_itself(tmp_path):
    pairs = factory.make_pairs(tmp_path, 5)
    convert({'train': pairs[:3], 'val': pairs[3:]}, tmp_path / 'out')
    description = descriptions.load(str(tmp_path / 'out'))
    assert description.splits_to_sizes == {'train': 3, 'val': 2}
    assert description.class_names == ('a', 'b', 'c')
    labels = np.stack([factory.label(index) for index in range(3)])
    summary = description.report['splits']['train']
    assert summary['images'] == 3
    assert summary['pixels_per_class'] == [int((labels == value).sum()) for value in range(3)]
    assert summary['ignored_pixels'] == 3
    assert summary['eval_crop_size']['16'] == [17, 17]


def test_a_second_run_adds_its_split(tmp_path):
    pairs = factory.make_pairs(tmp_path, 4)
    convert(pairs[:2], tmp_path / 'out', split='train')
    described = convert(pairs[2:], tmp_path / 'out', split='val')
    assert described.splits_to_sizes == {'train': 2, 'val': 2}
    assert set(described.report['splits']) == {'train', 'val'}


def test_another_data_set_in_the_folder_is_an_error(tmp_path):
    pairs = factory.make_pairs(tmp_path, 2)
    convert(pairs, tmp_path / 'out')
    with pytest.raises(errors.UserError, match='num_classes 3, this conversion has 4'):
        convert(pairs, tmp_path / 'out', description=DESCRIPTION._replace(
            num_classes=4, class_names=()))


def test_pictures_without_labels(tmp_path):
    pairs = [pair._replace(label=None) for pair in factory.make_pairs(tmp_path, 2)]
    described = convert(pairs, tmp_path / 'out', split='test')
    assert 'pixels_per_class' not in described.report['splits']['test']
    for features in examples(tmp_path / 'out', 'test'):
        assert records.REFERENCE_KEYS.label not in features


def _die_at(number, pairs, output_dir, num_workers):
    """Converts in this process and kills it (-9) at the record of that number."""
    make = build_data.example_of
    made = []

    def make_or_die(*args):
        made.append(args)
        if len(made) > number:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(*args)

    build_data.example_of = make_or_die
    convert(pairs, output_dir, num_workers)


@pytest.mark.parametrize('num_workers', [1, 2])
def test_goes_on_after_kill_9_to_the_same_bytes(tmp_path, monkeypatch, num_workers):
    pairs = factory.make_pairs(tmp_path, 20)
    convert(pairs, tmp_path / 'whole')
    child = multiprocessing.get_context('fork').Process(
        target=_die_at, args=(10, pairs, tmp_path / 'out', num_workers))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert list(contents(tmp_path / 'out')) == ['train-00000-of-00003.tfrecord']
    assert [name for name in os.listdir(str(tmp_path / 'out')) if '.tmp-' in name]
    assert not os.path.exists(str(tmp_path / 'out' / 'dataset.json'))

    written = []
    write = tfrecord_file.write
    monkeypatch.setattr(tfrecord_file, 'write',
                        lambda path, stream: (written.append(path), write(path, stream)))
    convert(pairs, tmp_path / 'out', num_workers)
    assert [os.path.basename(path)[:11] for path in written] == ['train-00001', 'train-00002']
    assert contents(tmp_path / 'out') == contents(tmp_path / 'whole')
    assert contents(tmp_path / 'out', '.json') == contents(tmp_path / 'whole', '.json')
    assert not [name for name in os.listdir(str(tmp_path / 'out')) if '.tmp-' in name]


def test_a_finished_conversion_costs_nothing_again(tmp_path, monkeypatch):
    pairs = factory.make_pairs(tmp_path, 6)
    before = convert(pairs, tmp_path / 'out')
    monkeypatch.setattr(tfrecord_file, 'write', None)
    assert convert(pairs, tmp_path / 'out') == before


def test_changed_input_is_converted_again(tmp_path):
    pairs = factory.make_pairs(tmp_path, 6)
    convert(pairs, tmp_path / 'out')
    before = contents(tmp_path / 'out')
    factory.save(tmp_path, 'labels/p005.png', np.ones((12, 16), np.uint8))
    convert(pairs, tmp_path / 'out')
    after = contents(tmp_path / 'out')
    assert [before[name] == after[name] for name in sorted(before)] == [True, True, False]


def test_a_damaged_shard_is_converted_again(tmp_path):
    pairs = factory.make_pairs(tmp_path, 6)
    convert(pairs, tmp_path / 'out')
    before = contents(tmp_path / 'out')
    path = records.shard_paths(str(tmp_path / 'out'), 'train', 3)[1]
    with open(path, 'r+b') as stream:
        stream.truncate(100)
    convert(pairs, tmp_path / 'out')
    assert contents(tmp_path / 'out') == before


def test_shards_of_another_conversion_stop_it_or_are_replaced(tmp_path):
    pairs = factory.make_pairs(tmp_path, 6)
    convert(pairs, tmp_path / 'out', num_shards=2)
    convert(pairs, tmp_path / 'out', split='train-small')
    with pytest.raises(errors.UserError, match='holds 2 shard.*of train from another.*--overwrite'):
        convert(pairs, tmp_path / 'out', num_shards=3)
    convert(pairs, tmp_path / 'out', num_shards=3, overwrite=True)
    assert [name for name in contents(tmp_path / 'out') if not name.startswith('train-small')] == [
        'train-{:05d}-of-00003.tfrecord'.format(index) for index in range(3)]
    assert len(contents(tmp_path / 'out')) == 6


def make_bad(folder, pairs):
    """Spoils three pairs in different ways."""
    factory.save(folder, 'labels/p002.png', np.full((12, 16), 9, np.uint8))
    factory.save(folder, 'labels/p004.png', factory.label(4, 10, 16))
    with open(pairs[5].image, 'r+b') as stream:
        stream.truncate(300)


@pytest.mark.parametrize('num_workers', [1, 2])
def test_the_first_bad_pair_stops_with_file_value_count_and_range(tmp_path, num_workers):
    pairs = factory.make_pairs(tmp_path, 9)
    make_bad(tmp_path, pairs)
    with pytest.raises(errors.UserError, match=(
            r'p002.png: label 9 at 192 pixels; allowed are 0..2 and 255 \(ignored\).*--skip_bad')):
        convert(pairs, tmp_path / 'out', num_workers)
    assert not os.path.exists(str(tmp_path / 'out' / 'dataset.json'))
    assert not [name for name in os.listdir(str(tmp_path / 'out')) if name != '.conversion']


def test_bad_pairs_are_left_out_and_listed_where_wanted(tmp_path):
    pairs = factory.make_pairs(tmp_path, 9)
    make_bad(tmp_path, pairs)
    described = convert(pairs, tmp_path / 'out', num_workers=2, skip_bad=True)
    assert described.splits_to_sizes == {'train': 6}
    assert described.report['splits']['train']['skipped'] == ['p002', 'p004', 'p005']
    names = [features['image/filename'].bytes_list.value[0] for features in
             examples(tmp_path / 'out')]
    assert names == [b'p000', b'p001', b'p003', b'p006', b'p007', b'p008']
    with open(str(tmp_path / 'out' / 'train_skipped.txt')) as stream:
        lines = stream.read().splitlines()
    assert [line.split('\t')[0] for line in lines] == ['p002', 'p004', 'p005']
    assert 'image of 12x16 pixels (height x width), but its label is of 10x16' in lines[1]
    assert 'cannot be read to its end' in lines[2]
    # What was left out is not taken for good later on.
    with pytest.raises(errors.UserError, match='p002.png'):
        convert(pairs, tmp_path / 'out')


def test_mended_pairs_are_taken_and_the_list_of_skipped_ones_goes(tmp_path):
    pairs = factory.make_pairs(tmp_path, 4)
    factory.save(tmp_path, 'labels/p002.png', np.full((12, 16), 9, np.uint8))
    convert(pairs, tmp_path / 'out', skip_bad=True)
    factory.save(tmp_path, 'labels/p002.png', np.full((12, 16), 1, np.uint8))
    assert convert(pairs, tmp_path / 'out', skip_bad=True).splits_to_sizes == {'train': 4}
    assert not os.path.exists(str(tmp_path / 'out' / 'train_skipped.txt'))


def test_a_split_with_nothing_good_is_an_error(tmp_path):
    pairs = factory.make_pairs(tmp_path, 1)
    factory.save(tmp_path, 'labels/p000.png', np.full((12, 16), 9, np.uint8))
    with pytest.raises(errors.UserError, match="Every picture of split 'train' is bad"):
        convert(pairs, tmp_path / 'out', skip_bad=True)


def test_nothing_to_convert_is_an_error(tmp_path):
    with pytest.raises(errors.UserError, match='no split'):
        convert({}, tmp_path / 'out')
    with pytest.raises(errors.UserError, match="'val' has no pictures"):
        convert({'val': []}, tmp_path / 'out')


def test_absent_files_stop_before_anything_is_written(tmp_path):
    pairs = [conversion_pairs.Pair('a', str(tmp_path / 'absent.jpg'), None)]
    with pytest.raises(errors.UserError, match='absent.jpg: cannot be read'):
        convert(pairs, tmp_path / 'out')
    assert os.listdir(str(tmp_path / 'out')) == []


def test_an_output_folder_that_cannot_be_made_is_an_error(tmp_path):
    pairs = factory.make_pairs(tmp_path, 1)
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.UserError, match='--output_dir=.*cannot write to this folder'):
        convert(pairs, tmp_path / 'file' / 'out')


def test_notes_are_small_and_plain(tmp_path):
    convert(factory.make_pairs(tmp_path, 2), tmp_path / 'out', num_shards=1)
    with open(str(tmp_path / 'out/.conversion/train-00000-of-00001.tfrecord.json')) as stream:
        note = json.load(stream)
    assert note['statistics']['images'] == 2
    assert note['bytes'] == os.path.getsize(str(tmp_path / 'out/train-00000-of-00001.tfrecord'))
