"""What a dense prediction cell is made of: reading and checking of cells and hyper-parameters.

A cell is a list of branches, each a dictionary (Chen et al., "Searching for Efficient Multi-Scale
Architectures for Dense Image Prediction", arXiv 1809.04184, section 3.2):

    {"op": "conv", "input": -1, "kernel": 3, "rate": [1, 6]}
    {"op": "pyramid_pooling", "input": 0, "grid_size": [2, 2]}

`input` is -1 for the features of the backbone, or the number of an earlier branch, counted from 0.
"""
import collections
import json
import numbers
import os

import tensorflow.compat.v1 as tf

from deeplab.errors import UserError, nearest

CONV = 'conv'
PYRAMID_POOLING = 'pyramid_pooling'
BACKBONE_FEATURES = -1
# Output stride that the atrous rates of a cell are written for (arXiv 1809.04184, section 4.1).
NOMINAL_OUTPUT_STRIDE = 16

# Keys of a branch beside 'op' and 'input': (needed, optional).
_KEYS = {CONV: (('kernel',), ('rate',)), PYRAMID_POOLING: (('grid_size',), ())}

Branch = collections.namedtuple('Branch', ['op', 'input', 'kernel', 'rate', 'grid_size'])
Branch.__doc__ = 'One checked branch; pairs are (height, width), None where the op has none.'


def _is_int(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _pair(where: str, key: str, value) -> tuple:
    pair = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) != 2 or not all(_is_int(side) and side > 0 for side in pair):
        raise UserError('{}: {!r} must be a positive integer or a [height, width] pair of them, '
                        'got {!r}'.format(where, key, value))
    return pair


def _parse_branch(number: int, record) -> Branch:
    where = 'Branch {} of the dense prediction cell'.format(number)
    if not isinstance(record, dict):
        raise UserError('{} must be a dictionary, got {!r}'.format(where, record))
    if record.get('op') not in _KEYS:
        raise UserError("{}: 'op' must be one of {}, got {!r}".format(
            where, ', '.join(sorted(_KEYS)), record.get('op', 'nothing')))
    needed, optional = _KEYS[record['op']]
    missing = [key for key in ('input',) + needed if key not in record]
    if missing:
        raise UserError('{} ({}) lacks {}'.format(
            where, record['op'], ', '.join(map(repr, missing))))
    allowed = ('op', 'input') + needed + optional
    for key in sorted(set(record) - set(allowed), key=str):
        raise UserError('{} ({}) has the unknown key {!r}; it takes {}.{}'.format(
            where, record['op'], key, ', '.join(allowed), nearest(str(key), allowed)))
    source = record['input']
    if not _is_int(source) or not BACKBONE_FEATURES <= source < number:
        raise UserError(
            "{}: 'input' must be -1 (the backbone's features) or the number of an earlier branch "
            "(at most {}), got {!r}".format(where, number - 1, source))
    pairs = {key: _pair(where, key, record[key]) for key in needed + optional if key in record}
    branch = Branch(record['op'], source, pairs.get('kernel'), pairs.get('rate'),
                    pairs.get('grid_size'))
    if branch.op == CONV and branch.rate is None and branch.kernel != (1, 1):
        raise UserError("{} (conv) lacks 'rate', which a kernel of {} x {} needs".format(
            where, *branch.kernel))
    return branch


def parse_cell(config) -> list:
    """Checks a cell.

    Args:
        config: list of dictionaries, see above. It is not changed.

    Returns:
        List of `Branch`.

    Raises:
        UserError: naming the branch, what was expected and what came.
    """
    if not isinstance(config, (list, tuple)) or not config:
        raise UserError('A dense prediction cell must be a list with at least one branch, '
                        'got {!r}'.format(config))
    return [_parse_branch(number, record) for number, record in enumerate(config)]


def load_config(path: str) -> list:
    """Reads a cell from a JSON file and checks it.

    Args:
        path: file name. A bare name that is not in the current folder is looked for among the
            cells that come with this package.

    Returns:
        The list of dictionaries in the file.

    Raises:
        UserError: the file is missing, is not JSON or does not describe a cell.
    """
    found = path
    if not tf.gfile.Exists(path) and not os.path.dirname(path):
        found = os.path.join(os.path.dirname(os.path.abspath(__file__)), path)
    if not tf.gfile.Exists(found) or tf.gfile.IsDirectory(found):
        raise UserError('--dense_prediction_cell_json={}: there is no such file'.format(path))
    with tf.gfile.GFile(found, 'r') as stream:
        text = stream.read()
    try:
        config = json.loads(text)
        parse_cell(config)
    except ValueError as error:  # A UserError, or not JSON.
        raise UserError('--dense_prediction_cell_json={}: {}'.format(path, error))
    return config


def conv_rate_multiplier(output_stride: int) -> int:
    """Returns the factor on a cell's rates that keeps its field of view at `output_stride`.

    Raises:
        UserError: rates cannot be scaled to that output stride.
    """
    if output_stride < 1 or NOMINAL_OUTPUT_STRIDE % output_stride:
        raise UserError(
            '--output_stride={}: the rates of a dense prediction cell are written for output '
            'stride {}; use that or one of its divisors'.format(
                output_stride, NOMINAL_OUTPUT_STRIDE))
    return NOMINAL_OUTPUT_STRIDE // output_stride


def _is_share(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < value <= 1


_Hparam = collections.namedtuple('_Hparam', ['default', 'accepts', 'expected'])
_FLAG = (lambda value: isinstance(value, bool), 'True or False')
_COUNT = (lambda value: _is_int(value) and value >= 1, 'an integer of at least 1')
_HPARAMS = collections.OrderedDict([
    ('reduction_size', _Hparam(256, *_COUNT)),
    ('dropout_on_concat_features', _Hparam(True, *_FLAG)),
    ('dropout_on_projection_features', _Hparam(False, *_FLAG)),
    ('dropout_keep_prob', _Hparam(0.9, _is_share, 'a number in (0, 1]')),
    ('concat_channels', _Hparam(256, *_COUNT)),
    ('conv_rate_multiplier', _Hparam(1, *_COUNT)),
])


class CellHparams:
    """Hyper-parameters of a dense prediction cell, as attributes.

    Attributes:
        reduction_size: int, channels of each branch (256).
        dropout_on_concat_features: bool, dropout in front of the projection (True).
        dropout_on_projection_features: bool, dropout behind the projection (False).
        dropout_keep_prob: float in (0, 1], share of features that dropout keeps (0.9).
        concat_channels: int, channels of the projection, which is the cell's output (256).
        conv_rate_multiplier: int, factor on all atrous rates (1); see the function of that name.

    Setting an unknown name or a value out of range raises UserError.
    """

    def __init__(self, **values):
        for name, hparam in _HPARAMS.items():
            setattr(self, name, values.pop(name, hparam.default))
        self.override_from_dict(values)

    def __setattr__(self, name, value):
        if name not in _HPARAMS:
            raise UserError('Unknown hyper-parameter {!r} of the dense prediction cell; there are '
                            '{}.{}'.format(name, ', '.join(_HPARAMS), nearest(name, _HPARAMS)))
        if not _HPARAMS[name].accepts(value):
            raise UserError('{} of the dense prediction cell must be {}, got {!r}'.format(
                name, _HPARAMS[name].expected, value))
        super(CellHparams, self).__setattr__(name, value)

    def __repr__(self):
        return 'CellHparams({})'.format(
            ', '.join('{}={!r}'.format(*item) for item in self.values().items()))

    def values(self) -> dict:
        """Returns all names with their values."""
        return {name: getattr(self, name) for name in _HPARAMS}

    def set_hparam(self, name: str, value):
        """Sets one value."""
        setattr(self, name, value)

    def override_from_dict(self, values: dict) -> 'CellHparams':
        """Sets the given values and returns itself."""
        for name, value in values.items():
            setattr(self, name, value)
        return self

    def parse(self, text: str) -> 'CellHparams':
        """Sets values from text such as 'dropout_keep_prob=0.8,reduction_size=128'.

        Numbers are written as in JSON; true and false in any case. Returns itself.
        """
        for assignment in filter(None, (part.strip() for part in text.split(','))):
            name, _, value = (piece.strip() for piece in assignment.partition('='))
            try:
                setattr(self, name, json.loads(value.lower()))
            except json.JSONDecodeError:
                raise UserError('Cannot read {!r} as a hyper-parameter of the dense prediction '
                                'cell; write name=number or name=true'.format(assignment))
        return self
