"""Reads single features of a serialised `tf.train.Example` without unpacking the rest.

An Example holds whole encoded pictures. Parsing it by protobuf copies them; here the encoded fields
are stepped over, so that asking ten thousand records for their heights touches a few pages of each.
The wire format is that of https://protobuf.dev/programming-guides/encoding/; the messages are

    Example  { Features features = 1; }     Features { map<string, Feature> feature = 1; }
    Feature  { BytesList = 1; FloatList = 2; Int64List = 3; }     each list { repeated value = 1; }
"""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_BYTES_LIST, _INT64_LIST = 1, 3


def _varint(view, position):
    value = shift = 0
    while True:
        byte = view[position]
        position += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _fields(view, start, end):
    """Yields (field number, value): an int for varints, (start, end) for length-delimited ones."""
    position = start
    while position < end:
        tag, position = _varint(view, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(view, position)
            yield number, value
        elif kind == _BYTES:
            length, position = _varint(view, position)
            yield number, (position, position + length)
            position += length
        elif kind in _FIXED_SIZES:
            position += _FIXED_SIZES[kind]
        else:
            raise ValueError('wire type {} is not used by tf.train.Example'.format(kind))
    if position != end:
        raise ValueError('a field ends beyond its message')


def _int64s(view, start, end):
    values = []
    for _, value in _fields(view, start, end):
        if isinstance(value, int):
            values.append(value)
            continue
        position, stop = value
        while position < stop:
            number, position = _varint(view, position)
            values.append(number)
    return [value - (1 << 64) if value >> 63 else value for value in values]


def _feature_values(view, start, end):
    """Returns a list of ints, a list of slices, or [] for floats and empty features."""
    for number, bounds in _fields(view, start, end):
        if number == _INT64_LIST:
            return _int64s(view, *bounds)
        if number == _BYTES_LIST:
            return [slice(*value) for _, value in _fields(view, *bounds)]
    return []


def read_features(content, start: int = 0, end: int = None) -> dict:
    """Returns {feature name: list of values} of one serialised Example.

    Args:
        content: bytes or a memory-mapped file.
        start, end: where the Example lies in `content`; all of it by default.

    Returns:
        A dict from str to a list of ints (int64 features) or of slices of `content` (bytes
        features, so that large ones are not copied); float features give [].

    Raises:
        ValueError: when it is not an Example.
    """
    found = {}
    end = len(content) if end is None else end
    try:
        for _, features in _fields(content, start, end):
            for _, entry in _fields(content, *features):
                parts = dict(_fields(content, *entry))
                key = content[slice(*parts[1])].decode('utf-8')
                found[key] = _feature_values(content, *parts[2]) if 2 in parts else []
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError('not a tf.train.Example: {}'.format(error))
    return found
