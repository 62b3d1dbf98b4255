"""What an evaluation leaves in its folder: JSON, CSV, figures, and summaries for TensorBoard."""
import json
import math
import os

import tensorflow.compat.v1 as tf

from deeplab.evaluation import figures
from deeplab.evaluation import report as reports
from deeplab.utils import checkpoints

METRICS_FILE = 'metrics.json'
HISTORY_FILE = 'history.json'
# The history and the curve of evaluations during training, without their endings.
TRAINING_CURVE = 'eval_curve'
_CURVE_FILE = 'curve.png'
_OVERALL = ('mean_iou', 'pixel_accuracy', 'mean_accuracy', 'frequency_weighted_iou')
_HISTORY_KEYS = ('step', 'checkpoint', 'dataset', 'split', 'tag', 'crop_size') + _OVERALL


def summary_values(report: dict) -> dict:
    """Returns {tag: value} for TensorBoard: the reference's tags, and ours for the other scores.

    `eval/miou_1.0_overall` is the mean IoU; `eval/miou_1.0_class_3` the IoU of class 3, NaN where
    it neither occurs nor is predicted.
    """
    prefix = 'eval/' + report['tag']
    values = {prefix + '_overall': report['mean_iou']}
    for row in report['classes']:
        values['{}_class_{}'.format(prefix, row['label'])] = (
            math.nan if row['iou'] is None else row['iou'])
    for key in _OVERALL[1:]:
        values['eval/{}{}'.format(key, report['tag'][len('miou'):])] = report[key]
    return values


def write_summaries(folder: str, report: dict) -> None:
    """Adds the scores to the event files of `folder`, at the step of the checkpoint."""
    summary = tf.Summary(value=[
        tf.Summary.Value(tag=tag, simple_value=value)
        for tag, value in sorted(summary_values(report).items())])
    writer = tf.summary.FileWriter(folder)
    writer.add_summary(summary, report['step'])
    writer.close()


def read_history(path: str) -> list:
    """Returns the entries of a history file, [] where it is missing or not one."""
    try:
        with open(path) as stream:
            entries = json.load(stream)
        return [entry for entry in entries if all(key in entry for key in _HISTORY_KEYS)]
    except (OSError, ValueError, TypeError):
        # A history that is missing or was cut short by an earlier program is begun anew.
        return []


def kind_of(entry: dict) -> list:
    """Returns what entries of a history must have in common for their scores to be compared."""
    return [entry[key] for key in ('dataset', 'split', 'tag', 'crop_size')]


def history_entry(report: dict) -> dict:
    """Returns what a history keeps of a report: its overall scores and the IoU of each class."""
    entry = {key: report[key] for key in _HISTORY_KEYS}
    entry['class_iou'] = {row['name']: row['iou'] for row in report['classes']}
    return entry


def update_history(path: str, report: dict, drop_later: bool = False) -> list:
    """Adds an evaluation to a history, replacing an earlier one of the same step.

    Args:
      path: JSON file of the history.
      report: of the evaluation.
      drop_later: whether to remove entries of later steps, which are of an earlier run.

    Returns:
      All entries of the same data, split and way of predicting, by step.
    """
    entry = history_entry(report)

    def stays(other):
        if kind_of(other) != kind_of(entry):
            return True
        return other['step'] < entry['step'] if drop_later else other['step'] != entry['step']

    entries = [other for other in read_history(path) if stays(other)] + [entry]
    entries.sort(key=lambda other: (str(kind_of(other)), other['step']))
    reports.write_json(path, entries)
    return [other for other in entries if kind_of(other) == kind_of(entry)]


def write_curve(path: str, entries) -> None:
    """Draws the overall scores of entries of one history over the training steps."""
    last = entries[-1]
    figures.write_curve_figure(
        path, [entry['step'] for entry in entries],
        {key.replace('_', ' '): [entry[key] for entry in entries] for key in _OVERALL},
        '{} {}, {}'.format(last['dataset'], last['split'], last['tag']))


def write(folder: str, report: dict) -> dict:
    """Writes everything about one evaluation into `folder`; returns {what: path}."""
    paths = {what: os.path.join(folder, name) for what, name in (
        ('metrics', METRICS_FILE), ('classes', 'classes.csv'), ('confusion', 'confusion.csv'),
        ('figure', 'confusion.png'))}
    reports.write_class_csv(paths['classes'], report)
    reports.write_confusion_csv(paths['confusion'], report)
    figures.write_confusion_figure(paths['figure'], report['confusion_matrix'],
                                   [row['name'] for row in report['classes']])
    write_summaries(folder, report)
    entries = update_history(os.path.join(folder, HISTORY_FILE), report)
    if len(entries) > 1:
        paths['curve'] = os.path.join(folder, _CURVE_FILE)
        write_curve(paths['curve'], entries)
    reports.write_json(paths['metrics'], report)
    return paths


def describe_checkpoint(prefix: str) -> dict:
    """Returns the entries of a report that say which checkpoint was evaluated."""
    return {'checkpoint': prefix, 'step': checkpoints.step_of(prefix)}
