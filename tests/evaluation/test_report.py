"""Tests of deeplab.evaluation.report."""
import csv
import json

import numpy as np
import pytest

from deeplab.evaluation import confusion
from deeplab.evaluation import report

NAMES = ['sky', 'road, paved', 'car']


@pytest.fixture(name='evaluation')
def _evaluation():
    # 'car' is only predicted, the fourth class occurs nowhere.
    counted = confusion.ConfusionMatrix(4, 255)
    counted.update(np.array([0, 0, 0, 1, 1, 1, 1, 255]), np.array([0, 0, 1, 1, 1, 1, 2, 0]))
    return counted


def test_report_is_strict_json_with_all_scores(evaluation, tmp_path):
    content = report.build_report(evaluation, NAMES)
    report.write_json(str(tmp_path / 'metrics.json'), content)
    read = json.loads((tmp_path / 'metrics.json').read_text())
    assert read == content
    assert read['mean_iou'] == pytest.approx((2 / 3 + 3 / 5 + 0) / 3)
    assert read['pixel_accuracy'] == pytest.approx(5 / 7)
    assert read['mean_accuracy'] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert (read['pixels'], read['ignored_pixels'], read['ignore_label']) == (7, 1, 255)
    assert [row['name'] for row in read['classes']] == NAMES + ['class 3']
    assert [row['iou'] for row in read['classes']] == [
        pytest.approx(2 / 3), pytest.approx(3 / 5), 0, None]
    assert read['confusion_matrix'] == evaluation.matrix.tolist()
    assert read['baseline'] == {'label': 1, 'name': 'road, paved',
                                'mean_iou': pytest.approx(4 / 7 / 2),
                                'pixel_accuracy': pytest.approx(4 / 7)}


def test_notes_say_which_classes_are_averaged(evaluation):
    notes = report.build_report(evaluation, NAMES)['notes']
    assert notes[0] == ('Mean IoU is the average of the IoU column over 3 of 4 classes; left out, '
                        'as neither labelled nor predicted: class 3.')
    assert notes[1] == 'Predicted but nowhere labelled, counted with IoU 0: car.'
    counted = confusion.ConfusionMatrix(2)
    counted.update(np.array([0, 1]), np.array([1, 0]))
    assert report.build_report(counted)['notes'][0].endswith('over 2 of 2 classes.')
    counted.reset()
    assert report.build_report(counted)['notes'] == [
        'No pixel was counted: the mean IoU of nothing is 0.']


def test_table_has_a_line_a_class_and_the_overall_scores(evaluation):
    lines = report.format_table(report.build_report(evaluation, NAMES)).splitlines()
    assert lines[0].split() == ['class', 'IoU', 'accuracy', 'precision', 'recall', 'pixels']
    assert lines[2].split() == ['0', 'sky', '0.6667', '0.8571', '1.0000', '0.6667', '3']
    assert lines[5].split() == ['3', 'class', '3', '-', '1.0000', '-', '-', '0']
    assert ['mean', 'IoU', '0.4222'] in [line.split() for line in lines]
    assert lines[-1] == ('Baseline, predicting "road, paved" everywhere: mean IoU 0.2857, pixel '
                         'accuracy 0.5714.')


def test_csv_files(evaluation, tmp_path):
    content = report.build_report(evaluation, NAMES)
    report.write_class_csv(str(tmp_path / 'classes.csv'), content)
    report.write_confusion_csv(str(tmp_path / 'confusion.csv'), content)
    with open(str(tmp_path / 'classes.csv')) as stream:
        rows = list(csv.DictReader(stream))
    assert [row['name'] for row in rows] == NAMES + ['class 3']
    assert float(rows[1]['iou']) == pytest.approx(3 / 5)
    assert rows[3]['iou'] == '' and rows[3]['pixels'] == '0'
    with open(str(tmp_path / 'confusion.csv')) as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ['label \\ predicted'] + NAMES + ['class 3']
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == evaluation.matrix.tolist()


def test_class_labels_fills_up_and_cuts():
    assert report.class_labels(2) == ['class 0', 'class 1']
    assert report.class_labels(2, ['a', 'b', 'c']) == ['a', 'b']
