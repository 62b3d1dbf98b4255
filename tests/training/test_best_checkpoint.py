"""The best checkpoint is kept, and training stops when nothing gets better."""
import json
import os
import shutil

import pytest

from deeplab.errors import UserError
from deeplab.training import best_checkpoint
from deeplab.utils import checkpoints

_ENDINGS = ('index', 'data-00000-of-00001', 'meta')


@pytest.fixture
def folder(tmp_path):
    for step in (10, 20, 30, 40, 45):
        for ending in _ENDINGS:
            (tmp_path / 'model.ckpt-{}.{}'.format(step, ending)).write_text(str(step))
    (tmp_path / 'train_config.json').write_text('{}')
    return tmp_path


def _keeper(folder, scores, **kwargs):
    def evaluate(checkpoint, should_stop):
        if should_stop():
            return None
        score = scores[int(checkpoint.rsplit('-', 1)[1])]
        return best_checkpoint.Evaluation(
            {'mean_iou': score, 'pixel_accuracy': 0.9}, {'eval/miou_1.0_overall': score}, 'Text.')
    return best_checkpoint.BestKeeper(str(folder), evaluate, every_steps=10, last_step=45,
                                      **kwargs)


def _evaluate(keeper, folder, *steps):
    return [keeper.evaluate(str(folder / 'model.ckpt-{}'.format(step)), step) for step in steps]


def _state(folder):
    return json.loads((folder / 'best' / 'best.json').read_text())


def test_only_the_best_is_kept_with_its_figures(folder):
    keeper = _keeper(folder, {10: 0.3, 20: 0.5, 30: 0.4}, setting={'split': 'val'})
    texts = [result.text for result in _evaluate(keeper, folder, 10, 20, 30)]
    assert texts == ['Text.  (best so far)', 'Text.  (best so far)',
                     'Text.  (best: 0.5000 at step 20)']
    best = checkpoints.latest_checkpoint(str(folder / 'best'))
    assert best == str(folder / 'best' / 'model.ckpt-20')
    assert sorted(os.listdir(str(folder / 'best'))) == sorted(
        ['best.json', 'checkpoint', 'train_config.json'] + [
            'model.ckpt-20.' + ending for ending in _ENDINGS])
    assert (folder / 'best' / 'model.ckpt-20.index').read_text() == '20'
    assert _state(folder) == {
        'best': {'mean_iou': 0.5, 'pixel_accuracy': 0.9, 'step': 20,
                 'checkpoint': 'model.ckpt-20'},
        'score': 'mean_iou', 'evaluations': [[10, 0.3], [20, 0.5], [30, 0.4]],
        'setting': {'split': 'val'}}


def test_evaluations_are_due_at_intervals_and_at_the_end(folder):
    keeper = _keeper(folder, {})
    assert [step for step in range(1, 46) if keeper.due(step)] == [10, 20, 30, 40, 45]
    # Several workers make more than one step at a time.
    assert keeper.due(22, before=19) and not keeper.due(24, before=22)


def test_patience_counts_across_interruptions(folder):
    scores = {10: 0.5, 20: 0.4, 30: 0.3, 40: 0.6}
    first = _keeper(folder, scores, patience=2)
    _evaluate(first, folder, 10, 20)
    assert not first.stops_early
    second = _keeper(folder, scores, patience=2)
    second.start(20)
    _evaluate(second, folder, 30)
    assert second.stops_early
    assert second.explain_stop() == (
        'No better mean_iou in 2 evaluations (--patience=2): training ends. Best: 0.5000 at step '
        '10, in {}.'.format(folder / 'best'))
    # More patience goes on.
    third = _keeper(folder, scores, patience=3)
    third.start(30)
    assert not third.stops_early
    _evaluate(third, folder, 40)
    assert third.without_progress == 0
    assert _state(folder)['best']['step'] == 40


def test_a_step_evaluated_again_counts_once(folder):
    keeper = _keeper(folder, {10: 0.5, 20: 0.4}, patience=2)
    _evaluate(keeper, folder, 10, 20, 20)
    assert not keeper.stops_early


def test_without_patience_training_goes_on(folder):
    keeper = _keeper(folder, {10: 0.5, 20: 0.1, 30: 0.1})
    _evaluate(keeper, folder, 10, 20, 30)
    assert keeper.without_progress == 2 and not keeper.stops_early


def test_an_evaluation_that_gave_up_leaves_no_trace_and_is_missing(folder):
    keeper = _keeper(folder, {10: 0.5})
    assert keeper.evaluate(str(folder / 'model.ckpt-10'), 10, lambda: True) is None
    assert not (folder / 'best').exists()
    assert keeper.is_missing(10) and not keeper.is_missing(0) and not keeper.is_missing(11)
    _evaluate(keeper, folder, 10)
    assert not _keeper(folder, {}).is_missing(10)


def test_another_run_or_setting_begins_anew(folder):
    _evaluate(_keeper(folder, {10: 0.9}, setting={'split': 'val'}), folder, 10)
    other_setting = _keeper(folder, {20: 0.1}, setting={'split': 'test'})
    other_setting.start(10)
    assert other_setting.is_missing(10)
    other_run = _keeper(folder, {20: 0.1}, setting={'split': 'val'})
    other_run.start(0)
    _evaluate(other_run, folder, 20)
    assert _state(folder)['evaluations'] == [[20, 0.1]]
    assert checkpoints.latest_checkpoint(str(folder / 'best')).endswith('-20')


@pytest.mark.parametrize('content', ['{"best": ', '[]', '{"best": {"step": 1}}'])
def test_figures_that_cannot_be_read_are_an_error(folder, content):
    (folder / 'best').mkdir()
    (folder / 'best' / 'best.json').write_text(content)
    with pytest.raises(UserError, match='best.json cannot be read .*Remove the folder'):
        _keeper(folder, {})


def test_a_disk_that_takes_no_copy_is_an_error_and_the_best_stays(folder, monkeypatch):
    keeper = _keeper(folder, {10: 0.3, 20: 0.5})
    _evaluate(keeper, folder, 10)

    def full(source, target):
        with open(target, 'w') as stream:
            stream.write('part')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(shutil, 'copyfile', full)
    with pytest.raises(UserError, match='Cannot write .*best/model.ckpt-20.*No space left'):
        _evaluate(keeper, folder, 20)
    assert checkpoints.latest_checkpoint(str(folder / 'best')).endswith('-10')
    assert _state(folder)['best']['step'] == 10
    assert not [name for name in os.listdir(str(folder / 'best')) if 'tmp' in name]


def test_what_a_killed_copy_left_goes_with_the_next_best(folder):
    keeper = _keeper(folder, {10: 0.3, 20: 0.5})
    _evaluate(keeper, folder, 10)
    (folder / 'best' / '.model.ckpt-20.index.tmp-1').write_text('part')
    _evaluate(keeper, folder, 20)
    assert {name.split('.')[1] for name in os.listdir(str(folder / 'best')) if '-' in name} == {
        'ckpt-20'}
