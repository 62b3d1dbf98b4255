"""Tests of deeplab.utils.memory_errors, and of the advice of evaluation and prediction."""
import pytest
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.evaluation import inference
from deeplab.utils import memory_errors

_REASON = 'OOM when allocating tensor with shape[9]'


@pytest.mark.parametrize('message, reason', [
    (_REASON, _REASON), (_REASON + '\nand so on', _REASON),
    ('2 root error(s) found.\n  (0) Resource exhausted: ' + _REASON,
     '(0) Resource exhausted: ' + _REASON),
    ('no room', 'no room'), ('', 'TensorFlow says no more')])
def test_the_message_is_one_line_of_reason_and_advice(message, reason):
    with pytest.raises(UserError) as caught:
        with memory_errors.explained('Do less.'):
            raise tf.errors.ResourceExhaustedError(None, None, message)
    assert str(caught.value) == 'Out of memory ({}). Do less.'.format(reason)


def test_other_errors_pass():
    with pytest.raises(tf.errors.InternalError):
        with memory_errors.explained('Do less.'):
            raise tf.errors.InternalError(None, None, 'x')


def test_evaluation_and_prediction_advise_tiles():
    with pytest.raises(UserError, match='Out of memory .*--tile_size=513,513'):
        with inference.memory_errors_explained():
            raise tf.errors.ResourceExhaustedError(None, None, _REASON)
