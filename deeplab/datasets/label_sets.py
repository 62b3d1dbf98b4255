"""Source label sets: what each label of a data set's own annotation becomes, as a JSON file.

    {"title": "ATR human parsing",
     "labels": [{"value": 0, "name": "background", "class": "background"},
                {"value": 11, "name": "face", "class": "skin"}, ...]}

Each label says what it is in the label pictures (`value`: a number; `color`: [red, green, blue];
`bit`: the number of a bit, 0 the lowest), its name there, and the name of the class it becomes, or
"ignore". With bits, `no_bit` names the class of pixels without any; of a pixel with several bits
the label that is listed last counts, so parts are listed after the whole they lie on.
"""
import collections
import json

from deeplab import errors
from deeplab.datasets import conversion_labels

_IGNORE = 'ignore'
_MAX_BITS = 16
_SET_KEYS = ('title', 'labels', 'no_bit')
_PLACES = ('value', 'color', 'bit')
_LABEL_KEYS = _PLACES + ('name', 'class')


def read(path: str, description) -> conversion_labels.ClassMap:
    """Reads a label set, or a plain class map ({"7": 0, "*": 255}), from a JSON file.

    Args:
        path: the file.
        description: descriptions.Description, whose classes labels become.

    Raises:
        UserError: naming the file, the label and what is wrong with it.
    """
    content = conversion_labels.read_json(path)
    if isinstance(content, dict) and 'labels' in content:
        return to_class_map(content, description, path)
    return conversion_labels.parse_class_map(content, path)


def to_class_map(content: dict, description, where: str) -> conversion_labels.ClassMap:
    """Makes a ClassMap of the content of a label set; arguments and errors as for `read`."""
    _check_keys(content, _SET_KEYS, where)
    if not isinstance(content['labels'], list) or not content['labels']:
        raise errors.UserError('{}: "labels" must be a list of labels.'.format(where))
    found = {place: collections.OrderedDict() for place in _PLACES}
    for label in content['labels']:
        place, key, target = _parse_label(label, description, where)
        if key in found[place]:
            raise errors.UserError('{}: {} {} is listed twice.'.format(where, place, key))
        found[place][key] = target
    numbers = dict(found['value'])
    if found['bit']:
        if numbers or found['color']:
            raise errors.UserError('{}: bits exclude values and colours.'.format(where))
        if 'no_bit' not in content:
            raise errors.UserError('{}: labels that are bits need "no_bit", the class of pixels '
                                   'without any.'.format(where))
        numbers = _combinations(
            found['bit'], _class_number(content['no_bit'], description, where))
    return conversion_labels.ClassMap(numbers, dict(found['color']), None)


def _check_keys(content, known, where):
    if not isinstance(content, dict):
        raise errors.UserError('{}: expected a JSON object, got {!r}.'.format(where, content))
    for key in content:
        if key not in known:
            raise errors.UserError('{}: unknown key {!r}; known are {}.{}'.format(
                where, key, ', '.join(known), errors.nearest(key, known)))


def _parse_label(label, description, where):
    """Returns (one of _PLACES, number or colour, class number)."""
    _check_keys(label, _LABEL_KEYS, where)
    places = [place for place in _PLACES if place in label]
    if len(places) != 1 or 'class' not in label:
        raise errors.UserError('{}: each label needs "class" and one of {}, got {}.'.format(
            where, ', '.join(_PLACES), json.dumps(label)))
    place = places[0]
    key = tuple(label[place]) if isinstance(label[place], list) else label[place]
    if not _is_valid(place, key):
        raise errors.UserError('{}: {} must be {}, got {!r}.'.format(where, place, {
            'value': 'a number from 0 to 65535', 'color': '[red, green, blue] in 0..255',
            'bit': 'a number from 0 to {}'.format(_MAX_BITS - 1)}[place], label[place]))
    return place, key, _class_number(label['class'], description, where)


def _is_valid(place, key):
    if place == 'color':
        return (isinstance(key, tuple) and len(key) == 3
                and all(isinstance(level, int) and 0 <= level <= 255 for level in key))
    return isinstance(key, int) and 0 <= key < {'value': 2 ** 16, 'bit': _MAX_BITS}[place]


def _class_number(name, description, where):
    if name == _IGNORE:
        return description.ignore_label
    if name not in description.class_names:
        raise errors.UserError('{}: {} has no class {!r}; its classes are {}, or {!r}.{}'.format(
            where, description.name, name, ', '.join(description.class_names), _IGNORE,
            errors.nearest(str(name), description.class_names)))
    return description.class_names.index(name)


def _combinations(bits, no_bit):
    """Returns the class of every combination of bits: the last listed of them counts."""
    numbers = {0: no_bit}
    for bit, target in bits.items():
        numbers.update({number | 1 << bit: target for number in list(numbers)})
    return numbers
