"""One image with its label: read once, checked to the end, made ready to be stored.

Pictures that the input pipeline reads as they are go into the records byte for byte. Their size
comes from the header; that they are whole is checked in the cheapest way that is sure: the
checksums of a PNG, a decoding of a JPEG at an eighth of its size (the entropy coding is read to the
end, the costly transforms are not).
"""
import collections
import io

import numpy as np
from PIL import Image
from PIL import ImageOps

from deeplab.datasets import conversion_files
from deeplab.datasets import conversion_labels
from deeplab.datasets.conversion_labels import PairError

# Photographs of any honest size are fine.
Image.MAX_IMAGE_PIXELS = None

ORIENTATIONS = ('auto', 'apply', 'keep')
_EXIF_ORIENTATION = 274
_TURNED_BY_90 = (5, 6, 7, 8)
_JPEG_QUALITY = 95
_PNG_DEPTH_BYTE = 24
# MPO is a JPEG with further pictures behind the first, as some cameras write it.
_JPEG_FORMATS = ('JPEG', 'MPO')
_STORED_MODES = ('L', 'RGB')
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, MemoryError)

# A pair ready to be stored. `label` (bytes) and `histogram` (int64 [256]) are None without label.
Prepared = collections.namedtuple('Prepared', [
    'name', 'image', 'height', 'width', 'label', 'histogram'])
# A pair that cannot be stored, and why.
Rejected = collections.namedtuple('Rejected', ['name', 'reason'])


class Rules(collections.namedtuple('Rules', ['labels', 'orientation'])):
    """How pairs are made ready.

    Fields:
        labels: conversion_labels.LabelRules.
        orientation: what becomes of images whose EXIF data say they are turned. 'apply' turns them
            upright; 'keep' stores them as they are; 'auto' turns them upright unless the label has
            the size of the picture as stored and not of the picture turned.
    """

    __slots__ = ()


def _read(path, kind):
    try:
        return conversion_files.read_bytes(path)
    except OSError as error:
        raise PairError('{}: this {} cannot be read ({}).'.format(path, kind, error))


def _orientation_tag(picture):
    # Reading the tags of a PNG would decode it; cameras turn JPEG files.
    return picture.getexif().get(_EXIF_ORIENTATION, 1) if picture.format in _JPEG_FORMATS else 1


def _turn(tag, size, label_size, orientation):
    """Whether to turn the image upright, and its size after that."""
    if tag not in range(2, 9) or orientation == 'keep':
        return False, size
    upright = size[::-1] if tag in _TURNED_BY_90 else size
    if orientation == 'auto' and label_size == size and label_size != upright:
        return False, size
    return True, upright


def _is_stored_as_it_is(picture, content):
    if picture.mode not in _STORED_MODES:
        return False
    if picture.format == 'PNG':
        return content[_PNG_DEPTH_BYTE] == 8
    return picture.format in _JPEG_FORMATS


def _check_to_the_end(picture):
    if picture.format == 'PNG':
        picture.verify()
        return
    picture.draft(picture.mode, (max(1, picture.width // 8), max(1, picture.height // 8)))
    picture.load()


def _to_eight_bits(picture):
    if picture.mode.startswith('I'):
        return Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    return picture.convert('RGB')


def _encode_again(picture, turned):
    picture.load()
    is_photograph = picture.format in _JPEG_FORMATS
    if turned:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode not in _STORED_MODES:
        picture = _to_eight_bits(picture)
    stream = io.BytesIO()
    if is_photograph:
        picture.save(stream, 'JPEG', quality=_JPEG_QUALITY, subsampling=0)
    else:
        picture.save(stream, 'PNG')
    return stream.getvalue()


def _prepare_image(content, path, label_size, rules):
    """Returns (bytes to store, (height, width))."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            size = picture.height, picture.width
            turned, size = _turn(_orientation_tag(picture), size, label_size, rules.orientation)
            if label_size and label_size != size:
                raise PairError('{}: image of {}x{} pixels (height x width), but its label is of '
                                '{}x{}.'.format(path, *(size + label_size)))
            if turned or not _is_stored_as_it_is(picture, content):
                return _encode_again(picture, turned), size
            _check_to_the_end(picture)
            return content, size
    except PairError:
        raise
    except _BROKEN as error:
        raise PairError('{}: this image cannot be read to its end ({}).'.format(path, error))


def prepare(pair, rules: Rules):
    """Reads and checks one pair.

    Args:
        pair: conversion_pairs.Pair.
        rules: Rules.

    Returns:
        Prepared, or Rejected with one line that names the file, what was found and what is
        expected.
    """
    label = histogram = label_size = None
    try:
        if pair.label is not None:
            label, label_size, histogram = conversion_labels.prepare_label(
                _read(pair.label, 'label'), pair.label, rules.labels)
        image, (height, width) = _prepare_image(
            _read(pair.image, 'image'), pair.image, label_size, rules)
    except PairError as error:
        return Rejected(pair.name, str(error))
    return Prepared(pair.name, image, height, width, label, histogram)
