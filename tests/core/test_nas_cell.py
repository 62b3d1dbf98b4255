"""The dense prediction cell: alignment, resizing, atrous operations, drop path."""
import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import nas_cell
from deeplab.core import nas_genotypes
from deeplab.core import nas_network
from slim_nets.nasnet import layers

_FILTERS = 4


def _cell(operation='none', **kwargs):
    """A cell of ten equal operations whose output is its first block alone."""
    return nas_cell.NASBaseCell(
        _FILTERS, [operation] * 10, [1, 1, 0, 1, 1, 1, 1], [0, 1, 2, 0, 2, 0, 2, 0, 2, 0],
        drop_path_keep_prob=kwargs.pop('keep_prob', 1.0), total_num_cells=12,
        total_training_steps=200, **kwargs)


def _image(height, width, channels=_FILTERS):
    values = np.random.RandomState(0).randn(1, height, width, channels)
    return tf.constant(values, tf.float32)


def _no_norm(net, scope):
    del scope
    return net


def _run(fetches, feed_dict=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feed_dict)


@pytest.mark.parametrize('side', [8, 9])
@pytest.mark.parametrize('operation', ['separable_3x3_1', 'separable_5x5_1', 'separable_7x7_1'])
def test_strided_operation_is_the_dense_one_subsampled(operation, side):
    image = _image(side, side)
    cell = _cell(operation)
    with slim.arg_scope(nas_network.nas_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False):
        dense = cell(image, scope='cell')
        with tf.variable_scope('', reuse=True):
            strided = cell(image, scope='cell', stride=2)
    dense, strided = _run([dense, strided])
    # The cell's first block uses its inputs alone.
    np.testing.assert_allclose(strided, dense[:, ::2, ::2], rtol=1e-4, atol=1e-5)


def test_strided_atrous_operation_resizes_and_leaves_the_holes_out():
    kernel = np.random.RandomState(1).randn(3, 3, _FILTERS, _FILTERS).astype(np.float32)
    image = _image(9, 7)
    cell = _cell('atrous_3x3', batch_norm_fn=_no_norm)
    with slim.arg_scope([slim.conv2d], activation_fn=None, biases_initializer=None):
        with tf.variable_scope('dense'):
            dense = cell(image, scope='cell', prev_layer=image)
        with tf.variable_scope('strided'):
            strided = cell(image, scope='cell', prev_layer=image, stride=2)

    # One kernel everywhere; the projection of the input passes it on.
    assign = [tf.assign(v, np.eye(_FILTERS)[None, None] if v.shape[0] == 1 else kernel)
              for v in tf.trainable_variables()]
    convolve = functools.partial(tf.nn.convolution, padding='SAME')
    relu = tf.nn.relu(image)
    small = tf.image.resize_bilinear(relu, [5, 4], align_corners=True)
    expected = [2 * convolve(relu, kernel, dilation_rate=[2, 2]), 2 * convolve(small, kernel)]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(assign)
        got, wanted = session.run([[dense, strided], expected])
    assert got[1].shape == (1, 5, 4, _FILTERS)
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-4, atol=1e-4)
    names = {v.op.name for v in tf.trainable_variables()}
    assert 'dense/cell/comb_iter_0/left/atrous_3x3/weights' in names


@pytest.mark.parametrize('previous, projected', [((9, 13, _FILTERS), False), ((5, 7, 6), True)])
def test_previous_layer_is_resized_and_projected_where_it_differs(previous, projected):
    cell = _cell('max_pool_3x3')
    with slim.arg_scope(nas_network.nas_arg_scope()):
        net = cell(_image(5, 7, 10), scope='cell', prev_layer=_image(*previous))
    assert net.shape.as_list() == [1, 5, 7, _FILTERS]
    names = [v.op.name for v in tf.global_variables()]
    assert ('cell/prev_1x1/weights' in names) == projected
    assert not [name for name in names if 'path' in name]


def test_unknown_sizes_give_the_same_numbers_as_known_ones():
    values = [np.random.RandomState(seed).randn(1, side, side, _FILTERS).astype(np.float32)
              for seed, side in ((0, 5), (1, 9))]
    known = [tf.placeholder(tf.float32, value.shape) for value in values]
    unknown = [tf.placeholder(tf.float32, [1, None, None, _FILTERS]) for _ in values]
    genotype = nas_genotypes.HNAS_GENOTYPE
    cell = nas_cell.NASBaseCell(_FILTERS, *genotype, drop_path_keep_prob=1.0, total_num_cells=1,
                                total_training_steps=1)
    with slim.arg_scope(nas_network.nas_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False):
        outputs = [cell(known[0], scope='cell', stride=2, prev_layer=known[1])]
        with tf.variable_scope('', reuse=True):
            outputs.append(cell(unknown[0], scope='cell', stride=2, prev_layer=unknown[1]))
    assert outputs[0].shape.as_list() == [1, 3, 3, 5 * _FILTERS]
    static, dynamic = _run(outputs, dict(zip(known + unknown, values + values)))
    np.testing.assert_array_equal(dynamic, static)


@pytest.mark.parametrize('scale, expected', [(2, (9, 13)), (0.5, (3, 4))])
def test_rescale_keeps_corners(scale, expected):
    image = _image(5, 7)
    known = nas_cell.rescale(image, scale)
    unknown = nas_cell.rescale(tf.placeholder_with_default(image, [1, None, 7, _FILTERS]), scale)
    assert known.shape.as_list()[1:3] == list(expected)
    original, known, unknown = _run([image, known, unknown])
    np.testing.assert_array_equal(known, unknown)
    np.testing.assert_allclose(known[:, ::known.shape[1] - 1, ::known.shape[2] - 1],
                               original[:, ::4, ::6], rtol=1e-5)


def test_normalisation_is_the_callers():
    seen = []

    def record(net, scope):
        seen.append(scope)
        return net

    cell = _cell('separable_3x3_2', batch_norm_fn=record)
    cell(_image(5, 5), prev_layer=_image(5, 5, 6))
    assert seen[:4] == ['prev_bn', 'beginning_bn', 'bn_sep_3x3_1', 'bn_sep_3x3_2']
    assert len(seen) == 2 + 2 * 10


@pytest.mark.parametrize('cell_class, dropped', [
    (nas_genotypes.PNASCell, 9), (nas_genotypes.HNASCell, 10)])
def test_drop_path_falls_with_depth_and_time(monkeypatch, cell_class, dropped):
    seen = []
    monkeypatch.setattr(layers, 'drop_path', lambda net, keep_prob: seen.append(keep_prob) or net)
    cell = cell_class(_FILTERS, drop_path_keep_prob=0.8, total_num_cells=12,
                      total_training_steps=200)
    step = tf.train.get_or_create_global_step()
    cell(_image(3, 3), scope='cell', cell_num=5)
    assert len(seen) == dropped
    with tf.Session() as session:
        for at in (0, 1, 50, 200, 10000):
            got = session.run(seen, {step: at})
            expected = 1 - min(at / 200, 1) * (5 + 1) / 12 * (1 - 0.8)
            np.testing.assert_allclose(got, [expected] * dropped, rtol=1e-6)


def test_drop_path_zeroes_whole_examples_at_the_end_of_training():
    batch = 64
    step = tf.train.get_or_create_global_step()
    cell = _cell('max_pool_3x3', keep_prob=0.5, batch_norm_fn=_no_norm)
    image = tf.ones([batch, 3, 3, _FILTERS])
    with slim.arg_scope([slim.conv2d], activation_fn=None, biases_initializer=None,
                        weights_initializer=tf.constant_initializer(np.eye(_FILTERS))):
        net = cell(image, scope='cell', prev_layer=image, cell_num=11)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(session.run(net, {step: 0}), 2.0)
        values = session.run(net, {step: 200}).reshape(batch, -1)
    # Each of the two branches is 0 or 1 / keep_prob.
    assert np.all(values == values[:, :1])
    assert set(values[:, 0]) == {0.0, 2.0, 4.0}


def test_atrous_operations_are_of_this_cell_alone():
    with pytest.raises(ValueError, match='conv_3x3'):
        _cell('conv_3x3')
    assert 'atrous' in nas_cell.NASBaseCell.KINDS
