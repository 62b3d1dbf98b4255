"""The words and numbers of a report."""
import numpy as np
import pytest

from deeplab.training import options as training_options
from deeplab.training import progress

_VALUES = {
    'total_loss': np.float32(1.5), 'learning_rate': np.float32(0.0075),
    'gradient_norm': np.float32(12.5),
    'losses': {'regularization_loss': np.float32(0.25),
               'clone_0/semantic_merged_logits/mul_1': np.float32(1.25)}}


def _report(step_seconds, **changes):
    options = training_options.TrainingOptions(training_number_of_steps=100, train_batch_size=8,
                                               **changes)
    return progress.make_report(40, _VALUES, step_seconds, options)


def test_a_report_adds_images_a_second_and_time_left():
    report = _report(0.5)
    assert (report.images_per_second, report.seconds_left) == (16, 30)
    assert report.losses == {'regularization_loss': 0.25,
                             'clone_0/semantic_merged_logits/mul_1': 1.25}
    assert all(isinstance(value, float) for value in (
        report.total_loss, report.learning_rate, report.gradient_norm))


def test_the_line_says_it_all_in_one_line():
    assert progress.line(_report(0.5), 100) == (
        'step 40/100  loss 1.5000 (semantic_merged_logits 1.2500 + l2 0.2500)  rate 0.0075  '
        'gradient 12.5  0.50 s/step  16.0 images/s  30s left')


def test_before_the_first_step_was_timed_the_line_leaves_time_out():
    report = _report(None)
    assert report.images_per_second is None and report.seconds_left is None
    assert progress.line(report, 100).endswith('gradient 12.5')


@pytest.mark.parametrize('seconds, text', [
    (0, '0s'), (59.4, '59s'), (60, '1m00s'), (725, '12m05s'), (10920, '3h02m')])
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
