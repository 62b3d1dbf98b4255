"""Training by clones that share batch norm's statistics, beside training by one large batch."""
import numpy as np
import pytest

from deeplab.errors import UserError
from deeplab.training import graph as training_graph
from deeplab.training import job
from deeplab.training import options as training_options
from tests.training import tiny


def _options(folder, **changes):
    values = dict(
        train_logdir=str(folder), training_number_of_steps=4, train_batch_size=8, log_steps=4,
        base_learning_rate=0.1, learning_policy='step', num_threads=1, seed=3, clone_on_cpu=True)
    values.update(changes)
    return training_options.TrainingOptions(**values)


def _train(folder, **changes):
    def run(options):
        return job.run(options, tiny.MODEL_OPTIONS, lambda start: tiny.Dataset(
            options.clone_batch_size, start, ignored_share=0.0))
    # The first step is the same, so that all begin with the same weights.
    run(_options(folder, training_number_of_steps=1))
    result = run(_options(folder, **changes))
    return result.total_loss, tiny.values_of(result.checkpoint)


@pytest.mark.parametrize('changes', [{}, {'gradient_accumulation_steps': 2}])
def test_clones_train_as_one_large_batch(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(training_graph.model, 'multi_scale_logits', tiny.multi_scale_logits)
    loss, values = _train(tmp_path / 'whole', **changes)
    shared_loss, shared = _train(
        tmp_path / 'shared', num_clones=2, sync_batch_norm=True, **changes)
    apart_loss, apart = _train(tmp_path / 'apart', num_clones=2, **changes)
    np.testing.assert_allclose(shared_loss, loss, rtol=1e-5)
    assert sorted(shared) == sorted(values)
    for name in values:
        np.testing.assert_allclose(shared[name], values[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert abs(apart_loss - loss) > 1e-4
    assert np.abs(apart['body/BatchNorm/moving_mean'] - values[
        'body/BatchNorm/moving_mean']).max() > 1e-4


@pytest.mark.parametrize('changes, part', [
    ({'num_clones': 1}, 'give --num_clones above 1'),
    ({'fine_tune_batch_norm': False}, '--fine_tune_batch_norm=false'),
    ({'recompute_activations': True}, 'together with --recompute_activations'),
    ({'mixed_precision': True}, 'together with --mixed_precision'),
])
def test_what_does_not_go_together(changes, part):
    options = _options('x', **dict({'num_clones': 2, 'sync_batch_norm': True}, **changes))
    with pytest.raises(UserError) as caught:
        training_options.validate(options)
    assert '--sync_batch_norm' in str(caught.value) and part in str(caught.value)
