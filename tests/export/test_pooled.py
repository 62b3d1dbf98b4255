"""The image-level branch as a bias: less is multiplied, and the same comes out."""
import collections

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.export import pooled
from deeplab.export import rebuild


def _graph(batch, branches):
    """Returns a graph of branches 'v' (a spread vector) and 'm' (a map), joined and convolved."""
    random = np.random.RandomState(0)
    with tf.Graph().as_default() as graph:
        features = tf.placeholder(tf.float32, [batch, 7, 9, 4], name='in')
        mean = tf.nn.avg_pool2d(features, [7, 9], [1, 1], 'VALID')
        made = []
        for number, kind in enumerate(branches):
            weights = tf.constant(random.randn(1, 1, 4, 3 + number), tf.float32)
            found = tf.nn.conv2d(mean if kind == 'v' else features, weights, [1, 1, 1, 1], 'SAME')
            made.append(tf.image.resize_bilinear(found, [7, 9], align_corners=True)
                        if kind == 'v' else found)
        joined = tf.concat(made, 3)
        weights = tf.constant(random.randn(1, 1, joined.shape.as_list()[3], 5), tf.float32)
        tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(joined, weights, [1, 1, 1, 1], 'SAME'),
                                  tf.constant(random.randn(5), tf.float32)), name='out')
    return graph.as_graph_def()


@pytest.mark.parametrize('batch', [1, 2, None])
@pytest.mark.parametrize('branches', ['vm', 'mvm', 'vmvm'])
def test_the_same_comes_out(batch, branches):
    plain = _graph(batch, branches)
    found = pooled.pooled_as_bias(plain, ['out'])
    ops = collections.Counter(node.op for node in found.node)
    assert ops['ResizeBilinear'] == 0
    features = np.random.RandomState(1).randn(batch or 3, 7, 9, 4)
    results = []
    for graph_def in (plain, found):
        with tf.Session(graph=rebuild.import_graph(graph_def)) as session:
            results.append(session.run('out:0', {'in:0': features}))
    assert results[0].any()
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('branches', ['mm', 'v'])
def test_without_both_kinds_of_branches_nothing_changes(branches):
    plain = _graph(1, branches)
    before, after = [collections.Counter(node.op for node in graph_def.node)
                     for graph_def in (plain, pooled.pooled_as_bias(plain, ['out']))]
    assert before['Conv2D'] == after['Conv2D']
    assert before['ResizeBilinear'] == after['ResizeBilinear']
