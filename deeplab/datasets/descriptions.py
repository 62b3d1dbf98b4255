"""Data set descriptions: everything a program must know of a data set, in one small JSON file.

    {"name": "camvid", "splits": {"train": 367, "val": 101}, "num_classes": 11, "ignore_label": 11,
     "class_names": ["sky", ...], "colormap": "camvid"}

`splits` gives the number of images of each split, or null where it is to be counted from the
records; a plain list of names does as well. Optional: `title`, `class_names`, `colormap` (a name
known to `deeplab.utils.get_dataset_colormap` or a list of [red, green, blue]), `shard_pattern`
(file name pattern with one %s for the split), `eval_crop` (the [height, width] its pictures were
evaluated at), `parts` (names of the data sets it is joined from), `also_called` (further names) and
`report` (what the converter found).

A converter writes such a file, `dataset.json`, beside the shards: a converted folder describes
itself. Descriptions that ship with the program lie in `descriptions_data/`.
"""
import collections
import functools
import json
import os

import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import records

FILE_NAME = 'dataset.json'
DEFAULT_IGNORE_LABEL = 255
DEFAULT_COLORMAP = 'pascal'
_SHIPPED_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'descriptions_data')
_MAX_CLASSES = 256

_FIELDS = ('name', 'splits_to_sizes', 'num_classes', 'ignore_label', 'class_names', 'colormap',
           'title', 'shard_pattern', 'report', 'eval_crop', 'parts', 'also_called')
# Fields of the JSON whose name differs from the attribute's.
_SPLITS_KEY = 'splits'
_REQUIRED_KEYS = ('name', _SPLITS_KEY, 'num_classes')


class Description(collections.namedtuple('Description', _FIELDS)):
    """One data set; immutable, change it by `_replace`.

    Fields:
        name: short name, as given to --dataset.
        splits_to_sizes: dict from split name to number of images, None where not known.
        num_classes: number of classes, an ignored class 0 (ADE20K) included.
        ignore_label: label value that is not trained or evaluated on.
        class_names: tuple of `num_classes` names, or () where not known.
        colormap: name of a colormap, or a tuple of (red, green, blue) in label order.
        title: one line for people.
        shard_pattern: file name pattern of shards with one %s for the split.
        report: dict of what the converter found; {} where not known.
        eval_crop: (height, width) that holds every picture; None where not known.
        parts: tuple of the names of the data sets this one is joined from; () for none.
        also_called: tuple of further names.
    """

    __slots__ = ()

    def __new__(cls, name, splits_to_sizes, num_classes, ignore_label=DEFAULT_IGNORE_LABEL,
                class_names=(), colormap=DEFAULT_COLORMAP, title='',
                shard_pattern=records.DEFAULT_PATTERN, report=None, eval_crop=None, parts=(),
                also_called=()):
        if isinstance(colormap, (list, tuple)):
            colormap = tuple(tuple(color) for color in colormap)
        return super(Description, cls).__new__(
            cls, name, dict(splits_to_sizes), num_classes, ignore_label, tuple(class_names),
            colormap, title, shard_pattern, dict(report or {}),
            tuple(eval_crop) if eval_crop else None, tuple(parts), tuple(also_called))

    def class_name(self, label: int) -> str:
        """Returns the name of a class, its number where it has none."""
        return self.class_names[label] if label < len(self.class_names) else str(label)

    def shards(self, split: str, dataset_dir: str) -> list:
        """Returns the sorted shard paths of a split.

        Raises:
            UserError: for a split that is neither described nor there; as `records.list_shards`.
        """
        if split not in self.splits_to_sizes and split not in records.splits_found(dataset_dir):
            raise errors.UserError('Data set {} has no split {!r}; its splits are {}.{}'.format(
                self.name, split, ', '.join(sorted(self.splits_to_sizes)),
                errors.nearest(split, self.splits_to_sizes)))
        return records.list_shards(dataset_dir, split, self.shard_pattern)

    def split_size(self, split: str, dataset_dir: str = None) -> int:
        """Returns the number of images of a split, counted from its records where not given."""
        size = self.splits_to_sizes.get(split)
        if size is None:
            size = records.count_records(self.shards(split, dataset_dir))
        return size


def known_names() -> list:
    """Returns the names of the data sets that ship with the program, sorted."""
    return sorted(name[:-len('.json')] for name in os.listdir(_SHIPPED_FOLDER)
                  if name.endswith('.json'))


@functools.lru_cache(maxsize=1)
def known_aliases() -> dict:
    """Returns further names of the data sets that ship with the program: alias -> name."""
    return {alias: name for name in known_names()
            for alias in read(_shipped_path(name)).also_called}


def _shipped_path(name):
    return os.path.join(_SHIPPED_FOLDER, name + '.json')


def load(name_or_path: str, dataset_dir: str = None) -> Description:
    """Finds the description of a data set.

    Args:
        name_or_path: a known name, the path of a description, or a folder that holds a
            `dataset.json`; a `Description` is returned as it is.
        dataset_dir: folder of the records. A `dataset.json` in it, as converters write it, is
            taken for a name that is not known; for a known name its split sizes and report win.

    Raises:
        UserError: for an unknown name (listing the known ones), a file that is not a description,
            or a `dataset.json` in `dataset_dir` that contradicts the named data set.
    """
    if isinstance(name_or_path, Description):
        return name_or_path
    path = _description_path(name_or_path)
    beside = _beside(dataset_dir)
    if path:
        description = read(path)
    elif name_or_path in known_names():
        description = read(_shipped_path(name_or_path))
    elif name_or_path in known_aliases():
        description = read(_shipped_path(known_aliases()[name_or_path]))
    elif beside is not None and beside.name == name_or_path:
        return beside
    else:
        raise _unknown(name_or_path, beside)
    if beside is None:
        return description
    return _merged(description, beside, dataset_dir)


def _description_path(name_or_path):
    if name_or_path.endswith('.json'):
        return name_or_path
    inside = os.path.join(name_or_path, FILE_NAME)
    if name_or_path and tf.gfile.Exists(inside):
        return inside
    return None


def _beside(dataset_dir):
    path = os.path.join(dataset_dir, FILE_NAME) if dataset_dir else ''
    return read(path) if path and tf.gfile.Exists(path) else None


def _unknown(name, beside):
    names = known_names() + list(known_aliases()) + ([beside.name] if beside is not None else [])
    known = sorted(set(names))
    return errors.UserError(
        'Unknown data set {!r}; known are {}, or give the path of a description (a JSON file).{}'
        .format(name, ', '.join(known), errors.nearest(name, known)))


def _merged(description, beside, dataset_dir):
    for field in ('num_classes', 'ignore_label'):
        wanted, found = getattr(description, field), getattr(beside, field)
        if wanted != found:
            raise errors.UserError(
                'Data set {} has {} {}, but {} (of data set {}) says {}. Give --dataset={} or '
                'another dataset_dir.'.format(
                    description.name, field, wanted, os.path.join(dataset_dir, FILE_NAME),
                    beside.name, found, beside.name))
    sizes = dict(description.splits_to_sizes)
    sizes.update(beside.splits_to_sizes)
    return description._replace(splits_to_sizes=sizes, report=beside.report,
                                shard_pattern=beside.shard_pattern)


def read(path: str) -> Description:
    """Reads one description file.

    Raises:
        UserError: when it is missing, not JSON, or not a valid description.
    """
    try:
        with tf.gfile.GFile(path, 'r') as stream:
            content = json.loads(stream.read())
    except tf.errors.OpError:
        raise errors.UserError('Cannot read the data set description {}.'.format(path))
    except ValueError as error:
        raise errors.UserError('{} is not JSON: {}.'.format(path, error))
    return from_dict(content, path)


def from_dict(content: dict, where: str = 'description') -> Description:
    """Makes a `Description` of the content of its JSON file.

    Raises:
        UserError: naming `where`, the key, what was found and what is expected.
    """
    if not isinstance(content, dict):
        raise errors.UserError('{}: expected a JSON object, got {}.'.format(
            where, type(content).__name__))
    _check_keys(content, where)
    values = {key: value for key, value in content.items() if value is not None}
    splits = values.pop(_SPLITS_KEY)
    if isinstance(splits, (list, tuple)):
        splits = dict.fromkeys(splits)
    _check_values(values, splits, where)
    return Description(splits_to_sizes=splits, **values)


def _check_keys(content, where):
    known = [key for key in _FIELDS if key != 'splits_to_sizes'] + [_SPLITS_KEY]
    for key in sorted(content):
        if key not in known:
            raise errors.UserError('{}: unknown key {!r}; known are {}.{}'.format(
                where, key, ', '.join(known), errors.nearest(key, known)))
    for key in _REQUIRED_KEYS:
        if content.get(key) is None:
            raise errors.UserError('{}: key {!r} is missing.'.format(where, key))


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_color(color):
    return (isinstance(color, (list, tuple)) and len(color) == 3
            and all(_is_count(level) and level <= 255 for level in color))


def _is_colormap(value):
    return isinstance(value, str) or (
        isinstance(value, (list, tuple)) and all(_is_color(color) for color in value))


def _are_names(value):
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) and name
                                                    for name in value)


def _check_values(values, splits, where):
    num_classes = values['num_classes']
    checks = (
        ('name', lambda value: isinstance(value, str) and value, 'a text'),
        ('num_classes', lambda value: _is_count(value) and 2 <= value <= _MAX_CLASSES,
         'a number from 2 to {}'.format(_MAX_CLASSES)),
        ('ignore_label', lambda value: _is_count(value) and value <= 255, 'a number from 0 to 255'),
        ('class_names', lambda value: isinstance(value, (list, tuple)) and
         len(value) in (0, num_classes), '{} names, one a class'.format(num_classes)),
        ('colormap', _is_colormap, 'a name or a list of [red, green, blue] in 0..255'),
        ('title', lambda value: isinstance(value, str), 'a text'),
        ('shard_pattern', lambda value: isinstance(value, str) and value.count('%s') == 1
         and value.count('%') == 1, 'a file name with one %s for the split'),
        ('report', lambda value: isinstance(value, dict), 'a JSON object'),
        ('eval_crop', lambda value: isinstance(value, (list, tuple)) and len(value) == 2 and
         all(_is_count(side) and side for side in value), '[height, width]'),
        ('parts', _are_names, 'a list of names'),
        ('also_called', _are_names, 'a list of names'),
    )
    for key, is_valid, expected in checks:
        if key in values and not is_valid(values[key]):
            raise errors.UserError('{}: {!r} must be {}, got {!r}.'.format(
                where, key, expected, values[key]))
    if not isinstance(splits, dict) or not all(
            size is None or _is_count(size) for size in splits.values()):
        raise errors.UserError('{}: {!r} must map each split to its number of images or null, '
                               'got {!r}.'.format(where, _SPLITS_KEY, splits))


def to_dict(description: Description) -> dict:
    """Returns what `save` writes, in the order people read it."""
    content = collections.OrderedDict(name=description.name)
    if description.title:
        content['title'] = description.title
    content[_SPLITS_KEY] = description.splits_to_sizes
    for field in ('num_classes', 'ignore_label', 'class_names', 'colormap'):
        content[field] = getattr(description, field)
    if description.shard_pattern != records.DEFAULT_PATTERN:
        content['shard_pattern'] = description.shard_pattern
    for field in ('eval_crop', 'parts', 'also_called'):
        if getattr(description, field):
            content[field] = getattr(description, field)
    if description.report:
        content['report'] = description.report
    return content


def save(description: Description, path: str) -> None:
    """Writes a description as a whole or not at all (temporary name, then renamed).

    Args:
        description: a `Description`.
        path: file to write; in a folder of records, `dataset.json`.
    """
    text = json.dumps(to_dict(description), indent=2, ensure_ascii=False) + '\n'
    from_dict(json.loads(text), path)
    temporary = '{}.tmp-{}'.format(path, os.getpid())
    try:
        with tf.gfile.GFile(temporary, 'w') as stream:
            stream.write(text)
        tf.gfile.Rename(temporary, path, overwrite=True)
    finally:
        if tf.gfile.Exists(temporary):
            tf.gfile.Remove(temporary)
