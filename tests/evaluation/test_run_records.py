"""Curves of runs are read from whatever a run has left, resumed runs included."""
import json

import pytest

from deeplab import errors
from deeplab.evaluation import run_records
from deeplab.training import progress

TAG = 'eval/miou_1.0_overall'


def write_lines(path, records, rest=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records) + rest)


def history(points, **changes):
    entry = dict(checkpoint='model.ckpt', dataset='tiny', split='val', tag='miou_1.0',
                 crop_size=None, pixel_accuracy=0.5, mean_accuracy=0.5,
                 frequency_weighted_iou=0.5)
    entry.update(changes)
    return [dict(entry, step=step, mean_iou=score) for step, score in points]


def test_lines_of_metrics(tmp_path):
    write_lines(tmp_path / 'metrics.jsonl', [
        {'step': 10, 'total_loss': 2.0, 'learning_rate': 0.1, 'losses/regularization_loss': 0.5},
        {'step': 10, TAG: 0.25, 'eval/miou_1.0_class_0': 0.9},
        {'step': 20, 'total_loss': None, 'learning_rate': 0.05}], rest='{"step": 30, "tot')
    run = run_records.read_run(str(tmp_path), 'a')
    assert run == ('a', {'total_loss': {10: 2.0}, 'learning_rate': {10: 0.1, 20: 0.05},
                         'mean_iou': {10: 0.25}})


def test_what_a_resumed_run_makes_again_counts_once(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    write_lines(path, [{'step': step, 'total_loss': loss} for step, loss in (
        (10, 5), (20, 4), (30, 3), (20, 2), (30, 1))])
    assert run_records.read_run(str(path), 'a').series == {'total_loss': {10: 5, 20: 2, 30: 1}}


def test_the_log_of_a_training(tmp_path):
    report = progress.Report(10, 1.5, {'regularization_loss': 0.5, 'a/b': 1.0}, 0.007, 2.0, None,
                             None, None)
    (tmp_path / 'train.log').write_text('\n'.join([
        'I1120 09:58:21.863265 140695578626944 reporting.py:23] ' + progress.line(report, 500),
        'Something else.', 'step 10/500  mean IoU 0.4567  pixel accuracy 0.9', '\udcff'.encode(
            'utf-8', 'surrogateescape').decode('latin-1')]))
    assert run_records.read_run(str(tmp_path), 'a').series == {
        'total_loss': {10: 1.5}, 'learning_rate': {10: 0.007}, 'mean_iou': {10: 0.4567}}


def test_scores_of_one_kind_are_read_from_a_history(tmp_path):
    entries = history([(5, 0.1), (10, 0.2)]) + history([(10, 0.7)], tag='miou_0.5_flipped')
    (tmp_path / 'eval').mkdir()
    (tmp_path / 'eval' / 'history.json').write_text(json.dumps(entries))
    assert run_records.read_run(str(tmp_path), 'a').series == {'mean_iou': {5: 0.1, 10: 0.2}}


def test_files_add_up_and_the_first_that_tells_counts(tmp_path):
    write_lines(tmp_path / 'train' / 'metrics.jsonl', [{'step': 1, 'total_loss': 3.0, TAG: 0.1}])
    (tmp_path / 'train' / 'eval_curve.json').write_text(json.dumps(history([(1, 0.125)])))
    (tmp_path / 'train.log').write_text('step 1/2  loss 9.0 (l2 1.0)  rate 0.5  gradient 1')
    assert run_records.read_run(str(tmp_path), 'a').series == {
        'total_loss': {1: 3.0}, 'learning_rate': {1: 0.5}, 'mean_iou': {1: 0.125}}


def test_mistakes_name_what_is_there(tmp_path):
    with pytest.raises(errors.UserError, match='no such folder'):
        run_records.read_run(str(tmp_path / 'nothing'), 'a')
    with pytest.raises(errors.UserError, match='nothing about the course .*metrics.jsonl'):
        run_records.read_run(str(tmp_path), 'a')
    for name in 'ab':
        write_lines(tmp_path / name / 'metrics.jsonl', [{'step': 1, 'total_loss': 1}])
    with pytest.raises(errors.UserError, match='several runs.*/a,.*/b'):
        run_records.read_run(str(tmp_path), 'a')
    with pytest.raises(errors.UserError, match='x.json cannot be read'):
        run_records.read_json(str(tmp_path / 'x.json'))


@pytest.mark.parametrize('paths, names', [
    (['runs/a/train'], ['a']),
    (['runs/a'], ['a']),
    (['runs/a/train', 'runs/b/train'], ['a', 'b']),
    (['runs/a', 'runs/a/best'], ['a', 'best']),
    (['x/1/poly', 'y/1/poly'], ['x', 'y']),
    (['runs/a.log', 'old/a.log'], ['runs', 'old'])])
def test_names_are_what_differs(paths, names):
    assert run_records.names_of(paths) == names
