"""The loss function against recorded corner cases of the reference."""
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.utils import train_utils
from tests import shared_data


def _recorded():
    with open(shared_data.path('goldens/training/loss_units.json')) as stream:
        cases = json.load(stream)
    return cases, np.load(shared_data.path('goldens/training/loss_units.npz'))


_LABELS_OF_CASE = {
    'plain': 'labels', 'weights_wrong_length': 'labels', 'ignore_label_0_labels_below_4': 'labels',
    'matting_int_labels': 'labels', 'few_left_top_k_25': 'few', 'few_left_top_k_1': 'few',
    'label_beyond_classes': 'beyond', 'label_beyond_classes_weights': 'beyond',
}


def _labels(name, arrays):
    if name == 'labels_none':
        return None
    if name.startswith('all_ignored'):
        return np.full_like(arrays['labels'], 255)
    if name == 'every_label_beyond_classes':
        return np.full_like(arrays['labels'], 9)
    if name.startswith('matting') and 'int' not in name:
        return arrays['matte']
    return arrays[_LABELS_OF_CASE.get(name, 'some')]


def _loss_and_gradient(case, arrays, weight=None):
    with tf.Graph().as_default(), tf.Session() as session:
        logits = tf.constant(arrays['logits'][..., :case['num_classes']])
        labels = _labels(case['name'], arrays)
        scales = {'merged_logits': logits}
        if case['name'] == 'two_scales':
            scales['logits_0.50'] = 0.5 * logits[:, :3, :4]
        arguments = dict(case['arguments'])
        if weight is not None:
            arguments['loss_weight'] = weight
        train_utils.add_softmax_cross_entropy_loss_for_each_scale(
            scales, None if labels is None else tf.constant(labels), case['num_classes'],
            case['ignore_label'], scope=case['scope'], **arguments)
        losses = tf.losses.get_losses()
        gradient, = tf.gradients(losses, [logits])
        if case['arguments'].get('hard_example_mining_step'):
            session.run(tf.global_variables_initializer())
        values, gradient = session.run([losses, gradient])
        return {loss.op.name: value for loss, value in zip(losses, values)}, gradient


def test_recorded_cases():
    cases, arrays = _recorded()
    compared = 0
    for case in cases:
        if 'error' in case:
            continue
        losses, gradient = _loss_and_gradient(case, arrays)
        assert sorted(losses) == sorted(case['losses']), case['name']
        for name, expected in case['losses'].items():
            np.testing.assert_allclose(losses[name], expected, rtol=2e-6, err_msg=case['name'])
        np.testing.assert_allclose(gradient, arrays['gradient_' + case['name']], rtol=2e-5,
                                   atol=1e-8, err_msg=case['name'])
        compared += 1
    assert compared == 22


def test_recorded_errors():
    cases, arrays = _recorded()
    weights = {'weights_tuple': (0.5, 1.0, 0.0, 3.0),
               'weights_numpy': np.array([0.5, 1.0, 0.0, 3.0])}
    refused = [case for case in cases if 'error' in case]
    assert len(refused) == 8
    for case in refused:
        with pytest.raises(ValueError):
            _loss_and_gradient(case, arrays, weights.get(case['name']))


def test_mining_keeps_fewer_pixels_as_training_goes_on():
    losses = []
    for step in (0, 50, 100, 1000):
        with tf.Graph().as_default(), tf.Session() as session:
            global_step = tf.train.get_or_create_global_step()
            random = np.random.RandomState(0)
            train_utils.add_softmax_cross_entropy_loss_for_each_scale(
                {'merged_logits': tf.constant(random.randn(1, 8, 8, 3), tf.float32)},
                tf.constant(random.randint(0, 3, (1, 8, 8, 1)), tf.int32), 3, 255,
                hard_example_mining_step=100, top_k_percent_pixels=0.25)
            losses.append(session.run(tf.losses.get_losses()[0], {global_step: step}))
    assert losses[0] < losses[1] < losses[2] == losses[3]
