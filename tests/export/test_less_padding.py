"""The first layers on a smaller canvas: not one value differs, and less is computed."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.export import fold_batch_norm
from deeplab.export import less_padding
from deeplab.export import network
from deeplab.export import rebuild
from deeplab.export import simplify
from tests.export import conftest

_OUTPUTS = (network.LABELS, network.PROBABILITIES)
_CROP = (97, 129)
_NETWORKS = {
    'mobilenet_v2': dict(output_stride=16),
    'xception_41': dict(model_variant='xception_41', output_stride=16, atrous_rates=[1, 2],
                        decoder_output_stride=[4], decoder_filters=8),
    'resnet_v1_50': dict(model_variant='resnet_v1_50', output_stride=16),
}


def _frozen(name):
    options = conftest.options(crop_size=list(_CROP), **_NETWORKS[name])
    plain = fold_batch_norm.fold_batch_norm(
        simplify.simplify(conftest.freeze(options), _OUTPUTS), _OUTPUTS)
    less = less_padding.on_less_padding(plain, network.CANVAS, network.COVERED, _OUTPUTS)
    return options, plain, less


@pytest.mark.parametrize('name', sorted(_NETWORKS))
def test_not_one_value_differs(name, small_xception):
    options, plain, less = _frozen(name)
    fetches = [name + ':0' for name in _OUTPUTS]
    first = next(op.outputs[0].name for op in rebuild.import_graph(plain).get_operations()
                 if op.type == 'Conv2D')
    with tf.Session(graph=rebuild.import_graph(plain)) as before, \
            tf.Session(graph=rebuild.import_graph(less)) as after:
        for covered in ((20, 31), (1, 129), (97, 40), (60, 77), (97, 129)):
            feeds = {network.CANVAS + ':0': conftest.canvas(options, covered)}
            wanted = before.run(fetches + [first], feeds)
            found = after.run(fetches + [first], dict(feeds, **{network.COVERED + ':0': covered}))
            for values, expected in zip(found[:2], wanted):
                np.testing.assert_array_equal(values, expected)
            for side, whole, rows, all_rows in zip(covered, _CROP, found[2].shape[1:],
                                                   wanted[2].shape[1:]):
                assert rows < all_rows if side < whole // 2 else rows <= all_rows


def _graph(batch=1, size=(33, 33)):
    with tf.Graph().as_default() as graph:
        values = tf.placeholder(tf.float32, [batch, size[0], size[1], 3], name='in')
        weights = tf.ones([3, 3, 3, 3])
        values = tf.nn.conv2d(values, weights, [1, 2, 2, 1], 'SAME')
        values = tf.nn.conv2d(values, weights, [1, 2, 2, 1], 'SAME')
        tf.reduce_mean(values, name='out')
    return simplify.simplify(graph.as_graph_def(), ['out'])


@pytest.mark.parametrize('changes, is_less', [
    ({}, True), (dict(batch=None), False), (dict(batch=2), False), (dict(size=(33, 36)), False)])
def test_where_nothing_is_gained_the_graph_stays(changes, is_less):
    graph_def = _graph(**changes)
    found = less_padding.on_less_padding(graph_def, 'in', 'covered', ['out'])
    assert any(node.name == 'covered' for node in found.node) == is_less
