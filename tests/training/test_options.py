"""Training options: defaults, ranges, and what they say when wrong."""
import json

import pytest

from deeplab.errors import UserError
from deeplab.training import options as training_options
from tests import shared_data


def test_defaults_are_those_of_the_reference():
    with open(shared_data.path('facts/flags.json')) as stream:
        recorded = json.load(stream)['train']['flags']
    defaults = training_options.TrainingOptions()._asdict()
    compared = [flag['name'] for flag in recorded if flag['name'] in defaults]
    assert len(compared) >= 38
    for flag in recorded:
        if flag['name'] in defaults:
            assert defaults[flag['name']] == flag['default'], flag['name']


@pytest.mark.parametrize('changes, parts', [
    (dict(train_logdir=''), ['--train_logdir']),
    (dict(train_batch_size=3, num_clones=2), ['--train_batch_size=3', '--num_clones=2']),
    (dict(train_batch_size=6, gradient_accumulation_steps=4), ['multiple of 4']),
    (dict(train_batch_size=0), ['--train_batch_size', 'above 0', '0']),
    (dict(top_k_percent_pixels=1.5), ['--top_k_percent_pixels', '1.5']),
    (dict(top_k_percent_pixels=0.0), ['--top_k_percent_pixels', 'above 0']),
    (dict(clip_gradient_norm=-1.0), ['--clip_gradient_norm', '-1.0']),
    (dict(task=1), ['--task=1', '--num_replicas=1']),
    (dict(num_replicas=2), ['--num_ps_tasks']),
    (dict(quantize_delay_step=0, num_clones=2, train_batch_size=4), ['--quantize_delay_step']),
    (dict(learning_policy='linear'), ['linear', 'poly']),
    (dict(boundaries=[3]), ['rates']),
])
def test_mistakes_are_named(changes, parts):
    options = training_options.TrainingOptions(**dict({'train_logdir': 'x'}, **changes))
    with pytest.raises(UserError) as caught:
        training_options.validate(options)
    for part in parts:
        assert part in str(caught.value)


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match='train_logdirs'):
        training_options.TrainingOptions(train_logdirs='x')


def test_sensible_options_pass():
    training_options.validate(training_options.TrainingOptions(train_logdir='x'))
    training_options.validate(training_options.TrainingOptions(
        train_logdir='x', train_batch_size=8, num_clones=2, gradient_accumulation_steps=2))


def test_rates_win_over_the_policy():
    options = training_options.TrainingOptions(boundaries=[10], rates=[0.1, 0.01])
    assert training_options.schedule(options).policy == 'multi_steps'
    assert training_options.schedule(training_options.TrainingOptions()).policy == 'poly'
