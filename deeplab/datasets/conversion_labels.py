"""Label pictures as labels: every kind of PNG turned into numbers, renumbered, and checked."""
import collections
import io
import json

import numpy as np
from PIL import Image

from deeplab import errors
from deeplab.datasets import build_data

_EVERYTHING_ELSE = '*'
_MAX_SOURCE = 65535
_PNG_GREY = 0


class PairError(ValueError):
    """What is wrong with one image or its label; becomes a UserError unless the pair is skipped."""


class ClassMap(collections.namedtuple('ClassMap', ['numbers', 'colors', 'otherwise'])):
    """How the labels of a source become classes.

    Fields:
        numbers: dict from source value 0..65535 to class.
        colors: dict from source colour (red, green, blue) to class.
        otherwise: class of everything that is not listed; None makes that an error.
    """

    __slots__ = ()

    def table(self):
        """Returns int64 [65536]: the class of each source value, -1 where there is none."""
        fallback = -1 if self.otherwise is None else self.otherwise
        table = np.full(_MAX_SOURCE + 1, fallback, np.int64)
        for source, target in self.numbers.items():
            table[source] = target
        return table


def parse_class_map(content: dict, where: str) -> ClassMap:
    """Makes a `ClassMap` of JSON: {"7": 0, "128,64,128": 1, "*": 255}.

    Raises:
        UserError: naming `where` and the entry.
    """
    numbers, colors, otherwise = {}, {}, None
    if not isinstance(content, dict):
        raise errors.UserError('{}: expected a JSON object such as {{"7": 0, "*": 255}}.'.format(
            where))
    for key, target in content.items():
        if not isinstance(target, int) or not 0 <= target <= 255:
            raise errors.UserError('{}: {!r} must become a class number in 0..255, not {!r}.'
                                   .format(where, key, target))
        parts = [part.strip() for part in str(key).split(',')]
        if parts == [_EVERYTHING_ELSE]:
            otherwise = target
        elif len(parts) == 1 and parts[0].isdigit() and int(parts[0]) <= _MAX_SOURCE:
            numbers[int(parts[0])] = target
        elif len(parts) == 3 and all(part.isdigit() and int(part) <= 255 for part in parts):
            colors[tuple(int(part) for part in parts)] = target
        else:
            raise errors.UserError(
                '{}: {!r} is neither a label value nor a colour "red,green,blue" nor "*".'.format(
                    where, key))
    return ClassMap(numbers, colors, otherwise)


def read_class_map(path: str) -> ClassMap:
    """Reads a `ClassMap` from a JSON file; errors as `parse_class_map`."""
    return parse_class_map(read_json(path), path)


def read_json(path: str):
    """Returns the content of the JSON file that --class_map names; UserError where it has none."""
    try:
        with open(path, encoding='utf-8') as stream:
            return json.load(stream)
    except OSError as error:
        raise errors.UserError('--class_map={}: {}.'.format(path, error.strerror))
    except ValueError as error:
        raise errors.UserError('--class_map={}: not JSON ({}).'.format(path, error))


class LabelRules(collections.namedtuple('LabelRules', [
        'num_classes', 'ignore_label', 'class_map'])):
    """What labels must look like.

    Fields:
        num_classes: labels lie in 0..num_classes - 1,
        ignore_label: or have this value.
        class_map: ClassMap applied to what the files hold, or None.
    """

    __slots__ = ()

    def allowed(self) -> str:
        """Returns the allowed labels in words."""
        text = '0..{}'.format(self.num_classes - 1)
        if self.ignore_label >= self.num_classes:
            text += ' and {} (ignored)'.format(self.ignore_label)
        return text


def _png_header(content):
    """Returns (bit depth, colour type) of a PNG, or None for another file."""
    if content[:8] != b'\x89PNG\r\n\x1a\n' or len(content) < 26:
        return None
    return content[24], content[25]


def _source_values(picture, header):
    """Returns what a label file holds: [height, width] numbers or [height, width, 3] colours."""
    if picture.mode in ('RGB', 'RGBA', 'CMYK', 'YCbCr'):
        colors = np.asarray(picture.convert('RGB') if picture.mode != 'RGB' else picture)
        if (colors[..., :1] == colors[..., 1:]).all():
            return colors[..., 0]
        return colors
    if picture.mode in ('LA', 'PA'):
        picture = picture.getchannel(0)
    values = np.asarray(picture)
    if header and header[1] == _PNG_GREY and header[0] in (2, 4):
        # Pillow stretches grey of 2 and 4 bits to 0..255.
        values = values // (255 // (2 ** header[0] - 1))
    return values.astype(np.uint8) if values.dtype == bool else values


def _map_numbers(values, class_map, path):
    outside = (values < 0) | (values > _MAX_SOURCE)
    table = class_map.table()
    mapped = table[np.where(outside, 0, values).astype(np.int64)]
    missing = outside | (mapped < 0)
    if missing.any():
        raise PairError('{}: value {} at {} pixels is not in the class map.'.format(
            path, *_most_frequent(values[missing])))
    return mapped


def _most_frequent(values):
    found, counts = np.unique(values, return_counts=True)
    first = counts.argmax()
    return found[first], counts[first]


def _map_colors(colors, class_map, path):
    if class_map is None or not class_map.colors:
        raise PairError('{}: this label is a colour picture; expected a palette or grey picture of '
                        'class numbers, or a class map with its colours.'.format(path))
    codes = (colors.astype(np.int64) << [16, 8, 0]).sum(axis=-1)
    found, positions = np.unique(codes, return_inverse=True)
    classes = np.array([
        class_map.colors.get((code >> 16, code >> 8 & 255, code & 255),
                             -1 if class_map.otherwise is None else class_map.otherwise)
        for code in found.tolist()])
    mapped = classes[positions.reshape(codes.shape)]
    if (mapped < 0).any():
        code, count = _most_frequent(codes[mapped < 0])
        raise PairError('{}: colour {},{},{} at {} pixels is not in the class map.'.format(
            path, code >> 16, code >> 8 & 255, code & 255, count))
    return mapped


def _apply_class_map(values, class_map, path):
    if values.ndim == 3:
        return _map_colors(values, class_map, path)
    if class_map is None:
        return values
    if class_map.colors and not class_map.numbers:
        return _map_colors(np.repeat(values[..., np.newaxis], 3, axis=2), class_map, path)
    return _map_numbers(values, class_map, path)


def _check_range(label, rules, path):
    """Returns int64 [256], the pixels of each label."""
    too_large = label[(label < 0) | (label > 255)]
    if not too_large.size:
        histogram = np.bincount(label.ravel(), minlength=256)
        wrong = histogram.copy()
        wrong[:rules.num_classes] = 0
        wrong[rules.ignore_label] = 0
        if not wrong.any():
            return histogram
        value, count = wrong.argmax(), wrong.max()
    else:
        value, count = _most_frequent(too_large)
    raise PairError('{}: label {} at {} pixels; allowed are {}.'.format(
        path, value, count, rules.allowed()))


def prepare_label(content: bytes, path: str, rules: LabelRules):
    """Decodes a label picture to its end, renumbers and checks it.

    Args:
        content: the file: palette, grey (1 to 16 bits) or, with a class map, colour.
        path: its name for messages.
        rules: LabelRules.

    Returns:
        encoded: bytes of an 8-bit grey PNG, pixel = class; the file itself where it is one.
        size: (height, width).
        histogram: int64 [256], pixels of each label.

    Raises:
        PairError: unreadable, or with a label that is not allowed (value, count, allowed range).
    """
    header = _png_header(content)
    try:
        if header:
            with Image.open(io.BytesIO(content)) as picture:
                picture.verify()
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            values = _source_values(picture, header)
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise PairError('{}: this label cannot be read ({}).'.format(path, error))
    label = _apply_class_map(values, rules.class_map, path)
    if label.dtype.kind == 'f':
        raise PairError('{}: this label holds fractions; expected whole numbers.'.format(path))
    histogram = _check_range(label, rules, path)
    if rules.class_map is None and header == (8, _PNG_GREY):
        return content, label.shape, histogram
    return build_data.encode_label(label), label.shape, histogram
