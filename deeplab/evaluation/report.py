"""The result of an evaluation as a dictionary, a table to read, JSON and CSV."""
import csv
import io
import json
import math

import tabulate

from deeplab.evaluation import metrics
from deeplab.utils import image_files

_CLASS_COLUMNS = ('iou', 'accuracy', 'precision', 'recall', 'pixels', 'predicted_pixels')


def _number_or_none(value):
    """JSON has no NaN: a value that does not exist becomes null."""
    return None if math.isnan(value) else float(value)


def class_labels(num_classes: int, class_names=None) -> list:
    """Returns a name for every class: the given ones, "class 7" where there is none."""
    names = list(class_names or [])[:num_classes]
    return names + ['class {}'.format(label) for label in range(len(names), num_classes)]


def build_report(confusion, class_names=None) -> dict:
    """Puts everything known about one evaluation into plain numbers, strings, lists and dicts.

    Args:
      confusion: a `confusion.ConfusionMatrix`.
      class_names: names in label order, or None.

    Returns:
      Dict with 'mean_iou', 'pixel_accuracy', 'mean_accuracy', 'frequency_weighted_iou' (0..1),
      'pixels', 'ignored_pixels', 'baseline' (always predicting the most frequent class), 'classes'
      (a list of dicts, values None where a class gives none), 'notes' (which classes the mean IoU
      averages) and 'confusion_matrix' (rows = labels, columns = predictions).
    """
    names = class_labels(confusion.num_classes, class_names)
    scores = metrics.compute_scores(confusion.matrix)
    baseline = metrics.most_frequent_class_baseline(confusion.matrix)
    classes = []
    for label, name in enumerate(names):
        row = {'label': label, 'name': name,
               'pixels': int(scores.class_pixels[label]),
               'predicted_pixels': int(scores.class_predicted_pixels[label])}
        for column in ('iou', 'accuracy', 'precision', 'recall'):
            row[column] = _number_or_none(getattr(scores, 'class_' + column)[label])
        classes.append(row)
    return {
        'mean_iou': scores.mean_iou,
        'pixel_accuracy': scores.pixel_accuracy,
        'mean_accuracy': scores.mean_accuracy,
        'frequency_weighted_iou': scores.frequency_weighted_iou,
        'pixels': int(scores.class_pixels.sum()),
        'ignored_pixels': confusion.ignored_pixels,
        'ignore_label': confusion.ignore_label,
        'baseline': {'label': baseline.label, 'name': names[baseline.label],
                     'mean_iou': baseline.mean_iou, 'pixel_accuracy': baseline.pixel_accuracy},
        'classes': classes,
        'notes': _notes(classes),
        'confusion_matrix': confusion.matrix.tolist(),
    }


def _notes(classes):
    """Says in words why the IoU column averages, or does not, to the mean IoU."""
    absent = [row['name'] for row in classes if row['iou'] is None]
    invented = [row['name'] for row in classes if row['pixels'] == 0 and row['predicted_pixels']]
    counted = len(classes) - len(absent)
    if not counted:
        return ['No pixel was counted: the mean IoU of nothing is 0.']
    notes = ['Mean IoU is the average of the IoU column over {} of {} classes{}.'.format(
        counted, len(classes),
        '; left out, as neither labelled nor predicted: ' + ', '.join(absent) if absent else '')]
    if invented:
        notes.append('Predicted but nowhere labelled, counted with IoU 0: {}.'.format(
            ', '.join(invented)))
    notes.append('Mean accuracy is the average of the recall column.')
    return notes


def format_share(value, digits=4) -> str:
    """Formats a share 0..1, '-' for None."""
    return '-' if value is None else '{:.{}f}'.format(value, digits)


def format_table(report: dict) -> str:
    """Returns the per-class table, the overall scores and the notes as text."""
    rows = [[row['label'], row['name']]
            + [format_share(row[column]) for column in _CLASS_COLUMNS[:4]]
            + ['{:,}'.format(row['pixels'])] for row in report['classes']]
    table = tabulate.tabulate(
        rows, headers=['', 'class', 'IoU', 'accuracy', 'precision', 'recall', 'pixels'],
        colalign=('right', 'left') + ('right',) * 5, disable_numparse=True)
    overall = tabulate.tabulate(
        [['mean IoU', format_share(report['mean_iou'])],
         ['pixel accuracy', format_share(report['pixel_accuracy'])],
         ['mean accuracy', format_share(report['mean_accuracy'])],
         ['frequency-weighted IoU', format_share(report['frequency_weighted_iou'])],
         ['pixels counted', '{:,}'.format(report['pixels'])],
         ['pixels ignored', '{:,}'.format(report['ignored_pixels'])]],
        tablefmt='plain', colalign=('left', 'right'), disable_numparse=True)
    return '\n'.join([table, '', overall, ''] + report['notes'] + [format_baseline(report)])


def format_baseline(report: dict) -> str:
    """Returns the line that says what the most frequent class alone would score."""
    baseline = report['baseline']
    return ('Baseline, predicting "{}" everywhere: mean IoU {}, pixel accuracy {}.'.format(
        baseline['name'], format_share(baseline['mean_iou']),
        format_share(baseline['pixel_accuracy'])))


def write_json(path: str, content) -> None:
    """Writes strict JSON (no NaN) with a line an entry, as a whole or not at all."""
    image_files.write_text(path, json.dumps(content, indent=1, allow_nan=False) + '\n')


def _write_csv(path, rows):
    stream = io.StringIO()
    csv.writer(stream, lineterminator='\n').writerows(rows)
    image_files.write_text(path, stream.getvalue())


def write_class_csv(path: str, report: dict) -> None:
    """Writes the per-class table as CSV; a value that does not exist is an empty cell."""
    header = ['label', 'name'] + list(_CLASS_COLUMNS)
    _write_csv(path, [header] + [
        ['' if row[column] is None else row[column] for column in header]
        for row in report['classes']])


def write_confusion_csv(path: str, report: dict) -> None:
    """Writes the confusion matrix as CSV: a row a label, a column a predicted class, pixels."""
    names = [row['name'] for row in report['classes']]
    _write_csv(path, [['label \\ predicted'] + names] + [
        [name] + counts for name, counts in zip(names, report['confusion_matrix'])])
