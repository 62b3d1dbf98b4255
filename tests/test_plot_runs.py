"""scripts/plot_runs.py: curves of groups by hand, the table, the figure, mistakes."""
import importlib.util
import os

import numpy as np
from PIL import Image
import pytest

from tests import tiny_run
from tests.evaluation.test_run_records import TAG, write_lines

_PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'scripts',
                     'plot_runs.py')


@pytest.fixture(scope='module', name='plot_runs')
def _plot_runs():
    spec = importlib.util.spec_from_file_location('plot_runs', _PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name='runs')
def _runs(tmp_path):
    """Three runs; the last one ended after 10 steps and was not evaluated."""
    for name, losses, scores in (
            ('p1', [3.0, 1.0], [0.2, 0.4]), ('p2', [2.0, 2.0], [0.5, 0.3]), ('p3', [4.0], [])):
        records = [{'step': 10 * number, 'total_loss': loss, 'learning_rate': 0.1}
                   for number, loss in enumerate(losses, 1)]
        records += [{'step': 10 * number, TAG: score} for number, score in enumerate(scores, 1)]
        write_lines(tmp_path / name / 'train' / 'metrics.jsonl', records)
    return tmp_path


def _run(plot_runs, runs, capsys, *arguments):
    status = tiny_run.command(plot_runs, *arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_curve_of_a_group(plot_runs, runs):
    group, = plot_runs.read_groups([], ['poly:' + ','.join(
        str(runs / name) for name in ('p1', 'p2', 'p3'))])
    loss = plot_runs.curve_of(group, 'total_loss')
    assert (loss.name, loss.steps) == ('poly', [10, 20])
    np.testing.assert_allclose([loss.values, loss.low, loss.high],
                               [[3.0, 1.5], [2.0, 1.0], [4.0, 2.0]])
    score = plot_runs.curve_of(group, 'mean_iou')
    np.testing.assert_allclose(score.values, [0.35, 0.35])
    assert plot_runs.table_of([group]).splitlines()[2].split() == [
        # mean and sample standard deviation of 1, 2, 4; of 0.4, 0.3; of 0.4, 0.5.
        'poly', '3', '20', '2.3333', '+/-', '1.5275', '0.3500', '+/-', '0.0707',
        '0.4500', '+/-', '0.0707', '20,', '10']


def test_a_run_alone_has_no_spread(plot_runs, runs):
    group, = plot_runs.read_groups([str(runs / 'p3')], [])
    assert plot_runs.curve_of(group, 'total_loss').low is None
    assert plot_runs.curve_of(group, 'mean_iou') is None
    assert plot_runs.table_of([group]).splitlines()[2].split() == [
        'p3', '1', '10', '4.0000', '-', '-', '-']
    assert [panel.title for panel in plot_runs.panels_of([group])] == ['loss', 'learning rate']


def test_many_losses_are_smoothed_symmetrically(plot_runs):
    values = np.arange(100.0)
    # A straight line stays one; its mean over a window is its middle.
    np.testing.assert_allclose(plot_runs._smoothed(values), values)
    values[50] += 5
    smoothed = plot_runs._smoothed(values)
    np.testing.assert_allclose(smoothed[48:53] - np.arange(48, 53), 1.0)
    np.testing.assert_allclose(plot_runs._smoothed(np.array([1.0, 5.0])), [1, 5])


def test_the_command(plot_runs, runs, capsys):
    output = str(runs / 'figure.png')
    status, out, _ = _run(
        plot_runs, runs, capsys, '--runs={},{}'.format(runs / 'p1', runs / 'p2'),
        '--group=all:{}'.format(','.join(str(runs / name) for name in ('p1', 'p2', 'p3'))),
        '--output={}'.format(output), '--table_format=github')
    assert status == 0
    rows = [line.split('|')[1].strip() for line in out.splitlines() if line.startswith('| ')]
    assert rows == ['run', 'p1', 'p2', 'all']
    assert out.splitlines()[-1] == 'Written: ' + output
    with Image.open(output) as picture:
        width, height = picture.size
        # Three panels side by side, and something is drawn in each.
        assert width > 2 * height
        pixels = np.array(picture.convert('RGB'), np.int32)
    colorful = (pixels.max(axis=2) - pixels.min(axis=2) > 60).any(axis=0)
    for third in range(3):
        assert colorful[third * width // 3:(third + 1) * width // 3].any()


@pytest.mark.parametrize('arguments, parts', [
    ([], ['--runs', '--group']),
    (['--runs=nowhere'], ['nowhere', 'no such']),
    (['--group=poly'], ['--group=poly', 'name:RUN']),
    (['--group=:p1'], ['--group=:p1']),
    (['--group=a:{0}/p1', '--group=a:{0}/p2'], ["'a'"]),
    (['--runs={0}'], ['nothing about the course'])])
def test_mistakes_are_one_line(plot_runs, runs, capsys, arguments, parts):
    arguments = [argument.format(runs) for argument in arguments]
    output = str(runs / 'figure.png')
    status, _, err = _run(plot_runs, runs, capsys, '--output=' + output, *arguments)
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    assert status == 1 and len(lines) == 1
    for part in parts:
        assert part in lines[0]
    assert not os.path.exists(output)
