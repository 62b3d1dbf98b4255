"""Errors of a running pipeline, as one line for the user."""
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import input_errors
from tests.datasets import record_factory


def _failing(text):
    return input_errors.fail_unless(tf.constant(False), lambda: ['picture ', tf.constant(text)])


@pytest.mark.parametrize('text', ['plain', 'a "quoted" [x]', 'tab\tback\\slash', 'ünï-çødé'])
def test_message_survives_the_graph(text):
    check = _failing(text)
    with tf.Session() as session, pytest.raises(errors.UserError) as caught:
        with input_errors.translated():
            session.run(check)
    assert str(caught.value) == 'picture ' + text
    assert caught.value.__suppress_context__


def test_nothing_happens_where_the_condition_holds():
    check = input_errors.fail_unless(tf.constant(True), lambda: ['never said'])
    with tf.Session() as session:
        assert session.run(check)


def test_message_from_inside_tf_data():
    def check(value):
        fine = input_errors.fail_unless(value < 2, lambda: ['value ', tf.as_string(value)])
        with tf.control_dependencies([fine]):
            return tf.identity(value)

    value = tf.data.make_one_shot_iterator(
        tf.data.Dataset.range(4).map(check, num_parallel_calls=2)).get_next()
    with tf.Session() as session:
        assert [session.run(value) for _ in range(2)] == [0, 1]
        with pytest.raises(errors.UserError, match='^value 2$'):
            with input_errors.translated():
                session.run(value)


def test_data_loss_without_shards_to_look_at():
    error = tf.errors.DataLossError(None, None, 'truncated record at 12')
    message = str(input_errors.translate_error(error))
    assert message.startswith('A shard is damaged: truncated record at 12.')


def test_data_loss_names_the_damaged_shard(tmp_path):
    shards = record_factory.write_split(tmp_path, count=4, num_shards=2)
    with open(shards[1], 'r+b') as stream:
        stream.truncate(100)
    error = tf.errors.DataLossError(None, None, 'truncated record at 0')
    assert '{}: record 0 is cut short'.format(shards[1]) in str(
        input_errors.translate_error(error, shards))


def test_other_errors_pass():
    own = KeyError('x')
    assert input_errors.translate_error(own) is own
    with pytest.raises(tf.errors.OutOfRangeError):
        with input_errors.translated():
            raise tf.errors.OutOfRangeError(None, None, 'End of sequence')


def test_a_picture_that_decodes_after_all_leaves_the_error_alone(tmp_path):
    shards = record_factory.write_split(tmp_path)
    error = tf.errors.InvalidArgumentError(None, None, 'Invalid PNG data, size 7')
    assert input_errors.translate_error(error, shards) is error
