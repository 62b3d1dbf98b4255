"""The record format: what a record holds, how shards are named, found, counted and checked.

A data set is a folder of TFRecord files `<split>-<index>-of-<count>.tfrecord`. Each record is a
`tf.train.Example` with one encoded image and, but for test splits, one encoded label image. Records
of tf-deeplabv3 (features `image` and `label`, shards numbered from 1) are read as well.
"""
import collections
import functools
import io
import os
import re

from PIL import Image
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import example_wire
from deeplab.datasets import tfrecord_file

# Feature names of one record format; None where the format has no such feature.
RecordKeys = collections.namedtuple('RecordKeys', [
    'image', 'image_format', 'name', 'height', 'width', 'channels', 'label', 'label_format'])

REFERENCE_KEYS = RecordKeys(
    image='image/encoded',
    image_format='image/format',
    name='image/filename',
    height='image/height',
    width='image/width',
    channels='image/channels',
    label='image/segmentation/class/encoded',
    label_format='image/segmentation/class/format')
TF_DEEPLABV3_KEYS = RecordKeys(
    image='image', image_format=None, name='filename', height='height', width='width',
    channels=None, label='label', label_format=None)
_KNOWN_FORMATS = (REFERENCE_KEYS, TF_DEEPLABV3_KEYS)

# One whole record; `label` is b'' where there is none.
Record = collections.namedtuple('Record', ['name', 'height', 'width', 'image', 'label'])

# What the header of one record says, pictures untouched.
RecordInfo = collections.namedtuple('RecordInfo', ['name', 'height', 'width', 'has_label'])

DEFAULT_PATTERN = '%s-*'
_SHARD_NAME = re.compile(r'^(?P<split>.+)-(?P<index>\d+)-of-(?P<count>\d+)'
                         r'(?P<rest>(\.tfrecords?)?)$')


def shard_name(split: str, index: int, count: int) -> str:
    """Returns the file name of one shard, `index` counted from 0: 'val-00000-of-00004.tfrecord'."""
    return '{}-{:05d}-of-{:05d}.tfrecord'.format(split, index, count)


def shard_paths(folder: str, split: str, count: int, first: int = 0) -> list:
    """Returns the paths of all `count` shards of a split, in order, numbered from `first`."""
    return [os.path.join(folder, shard_name(split, index, count))
            for index in range(first, first + count)]


def is_shard(name: str) -> bool:
    """Whether a file is named like a shard of some split."""
    return bool(_SHARD_NAME.match(name))


def splits_found(folder: str) -> list:
    """Returns the names of the splits that have shards in `folder`, sorted."""
    if not folder or not tf.gfile.IsDirectory(folder):
        return []
    matches = (_SHARD_NAME.match(name) for name in tf.gfile.ListDirectory(folder))
    return sorted({match.group('split') for match in matches if match})


def list_shards(folder: str, split: str, pattern: str = DEFAULT_PATTERN) -> list:
    """Returns the sorted paths of a split's shards.

    Args:
        folder: folder of the records.
        split: name of the split.
        pattern: file name pattern with one %s for the split.

    Raises:
        UserError: when nothing matches (naming the pattern and the splits that are there), when
            shards of the set are missing, or when shards of two conversions are mixed.
    """
    if not folder:
        raise errors.UserError('dataset_dir must name the folder of the TFRecords; it is empty.')
    file_pattern = os.path.join(folder, pattern % split)
    if not tf.gfile.IsDirectory(folder):
        raise errors.UserError('No folder {} (looking for {}). dataset_dir must name the folder of '
                               'the TFRecords.'.format(folder, file_pattern))
    paths = sorted(tf.gfile.Glob(file_pattern))
    regular = [path for path in paths if _belongs_to(path, split)]
    if regular:
        _check_complete(regular)
        return regular
    if not paths:
        found = splits_found(folder)
        raise errors.UserError('No file matches {}: {}'.format(file_pattern, (
            'the splits there are {}.'.format(', '.join(found)) if found
            else 'there are no shards in that folder.')))
    return paths


def _belongs_to(path, split):
    match = _SHARD_NAME.match(os.path.basename(path))
    return bool(match) and match.group('split') == split


def _check_complete(paths):
    matches = [_SHARD_NAME.match(os.path.basename(path)) for path in paths]
    kinds = sorted({(match.group('count'), match.group('rest')) for match in matches})
    folder = os.path.dirname(paths[0])
    if len(kinds) > 1:
        raise errors.UserError(
            '{}: shards of several conversions are mixed ({}). Remove the stale ones.'.format(
                folder, ', '.join('*-of-{}{}'.format(*kind) for kind in kinds)))
    count = int(kinds[0][0])
    there = {int(match.group('index')) for match in matches}
    # Some converters number shards from 1.
    first = 1 if count in there and 0 not in there else 0
    missing = sorted(set(range(first, first + count)) - there)
    if missing:
        raise errors.UserError(
            '{}: {} of {} shards are missing: number {}. Copy or convert them again.'.format(
                folder, len(missing), count, ', '.join(str(index) for index in missing[:10])))


def count_records(shards) -> int:
    """Returns the number of records in these shards, by their length headers.

    Raises:
        UserError: naming shard and record index, when a shard is cut short or corrupt.
    """
    return sum(tfrecord_file.count(shard) for shard in shards)


def check_shards(shards, thorough: bool = False) -> int:
    """Checks that shards can be read to the end.

    Args:
        shards: paths.
        thorough: False walks the length headers (finds files cut short, costs next to nothing);
            True checks the checksum of every byte as well.

    Returns:
        The number of records.

    Raises:
        UserError: naming shard and record index.
    """
    return sum((tfrecord_file.verify if thorough else tfrecord_file.count)(path)
               for path in shards)


def _header_size(encoded):
    try:
        width, height = Image.open(io.BytesIO(encoded)).size
    except (IOError, SyntaxError, ValueError):
        return 0, 0
    return height, width


def _record(content, features, keys, fallback_name):
    """Returns a `Record` whose pictures are slices of `content`."""
    def get(key, default):
        values = features.get(key) if key else None
        return values[0] if values else default

    nothing = slice(0, 0)
    image = get(keys.image, nothing)
    height, width = get(keys.height, 0), get(keys.width, 0)
    if not height or not width:
        height, width = _header_size(content[image])
    name = content[get(keys.name, nothing)].decode('utf-8', 'replace')
    return Record(name or fallback_name, height, width, image, get(keys.label, nothing))


def _keys_of(features, where):
    for keys in _KNOWN_FORMATS:
        if keys.image in features:
            return keys
    raise errors.UserError(
        '{}: not a record of an image: it has the features {}; expected {}.'.format(
            where, ', '.join(sorted(features)) or '(none)',
            ' or '.join(repr(keys.image) for keys in _KNOWN_FORMATS)))


def _read(content, span, path, index):
    """Returns (RecordKeys, Record) of one record; its pictures are slices of `content`."""
    where = '{} record {}'.format(path, index)
    try:
        features = example_wire.read_features(content, span.start, span.start + span.length)
    except ValueError as error:
        raise errors.UserError('{}: cannot be parsed ({}).'.format(where, error))
    keys = _keys_of(features, where)
    return keys, _record(content, features, keys, where)


def read(path: str):
    """Yields every `Record` of a shard, its pictures as encoded bytes.

    Raises:
        UserError: naming shard and record index, when a record is damaged or of another format.
    """
    with tfrecord_file.open_bytes(path) as content:
        for index, span in enumerate(tfrecord_file.walk(content, path)):
            _, record = _read(content, span, path, index)
            yield record._replace(image=content[record.image], label=content[record.label])


def scan(path: str) -> tuple:
    """Returns the `RecordInfo` of every record of one shard; remembered until the file changes.

    Raises:
        UserError: naming shard and record index, when a record is damaged or of another format.
    """
    return _scan(path, tfrecord_file.spans(path))


@functools.lru_cache(maxsize=4096)
def _scan(path, spans):
    infos = []
    with tfrecord_file.open_bytes(path) as content:
        for index, span in enumerate(spans):
            _, record = _read(content, span, path, index)
            infos.append(RecordInfo(record.name, record.height, record.width,
                                    has_label=record.label.stop > record.label.start))
    return tuple(infos)


def first_record(shards):
    """Returns (RecordKeys, Record) of the first record of these shards.

    Raises:
        UserError: when the shards hold no record at all.
    """
    for path in shards:
        spans = tfrecord_file.spans(path)
        if spans:
            with tfrecord_file.open_bytes(path) as content:
                keys, record = _read(content, spans[0], path, 0)
                return keys, record._replace(image=content[record.image],
                                             label=content[record.label])
    raise errors.UserError('No record in {} shard(s), the first being {}.'.format(
        len(shards), shards[0] if shards else '(none)'))


def image_sizes(shards) -> dict:
    """Returns {(height, width): name of one image of that size} over all records."""
    return {(info.height, info.width): info.name for path in shards for info in scan(path)}


def largest_image(shards) -> tuple:
    """Returns (largest height, largest width) over all records; they may be of two images."""
    sizes = image_sizes(shards)
    if not sizes:
        first_record(shards)
    return max(height for height, _ in sizes), max(width for _, width in sizes)
