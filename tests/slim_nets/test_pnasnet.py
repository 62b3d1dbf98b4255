"""PNASNet-5: sizes published with the papers' weights, end points, heads, configurations."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from slim_nets.nasnet import pnasnet
from tests.slim_nets import searched_nets


def _build_small(num_classes=5, side=64, changes=(), **kwargs):
    config = pnasnet.mobile_imagenet_config().override_from_dict(
        dict(dict(num_cells=3, num_conv_filters=4), **dict(changes)))
    return searched_nets.build(pnasnet.build_pnasnet_mobile, pnasnet.pnasnet_mobile_arg_scope,
                               num_classes, side=side, config=config, **kwargs)


def test_mobile_has_the_published_size_and_shapes():
    net, end_points = searched_nets.build(
        pnasnet.build_pnasnet_mobile, pnasnet.pnasnet_mobile_arg_scope, 1001, is_training=False)
    # The paper says 5.1 million (table 5).
    assert searched_nets.count(tf.trainable_variables()) == 5065568
    expected = {'Cell_{}'.format(number): shape for numbers, shape in (
        (range(0, 3), [2, 28, 28, 270]), (range(3, 6), [2, 14, 14, 540]),
        (range(6, 9), [2, 7, 7, 1080])) for number in numbers}
    expected.update({'Stem': [2, 28, 28, 135], 'global_pool': [2, 1080], 'Logits': [2, 1001],
                     'Predictions': [2, 1001]})
    assert searched_nets.shapes(end_points) == expected
    assert net is end_points['Logits']


@pytest.mark.slow
def test_large_has_the_published_size():
    _, end_points = searched_nets.build(
        pnasnet.build_pnasnet_large, pnasnet.pnasnet_large_arg_scope, 1000, is_training=False)
    # The number of trained values in the PyTorch conversion of the released weights.
    assert searched_nets.count(tf.trainable_variables()) == 86057668
    assert end_points['Cell_11'].shape.as_list() == [2, 11, 11, 4320]
    assert end_points['Stem'].shape.as_list() == [2, 42, 42, 540]


def test_training_adds_the_auxiliary_head_and_drop_path():
    net, end_points = _build_small(side=96, changes=dict(drop_path_keep_prob=0.5))
    assert searched_nets.shapes(end_points) == {
        'Stem': [2, 12, 12, 10], 'Cell_0': [2, 12, 12, 20], 'Cell_1': [2, 6, 6, 40],
        'Cell_2': [2, 3, 3, 80], 'AuxLogits': [2, 5], 'global_pool': [2, 80], 'Logits': [2, 5],
        'Predictions': [2, 5]}
    draws = [op for op in tf.get_default_graph().get_operations()
             if op.type == 'RandomUniform' and op.name.startswith('cell')]
    # Nine operations a cell, all but the identity, in two stem cells and three others.
    assert len([op for op in draws if '/Initializer/' not in op.name]) == 5 * 9
    assert np.isfinite(searched_nets.run(net)).all()


def test_inference_needs_no_global_step_and_no_auxiliary_head():
    _, end_points = _build_small(is_training=False, changes=dict(drop_path_keep_prob=0.5))
    assert 'AuxLogits' not in end_points
    assert tf.train.get_global_step() is None
    assert not [v for v in tf.global_variables() if 'aux' in v.op.name]


def test_without_classes_the_result_is_pooled_features():
    net, end_points = _build_small(None)
    assert net is end_points['global_pool'] and 'Logits' not in end_points


def test_building_stops_at_the_final_end_point():
    net, end_points = _build_small(final_endpoint='Cell_1')
    assert list(end_points) == ['Stem', 'Cell_0', 'Cell_1'] and net is end_points['Cell_1']


def test_unknown_final_end_point_is_refused():
    with pytest.raises(ValueError, match="final_endpoint must be one of Stem, .*'cell_0'"):
        _build_small(final_endpoint='cell_0', is_training=False, changes=dict(num_cells=1))


@pytest.mark.parametrize('skip, filters', [(1, 10), (0, 5)])
def test_strided_cell_sees_the_last_layer_but_one_or_repeats_the_one_before(skip, filters):
    _build_small(final_endpoint='Cell_1', changes=dict(skip_reduction_layer_input=skip))
    shape = [v.shape.as_list() for v in tf.trainable_variables()
             if v.op.name in ('cell_1/prev_1x1/weights', 'cell_1/path1_conv/weights')][0]
    # 10 = 5 * 2 filters of the stem's second cell, 5 = 5 * 1 of its first.
    assert shape[2] == filters


@pytest.mark.parametrize('config, expected', [
    (pnasnet.mobile_imagenet_config, (9, 54, 1.0, 1, 1.0, 0.5, 250000)),
    (pnasnet.large_imagenet_config, (12, 216, 3.0, 1, 0.6, 0.5, 250000))])
def test_configurations(config, expected):
    hparams = config()
    assert (hparams.num_cells, hparams.num_conv_filters, hparams.stem_multiplier,
            hparams.skip_reduction_layer_input, hparams.drop_path_keep_prob,
            hparams.dense_dropout_keep_prob, hparams.total_training_steps) == expected
