"""The published DeepLab model zoo as data: archives, the networks' flags, published figures.

`model_zoo.json` lists the rows. Of a row without evaluations only a backbone was published, with
its ImageNet classifier.
"""
import json
import os

from deeplab import errors
from deeplab import names
from deeplab.core import dense_prediction_cell

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_CELL_FLAG = 'dense_prediction_cell_json'


def load_rows() -> list:
    """Returns the rows, each a dict.

    Keys: name, archive (URL), dataset, pretrained_on, file_size_mb, frozen_graph (whether the
    archive holds one), flags (dict), input_size ([height, width]), evaluations, and perhaps
    longest_side (what pictures are resized to), eval_crop_size ([height, width] where input_size is
    only what was counted) and sha256 (of the archive). Where there are
    evaluations, published_counts: what their multiply_adds_billion seems to count. An evaluation
    is a dict with output_stride, scales, flip, split, miou_percent, multiply_adds_billion (None:
    not published), perhaps atrous_rates and pixel_accuracy_percent. A row without evaluations has
    num_classes, of the classifier.
    """
    with open(os.path.join(_FOLDER, 'model_zoo.json')) as handle:
        return json.load(handle)['rows']


def find_row(name: str, flag: str = 'model_zoo_row') -> dict:
    """Returns the row called `name`.

    Args:
        name: of the row.
        flag: name of the flag it came from, for the message.

    Raises:
        UserError: there is none; names the nearest.
    """
    rows = {row['name']: row for row in load_rows()}
    if name not in rows:
        raise errors.UserError('--{}={}: no such row.{} Known: {}.'.format(
            flag, name, errors.nearest(name, rows), ', '.join(sorted(rows))))
    return rows[name]


def model_options(row: dict, evaluation: dict, num_classes: int) -> names.ModelOptions:
    """Returns the options of the network that a row was evaluated with."""
    values = dict(row['flags'])
    cell = values.pop(_CELL_FLAG, None)
    if cell:
        values['dense_prediction_cell_config'] = dense_prediction_cell.load_config(
            os.path.join(_FOLDER, 'core', cell))
    return names.ModelOptions(
        {names.OUTPUT_TYPE: num_classes}, crop_size=list(row['input_size']),
        output_stride=evaluation['output_stride'], atrous_rates=evaluation.get('atrous_rates'),
        **values)


def eval_crop_size(row: dict) -> list:
    """Returns the [height, width] that pictures are padded to for a row's evaluations."""
    return row.get('eval_crop_size', row['input_size'])


def archive_name(row: dict) -> str:
    """Returns the file name of a row's archive."""
    return row['archive'].rsplit('/', 1)[1]


def scales_text(scales, flip) -> str:
    """Returns '0.5:0.25:1.75 flip' where the scales are evenly spaced, else '0.5,1,2 flip'."""
    steps = {round(high - low, 6) for low, high in zip(scales, scales[1:])}
    if len(scales) > 2 and len(steps) == 1:
        text = '{:g}:{:g}:{:g}'.format(scales[0], steps.pop(), scales[-1])
    else:
        text = ','.join('{:g}'.format(scale) for scale in scales)
    return text + (' flip' if flip else '')


def _flag(name, value):
    if isinstance(value, bool):
        return '--{}{}'.format('' if value else 'no', name)
    if isinstance(value, list):
        value = ','.join('{:g}'.format(item) for item in value)
    if name == _CELL_FLAG:
        value = 'deeplab/core/' + value
    return '--{}={}'.format(name, value)


def network_flags(row: dict, evaluation: dict = None) -> list:
    """Returns the command-line flags that build a row's network.

    Args:
        row: of the zoo.
        evaluation: one of the row's, whose output stride and atrous rates are added; None for none.
    """
    values = dict(row['flags'])
    variant = [('model_variant', values.pop('model_variant'))]
    settings = [(name, evaluation[name]) for name in ('output_stride', 'atrous_rates')
                if evaluation and evaluation.get(name)]
    return [_flag(*pair) for pair in variant + settings + sorted(values.items())]


def evaluation_flags(row: dict, evaluation: dict) -> list:
    """Returns the flags of `deeplab-eval` beyond those of the network and of the data's place."""
    flags = ['--eval_crop_size={},{}'.format(*eval_crop_size(row))]
    if row.get('longest_side'):
        flags += ['--{}_resize_value={}'.format(end, row['longest_side']) for end in ('min', 'max')]
    if evaluation['scales'] != [1.0]:
        flags.append(_flag('eval_scales', evaluation['scales']))
    return flags + (['--add_flipped_images'] if evaluation['flip'] else [])
