"""Record files: framing, shard names, counting, checking, scanning."""
import os
import shutil

import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import example_wire
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file
from tests.datasets import record_factory


def test_crc32c_of_known_answers():
    # Unmasked values of RFC 3720, appendix B.4, then masked by the rule of the format.
    for content, crc in ((bytes(32), 0x8a9136aa), (b'\xff' * 32, 0x62a8ab43)):
        masked = (((crc >> 15) | (crc << 17)) + 0xa282ead8) & 0xffffffff
        assert tfrecord_file.masked_crc32c(content) == masked


def test_files_agree_with_tensorflow_both_ways(tmp_path):
    contents = [b'', b'a', b'x' * 70000, bytes(range(256))]
    path = str(tmp_path / 'theirs')
    with tf.io.TFRecordWriter(path) as writer:
        for content in contents:
            writer.write(content)
    assert list(tfrecord_file.read(path)) == contents
    assert tfrecord_file.count(path) == tfrecord_file.verify(path) == 4
    own = str(tmp_path / 'own')
    assert tfrecord_file.write(own, iter(contents)) == 4
    assert list(tf.io.tf_record_iterator(own)) == contents
    with open(path, 'rb') as theirs, open(own, 'rb') as ours:
        assert theirs.read() == ours.read()


def test_empty_file_has_no_records(tmp_path):
    path = tmp_path / 'empty'
    path.write_bytes(b'')
    assert tfrecord_file.count(str(path)) == tfrecord_file.verify(str(path)) == 0


def test_failed_write_leaves_nothing(tmp_path):
    def contents():
        yield b'one'
        raise KeyError('stop')
    with pytest.raises(KeyError):
        tfrecord_file.write(str(tmp_path / 'shard'), contents())
    assert os.listdir(str(tmp_path)) == []


def _cut(path, size):
    with open(path, 'r+b') as stream:
        stream.truncate(size)


def _flip_byte(path, position):
    with open(path, 'r+b') as stream:
        stream.seek(position)
        byte = stream.read(1)
        stream.seek(position)
        stream.write(bytes([byte[0] ^ 0xff]))


@pytest.fixture
def shard(tmp_path):
    return record_factory.write_split(tmp_path, count=3, num_shards=1)[0]


def test_every_cut_is_found_by_the_cheap_check(shard, tmp_path):
    spans = tfrecord_file.spans(shard)
    size = os.path.getsize(shard)
    ends = [span.start + span.length + 4 for span in spans]
    assert ends[-1] == size
    for number, cut in enumerate([5, 11, 12, spans[0].start + 7, ends[0] + 1, ends[1] - 1,
                                  ends[1] + 12, size - 1]):
        copy = str(tmp_path / 'copy{}'.format(number))
        shutil.copy(shard, copy)
        _cut(copy, cut)
        index = sum(end <= cut for end in ends)
        message = '{}: record {} is cut short'.format(copy, index)
        with pytest.raises(errors.UserError, match=message):
            records.check_shards([copy])
    for clean in ends:
        copy = str(tmp_path / 'clean{}'.format(clean))
        shutil.copy(shard, copy)
        _cut(copy, clean)
        assert records.check_shards([copy], thorough=True) == ends.index(clean) + 1


def test_corrupt_header_is_found_by_the_cheap_check(shard):
    second = tfrecord_file.spans(shard)[1]
    _flip_byte(shard, second.start - 10)
    os.utime(shard, (1, 1))
    with pytest.raises(errors.UserError, match='record 1 has a corrupt length header'):
        records.check_shards([shard])


def test_corrupt_content_is_found_by_the_thorough_check(shard):
    third = tfrecord_file.spans(shard)[2]
    _flip_byte(shard, third.start + 40)
    assert records.check_shards([shard]) == 3
    with pytest.raises(errors.UserError, match='record 2 does not match its checksum'):
        records.check_shards([shard], thorough=True)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(errors.UserError, match='Cannot read .*gone'):
        tfrecord_file.count(str(tmp_path / 'gone'))


def test_shard_names():
    assert records.shard_name('val', 3, 10) == 'val-00003-of-00010.tfrecord'
    assert records.shard_paths('d', 'a', 2) == [
        os.path.join('d', 'a-0000{}-of-00002.tfrecord'.format(index)) for index in (0, 1)]


def _touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b'')


def _names(folder, split, **kwargs):
    return [os.path.basename(path) for path in records.list_shards(str(folder), split, **kwargs)]


def test_list_shards_takes_one_split_only(tmp_path):
    _touch(tmp_path, 'train-00000-of-00002.tfrecord', 'train-00001-of-00002.tfrecord',
           'train_aug-00000-of-00001.tfrecord', 'train-fine-00000-of-00001.tfrecord',
           'train-report.json', 'dataset.json')
    assert _names(tmp_path, 'train') == ['train-00000-of-00002.tfrecord',
                                         'train-00001-of-00002.tfrecord']
    assert records.splits_found(str(tmp_path)) == ['train', 'train-fine', 'train_aug']


def test_list_shards_numbered_from_one(tmp_path):
    names = ['val-0000{}-of-00003'.format(index) for index in (1, 2, 3)]
    _touch(tmp_path, *names)
    assert _names(tmp_path, 'val') == names


def test_list_shards_of_another_naming(tmp_path):
    _touch(tmp_path, 'val-a.rec', 'val-b.rec', 'val_c.rec')
    assert _names(tmp_path, 'val') == ['val-a.rec', 'val-b.rec']
    assert _names(tmp_path, 'val', pattern='%s_*') == ['val_c.rec']


def test_list_shards_errors(tmp_path):
    with pytest.raises(errors.UserError, match='No folder .*nowhere'):
        records.list_shards(str(tmp_path / 'nowhere'), 'train')
    with pytest.raises(errors.UserError, match='dataset_dir must name'):
        records.list_shards('', 'train')
    with pytest.raises(errors.UserError, match=r'No file matches .*train-\*: there are no shards'):
        records.list_shards(str(tmp_path), 'train')
    _touch(tmp_path, 'val-00000-of-00003.tfrecord', 'val-00002-of-00003.tfrecord')
    with pytest.raises(errors.UserError, match=r'train-\*: the splits there are val\.'):
        records.list_shards(str(tmp_path), 'train')
    with pytest.raises(errors.UserError, match='1 of 3 shards are missing: number 1'):
        records.list_shards(str(tmp_path), 'val')
    _touch(tmp_path, 'val-00000-of-00001.tfrecord')
    with pytest.raises(errors.UserError, match='several conversions are mixed'):
        records.list_shards(str(tmp_path), 'val')


def test_counts(tmp_path):
    shards = record_factory.write_split(tmp_path, count=7, num_shards=3)
    assert [tfrecord_file.count(path) for path in shards] == [3, 2, 2]
    assert records.count_records(shards) == 7


def test_a_changed_file_is_counted_again(tmp_path):
    shard = record_factory.write_split(tmp_path, count=4, num_shards=1)[0]
    assert tfrecord_file.count(shard) == 4
    record_factory.write_split(tmp_path, count=2, num_shards=1)
    assert tfrecord_file.count(shard) == 2


def test_wire_reader_agrees_with_protobuf():
    made = tf.train.Example()
    feature = made.features.feature
    feature['bytes'].bytes_list.value.extend([b'x' * 300, b''])
    feature['ints'].int64_list.value.extend([0, 1, 127, 128, 2 ** 40, -5])
    feature['floats'].float_list.value.extend([0.5, 2])
    feature['none'].bytes_list.value.extend([])
    content = b'before' + made.SerializeToString() + b'after'
    found = example_wire.read_features(content, 6, len(content) - 5)
    assert set(found) == {'bytes', 'ints', 'floats', 'none'}
    assert [content[value] for value in found['bytes']] == [b'x' * 300, b'']
    assert found['ints'] == [0, 1, 127, 128, 2 ** 40, -5]
    assert found['floats'] == found['none'] == []


@pytest.mark.parametrize('content', [b'\xff' * 9, b'\x0a\x05abc', b'\x0a\x02\x0a\x7f', b'hello'])
def test_wire_reader_refuses_other_content(content):
    with pytest.raises(ValueError):
        example_wire.read_features(content)


def test_scan(tmp_path):
    path = str(tmp_path / 'shard')
    tfrecord_file.write(path, [record_factory.example(0, 20, 30),
                               record_factory.example(1, 50, 10, with_label=False)])
    assert records.scan(path) == (records.RecordInfo('picture0', 20, 30, True),
                                  records.RecordInfo('picture1', 50, 10, False))
    assert records.image_sizes([path]) == {(20, 30): 'picture0', (50, 10): 'picture1'}
    assert records.largest_image([path]) == (50, 30)
    keys, record = records.first_record([path])
    assert keys is records.REFERENCE_KEYS and record.name == 'picture0'
    names = [(record.name, len(record.label) > 0) for record in records.read(path)]
    assert names == [('picture0', True), ('picture1', False)]
    assert next(records.read(path)).image == record.image


def test_scan_of_the_other_record_format(tmp_path):
    image, _ = record_factory.picture(0, 12, 17)
    made = tf.train.Example()
    made.features.feature['image'].bytes_list.value.append(record_factory.encode(image, 'JPEG'))
    made.features.feature['label'].bytes_list.value.append(b'label')
    path = str(tmp_path / 'shard')
    tfrecord_file.write(path, [made.SerializeToString()])
    keys, record = records.first_record([path])
    assert keys is records.TF_DEEPLABV3_KEYS
    assert record == next(records.read(path))
    assert record[:3] == (path + ' record 0', 12, 17) and record.label == b'label'
    assert records.scan(path) == (records.RecordInfo(path + ' record 0', 12, 17, True),)


def test_scan_errors(tmp_path):
    path = str(tmp_path / 'shard')
    made = tf.train.Example()
    made.features.feature['text'].bytes_list.value.append(b'hello')
    tfrecord_file.write(path, [record_factory.example(0), made.SerializeToString()])
    with pytest.raises(errors.UserError, match='shard record 1: not a record of an image.*text'):
        records.scan(path)
    tfrecord_file.write(path, [b'\xff\xff'])
    with pytest.raises(errors.UserError, match='shard record 0: cannot be parsed'):
        records.scan(path)
    tfrecord_file.write(path, [])
    with pytest.raises(errors.UserError, match='No record in 1 shard'):
        records.largest_image([path])
