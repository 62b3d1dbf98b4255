"""Multipliers and clipping of gradients."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.utils import gradients


@pytest.fixture
def graph():
    with tf.Graph().as_default() as graph:
        for name in ('backbone/weights', 'backbone/biases', 'logits/semantic/weights',
                     'logits/semantic/biases', 'resnet/logits_like/weights'):
            slim.model_variable(name, [2], initializer=tf.ones_initializer())
        tf.get_variable('not_of_the_model/biases', [2])
        yield graph


def test_biases_twice_and_last_layers_more(graph):
    assert gradients.get_model_gradient_multipliers(['logits'], 10.0) == {
        'backbone/biases': 2.0, 'logits/semantic/weights': 10.0, 'logits/semantic/biases': 20.0,
        'resnet/logits_like/weights': 10.0}
    assert gradients.get_model_gradient_multipliers([], 10.0) == {
        'backbone/biases': 2.0, 'logits/semantic/biases': 2.0}


def test_multiply(graph):
    variables = tf.model_variables()
    sparse = tf.IndexedSlices(tf.constant([[3.0]]), tf.constant([1]), tf.constant([2, 1]))
    pairs = [(tf.constant([1.0, 2.0]), variables[0]), (sparse, variables[1]), (None, variables[2])]
    factors = {variables[0].op.name: 2.0, variables[1].op.name: 4.0, variables[2].op.name: 1.0}
    dense, scaled_sparse, missing = [grad for grad, _ in gradients.multiply(pairs, factors)]
    with tf.Session() as session:
        np.testing.assert_array_equal(session.run(dense), [2.0, 4.0])
        np.testing.assert_array_equal(session.run(scaled_sparse.values), [[12.0]])
    assert missing is None
    with pytest.raises(ValueError, match='logits/semantic/weights.*no gradient'):
        gradients.multiply(pairs[2:], {variables[2].op.name: 3.0})


def test_clip_scales_all_gradients_together(graph):
    first, second = tf.model_variables()[:2]
    pairs = [(tf.constant([3.0, 0.0]), first), (tf.constant([0.0, 4.0]), second)]
    with tf.Session() as session:
        clipped = session.run([grad for grad, _ in gradients.clip_by_global_norm(pairs, 1.0)])
        np.testing.assert_allclose(clipped, [[0.6, 0.0], [0.0, 0.8]], rtol=1e-6)
        untouched = session.run([grad for grad, _ in gradients.clip_by_global_norm(pairs, 5.5)])
        np.testing.assert_array_equal(untouched, [[3.0, 0.0], [0.0, 4.0]])
