"""The optimised network: what is folded, what is regrouped, and that it says the same."""
import collections

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab.export import fold_batch_norm
from deeplab.export import network
from deeplab.export import phases
from deeplab.export import rebuild
from tests.export import conftest

_NETWORKS = {
    'mobilenet_v2': {},
    'mobilenet_v3_small_seg': dict(
        model_variant='mobilenet_v3_small_seg', depth_multiplier=0.5,
        image_pooling_crop_size=[33, 33], aspp_with_squeeze_and_excitation=True,
        aspp_with_concat_projection=False, image_se_uses_qsigmoid=True, output_stride=16,
        decoder_output_stride=[8], decoder_use_sum_merge=True, decoder_filters=3,
        decoder_output_is_logits=True),
    'xception_65': dict(model_variant='xception_65', output_stride=16, atrous_rates=[2, 4],
                        decoder_output_stride=[4], crop_size=[33, 33], decoder_filters=16),
}


def _run(graph_def, canvas, covered):
    feeds = {network.CANVAS + ':0': canvas}
    if any(node.name == network.COVERED for node in graph_def.node):
        feeds[network.COVERED + ':0'] = covered
    with tf.Session(graph=rebuild.import_graph(graph_def)) as session:
        logits = session.graph.get_operation_by_name('ArgMax').inputs[0]
        return session.run([network.LABELS + ':0', logits], feeds)


def _count(graph_def):
    return collections.Counter(node.op for node in graph_def.node)


@pytest.mark.parametrize('name', sorted(_NETWORKS))
def test_the_optimised_network_says_the_same(name, small_xception):
    options = conftest.options(**_NETWORKS[name])
    plain = conftest.freeze(options)
    fast = network.optimize(plain)
    covered = [options.crop_size[0] - 5, options.crop_size[1] // 3]
    canvas = conftest.canvas(options, covered)
    wanted, wanted_logits = _run(plain, canvas, covered)
    for graph_def in (fast, network.optimize(plain, for_tensorflow=False)):
        labels, logits = _run(graph_def, canvas, covered)
        np.testing.assert_allclose(logits, wanted_logits, rtol=0, atol=1e-4 * wanted_logits.std())
        assert np.mean(labels != wanted) <= (0 if compat.IS_TF1 else 1e-3)
        ops = _count(graph_def)
        assert not any(op.startswith('FusedBatchNorm') for op in ops)
        assert ops['Identity'] <= 2


def test_dilated_stretches_are_regrouped_once():
    # Maps of 65 x 65: small ones would be padded too much to be worth it.
    plain = conftest.freeze(conftest.options(crop_size=[513, 513]))
    before = _count(network.optimize(plain, for_tensorflow=False))
    after = _count(network.optimize(plain))
    if compat.IS_TF1:
        assert before['SpaceToBatchND'] == 10
    assert 0 < after['SpaceToBatchND'] <= 3
    assert after['DepthwiseConv2dNative'] == before['DepthwiseConv2dNative']


def _dilated(values, weights, rate):
    return tf.nn.relu(tf.nn.depthwise_conv2d(values, weights, [1, 1, 1, 1], 'SAME', [rate, rate]))


@pytest.mark.parametrize('batch, height, width', [(1, 12, 16), (1, 13, 17), (3, 13, 16),
                                                 (None, 17, 13)])
def test_phases_of_any_size_and_batch(batch, height, width):
    random = np.random.RandomState(0)
    with tf.Graph().as_default() as graph:
        feed = tf.placeholder(tf.float32, [batch, height, width, 4], name='in')
        values = feed
        for rate in (2, 2, 4):
            wide = tf.nn.conv2d(values, tf.constant(random.randn(1, 1, 4, 8), tf.float32),
                                [1, 1, 1, 1], 'SAME')
            wide = tf.nn.relu6(tf.nn.bias_add(wide, tf.constant(random.rand(8), tf.float32)))
            wide = _dilated(wide, tf.constant(random.randn(3, 3, 8, 1), tf.float32), rate)
            values += tf.nn.conv2d(wide, tf.constant(random.randn(1, 1, 8, 4), tf.float32),
                                   [1, 1, 1, 1], 'SAME')
        tf.identity(values, name='out')
    plain = graph.as_graph_def()
    image = random.randn(batch or 2, height, width, 4)
    results = []
    for graph_def in (plain, phases.on_phases(plain, ['out'])):
        with tf.Session(graph=rebuild.import_graph(graph_def)) as session:
            results.append(session.run('out:0', {'in:0': image}))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('form', ['fused', 'unfused'])
def test_batch_norm_behind_each_kind_of_convolution(form):
    random = np.random.RandomState(0)

    def norm(values):
        count = values.shape.as_list()[-1]
        gamma, beta, mean = [random.randn(count).astype(np.float32) for _ in range(3)]
        variance = random.uniform(0.5, 2, count).astype(np.float32)
        if form == 'fused':
            return tf.nn.fused_batch_norm(values, gamma, beta, mean, variance, 0.001,
                                          is_training=False)[0]
        factor = gamma / np.sqrt(variance + 0.001)
        return values * factor + (beta - mean * factor)

    with tf.Graph().as_default() as graph:
        values = tf.placeholder(tf.float32, [1, 9, 9, 3], name='in')
        values = norm(tf.nn.conv2d(values, tf.constant(random.randn(3, 3, 3, 4), tf.float32),
                                   [1, 1, 1, 1], 'SAME'))
        # Two results a channel: their factors lie in the last two sides of the weights.
        values = norm(tf.nn.depthwise_conv2d(
            values, tf.constant(random.randn(3, 3, 4, 2), tf.float32), [1, 1, 1, 1], 'SAME'))
        values = norm(_linear_dilated(values, random))
        tf.identity(values, name='out')
    plain = graph.as_graph_def()
    folded = fold_batch_norm.fold_batch_norm(plain, ['out'])
    ops = _count(folded)
    assert ops['BiasAdd'] == 3 and not ops['FusedBatchNorm'] + ops['FusedBatchNormV3'] + ops['Mul']
    image = random.randn(1, 9, 9, 3)
    results = []
    for graph_def in (plain, folded):
        with tf.Session(graph=rebuild.import_graph(graph_def)) as session:
            results.append(session.run('out:0', {'in:0': image}))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('gain, even_steep, kept', [(30, False, 0), (90, False, 1), (90, True, 0)])
def test_the_factor_behind_a_steep_filter_stays(gain, even_steep, kept):
    with tf.Graph().as_default() as graph:
        values = tf.placeholder(tf.float32, [1, 5, 5, 2], name='in')
        edges = np.zeros([3, 3, 2, 1], np.float32)
        edges[1, :, 0, 0], edges[1, 1, 1, 0] = [-0.5, 0, 0.5], 1
        factor = np.array([gain, 1], np.float32)
        values = tf.nn.depthwise_conv2d(values, tf.constant(edges), [1, 1, 1, 1], 'SAME') * factor
        tf.nn.bias_add(values, tf.constant([1, 2], tf.float32), name='out')
    folded = fold_batch_norm.fold_batch_norm(graph.as_graph_def(), ['out'], even_steep)
    assert _count(folded)['Mul'] == kept
    image = np.random.RandomState(0).randn(1, 5, 5, 2)
    results = []
    for graph_def in (graph.as_graph_def(), folded):
        with tf.Session(graph=rebuild.import_graph(graph_def)) as session:
            results.append(session.run('out:0', {'in:0': image}))
    np.testing.assert_allclose(results[1], results[0], rtol=0 if kept else 1e-5,
                               atol=0 if kept else 1e-4)


def _linear_dilated(values, random):
    return tf.nn.depthwise_conv2d(values, tf.constant(random.randn(3, 3, 8, 1), tf.float32),
                                  [1, 1, 1, 1], 'SAME', [2, 2])
