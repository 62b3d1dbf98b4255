"""Two momentum steps of MobileNetV2 in all its set-ups, against those recorded of the reference."""
import collections
import json
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import compat
from deeplab.core import aspp
from deeplab.names import ModelOptions, OUTPUT_TYPE
from deeplab.training import graph as training_graph
from deeplab.training import options as training_options
from tests import golden_net
from tests import shared_data
from tests.training import recorded

_SIZE = 129
# How many times the recorded noise floor a difference may be.
_LOOSE = 5 if compat.IS_TF1 else 10
# Layers whose gradients hold still where batch norm trains; on 2.x, whose kernels round otherwise,
# the logits alone.
_LAST_LAYERS = ('logits/', 'concat_projection/') if compat.IS_TF1 else ('logits/',)

# graph, options that differ from the graph's recorded flags, cases that one graph serves
_BUILDS = [
    ('base', {}, ['a_plain', 'd_ignore50']),
    ('base', {'last_layer_gradient_multiplier': 10.0}, ['h_mult10_all_last_layers']),
    ('base', {'last_layer_gradient_multiplier': 10.0, 'last_layers_contain_logits_only': True},
     ['h_mult10_logits_only']),
    ('no_upsample', {}, ['b_no_upsample']),
    ('label_weights', {}, ['c_label_weights']),
    ('topk', {}, ['e_top_k_25']),
    ('mining', {}, ['f_mining100_step{}'.format(step) for step in (0, 50, 100, 200)]),
    ('pyramid', {}, ['g_pyramid']),
    ('bn', {}, ['i_batch_norm']),
    ('bn_no_pooling', {}, ['i2_batch_norm_no_pooling']),
    ('dropout', {}, ['x_dropout_mask']),
]

Recorded = collections.namedtuple('Recorded', ['graph', 'case', 'arrays'])


def _recorded(graph, case):
    path = 'goldens/training/loss/mobilenet_v2__{}.'.format(graph)
    with open(shared_data.path(path + 'json')) as stream:
        content = json.load(stream)
    with np.load(shared_data.path(path + 'npz')) as arrays:
        prefix = case + '__'
        own = {key[len(prefix):]: arrays[key] for key in arrays.files if key.startswith(prefix)}
    return Recorded(content, content['cases'][case], own)


def _labels(reference):
    return recorded.labels(_SIZE, reference.case['ignore_fraction_asked'])


def _fixed_dropout(graph):
    """The records were made without dropout, or with one known mask."""
    @slim.add_arg_scope
    def identity(net, **unused):
        return net

    @slim.add_arg_scope
    def mask(net, keep_prob, **unused):
        shape = [2] + net.shape.as_list()[1:]
        kept = np.random.RandomState(3).uniform(size=shape) < keep_prob
        return net / keep_prob * tf.constant(kept, tf.float32)
    return mask if graph == 'dropout' else identity


def _build(graph, reference, changes):
    flags = reference.graph['flags']
    own = {name: flags[name] for name in training_options.TrainingOptions._fields if name in flags}
    own.update(changes)
    options = training_options.TrainingOptions(
        learning_policy='step', base_learning_rate=0.01, learning_rate_decay_step=10 ** 6, **own)
    model_options = ModelOptions(
        {OUTPUT_TYPE: recorded.CLASSES}, crop_size=[_SIZE, _SIZE],
        output_stride=flags['output_stride'], label_weights=flags.get('label_weights', 1.0),
        add_image_level_feature=flags.get('add_image_level_feature', True))
    batch = recorded.FixedBatch(recorded.images(_SIZE), _labels(reference))
    return training_graph.build(options, model_options, batch), batch


def _initial_values():
    trained = {variable.op.name for variable in tf.model_variables()}
    return {variable: (golden_net.seeded_value(
                variable.op.name, variable.shape.as_list(), 'mid')
                       if variable.op.name in trained else np.zeros(variable.shape.as_list()))
            for variable in tf.global_variables()}


def _values(session):
    """{name: value in float64} of all variables."""
    values = session.run({variable.op.name: variable for variable in tf.global_variables()})
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


def _norms(values, names):
    return np.array([np.sqrt(np.sum(values[name] ** 2)) for name in names])


def _check_inputs(initial, reference):
    names = sorted(name for name in initial if not name.endswith(('/Momentum', 'global_step')))
    crc = 0
    for name in names:
        crc = zlib.crc32(initial[name].astype(np.float32).tobytes(), crc)
    assert crc == reference.graph['weights_crc32']
    assert len(names) == reference.graph['global_variables']
    assert zlib.crc32(_labels(reference).tobytes()) == reference.case['labels_crc32_int32']


def _check_gradients(after_first_step, reference, multipliers, trains_batch_norm):
    """The momentum slots after one step are the gradients with their multipliers."""
    names, arrays = reference.graph['trainable_names'], reference.arrays
    gradients = {name: after_first_step[name + '/Momentum'] for name in names}
    noise = arrays['half_ulp_grad_diff_l2']
    # Where batch norm trains, a change of half a unit in the last place of the weights already
    # moves most gradients by per cents; only those of the last layers hold still.
    steady = noise <= (1e-3 if trains_batch_norm else 1) * arrays['grad_l2']
    if trains_batch_norm:
        steady &= np.array([name.startswith(_LAST_LAYERS) for name in names])
    assert steady.sum() >= (2 if trains_batch_norm else len(names))
    error = np.abs(_norms(gradients, names) - arrays['mgrad_l2'])
    limit = (_LOOSE * noise + 2e-4 * arrays['grad_l2'] + 1e-7) * multipliers
    assert np.all(error[steady] <= limit[steady]), [
        (names[i], error[i], limit[i]) for i in np.where(steady & (error > limit))[0]]
    for index in np.where(steady)[0]:
        shape = gradients[names[index]].shape
        random = np.random.RandomState((zlib.crc32(names[index].encode()) + 1) % 2 ** 32)
        projected = np.sum(gradients[names[index]] * random.standard_normal(shape))
        expected = arrays['grad_proj'][index] * multipliers[index]
        assert abs(projected - expected) <= 4 * limit[index], names[index]


def _check_moving_averages(after, reference):
    flat = np.concatenate([after[name].ravel() for name, _ in reference.graph['moving_names']])
    np.testing.assert_allclose(flat, reference.arrays['moving_all_step1'], rtol=1e-4, atol=1e-4)


class _Trainer(object):
    """One graph and its session; starts each case from the recorded weights."""

    def __init__(self, tensors, batch, session):
        self._tensors = tensors._replace(
            image_summary=tensors.train_op, accumulate_op=tensors.train_op)
        self._batch = batch
        self._session = session
        self._values = _initial_values()
        self._placeholders = {variable: tf.placeholder(variable.dtype.base_dtype, variable.shape)
                              for variable in self._values}
        self._assign = [variable.assign(self._placeholders[variable]) for variable in self._values]

    def two_steps(self, start, labels):
        """Values of all variables before and after one step, fetches of both steps, last loss."""
        self._values[tf.train.get_global_step()] = np.array(start)
        self._session.run(self._assign, {
            self._placeholders[variable]: value for variable, value in self._values.items()})
        feed = {self._batch.labels: labels}
        initial = _values(self._session)
        steps = [self._session.run(self._tensors, feed)]
        after = _values(self._session)
        steps.append(self._session.run(self._tensors, feed))
        return initial, after, steps, self._session.run(self._tensors.total_loss, feed)


def _check_losses(steps, last_loss, reference):
    case, noise = reference.case, reference.case['half_ulp_noise']
    losses = dict(steps[0].losses)
    regularization = losses.pop('regularization_loss')
    assert sorted(losses) == sorted(case['losses'])
    for name, expected in case['losses'].items():
        np.testing.assert_allclose(
            losses[name], expected, rtol=_LOOSE * max(noise['losses_rel'] + [1e-7]))
    np.testing.assert_allclose(regularization, case['regularization_sum'], rtol=1e-6)
    floors = [noise['total_loss_rel']] + noise['total_loss_after_step_rel']
    expected = [case['total_loss']] + [case['after_step'][done]['total_loss'] for done in '12']
    found = [step.total_loss for step in steps] + [last_loss]
    for index in range(3):
        rtol = _LOOSE * max(floors[index], 1e-7 if index == 0 else 1e-6)
        np.testing.assert_allclose(found[index], expected[index], rtol=rtol, err_msg=str(index))


@pytest.mark.parametrize(
    'graph, changes, cases', _BUILDS, ids=[cases[0] for _, _, cases in _BUILDS])
def test_recorded_steps(graph, changes, cases, monkeypatch):
    trains_batch_norm = graph.startswith('bn')
    monkeypatch.setattr(aspp.slim, 'dropout', _fixed_dropout(graph))
    tensors, batch = _build(graph, _recorded(graph, cases[0]), changes)
    config = tf.ConfigProto(
        allow_soft_placement=True, intra_op_parallelism_threads=2, inter_op_parallelism_threads=2)
    with tf.Session(config=config) as session:
        trainer = _Trainer(tensors, batch, session)
        for case in cases:
            reference = _recorded(graph, case)
            start = reference.case['global_step']
            initial, after, steps, last_loss = trainer.two_steps(start, _labels(reference))
            _check_inputs(initial, reference)
            _check_losses(steps, last_loss, reference)
            assert [step.global_step for step in steps] == [start + 1, start + 2]
            _check_gradients(after, reference, reference.arrays['multiplier'], trains_batch_norm)
            np.testing.assert_allclose(
                steps[0].gradient_norm, reference.case['mgrad_l2_all'],
                rtol=0.5 if trains_batch_norm else 2e-4)
            if trains_batch_norm:
                _check_moving_averages(after, reference)
            else:
                _check_frozen(initial, after)


def _check_frozen(initial, after):
    for name in initial:
        if name.endswith(('moving_mean', 'moving_variance')):
            assert np.array_equal(initial[name], after[name])
