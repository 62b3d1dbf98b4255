"""The best checkpoint is kept, and training stops when nothing gets better."""
import json
import os

import pytest

from deeplab.training import best_checkpoint
from deeplab.utils import checkpoints


@pytest.fixture
def folder(tmp_path):
    for step in (10, 20, 30, 40):
        for ending in ('index', 'data-00000-of-00001', 'meta'):
            (tmp_path / 'model.ckpt-{}.{}'.format(step, ending)).write_text(str(step))
    (tmp_path / 'train_config.json').write_text('{}')
    return tmp_path


def _keeper(folder, scores, **kwargs):
    def evaluate(checkpoint):
        return {'miou': scores[int(checkpoint.rsplit('-', 1)[1])], 'pixel_accuracy': 0.9}
    return best_checkpoint.BestKeeper(str(folder), evaluate, every_steps=10, **kwargs)


def _figures(folder):
    with open(str(folder / 'best' / 'best.json')) as stream:
        return json.load(stream)


def test_only_the_best_is_kept_with_its_figures(folder):
    keeper = _keeper(folder, {10: 0.3, 20: 0.5, 30: 0.4})
    for step in (10, 20, 30):
        assert keeper.due(step) and not keeper.due(step + 5)
        keeper.evaluate(str(folder / 'model.ckpt-{}'.format(step)), step)
    best = checkpoints.latest_checkpoint(str(folder / 'best'))
    assert best == str(folder / 'best' / 'model.ckpt-20')
    assert sorted(os.listdir(str(folder / 'best'))) == [
        'best.json', 'checkpoint', 'model.ckpt-20.data-00000-of-00001', 'model.ckpt-20.index',
        'model.ckpt-20.meta', 'train_config.json']
    assert _figures(folder) == {'miou': 0.5, 'pixel_accuracy': 0.9, 'step': 20,
                                'checkpoint': 'model.ckpt-20', 'evaluations_since': 1}


def test_patience_counts_across_interruptions(folder):
    scores = {10: 0.5, 20: 0.4, 30: 0.3, 40: 0.6}
    first = _keeper(folder, scores, patience=2)
    for step in (10, 20):
        first.evaluate(str(folder / 'model.ckpt-{}'.format(step)), step)
    assert not first.stops_early
    second = _keeper(folder, scores, patience=2)
    second.evaluate(str(folder / 'model.ckpt-30'), 30)
    assert second.stops_early
    second.evaluate(str(folder / 'model.ckpt-40'), 40)
    assert not second.stops_early
    assert _figures(folder)['step'] == 40


def test_without_patience_training_goes_on(folder):
    keeper = _keeper(folder, {10: 0.5, 20: 0.1, 30: 0.1})
    for step in (10, 20, 30):
        keeper.evaluate(str(folder / 'model.ckpt-{}'.format(step)), step)
    assert not keeper.stops_early
