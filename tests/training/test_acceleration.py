"""Loss scaling of mixed precision, XLA's switches, and advice where memory does not suffice."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.training import acceleration
from deeplab.training import graph as training_graph
from deeplab.training import job
from deeplab.training import loop
from deeplab.training import options as training_options
from deeplab.training import starting
from tests.training import small_network
from tests.training import tiny

_SCALING = tf.train.experimental.MixedPrecisionLossScaleOptimizer


def _options(**changes):
    return training_options.TrainingOptions(train_logdir='unused', **changes)


def test_the_rewriter_is_asked_only_when_wanted():
    def rewrites(**changes):
        return acceleration.configure(
            tf.ConfigProto(), _options(**changes)).graph_options.rewrite_options
    assert not rewrites().auto_mixed_precision
    assert rewrites(mixed_precision=True).auto_mixed_precision == 1


def test_xla_sets_jit_and_keeps_other_flags(monkeypatch):
    monkeypatch.setenv('TF_XLA_FLAGS', '--tf_xla_clustering_debug')
    for _ in range(2):
        config = acceleration.configure(tf.ConfigProto(), _options(xla=True))
    assert config.graph_options.optimizer_options.global_jit_level == tf.OptimizerOptions.ON_1
    assert acceleration.os.environ['TF_XLA_FLAGS'] == (
        '--tf_xla_clustering_debug --tf_xla_cpu_global_jit')


def test_a_runtime_without_the_rewrite_is_named(monkeypatch):
    monkeypatch.setattr(acceleration, '_rewriter_has', lambda name: False)
    with pytest.raises(UserError, match='--mixed_precision needs .*; this is TensorFlow'):
        training_options.validate(_options(mixed_precision=True))


@pytest.fixture
def initial_scale(monkeypatch):
    """Sets the loss scale a run begins with."""
    dynamic = tf.train.experimental.DynamicLossScale

    def set_scale(scale):
        monkeypatch.setattr(acceleration.tf.train.experimental, 'DynamicLossScale',
                            lambda: dynamic(initial_loss_scale=scale))
    return set_scale


def _scale_a_quadratic(session_steps):
    """Steps of gradient descent on x^2 from 1, at rate 0.25; [(x, scale, steps counted)]."""
    with tf.Graph().as_default():
        x = tf.get_variable('x', initializer=1.0)
        step = tf.train.get_or_create_global_step()
        optimizer = acceleration.scaled(
            tf.train.GradientDescentOptimizer(0.25), _options(mixed_precision=True))
        apply = optimizer.apply_gradients(optimizer.compute_gradients(x * x), step)
        scale, = [variable for variable in tf.local_variables() if 'scale' in variable.op.name]
        assert {variable.op.name for variable in tf.global_variables()} == {'x', 'global_step'}
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            seen = []
            for _ in range(session_steps):
                session.run(apply)
                seen.append(tuple(session.run([x, scale, step])))
    return seen


def test_scaling_changes_nothing(initial_scale):
    initial_scale(2.0 ** 15)
    assert _scale_a_quadratic(2) == [(0.5, 2.0 ** 15, 1), (0.25, 2.0 ** 15, 2)]


def test_a_step_that_overflows_is_left_out(initial_scale):
    initial_scale(2.0 ** 127)
    # The gradient, 2x, overflows at the first scale.
    assert _scale_a_quadratic(2) == [(1.0, 2.0 ** 126, 0), (0.5, 2.0 ** 126, 1)]


def _is_plain(message):
    return 'no effect' in message or 'bfloat16' in message


@pytest.mark.parametrize('changes', [
    {}, {'num_clones': 2, 'clone_on_cpu': True, 'gradient_accumulation_steps': 2,
         'clip_gradient_norm': 0.5, 'recompute_activations': True}])
def test_a_run_in_mixed_precision(tmp_path, monkeypatch, initial_scale, changes):
    # So much that the first steps overflow and are left out. (Of 2^127 the reciprocal is zero.)
    initial_scale(2.0 ** 126)
    monkeypatch.setattr(training_graph.model, 'multi_scale_logits', tiny.multi_scale_logits)
    warnings = []
    monkeypatch.setattr(acceleration.logging, 'warning',
                        lambda text, *arguments: warnings.append(text))

    def run(name, **more):
        options = small_network.options(tmp_path / name, last_layer_gradient_multiplier=3.0,
                                        fine_tune_batch_norm=False, base_learning_rate=5e-5,
                                        **dict(changes, **more))
        return job.run(options, tiny.MODEL_OPTIONS._replace(label_weights=1000.0),
                       lambda start: tiny.Dataset(options.clone_batch_size, numbers=2))
    plain, mixed = run('plain'), run('mixed', mixed_precision=True)
    assert mixed.step == plain.step == 4
    assert [text for text in warnings if _is_plain(text)]
    # bfloat16, where the CPU computes in it, has eight bits.
    first, second = tiny.values_of(plain.checkpoint), tiny.values_of(mixed.checkpoint)
    assert sorted(first) == sorted(second)
    for name in first:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_allclose(second[name], first[name], rtol=0.05,
                                   atol=0.02 * np.abs(first[name]).max(), err_msg=name)


def test_a_run_that_never_fits_diverges():
    options = small_network.options('unused', mixed_precision=True)
    steps = loop.Loop(None, options, None, None, None)
    overflow = {'total_loss': 1.0, 'gradient_norm': np.inf}
    assert all(steps._is_skipped(overflow) for _ in range(acceleration.MOST_SKIPPED))
    assert not steps._is_skipped(overflow)
    assert not steps._is_skipped({'total_loss': 1.0, 'gradient_norm': 1.0})
    assert steps._is_skipped(overflow)
    assert not steps._is_skipped({'total_loss': np.nan, 'gradient_norm': np.nan})


def _exhausted(*unused, **unused_too):
    raise tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating tensor\nand so on')


@pytest.mark.parametrize('owner, method', [
    (starting.Start, 'prepare'), (loop.profiling.Profiler, 'run')])
def test_memory_that_does_not_suffice_ends_with_advice(tmp_path, monkeypatch, owner, method):
    monkeypatch.setattr(training_graph.model, 'multi_scale_logits', tiny.multi_scale_logits)
    monkeypatch.setattr(owner, method, _exhausted)
    options = small_network.options(tmp_path)
    with pytest.raises(UserError) as caught:
        job.run(options, tiny.MODEL_OPTIONS, lambda start: tiny.Dataset(4))
    message = str(caught.value)
    assert '\n' not in message
    for part in ('Out of memory (OOM when allocating tensor)', '--gradient_accumulation_steps',
                 '--recompute_activations', '--mixed_precision', '--train_crop_size'):
        assert part in message
