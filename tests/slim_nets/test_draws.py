"""Draws that repeat, and that they are TensorFlow's own where nothing is to be repeated."""
import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import draws
from slim_nets.nasnet import layers


def _values(tensors):
    with tf.Session() as session:
        return session.run(tensors)


def test_a_draw_is_a_function_of_seed_step_and_place():
    def draw(seed, step, scope):
        with tf.Graph().as_default(), tf.name_scope(scope), slim.arg_scope(
                [draws.uniform], repeat=draws.Repeat([seed], tf.constant(step))):
            return _values([draws.uniform([20]), draws.uniform([20])])
    first, second = draw(1, 0, 'a')
    assert not np.array_equal(first, second)
    for value, same in (((1, 0, 'a'), True), ((2, 0, 'a'), False), ((1, 1, 'a'), False),
                        ((1, 0, 'b'), False)):
        assert np.array_equal(draw(*value)[0], first) == same


def test_dropout_keeps_its_share_and_the_mean():
    with tf.Graph().as_default(), slim.arg_scope(
            [draws.dropout], repeat=draws.Repeat([1], tf.constant(5))):
        dropped, kept = _values([
            draws.dropout(tf.fill([100, 100], 3.0), 0.75, scope='here'),
            draws.dropout(tf.fill([100, 100], 3.0), 0.75, is_training=False)])
    np.testing.assert_allclose(np.mean(dropped > 0), 0.75, atol=0.02)
    np.testing.assert_allclose(np.unique(dropped), [0.0, 4.0])
    assert np.all(kept == 3.0)


def test_drop_path_repeats():
    def kept():
        with tf.Graph().as_default(), slim.arg_scope(
                [draws.uniform], repeat=draws.Repeat([1], tf.constant(5))):
            return _values(layers.drop_path(tf.ones([50, 2, 2, 1]), 0.5))
    first = kept()
    assert np.array_equal(first, kept())
    assert set(np.unique(first)) == {0.0, 2.0}


def test_sizes_may_be_unknown():
    with tf.Graph().as_default(), slim.arg_scope(
            [draws.dropout], repeat=draws.Repeat([1], tf.constant(5))):
        net = tf.placeholder_with_default(np.ones([2, 5, 3], np.float32), [None, 5, None])
        assert _values(draws.dropout(net, 0.5)).shape == (2, 5, 3)


def test_without_repetition_the_graph_is_that_of_slim():
    def names(dropout):
        with tf.Graph().as_default() as graph:
            dropout(tf.ones([3, 4]), keep_prob=0.5, is_training=True, scope='here')
            return [op.name for op in graph.get_operations()]
    assert names(draws.dropout) == names(slim.dropout)
