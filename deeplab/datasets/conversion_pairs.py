"""Which image goes with which label: from folders, list files and random splits."""
import collections
import os

import numpy as np

from deeplab import errors
from deeplab.datasets import conversion_files

IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# No JPEG: it does not keep label values.
LABEL_EXTENSIONS = ('.png', '.bmp', '.tif', '.tiff', '.gif')

_NAMES_IN_MESSAGE = 3


class Pair(collections.namedtuple('Pair', ['name', 'image', 'label'])):
    """One image to convert.

    Fields:
        name: the image's name in the records and in messages.
        image: path of the image file (see `conversion_files`).
        label: path of the label file, None for a picture without label.
    """

    __slots__ = ()


def _some(names):
    shown = ', '.join(names[:_NAMES_IN_MESSAGE])
    return shown + (', ...' if len(names) > _NAMES_IN_MESSAGE else '')


def find_pictures(folder: str, flag: str, extensions=IMAGE_EXTENSIONS, suffix: str = '',
                  preferred: str = None) -> dict:
    """Finds the picture files of a folder and its subfolders.

    Args:
        folder: a folder, in the file system or in an archive.
        flag: the flag that named it, for messages.
        extensions: accepted ones, lower case; they match in any case.
        suffix: what file names have before the extension, beyond the name: '_leftImg8bit'.
        preferred: extension to take where a name occurs with several, e.g. '.png'.

    Returns:
        dict from name (path below the folder without suffix and extension) to path, by name.

    Raises:
        UserError: no such folder; no picture in it; two files of one name.
    """
    found = collections.OrderedDict()
    for path in conversion_files.list_files(folder, flag):
        stem, extension = os.path.splitext(path)
        if extension.lower() not in extensions or not stem.endswith(suffix):
            continue
        name = stem[:len(stem) - len(suffix)]
        if name in found and extension.lower() != preferred:
            if os.path.splitext(found[name])[1].lower() == preferred:
                continue
            raise errors.UserError('{}={}: {} and {} have the same name. Keep one of them.'.format(
                flag, folder, found[name], path))
        found[name] = path
    if not found:
        raise errors.UserError('{}={}: no picture in this folder (looked for *{} with the '
                               'extensions {}).'.format(flag, folder, suffix, ' '.join(extensions)))
    return collections.OrderedDict(
        (name, '/'.join([folder.rstrip('/'), path])) for name, path in found.items())


def by_basename(pictures: dict, flag: str) -> dict:
    """Names pictures by their file alone, without the subfolder.

    Raises:
        UserError: when files of two subfolders then have the same name.
    """
    renamed = collections.OrderedDict()
    for name, path in pictures.items():
        short = name.rsplit('/', 1)[-1]
        if short in renamed:
            raise errors.UserError('{}: {} and {} have the same name.'.format(
                flag, renamed[short], path))
        renamed[short] = path
    return renamed


def match(images: dict, labels: dict, label_folder: str) -> list:
    """Pairs every image with the label of the same name.

    Raises:
        UserError: images without label, counted, the first of them named.
    """
    without = [name for name in images if name not in labels]
    if without:
        raise errors.UserError('{} of {} images have no label in {}: {}.'.format(
            len(without), len(images), label_folder, _some(without)))
    return [Pair(name, path, labels[name]) for name, path in images.items()]


def without_labels(images: dict) -> list:
    """Pairs of a split that has no labels."""
    return [Pair(name, path, None) for name, path in images.items()]


def read_list(path: str) -> list:
    """Reads a list file: one name a line, with or without the extension of a picture.

    Raises:
        UserError: when it cannot be read, is empty, or names a picture twice.
    """
    try:
        with open(path, encoding='utf-8') as stream:
            lines = [line.strip() for line in stream]
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UserError('{}: cannot read this list ({}).'.format(path, error))
    names = []
    for line in filter(None, lines):
        stem, extension = os.path.splitext(line)
        names.append(stem if extension.lower() in IMAGE_EXTENSIONS else line)
    if not names:
        raise errors.UserError('{}: this list names no pictures.'.format(path))
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise errors.UserError('{}: names {} picture(s) more than once: {}.'.format(
            path, len(twice), _some(twice)))
    return names


def lists_in(folder: str, flag: str = '--list_folder') -> dict:
    """Returns the list files of a folder: split name -> path, for every *.txt in it.

    Raises:
        UserError: no such folder, or no list in it.
    """
    if not os.path.isdir(folder):
        raise errors.UserError('{}={}: there is no such folder.'.format(flag, folder))
    lists = collections.OrderedDict(
        (os.path.splitext(name)[0], os.path.join(folder, name))
        for name in sorted(os.listdir(folder)) if name.endswith('.txt'))
    if not lists:
        raise errors.UserError('{}={}: no list (*.txt) in this folder; expected one file a split, '
                               'such as train.txt.'.format(flag, folder))
    return lists


def pick(names: list, pictures: dict, list_path: str, kind: str, folder: str) -> dict:
    """Takes the listed pictures, in the order of the list.

    Args:
        names: from `read_list`.
        pictures: from `find_pictures`.
        list_path: the list, for the message.
        kind: 'image' or 'label', for the message.
        folder: where `pictures` were found, for the message.

    Raises:
        UserError: names that are not there, counted, the first of them named.
    """
    absent = [name for name in names if name not in pictures]
    if absent:
        raise errors.UserError('{} names {} {}(s) that are not in {}: {}.'.format(
            list_path, len(absent), kind, folder, _some(absent)))
    return collections.OrderedDict((name, pictures[name]) for name in names)


def random_split(pairs: list, shares: dict, seed: int) -> dict:
    """Deals pairs out to splits at random, the same way for the same seed and names.

    Args:
        pairs: list of Pair.
        shares: split name -> share of the pairs in (0, 1); what remains goes to 'train'.
        seed: of the order.

    Returns:
        split name -> list of Pair, each at least one, 'train' first.

    Raises:
        UserError: when the shares leave nothing for training or there are too few pairs.
    """
    counts = collections.OrderedDict(
        (split, max(1, int(round(share * len(pairs))))) for split, share in shares.items() if share)
    rest = len(pairs) - sum(counts.values())
    if rest < 1:
        raise errors.UserError('Of {} pictures, {} leave none for training.'.format(
            len(pairs), ' and '.join('{} for {}'.format(count, split)
                                     for split, count in counts.items())))
    order = np.random.RandomState(seed).permutation(len(pairs))
    dealt = collections.OrderedDict(train=order[:rest])
    start = rest
    for split, count in counts.items():
        dealt[split] = order[start:start + count]
        start += count
    ordered = sorted(pairs, key=lambda pair: pair.name)
    return collections.OrderedDict(
        (split, [ordered[index] for index in indices]) for split, indices in dealt.items())


def shuffled(pairs: list, seed: int = 0) -> list:
    """Returns the pairs in a random order that depends on the seed alone."""
    return [pairs[index] for index in np.random.RandomState(seed).permutation(len(pairs))]
