"""Cells and layers of the searched networks: wiring, reductions, drop path and its schedule."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.nasnet import cells
from slim_nets.nasnet import layers
from slim_nets.nasnet import nasnet_utils
from slim_nets.nasnet import pnasnet
from slim_nets.nasnet import stages
from slim_nets.nasnet.hparams import HParams

_FORMATTED = [layers.get_channel_index, layers.get_channel_dim, layers.global_avg_pool,
              layers.factorized_reduction]
# Sums of inputs alone, so that a cell's output can be worked out by hand.
_SUMS = cells.Genotype(
    operations=('none',) * 10,
    used_hiddenstates=(1, 0, 1, 0, 0, 1, 0),
    hiddenstate_indices=(0, 1, 2, 1, 3, 0, 4, 4, 2, 5))


def _channels_last():
    return slim.arg_scope(_FORMATTED, data_format='NHWC')


def _run(fetches):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


def _identity_arg_scope(channels):
    """Makes 1x1 convolutions pass their input on, and batch norm as near to that as it gets."""
    with slim.arg_scope([slim.conv2d], activation_fn=None, biases_initializer=None,
                        weights_initializer=tf.constant_initializer(np.eye(channels))), \
            slim.arg_scope([slim.batch_norm], is_training=False, epsilon=0.0, fused=False):
        with _channels_last() as scope:
            return scope


@pytest.mark.parametrize('num_cells, reductions, expected', [
    (18, 2, [6, 12]), (12, 2, [4, 8]), (9, 2, [3, 6]), (10, 3, [2, 5, 7]), (5, 1, [2]), (4, 0, [])])
def test_reductions_split_the_cells_evenly(num_cells, reductions, expected):
    assert nasnet_utils.calc_reduction_layers(num_cells, reductions) == expected


def test_the_channel_axis_has_to_be_said():
    with pytest.raises(ValueError, match="data_format must be one of .* Received instead: 'null'"):
        nasnet_utils.get_channel_index()
    assert nasnet_utils.get_channel_index(data_format='NCHW') == 1
    assert nasnet_utils.get_channel_dim([2, 5, 6, 7], data_format='NHWC') == 7
    assert nasnet_utils.get_channel_dim(tf.TensorShape([None, 5, 6, 7]), data_format='NCHW') == 5


def test_global_average_in_both_formats():
    values = np.random.RandomState(0).rand(2, 3, 4, 5).astype(np.float32)
    last, first = _run([nasnet_utils.global_avg_pool(tf.constant(values), data_format=data_format)
                        for data_format in ('NHWC', 'NCHW')])
    np.testing.assert_allclose(last, values.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(first, values.mean((2, 3)), rtol=1e-5)


@pytest.mark.parametrize('side, filters', [(5, 4), (6, 5)])
def test_factorized_reduction_sees_even_and_odd_pixels(side, filters):
    image = np.arange(side * side, dtype=np.float32).reshape(1, side, side, 1) + 1.0
    with slim.arg_scope([slim.conv2d], activation_fn=None, biases_initializer=None,
                        weights_initializer=tf.ones_initializer()), \
            slim.arg_scope([slim.batch_norm], is_training=False, epsilon=0.0, fused=False):
        net = nasnet_utils.factorized_reduction(tf.constant(image), filters, 2, data_format='NHWC')
    got = _run(net)
    small = (side + 1) // 2
    padded = np.pad(image, [(0, 0), (0, 1), (0, 1), (0, 0)], mode='constant')
    odd = padded[:, 1::2, 1::2][:, :small, :small]
    assert got.shape == (1, small, small, filters)
    half = filters // 2
    np.testing.assert_allclose(got[..., :half], np.repeat(image[:, ::2, ::2], half, 3), rtol=1e-6)
    np.testing.assert_allclose(got[..., half:], np.repeat(odd, filters - half, 3), rtol=1e-6)
    assert [variable.op.name for variable in tf.global_variables()][:2] == [
        'path1_conv/weights', 'path2_conv/weights']


def test_factorized_reduction_without_stride_is_a_projection():
    net = nasnet_utils.factorized_reduction(tf.zeros([1, 5, 5, 3]), 7, 1, data_format='NHWC')
    assert net.shape.as_list() == [1, 5, 5, 7]
    names = [variable.op.name for variable in tf.trainable_variables()]
    assert 'path_conv/weights' in names and 'path_bn/beta' in names


def test_drop_path_drops_whole_examples_and_keeps_the_mean():
    batch, keep_prob = 4000, 0.7
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        got = _run(nasnet_utils.drop_path(tf.ones([batch, 2, 1, 3]), keep_prob))
    by_example = got.reshape(batch, -1)
    assert np.all(by_example == by_example[:, :1])
    values = by_example[:, 0]
    np.testing.assert_allclose(values[values > 0], 1 / keep_prob, rtol=1e-6)
    # Five standard deviations of the share of examples kept.
    assert abs(np.mean(values > 0) - keep_prob) < 5 * np.sqrt(0.7 * 0.3 / batch)
    assert abs(values.mean() - 1.0) < 5 * np.sqrt(0.3 / 0.7 / batch)


def test_drop_path_does_nothing_at_probability_one_or_outside_training():
    values = np.random.RandomState(0).randn(50, 2, 2, 3).astype(np.float32)
    net = tf.constant(values)
    assert nasnet_utils.drop_path(net, 0.1, is_training=False) is net
    with slim.arg_scope([nasnet_utils.drop_path], is_training=False):
        assert nasnet_utils.drop_path(net, 0.1) is net
    np.testing.assert_array_equal(_run(nasnet_utils.drop_path(net, tf.constant(1.0))), values)


def test_keep_probability_falls_with_depth_and_time():
    step = tf.placeholder(tf.int64, [])
    keep, total = 0.6, 1000
    depths = [1 / 12, 0.5, 1.0]
    tensors = [layers.scheduled_keep_prob(keep, depth, step, total) for depth in depths]
    with tf.Session() as session:
        for at in (0, 1, 250, 999, 1000, 5000):
            got = session.run(tensors, {step: at})
            expected = [1 - min(1, at / total) * (1 - (1 - depth * (1 - keep)))
                        for depth in depths]
            np.testing.assert_allclose(got, expected, rtol=1e-6)
        assert session.run(tensors, {step: 0}) == [1.0, 1.0, 1.0]


def test_global_step_is_made_outside_of_all_scopes():
    with tf.variable_scope('net'), tf.variable_scope('cell', reuse=True):
        step = layers.root_global_step()
        assert layers.root_global_step() is step
    assert step.op.name == 'global_step'
    assert tf.train.get_global_step() is step


@pytest.mark.parametrize('text, expected', [
    ('separable_5x5_2', ('separable', 5, 2)), ('separable_3x3', ('separable', 3, 1)),
    ('max_pool_3x3', ('max_pool', 3, 1)), ('avg_pool_3x3', ('avg_pool', 3, 1)),
    ('atrous_5x5', ('atrous', 5, 1)), ('none', ('none', 1, 0))])
def test_operations_are_read(text, expected):
    assert tuple(cells.parse_operation(text)) == expected


@pytest.mark.parametrize('text', ['', 'separable_5x3_2', 'conv_3x3', 'max_pool', 'none_3x3'])
def test_misspelt_operations_are_refused(text):
    with pytest.raises(ValueError, match='An operation must be'):
        cells.parse_operation(text)


@pytest.mark.parametrize('change, message', [
    (dict(operations=_SUMS.operations[:9]), '2n operations.*got 9, 10 and 7'),
    (dict(used_hiddenstates=(0,) * 5), 'got 10, 10 and 5'),
    (dict(hiddenstate_indices=(2,) + _SUMS.hiddenstate_indices[1:]),
     r'hiddenstate_indices\[0\] must be below 2.*got 2'),
    (dict(operations=('atrous_3x3',) + _SUMS.operations[1:]), 'of kinds .*atrous_3x3')])
def test_impossible_cells_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        nasnet_utils.NasNetABaseCell(4, drop_path_keep_prob=1.0, total_num_cells=1,
                                     total_training_steps=1, **_SUMS._replace(**change)._asdict())


def test_cell_combines_the_states_its_description_names():
    channels = 3
    cell = nasnet_utils.NasNetABaseCell(channels, *_SUMS, drop_path_keep_prob=1.0,
                                        total_num_cells=1, total_training_steps=1)
    current, previous = 2.0, 5.0
    with slim.arg_scope(_identity_arg_scope(channels)):
        net = cell(tf.fill([1, 4, 4, channels], current), scope='cell', stride=1,
                   prev_layer=tf.fill([1, 4, 4, channels], previous))
    got = _run(net)
    states = [current, previous]
    for left, right in zip(_SUMS.hiddenstate_indices[::2], _SUMS.hiddenstate_indices[1::2]):
        states.append(states[left] + states[right])
    expected = [state for state, used in zip(states, _SUMS.used_hiddenstates) if not used]
    assert got.shape == (1, 4, 4, channels * len(expected))
    np.testing.assert_allclose(got[0, 1, 2, ::channels], expected, rtol=1e-6)
    # Unchanged shapes need no projection beyond the first.
    assert [v.op.name for v in tf.trainable_variables() if 'weights' in v.op.name] == [
        'cell/1x1/weights']


def _cell(cell_class, **kwargs):
    return cell_class(8, drop_path_keep_prob=1.0, total_num_cells=5, total_training_steps=10,
                      **kwargs)


@pytest.mark.parametrize('cell_class, stride, concatenated', [
    (nasnet_utils.NasNetANormalCell, 1, 6), (nasnet_utils.NasNetAReductionCell, 2, 4),
    (pnasnet.PNasNetNormalCell, 1, 5), (pnasnet.PNasNetNormalCell, 2, 5)])
def test_cell_shapes_with_a_larger_previous_layer(cell_class, stride, concatenated):
    with slim.arg_scope(stages.arg_scope(1e-4, 0.9, 1e-3)), _channels_last():
        net = _cell(cell_class)(tf.zeros([2, 7, 7, 10]), 'cell', 2.0, stride,
                                tf.zeros([2, 14, 14, 6]))
    side = -(-7 // stride)
    assert net.shape.as_list() == [2, side, side, 16 * concatenated]
    assert any(v.op.name.startswith('cell/path1_conv') for v in tf.trainable_variables())


def test_unused_states_of_another_size_are_reduced():
    genotype = _SUMS._replace(used_hiddenstates=(0, 0, 1, 1, 1, 1, 0))
    cell = nasnet_utils.NasNetABaseCell(4, *genotype, drop_path_keep_prob=1.0, total_num_cells=1,
                                        total_training_steps=1)
    with slim.arg_scope(stages.arg_scope(1e-4, 0.9, 1e-3)), _channels_last():
        net = cell(tf.zeros([1, 8, 8, 4]), 'cell', stride=2, prev_layer=tf.zeros([1, 8, 8, 4]))
    assert net.shape.as_list() == [1, 4, 4, 12]
    scopes = {v.op.name.split('/')[2] for v in tf.trainable_variables() if 'output' in v.op.name}
    assert scopes == {'reduction_0', 'reduction_1'}


def test_cell_needs_a_known_size():
    with pytest.raises(ValueError, match='statically known height and width'):
        with _channels_last():
            _cell(nasnet_utils.NasNetANormalCell)(
                tf.placeholder(tf.float32, [1, None, None, 8]),
                prev_layer=tf.placeholder(tf.float32, [1, None, None, 8]))


def test_bounded_activation_bounds_what_a_cell_adds():
    image = tf.constant(np.random.RandomState(0).uniform(-99, 99, (2, 6, 6, 4)), tf.float32)
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=None,
                        biases_initializer=None,
                        weights_initializer=tf.random_normal_initializer(seed=3)), \
            slim.arg_scope([slim.batch_norm], is_training=False), _channels_last():
        bounded = _cell(pnasnet.PNasNetNormalCell, use_bounded_activation=True)(image, 'a')
        free = _cell(pnasnet.PNasNetNormalCell)(image, 'b')
    bounded, free = _run([bounded, free])
    assert bounded.min() >= 0 and bounded.max() == nasnet_utils.CLIP_BY_VALUE_CAP
    assert free.max() > 100


def _recorded_keep_probs(monkeypatch, cell_class, cell_num, **kwargs):
    seen = []
    monkeypatch.setattr(layers, 'drop_path', lambda net, keep_prob: seen.append(keep_prob) or net)
    cell = cell_class(4, drop_path_keep_prob=0.5, total_num_cells=8, total_training_steps=100)
    with _channels_last():
        cell(tf.zeros([1, 4, 4, 4]), 'cell', cell_num=cell_num, **kwargs)
    return seen


def test_drop_path_follows_every_operation_but_the_identity(monkeypatch):
    seen = _recorded_keep_probs(monkeypatch, nasnet_utils.NasNetANormalCell, 3)
    assert len(seen) == 8
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in (0, 25, 100, 300):
            session.run(tf.assign(tf.train.get_global_step(), step))
            expected = 1 - min(step / 100, 1) * (3 + 1) / 8 * 0.5
            np.testing.assert_allclose(session.run(seen), [expected] * 8, rtol=1e-6)


def test_drop_path_can_follow_another_step_than_the_global_one(monkeypatch):
    seen = _recorded_keep_probs(monkeypatch, pnasnet.PNasNetNormalCell, 7,
                                current_step=tf.constant(50))
    assert tf.train.get_global_step() is None
    np.testing.assert_allclose(_run(seen), [1 - 0.5 * 0.5] * 9, rtol=1e-6)


def test_hyperparameters_are_set_by_name_and_keep_their_type():
    hparams = HParams(cells=3, rate=0.5, name='x', on=True, anything=None)
    hparams.set_hparam('cells', 4)
    hparams.set_hparam('rate', 1)
    hparams.name = 'y'
    hparams.parse('on=false, anything=w')
    assert hparams.values() == dict(cells=4, rate=1.0, name='y', on=False, anything='w')
    assert isinstance(hparams.rate, float)
    assert hparams.override_from_dict({'cells': 7}) is hparams and hparams.cells == 7
    hparams.add_hparam('more', 1)
    assert 'more' in hparams and 'less' not in hparams
    assert hparams.get('more') == 1 and hparams.get('less', 9) == 9
    assert hparams.to_json() == ('{"anything": "w", "cells": 7, "more": 1, "name": "y", '
                                 '"on": false, "rate": 1.0}')
    assert hparams == HParams(**hparams.values()) and hparams != HParams()
    assert repr(HParams(b=1, a='z')) == "HParams(a='z', b=1)"


@pytest.mark.parametrize('change, message', [
    (lambda h: h.set_hparam('num_cell', 1), "Unknown hyperparameter 'num_cell'.*'num_cells'"),
    (lambda h: h.set_hparam('num_cells', 1.5), "'num_cells' must be int.*1.5"),
    (lambda h: h.set_hparam('rate', True), "'rate' must be float.*True"),
    (lambda h: h.parse('num_cells=many'), "'num_cells' must be int.*'many'"),
    (lambda h: h.parse('on=maybe'), "'on' must be bool.*'maybe'"),
    (lambda h: h.parse('num_cells'), 'name=value'),
    (lambda h: h.parse('cell=1'), "Unknown hyperparameter 'cell'"),
    (lambda h: h.add_hparam('rate', 1), 'the name is taken'),
    (lambda h: h.add_hparam('parse', 1), 'the name is taken')])
def test_hyperparameters_refuse_mistakes(change, message):
    hparams = HParams(num_cells=1, rate=0.5, on=True)
    with pytest.raises(ValueError, match=message):
        change(hparams)
