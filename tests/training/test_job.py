"""Runs from start to end: learning, resuming, stopping, diverging, and what is left on disk."""
import json
import os
import resource
import signal

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.training import best_checkpoint
from deeplab.training import graph as training_graph
from deeplab.training import job
from deeplab.training import options as training_options
from deeplab.training import progress
from deeplab.training import reporting
from deeplab.utils import checkpoints
from tests.training import tiny


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setattr(training_graph.model, 'multi_scale_logits', tiny.multi_scale_logits)


def _options(folder, **changes):
    values = dict(
        train_logdir=str(folder), training_number_of_steps=6, train_batch_size=4, log_steps=2,
        base_learning_rate=0.1, num_threads=1, seed=3)
    values.update(changes)
    return training_options.TrainingOptions(**values)


def _run(folder, make_dataset=None, evaluation=None, **changes):
    options = _options(folder, **changes)

    def default_dataset(start):
        return tiny.Dataset(options.clone_batch_size, start)
    return job.run(options, tiny.MODEL_OPTIONS, make_dataset or default_dataset,
                   evaluation=evaluation)


def _json_lines(path):
    with open(str(path)) as stream:
        return [json.loads(line) for line in stream]


def _same_values(first, second, exact=True, **tolerance):
    first, second = tiny.values_of(first), tiny.values_of(second)
    assert sorted(first) == sorted(second)
    for name in first:
        if exact:
            assert np.array_equal(first[name], second[name]), name
        else:
            np.testing.assert_allclose(first[name], second[name], err_msg=name, **tolerance)


def test_a_run_learns_reports_and_saves(tmp_path):
    result = _run(tmp_path / 'run', training_number_of_steps=60, log_steps=20,
                  metrics_jsonl=str(tmp_path / 'metrics.jsonl'))
    assert result.step == 60 and result.signal is None
    assert result.checkpoint == str(tmp_path / 'run' / 'model.ckpt-60')
    lines = _json_lines(tmp_path / 'metrics.jsonl')
    assert [line['step'] for line in lines] == [20, 40, 60]
    assert lines == _json_lines(tmp_path / 'run' / 'metrics.jsonl')
    assert lines[-1]['total_loss'] == result.total_loss
    # Guessing costs log 3 = 1.1.
    assert lines[-1]['total_loss'] < 0.8 * lines[0]['total_loss'] < 0.8
    last = lines[-1]
    assert last['seconds_left'] == 0 and last['images_per_second'] > 0
    np.testing.assert_allclose(last['total_loss'], (
        last['losses/semantic_merged_logits/mul_1'] + last['losses/regularization_loss']),
        rtol=1e-5)
    # Poly, one step before the end.
    np.testing.assert_allclose(last['learning_rate'], 0.1 * (1 / 60.0) ** 0.9, rtol=1e-4)
    values = tiny.values_of(result.checkpoint)
    assert values['global_step'] == 60
    assert sorted(values) == sorted(
        ['global_step', 'body/BatchNorm/moving_mean', 'body/BatchNorm/moving_variance'] + [
            name + slot for slot in ('', '/Momentum') for name in (
                'body/weights', 'body/BatchNorm/beta', 'body/BatchNorm/gamma',
                'logits/semantic/weights', 'logits/semantic/biases')])


def test_tensorboard_has_scalars_and_pictures(tmp_path):
    _run(tmp_path, save_summaries_images=True)
    events = [name for name in os.listdir(str(tmp_path)) if name.startswith('events')]
    assert len(events) == 1
    tags = {}
    for event in tf.train.summary_iterator(str(tmp_path / events[0])):
        for value in event.summary.value:
            tags.setdefault(value.tag, []).append(event.step)
    for tag in ('total_loss', 'learning_rate', 'gradient_norm',
                'losses/semantic_merged_logits/mul_1', 'losses/regularization_loss'):
        assert tags[tag] == [2, 4, 6]
    assert tags['step_seconds'] == [2, 4, 6]
    for name in ('image', 'label', 'semantic'):
        assert any(tag.startswith('samples/' + name) for tag in tags)


@pytest.mark.parametrize('changes', [
    {}, {'fine_tune_batch_norm': False}, {'optimizer': 'adam'},
    {'gradient_accumulation_steps': 2}])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, changes):
    whole = _run(tmp_path / 'whole', **changes)
    _run(tmp_path / 'parts', training_number_of_steps=6, save_interval_steps=3, **changes)
    for name in os.listdir(str(tmp_path / 'parts')):
        if 'ckpt-6' in name or name == 'checkpoint':
            os.remove(str(tmp_path / 'parts' / name))
    resumed = _run(tmp_path / 'parts', **changes)
    _same_values(whole.checkpoint, resumed.checkpoint)


def test_a_finished_run_has_nothing_to_do(tmp_path):
    first = _run(tmp_path)
    second = _run(tmp_path)
    assert second == (6, None, first.checkpoint, None)


def _no_dataset(start):
    raise AssertionError('No data are needed here.')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_next_run_goes_on(tmp_path, monkeypatch, number):
    report = reporting.LogReporter.report

    def report_and_kill(self, values):
        report(self, values)
        if values.step == 2:
            os.kill(os.getpid(), number)
    monkeypatch.setattr(reporting.LogReporter, 'report', report_and_kill)
    before = signal.getsignal(number)
    stopped = _run(tmp_path)
    assert signal.getsignal(number) == before
    assert stopped.signal == number
    assert stopped.step == 2
    assert stopped.checkpoint == str(tmp_path / 'model.ckpt-2')
    assert _run(tmp_path).step == 6


def test_metrics_asked_for_in_the_run_folder_are_written_once(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    _run(tmp_path, metrics_jsonl=str(path))
    assert [line['step'] for line in _json_lines(path)] == [2, 4, 6]


def test_metrics_that_cannot_be_written_are_an_error_only_where_asked_for(tmp_path):
    (tmp_path / 'metrics.jsonl').mkdir()
    assert _run(tmp_path).step == 6
    with pytest.raises(UserError, match='--metrics_jsonl=.*metrics.jsonl: cannot write'):
        _run(tmp_path, training_number_of_steps=7, metrics_jsonl=str(tmp_path / 'metrics.jsonl'))


def test_divergence_stops_with_everything_one_wants_to_know(tmp_path):
    _run(tmp_path, training_number_of_steps=2)
    with pytest.raises(UserError) as caught:
        _run(tmp_path, base_learning_rate=1e30, learning_policy='step')
    message = str(caught.value)
    for part in ('diverged at step', 'learning rate 1e+30', 'gradient norm', 'sample',
                 str(tmp_path / 'model.ckpt-2')):
        assert part in message
    assert 'folder/' not in message
    assert checkpoints.latest_checkpoint(str(tmp_path)) == str(tmp_path / 'model.ckpt-2')
    for value in tiny.values_of(str(tmp_path / 'model.ckpt-2')).values():
        assert np.all(np.isfinite(value))


def test_a_disk_that_takes_no_checkpoint_loses_nothing(tmp_path):
    saved = _run(tmp_path, training_number_of_steps=2).checkpoint
    before = tiny.values_of(saved)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def dataset_of_a_full_disk(start):
        # Files may not grow any more, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
        return tiny.Dataset(4, start)
    try:
        with pytest.raises(UserError, match='Cannot save step 6 .*model.ckpt-2'):
            _run(tmp_path, dataset_of_a_full_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [name for name in os.listdir(str(tmp_path)) if 'ckpt-6' in name]
    after = tiny.values_of(checkpoints.latest_checkpoint(str(tmp_path)))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert _run(tmp_path).step == 6


def test_a_damaged_last_checkpoint_is_passed_over(tmp_path):
    _run(tmp_path, save_interval_steps=4)
    damaged = str(tmp_path / 'model.ckpt-6.data-00000-of-00001')
    with open(damaged, 'r+b') as stream:
        stream.truncate(os.path.getsize(damaged) // 2)
    starts = []

    def make_dataset(start):
        starts.append(start)
        return tiny.Dataset(4, start)
    assert _run(tmp_path, make_dataset, training_number_of_steps=7).step == 7
    assert starts == [4 * 4]


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    _run(tmp_path, training_number_of_steps=1)
    with open(str(tmp_path / 'model.ckpt-1.index'), 'wb') as stream:
        stream.write(b'no index')
    with pytest.raises(UserError, match='none of the 1 checkpoints can be read'):
        _run(tmp_path, _no_dataset)


def test_checkpoints_of_an_interrupted_run_are_rotated_out(tmp_path):
    kept = dict(save_interval_steps=1, keep_checkpoint_max=2)
    _run(tmp_path, training_number_of_steps=3, **kept)
    _run(tmp_path, training_number_of_steps=5, **kept)
    assert [os.path.basename(prefix) for prefix in checkpoints.list_checkpoints(str(tmp_path))] == [
        'model.ckpt-4', 'model.ckpt-5']


def test_resuming_with_another_network_is_refused(tmp_path):
    _run(tmp_path, training_number_of_steps=1)
    with pytest.raises(UserError, match='Cannot resume from .* lacks 12 of the 20 variables'):
        _run(tmp_path, optimizer='adam')


def test_an_initial_checkpoint_starts_and_is_then_ignored(tmp_path):
    first = _run(tmp_path / 'first').checkpoint
    changes = dict(tf_initial_checkpoint=first, base_learning_rate=0.0, momentum=0.0)
    second = _run(tmp_path / 'second', fine_tune_batch_norm=False, **changes)
    loaded, source = tiny.values_of(second.checkpoint), tiny.values_of(first)
    for name in ('body/weights', 'logits/semantic/weights', 'body/BatchNorm/moving_mean'):
        assert np.array_equal(loaded[name], source[name])
    third = _run(tmp_path / 'third', initialize_last_layer=False,
                 last_layers_contain_logits_only=True, fine_tune_batch_norm=False, **changes)
    loaded = tiny.values_of(third.checkpoint)
    assert np.array_equal(loaded['body/weights'], source['body/weights'])
    assert not np.array_equal(loaded['logits/semantic/weights'], source['logits/semantic/weights'])
    # Resumed, so the initial checkpoint plays no role any more.
    fourth = _run(tmp_path / 'second', training_number_of_steps=7,
                  tf_initial_checkpoint=third.checkpoint, base_learning_rate=0.0)
    assert np.array_equal(tiny.values_of(fourth.checkpoint)['logits/semantic/weights'],
                          source['logits/semantic/weights'])


def test_kinds_of_initial_checkpoints(tmp_path):
    first = _run(tmp_path / 'first').checkpoint
    changes = dict(tf_initial_checkpoint=first, base_learning_rate=0.0, momentum=0.0,
                   training_number_of_steps=1, last_layers_contain_logits_only=True)
    source = tiny.values_of(first)
    name = 'logits/semantic/weights'
    for folder, kind in (('backbone', False), ('all', True)):
        loaded = tiny.values_of(_run(
            tmp_path / folder, restore_from_seg_model=kind, **changes).checkpoint)
        assert np.array_equal(loaded['body/weights'], source['body/weights'])
        assert np.array_equal(loaded[name], source[name]) == kind
    without_head = str(tmp_path / 'without_head')
    with tf.Graph().as_default(), tf.Session() as session:
        body = tf.get_variable('body/weights', initializer=source['body/weights'])
        session.run(body.initializer)
        tf.train.Saver([body]).save(session, without_head)
    changes['tf_initial_checkpoint'] = without_head
    with pytest.raises(UserError, match='does not hold 6 .*--restore_from_seg_model=false'):
        _run(tmp_path / 'refused', restore_from_seg_model=True, **changes)
    loaded = tiny.values_of(_run(tmp_path / 'some', **changes).checkpoint)
    assert np.array_equal(loaded['body/weights'], source['body/weights'])


def test_traces_are_written(tmp_path):
    _run(tmp_path / 'run', training_number_of_steps=12, profile_logdir=str(tmp_path / 'traces'))
    assert os.listdir(str(tmp_path / 'traces')) == ['timeline-10.json']
    with open(str(tmp_path / 'traces' / 'timeline-10.json')) as stream:
        assert json.load(stream)['traceEvents']


def test_two_clones_make_the_step_of_one_with_the_whole_batch(tmp_path):
    # As many counted pixels in each half, for a mean over clones to be the mean over all pixels.
    changes = dict(training_number_of_steps=3, fine_tune_batch_norm=False, clone_on_cpu=True)
    one = _run(tmp_path / 'one', lambda start: tiny.Dataset(4, start, 0.0, numbers=2), **changes)
    two = _run(tmp_path / 'two', lambda start: tiny.Dataset(2, start, 0.0, numbers=2),
               num_clones=2, tf_initial_checkpoint=None, **changes)
    _same_values(one.checkpoint, two.checkpoint, exact=False, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('parts', [2, 4])
def test_accumulated_parts_make_the_step_of_the_whole_batch(tmp_path, parts):
    # Samples ignore different numbers of pixels here.
    changes = dict(training_number_of_steps=3, fine_tune_batch_norm=False)
    whole = _run(tmp_path / 'whole', **changes)
    in_parts = _run(tmp_path / 'parts', gradient_accumulation_steps=parts, **changes)
    _same_values(whole.checkpoint, in_parts.checkpoint, exact=False, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(in_parts.total_loss, whole.total_loss, rtol=1e-5)


def test_clipping_bounds_the_step(tmp_path):
    def distance(name, **changes):
        path = str(tmp_path / (name + '.jsonl'))
        zero = _run(tmp_path / (name + '0'), training_number_of_steps=1, base_learning_rate=0.0)
        one = _run(tmp_path / (name + '1'), training_number_of_steps=1, log_steps=1,
                   metrics_jsonl=path, **changes)
        before, after = tiny.values_of(zero.checkpoint), tiny.values_of(one.checkpoint)
        moved = sum(np.sum((after[key] - before[key]) ** 2) for key in before
                    if key + '/Momentum' in before)
        return np.sqrt(moved) / 0.1, _json_lines(path)[0]['gradient_norm']
    free, norm = distance('free')
    np.testing.assert_allclose(free, norm, rtol=1e-4)
    clipped, reported = distance('clipped', clip_gradient_norm=norm / 3)
    np.testing.assert_allclose(clipped, norm / 3, rtol=1e-4)
    assert reported == norm


def test_boundaries_and_rates_act_without_another_switch(tmp_path):
    path = str(tmp_path / 'metrics.jsonl')
    _run(tmp_path / 'run', boundaries=[2, 4], rates=[0.1, 0.01, 0.001], log_steps=1,
         metrics_jsonl=path)
    # Step n is made with the rate at n - 1 steps done.
    np.testing.assert_allclose([line['learning_rate'] for line in _json_lines(path)],
                               [0.1, 0.1, 0.1, 0.01, 0.01, 0.001], rtol=1e-6)


def test_errors_of_the_input_come_in_its_own_words(tmp_path):
    class Broken(tiny.Dataset):
        def _sample(self, number):
            sample = super(Broken, self)._sample(number)
            fine = tf.debugging.assert_less(number, tf.constant(9, tf.int64))
            with tf.control_dependencies([fine]):
                return {name: tf.identity(value) for name, value in sample.items()}

        def translate_error(self, error):
            return UserError('Sample 9 is broken.')
    with pytest.raises(UserError, match='Sample 9 is broken'):
        _run(tmp_path, lambda start: Broken(4, start))


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path):
    runs = [_run(tmp_path / name, seed=seed).checkpoint
            for name, seed in (('a', 1), ('b', 1), ('c', 2))]
    _same_values(runs[0], runs[1])
    weights = [tiny.values_of(run)['body/weights'] for run in runs]
    assert not np.array_equal(weights[0], weights[2])


def _keeper(folder, evaluated, give_up=False, last_step=6, **kwargs):
    """A BestKeeper for which each evaluation is as good as the first; notes the steps."""
    def evaluate(checkpoint, should_stop):
        if give_up:
            return None
        evaluated.append(int(tiny.values_of(checkpoint)['global_step']))
        return best_checkpoint.Evaluation({'mean_iou': 0.5}, {'eval/miou_1.0_overall': 0.5}, '')
    return best_checkpoint.BestKeeper(str(folder), evaluate, 2, last_step, **kwargs)


def test_patience_ends_the_run_and_its_continuation(tmp_path):
    evaluated = []
    for _ in range(2):
        result = _run(tmp_path, evaluation=_keeper(tmp_path, evaluated, patience=1))
        assert result.step == 4 and result.signal is None
        assert result.checkpoint == str(tmp_path / 'model.ckpt-4')
    assert evaluated == [2, 4]
    patient = _keeper(tmp_path, evaluated, patience=2, last_step=7)
    assert _run(tmp_path, evaluation=patient, training_number_of_steps=7).step == 6
    assert evaluated == [2, 4, 6]


def test_an_interrupted_evaluation_is_made_up_for(tmp_path):
    evaluated = []
    _run(tmp_path, training_number_of_steps=2, evaluation=_keeper(tmp_path, evaluated, True, 2))
    assert not evaluated
    _run(tmp_path, training_number_of_steps=3, evaluation=_keeper(tmp_path, evaluated, False, 3))
    assert evaluated == [2, 3]


def test_evaluation_does_not_change_the_run(tmp_path):
    plain = _run(tmp_path / 'plain')
    with_it = _run(tmp_path / 'with', evaluation=_keeper(tmp_path / 'with', []))
    _same_values(plain.checkpoint, with_it.checkpoint)


def test_clock_leaves_out_the_first_step_and_pauses():
    times = iter([10.0, 11.0, 20.0, 50.0, 51.0])
    clock = progress.StepClock(clock=lambda: next(times))
    assert clock.read() is None
    clock.tick()              # 10: end of the first step.
    clock.tick()
    assert clock.read() == 1.0  # at 11
    with clock.paused():      # 20 to 50
        pass
    clock.tick()
    assert clock.read() == 10.0  # 40 seconds since 11, of which 30 paused, at 51
