"""Memory counted in a graph: what lives at once, and what takes none of its own."""
import tensorflow.compat.v1 as tf

from deeplab.utils import graph_memory

_KILO = 1000 * 4


def _peak(build):
    with tf.Graph().as_default():
        return graph_memory.peak_bytes([build(tf.placeholder(tf.float32, [1000]))])


def test_a_chain_holds_two_at_once():
    assert _peak(lambda net: tf.tanh(tf.tanh(tf.tanh(net)))) == (0, 2 * _KILO)


def test_what_is_needed_later_stays():
    def build(net):
        first = tf.tanh(net)
        return tf.concat([tf.tanh(tf.tanh(first)), first], 0)
    # The third tanh, the first one, and their concatenation.
    assert _peak(build) == (0, 4 * _KILO)


def test_views_and_writing_in_place_take_nothing():
    assert _peak(lambda net: tf.nn.relu(tf.reshape(tf.identity(net), [10, 100]))) == (0, _KILO)


def test_variables_are_counted_apart_and_unknown_sizes_are_batches():
    with tf.Graph().as_default():
        weight = tf.get_variable('a', [4, 5])
        net = tf.tanh(tf.matmul(tf.placeholder(tf.float32, [None, 4]), weight))
        assert graph_memory.peak_bytes([net], batch_size=10) == (80, 400)


def test_what_nobody_asks_for_is_not_counted():
    def build(net):
        tf.concat([net] * 100, 0)
        return tf.tanh(net)
    assert _peak(build) == (0, 2 * _KILO)
