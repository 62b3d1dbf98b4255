"""Schedules against recorded values of the reference."""
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.utils import learning_rates
from deeplab.utils import train_utils
from tests import shared_data


def _values(schedule, steps):
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.placeholder(tf.int64, [])
        rate = learning_rates.build(schedule, step)
        return np.array([session.run(rate, {step: value}) for value in steps])


def test_recorded_schedules():
    with open(shared_data.path('goldens/training/learning_rate.json')) as stream:
        recorded = json.load(stream)
    assert len(recorded['cases']) == 24
    for case in recorded['cases']:
        with tf.Graph().as_default(), tf.Session() as session:
            global_step = tf.train.get_or_create_global_step()
            rate = train_utils.get_model_learning_rate(**case['arguments'])
            values = [session.run(rate, {global_step: step}) for step in recorded['steps']]
        np.testing.assert_allclose(
            values, case['learning_rate'], rtol=1e-6, atol=1e-12, err_msg=str(case['arguments']))


def test_linear_burnin_without_slow_start_is_no_division_by_zero():
    schedule = learning_rates.Schedule(base_rate=0.007, burnin='linear', slow_start_steps=0)
    np.testing.assert_allclose(_values(schedule, [0]), [0.007], rtol=1e-6)


def test_step_without_staircase_decays_continuously():
    smooth = learning_rates.Schedule(
        policy='step', base_rate=1.0, step_interval=100, step_factor=0.25, staircase=False)
    np.testing.assert_allclose(_values(smooth, [0, 50, 100, 150]), [1, 0.5, 0.25, 0.125], rtol=1e-6)
    stairs = smooth._replace(staircase=True)
    np.testing.assert_allclose(_values(stairs, [0, 50, 100, 150]), [1, 1, 0.25, 0.25], rtol=1e-6)


def test_poly_reaches_the_end_rate_and_stays():
    schedule = learning_rates.Schedule(base_rate=0.1, end_rate=0.02, training_steps=10)
    np.testing.assert_allclose(_values(schedule, [10, 11, 1000]), [0.02] * 3, rtol=1e-6)


@pytest.mark.parametrize('changes, expected', [
    (dict(policy='pole'), 'policy.*pole.*poly, step, cosine, multi_steps'),
    (dict(burnin='quadratic'), 'burnin.*quadratic'),
    (dict(policy='multi_steps'), 'boundaries'),
    (dict(policy='multi_steps', boundaries=[5], boundary_rates=[1.0]), '1 boundaries need 2'),
    (dict(policy='multi_steps', boundaries=[5, 5], boundary_rates=[1.0] * 3), 'increase'),
    (dict(training_steps=10, slow_start_steps=10), 'nothing is left'),
    (dict(policy='cosine', training_steps=10, slow_start_steps=11), 'nothing is left'),
    (dict(policy='step', step_interval=0), 'learning_rate_decay_step'),
])
def test_bad_schedules_are_refused(changes, expected):
    with pytest.raises(UserError, match=expected):
        learning_rates.validate(learning_rates.Schedule(**changes))
