"""Activations computed again: the same gradients, the same run, from less memory."""
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.core import aspp
from deeplab.errors import UserError
from deeplab.names import IMAGE, LABEL
from deeplab.training import graph as training_graph
from deeplab.training import recomputation
from slim_nets import boundaries
from tests.training import small_network
from tests.training import tiny

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _one_thread():
    return tf.Session(config=tf.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=1))


def _both_gradients(model_options, **changes):
    """Gradients as TensorFlow makes them and computed again: {variable: (one, other)}."""
    options = small_network.options('unused', **changes)
    samples = small_network.Dataset(2).get_one_shot_iterator().get_next()
    training_graph.clone_losses({name: samples[name] for name in (IMAGE, LABEL)}, options,
                                model_options, tiny.IGNORE_LABEL)
    loss = tf.losses.get_total_loss()
    variables = tf.trainable_variables()
    before = len(tf.global_variables())
    plain = tf.gradients(loss, variables)
    again = recomputation.gradients(loss, variables)
    assert len(tf.global_variables()) == before
    with _one_thread() as session:
        session.run(tf.global_variables_initializer())
        values = session.run(list(zip(plain, again)))
    return dict(zip([variable.op.name for variable in variables], values))


def _without_dropout(monkeypatch):
    monkeypatch.setattr(aspp, 'DROPOUT_KEEP_PROB', 1.0)


_FAST = ['mobilenet_v2', 'resnet_v1_18_beta']
_SLOW = sorted(set(small_network.VARIANTS) - set(_FAST))


@pytest.mark.parametrize('fine_tune_batch_norm', [True, False])
@pytest.mark.parametrize('variant', _FAST + [
    pytest.param(variant, marks=pytest.mark.slow) for variant in _SLOW])
def test_gradients_are_those_of_tensorflow(variant, fine_tune_batch_norm, monkeypatch):
    _without_dropout(monkeypatch)
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        found = _both_gradients(small_network.model_options(variant),
                                fine_tune_batch_norm=fine_tune_batch_norm)
        copied = [op for op in graph.get_operations()
                  if op.type == 'Conv2D' and 'recomputed' in op.name]
        convolutions = [op for op in graph.get_operations()
                        if op.type == 'Conv2D' and 'gradients' not in op.name]
    # All but those of the last part, which is at work when the gradients begin.
    assert len(copied) >= len(convolutions) - 2 > 5
    largest = max(np.abs(plain).max() for plain, _ in found.values())
    for name, (plain, again) in found.items():
        # Gradients of branches are added in another order: in fifty layers that came to 1.6e-6 of
        # the largest value. A bias that batch norm takes away has a gradient of rounding alone.
        atol = max(5e-6 * np.abs(plain).max(), 1e-6 * largest)
        np.testing.assert_allclose(again, plain, rtol=1e-5, atol=atol, err_msg=name)


def test_several_scales_share_their_variables(monkeypatch):
    _without_dropout(monkeypatch)
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        found = _both_gradients(small_network.model_options(), image_pyramid=[1.0, 1.5])
    for name, (plain, again) in found.items():
        np.testing.assert_allclose(again, plain, rtol=1e-4, atol=1e-5 * np.abs(plain).max(),
                                   err_msg=name)


def _run_both_ways(folder, **changes):
    changes.update(training_number_of_steps=2, save_interval_steps=0)
    return [small_network.run(folder / str(recompute), recompute_activations=recompute,
                              **changes).checkpoint for recompute in (False, True)]


def test_a_run_is_the_same_run(tmp_path):
    # Moving averages of batch norm are compared too: they have to move once a step.
    small_network.assert_same_values(*_run_both_ways(tmp_path))


def test_together_with_clones_parts_and_clipping(tmp_path, monkeypatch):
    # Which clone draws which half of the batch is open, and so the masks an image gets.
    _without_dropout(monkeypatch)
    small_network.assert_same_values(*_run_both_ways(
        tmp_path, num_clones=2, clone_on_cpu=True, gradient_accumulation_steps=2,
        clip_gradient_norm=0.5, fine_tune_batch_norm=False), rtol=1e-4, atol=1e-6)


def test_draws_are_kept_and_parts_may_use_earlier_ones():
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        source = tf.placeholder(tf.float32, [3])
        weights = [tf.get_variable(name, initializer=value)
                   for name, value in (('a', 2.0), ('b', 3.0), ('unused', 1.0))]
        first = boundaries.mark(source * weights[0])
        mask = tf.random_uniform([3])
        second = boundaries.mark(tf.sin(first * weights[1] * mask))
        loss = tf.reduce_sum(second * first) + weights[0] ** 2
        plain = tf.gradients(loss, weights[:2])
        found = recomputation.gradients(loss, weights)
        assert found[2] is None
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            values = session.run(plain + found[:2], {source: [1.0, 2.0, 3.0]})
    np.testing.assert_allclose(values[2:], values[:2], rtol=1e-6)


def test_without_marks_nothing_is_copied():
    with tf.Graph().as_default() as graph:
        weight = tf.get_variable('a', initializer=2.0)
        gradient, = recomputation.gradients(weight ** 2 * tf.placeholder(tf.float32, []), [weight])
        assert not [op for op in graph.get_operations() if 'recomputed' in op.name]
        with tf.Session() as session:
            session.run(weight.initializer)
            assert session.run(gradient, {'Placeholder:0': 3.0}) == 12.0


def test_quantised_training_is_refused(tmp_path):
    with pytest.raises(UserError, match='--recompute_activations does not go together'):
        small_network.run(tmp_path, recompute_activations=True, quantize_delay_step=0)


_PEAK = '''
import re
from deeplab.training import graph
from tests.training import small_network
import tensorflow.compat.v1 as tf
# Not getrusage: its peak begins with what the process that forked this one held.
def peak():
    return int(re.search('VmHWM:\\s+([0-9]+)', open('/proc/self/status').read()).group(1))
small_network.SIZE = 161
options = small_network.options('unused', train_batch_size=8, recompute_activations={})
tensors = graph.build(options, small_network.model_options(depth_multiplier=0.35),
                      small_network.Dataset(8))
config = tf.ConfigProto(allow_soft_placement=True, intra_op_parallelism_threads=1,
                        inter_op_parallelism_threads=1)
with tf.Session(config=config) as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    before = peak()
    session.run(tensors.train_op)
    print(peak() - before)
'''


def _peak(recompute):
    # Without these, malloc keeps what is freed and the measure is of its habits.
    environment = dict(os.environ, PYTHONPATH=_ROOT, TF_CPP_MIN_LOG_LEVEL='3',
                       MALLOC_MMAP_THRESHOLD_='65536', MALLOC_TRIM_THRESHOLD_='65536')
    return int(subprocess.check_output([sys.executable, '-c', _PEAK.format(recompute)],
                                       env=environment, stderr=subprocess.DEVNULL))


@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='no /proc to read peaks from')
def test_a_step_needs_less_memory():
    assert _peak(True) < 0.7 * _peak(False)
