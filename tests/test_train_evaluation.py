"""Evaluation during training, by the command: it keeps the best and disturbs nothing."""
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import eval as eval_command
from deeplab import train
from deeplab.datasets import descriptions
from deeplab.evaluation import inference
from deeplab.evaluation import job as evaluation_job
from deeplab.evaluation import split_prediction
from deeplab.utils import checkpoints
from tests import tiny_run
from tests.training import tiny

_STEPS = 5


@pytest.fixture(scope='module', name='data')
def _data(tmp_path_factory):
    """A data set with the splits train and val."""
    folder = tmp_path_factory.mktemp('data')
    tiny_run.write_records(folder / 'val')
    tiny_run.write_records(folder, 'train', sizes=tiny_run.SIZES * 2)
    for path in (folder / 'val').iterdir():
        if path.name.startswith('val'):
            shutil.move(str(path), str(folder))
    path = str(folder / descriptions.FILE_NAME)
    description = descriptions.read(path)
    descriptions.save(description._replace(splits_to_sizes={'train': 6, 'val': 3}), path)
    return folder


def _train(data, logdir, *arguments, **changes):
    values = dict(
        dataset='tiny', dataset_dir=data, train_logdir=logdir, train_crop_size='33,33',
        train_batch_size=2, num_threads=1, log_steps=1, training_number_of_steps=_STEPS, seed=1,
        base_learning_rate=0.01, eval_crop_size='49,65')
    values.update(changes)
    return tiny_run.command(
        train, *(tiny_run.MODEL_FLAGS + tiny_run.flag_values(**values) + list(arguments)))


@pytest.fixture(scope='module', name='evaluated')
def _evaluated(data, tmp_path_factory):
    """The folder of a run that was evaluated at steps 2, 4 and 5."""
    folder = tmp_path_factory.mktemp('evaluated')
    assert _train(data, folder, eval_every_steps=2, metrics_jsonl=folder / 'lines.jsonl') == 0
    return folder


def test_evaluation_leaves_the_training_as_it_is_bit_for_bit(data, evaluated, tmp_path):
    assert _train(data, tmp_path, eval_crop_size=None) == 0
    with_it, without = [tiny.values_of(str(folder / 'model.ckpt-{}'.format(_STEPS)))
                        for folder in (evaluated, tmp_path)]
    assert sorted(with_it) == sorted(without)
    for name in without:
        assert np.array_equal(with_it[name], without[name]), name
    assert not (tmp_path / 'best').exists()


def test_figures_are_those_of_eval(data, evaluated, tmp_path, capsys):
    state = json.loads((evaluated / 'best' / 'best.json').read_text())
    assert [step for step, _ in state['evaluations']] == [2, 4, 5]
    best = state['best']
    assert best['mean_iou'] == max(score for _, score in state['evaluations'])
    assert tiny_run.command(
        eval_command, '--checkpoint_dir={}'.format(evaluated / 'best'), '--eval_crop_size=49,65',
        '--dataset_dir={}'.format(data), '--eval_logdir={}'.format(tmp_path)) == 0
    capsys.readouterr()
    report = json.loads((tmp_path / 'metrics.json').read_text())
    assert (report['step'], report['mean_iou']) == (best['step'], best['mean_iou'])
    assert {row['name']: row['iou'] for row in report['classes']} == best['class_iou']


def test_curve_lines_and_summaries_agree(evaluated):
    state = json.loads((evaluated / 'best' / 'best.json').read_text())
    curve = json.loads((evaluated / 'eval_curve.json').read_text())
    assert [[entry['step'], entry['mean_iou']] for entry in curve] == state['evaluations']
    assert (evaluated / 'eval_curve.png').stat().st_size > 5000
    tag = 'eval/miou_1.0_overall'
    lines = [json.loads(line) for line in (evaluated / 'lines.jsonl').read_text().splitlines()]
    assert [[line['step'], line[tag]] for line in lines if tag in line] == state['evaluations']
    events = [name for name in os.listdir(str(evaluated)) if name.startswith('events')]
    found = [(event.step, value.simple_value)
             for event in tf.train.summary_iterator(str(evaluated / events[0]))
             for value in event.summary.value if value.tag == tag]
    np.testing.assert_allclose(found, state['evaluations'], rtol=1e-6)


def test_the_graph_of_evaluation_does_not_grow(data, evaluated):
    options = inference.InferenceOptions()
    split = evaluation_job.Split('tiny', 'val', str(data), 1,
                                 split_prediction.CropChoice([49, 65], False))
    dataset = evaluation_job.make_dataset(split, tiny_run.model_options(), options)
    predictor = split_prediction.SplitPredictor(dataset, tiny_run.model_options(), options)
    graph = predictor._graph  # pylint: disable=protected-access
    before = len(graph.get_operations())
    prefix = str(evaluated / 'best')
    for _ in range(2):
        assert len(list(predictor.samples(checkpoints.find_checkpoint(prefix)))) == 3
    assert len(graph.get_operations()) == before


@pytest.mark.parametrize('changes, status, parts', [
    ({'patience': 3}, 1, ['--patience', '--eval_every_steps']),
    ({'eval_split': 'train'}, 1, ['--eval_split', '--eval_every_steps']),
    ({'eval_every_steps': -1}, 1, ['--eval_every_steps=-1']),
    ({'eval_every_steps': 2, 'patience': -1}, 1, ['--patience=-1']),
    ({'eval_every_steps': 2, 'eval_split': 'vall'}, 1, ["'vall'", 'val']),
    ({'eval_every_steps': 2, 'eval_crop_size': '33,33'}, 1, ['--eval_crop_size', '49,65']),
    ({'eval_every_steps': 2, 'eval_batch_size': 0}, 1, ['--eval_batch_size=0']),
    ({'eval_every_steps': 2, 'eval_output_stride': 12}, 1, ['--eval_output_stride=12']),
    ({'eval_every_steps': 2, 'eval_output_stride': 0}, 1, ['--eval_output_stride=0']),
    ({'eval_every_steps': 'x'}, 2, ['eval_every_steps']),
])
def test_mistakes_are_one_line_before_anything_is_made(data, tmp_path, capsys, changes, status,
                                                       parts):
    values = dict(dict(eval_crop_size=None), **changes)
    assert _train(data, tmp_path / 'run', **values) == status
    tiny_run.check_error(capsys, *parts)
    assert not (tmp_path / 'run').exists()
