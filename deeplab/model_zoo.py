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
    archive holds one), flags (dict), input_size ([height, width]), evaluations and, where there
    are any, published_counts: what their multiply_adds_billion seems to count. An evaluation is a
    dict with output_stride, scales, flip, split, miou_percent, multiply_adds_billion (None: not
    published), perhaps atrous_rates and pixel_accuracy_percent. A row without evaluations has
    num_classes, of the classifier.
    """
    with open(os.path.join(_FOLDER, 'model_zoo.json')) as handle:
        return json.load(handle)['rows']


def find_row(name: str) -> dict:
    """Returns the row called `name`.

    Raises:
        UserError: there is none; names the nearest.
    """
    rows = {row['name']: row for row in load_rows()}
    if name not in rows:
        raise errors.UserError('--model_zoo_row={}: no such row.{} Known: {}.'.format(
            name, errors.nearest(name, rows), ', '.join(sorted(rows))))
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
