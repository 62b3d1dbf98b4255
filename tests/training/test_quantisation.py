"""Quantisation-aware training on TensorFlow 1.15, and the word of 2.x on it."""
import pytest

from deeplab import compat
from deeplab.errors import UserError
from tests.training import small_network
from tests.training import tiny


@pytest.mark.skipif(not compat.IS_TF1, reason='the rewriter is part of TensorFlow 1.15 only')
def test_ranges_are_trained_saved_and_resumed(tmp_path):
    changes = dict(quantize_delay_step=1, save_interval_steps=0)
    small_network.run(tmp_path, training_number_of_steps=2, **changes)
    result = small_network.run(tmp_path, training_number_of_steps=3, **changes)
    values = tiny.values_of(result.checkpoint)
    assert result.step == 3
    for kind in ('act_quant', 'weights_quant'):
        ranges = [(values[name], values[name[:-3] + 'max']) for name in values
                  if name.endswith('/{}/min'.format(kind))]
        assert len(ranges) > 40
        assert sum(low <= 0.0 < high for low, high in ranges) > 40


@pytest.mark.skipif(compat.IS_TF1, reason='TensorFlow 1.15 has the rewriter')
def test_other_runtimes_are_told_which_one_to_use(tmp_path):
    with pytest.raises(UserError, match='--quantize_delay_step needs TensorFlow 1.15, .*; this is'):
        small_network.run(tmp_path, quantize_delay_step=0)
