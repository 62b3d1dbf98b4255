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


def _run(graph_def, canvas):
    with tf.Session(graph=rebuild.import_graph(graph_def)) as session:
        return session.run([network.LABELS + ':0', network.PROBABILITIES + ':0'],
                           {network.CANVAS + ':0': canvas})


def _count(graph_def):
    return collections.Counter(node.op for node in graph_def.node)


@pytest.mark.parametrize('name', sorted(_NETWORKS))
def test_the_optimised_network_says_the_same(name, tmp_path):
    options = conftest.options(**_NETWORKS[name])
    plain = network.freeze(conftest.write_checkpoint(tmp_path, options), network.Recipe(options))
    fast = network.optimize(plain)
    canvas = conftest.picture(*options.crop_size).astype(np.float32)[np.newaxis]
    wanted, wanted_probabilities = _run(plain, canvas)
    for graph_def in (fast, network.optimize(plain, regroup=False)):
        labels, probabilities = _run(graph_def, canvas)
        np.testing.assert_allclose(probabilities, wanted_probabilities, atol=2e-4)
        assert np.mean(labels != wanted) <= (0 if compat.IS_TF1 else 1e-3)
        ops = _count(graph_def)
        assert not any(op.startswith('FusedBatchNorm') for op in ops)
        assert ops['Identity'] <= 2


def test_dilated_stretches_are_regrouped_once(prefix):
    # Maps of 65 x 65: small ones would be padded too much to be worth it.
    plain = network.freeze(prefix, network.Recipe(conftest.options(crop_size=[513, 513])))
    before = _count(network.optimize(plain, regroup=False))
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


def _linear_dilated(values, random):
    return tf.nn.depthwise_conv2d(values, tf.constant(random.randn(3, 3, 8, 1), tf.float32),
                                  [1, 1, 1, 1], 'SAME', [2, 2])
