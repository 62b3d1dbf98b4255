"""Learning-rate schedules: poly, step, cosine and piecewise constant, with an optional slow start.

A schedule runs on the steps since the slow start, `max(global_step - slow_start_step, 0)`. While
`global_step < slow_start_step` the slow start sets the rate instead: a constant, or a straight line
from the slow-start rate up to the base rate ("linear" burn-in).

The poly policy is that of ParseNet (arXiv:1506.04579), used by all DeepLab papers from v2 on.
"""
import collections
import math

import tensorflow.compat.v1 as tf

from deeplab.errors import UserError

# What a schedule is made of. `decay_steps` 0 stands for "all training steps after the slow start".
Schedule = collections.namedtuple('Schedule', [
    'policy',                 # a key of POLICIES
    'base_rate',              # rate at the first step after the slow start
    'training_steps',         # total number of training steps
    'step_interval',          # step: steps between two decays
    'step_factor',            # step: factor of each decay
    'staircase',              # step: decay in jumps (True) or continuously (False)
    'power',                  # poly: exponent
    'decay_steps',            # poly: length of the schedule
    'end_rate',               # poly: rate at the end
    'boundaries',             # multi_steps: last step of each constant piece but the last one
    'boundary_rates',         # multi_steps: rate of each piece, one more than boundaries
    'slow_start_steps',
    'slow_start_rate',
    'burnin',                 # 'none' or 'linear'
])
Schedule.__new__.__defaults__ = (
    'poly', 1e-4, 30000, 2000, 0.1, True, 0.9, 0.0, 0.0, None, None, 0, 1e-4, 'none')


def _poly(schedule, step):
    length = float(_decay_length(schedule))
    progress = tf.minimum(step, length) / length
    span = schedule.base_rate - schedule.end_rate
    return span * tf.pow(1.0 - progress, schedule.power) + schedule.end_rate


def _step(schedule, step):
    decays = step / float(schedule.step_interval)
    if schedule.staircase:
        decays = tf.floor(decays)
    return schedule.base_rate * tf.pow(tf.constant(schedule.step_factor, tf.float32), decays)


def _cosine(schedule, step):
    length = float(schedule.training_steps - schedule.slow_start_steps)
    progress = tf.minimum(step, length) / length
    return schedule.base_rate * 0.5 * (1.0 + tf.cos(math.pi * progress))


def _multi_steps(schedule, step):
    rates = tf.constant(schedule.boundary_rates, tf.float32)
    # The value at a boundary is still the old one, hence the strict comparison.
    passed = tf.cast(step > tf.constant(schedule.boundaries, tf.float32), tf.int32)
    return tf.gather(rates, tf.reduce_sum(passed))


POLICIES = collections.OrderedDict([
    ('poly', _poly), ('step', _step), ('cosine', _cosine), ('multi_steps', _multi_steps)])
BURNINS = ('none', 'linear')


def _decay_length(schedule):
    return schedule.decay_steps or schedule.training_steps - schedule.slow_start_steps


def validate(schedule: Schedule) -> None:
    """Checks a schedule before any graph is built.

    Raises:
      UserError: for an unknown policy or burn-in, boundaries that do not fit their rates, or a
        schedule without a single step.
    """
    if schedule.policy not in POLICIES:
        raise UserError('Unknown learning policy {!r}; known ones: {}.'.format(
            schedule.policy, ', '.join(POLICIES)))
    if schedule.burnin not in BURNINS:
        raise UserError('Unknown burnin type {!r}; known ones: {}.'.format(
            schedule.burnin, ', '.join(BURNINS)))
    if schedule.policy == 'multi_steps':
        _validate_boundaries(schedule.boundaries, schedule.boundary_rates)
    elif schedule.policy == 'poly' and _decay_length(schedule) <= 0:
        _refuse_empty(schedule, 'decay_steps {:g}'.format(schedule.decay_steps))
    elif schedule.policy == 'cosine' and schedule.training_steps <= schedule.slow_start_steps:
        _refuse_empty(schedule, 'the cosine policy')
    elif schedule.policy == 'step' and schedule.step_interval <= 0:
        raise UserError('The step policy needs a positive number of steps between decays '
                        '(--learning_rate_decay_step), got {}.'.format(schedule.step_interval))


def _refuse_empty(schedule, culprit):
    raise UserError(
        'With {} nothing is left to decay over: {} training steps (--training_number_of_steps), '
        'of which {} are slow start (--slow_start_step).'.format(
            culprit, schedule.training_steps, schedule.slow_start_steps))


def _validate_boundaries(boundaries, rates):
    if not boundaries or not rates:
        raise UserError('The multi_steps policy needs both boundaries and rates; got boundaries '
                        '{} and rates {}.'.format(boundaries, rates))
    if len(rates) != len(boundaries) + 1:
        raise UserError('{} boundaries need {} rates, one more than boundaries; got {}: {}.'.format(
            len(boundaries), len(boundaries) + 1, len(rates), list(rates)))
    if list(boundaries) != sorted(set(boundaries)):
        raise UserError('Boundaries must increase, got {}.'.format(list(boundaries)))


def build(schedule: Schedule, global_step: tf.Tensor) -> tf.Tensor:
    """The learning rate at `global_step`.

    Args:
      schedule: a Schedule.
      global_step: integer scalar, tensor or variable.

    Returns:
      A float32 scalar tensor.

    Raises:
      UserError: see `validate`.
    """
    validate(schedule)
    with tf.name_scope('learning_rate'):
        step = tf.cast(global_step, tf.float32)
        since_start = tf.maximum(step - schedule.slow_start_steps, 0.0)
        rate = POLICIES[schedule.policy](schedule, since_start)
        if schedule.slow_start_steps <= 0:
            return tf.identity(rate)
        slow_rate = tf.constant(schedule.slow_start_rate, tf.float32)
        if schedule.burnin == 'linear':
            climb = schedule.base_rate - schedule.slow_start_rate
            slow_rate += climb * step / float(schedule.slow_start_steps)
        return tf.where(step < schedule.slow_start_steps, slow_rate, rate)


def get_model_learning_rate(learning_policy,
                            base_learning_rate,
                            learning_rate_decay_step,
                            learning_rate_decay_factor,
                            training_number_of_steps,
                            learning_power,
                            slow_start_step,
                            slow_start_learning_rate,
                            slow_start_burnin_type='none',
                            decay_steps=0.0,
                            end_learning_rate=0.0,
                            boundaries=None,
                            boundary_learning_rates=None):
    """The learning rate at the graph's global step, by one argument a property.

    The order of the arguments is part of the interface; new code reads better with `Schedule` and
    `build`.

    Returns:
      A float32 scalar tensor.

    Raises:
      UserError: see `validate`.
    """
    schedule = Schedule(
        policy=learning_policy, base_rate=base_learning_rate,
        training_steps=training_number_of_steps, step_interval=learning_rate_decay_step,
        step_factor=learning_rate_decay_factor, power=learning_power, decay_steps=decay_steps,
        end_rate=end_learning_rate, boundaries=boundaries, boundary_rates=boundary_learning_rates,
        slow_start_steps=slow_start_step, slow_start_rate=slow_start_learning_rate,
        burnin=slow_start_burnin_type)
    return build(schedule, tf.train.get_or_create_global_step())
