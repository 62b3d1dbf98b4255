"""NASNet-A: sizes published with the papers' weights, end points, heads, configurations."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from slim_nets.nasnet import nasnet
from slim_nets.nasnet import nasnet_utils
from tests.slim_nets import searched_nets


def _small(**changes):
    """A configuration with one cell a stage and few filters."""
    return nasnet.mobile_imagenet_config().override_from_dict(
        dict(dict(num_cells=3, num_conv_filters=4), **changes))


def _build_small(num_classes=5, builder=nasnet.build_nasnet_mobile, side=64, changes=(), **kwargs):
    return searched_nets.build(builder, nasnet.nasnet_mobile_arg_scope, num_classes, side=side,
                               config=_small(**dict(changes)), **kwargs)


def test_mobile_has_the_published_size_and_shapes():
    net, end_points = searched_nets.build(
        nasnet.build_nasnet_mobile, nasnet.nasnet_mobile_arg_scope, 1000, is_training=False)
    # The number Keras applications gives for NASNetMobile, moving statistics counted in.
    assert searched_nets.count(tf.global_variables()) == 5326716
    stage = {number: [2, side, side, filters] for numbers, side, filters in (
        (range(0, 4), 28, 264), (range(4, 8), 14, 528), (range(8, 12), 7, 1056))
        for number in numbers}
    expected = {'Cell_{}'.format(number): shape for number, shape in stage.items()}
    expected.update({
        'Stem': [2, 28, 28, 88], 'Reduction_Cell_0': [2, 14, 14, 352],
        'Reduction_Cell_1': [2, 7, 7, 704], 'global_pool': [2, 1056], 'Logits': [2, 1000],
        'Predictions': [2, 1000]})
    assert searched_nets.shapes(end_points) == expected
    assert net is end_points['Logits']
    scopes = {variable.op.name.split('/')[0] for variable in tf.global_variables()}
    assert scopes == {'conv0', 'conv0_bn', 'cell_stem_0', 'cell_stem_1', 'reduction_cell_0',
                      'reduction_cell_1', 'final_layer'} | {
                          'cell_{}'.format(number) for number in range(12)}


@pytest.mark.slow
def test_large_has_the_published_size():
    _, end_points = searched_nets.build(
        nasnet.build_nasnet_large, nasnet.nasnet_large_arg_scope, 1000, is_training=False)
    # The number Keras applications gives for NASNetLarge.
    assert searched_nets.count(tf.global_variables()) == 88949818
    assert end_points['Cell_17'].shape.as_list() == [2, 11, 11, 4032]
    assert end_points['Stem'].shape.as_list() == [2, 42, 42, 336]


def test_cifar_network_keeps_the_full_size_in_its_first_stage():
    config = nasnet.cifar_config().override_from_dict(dict(num_cells=3))
    net, end_points = searched_nets.build(
        nasnet.build_nasnet_cifar, nasnet.nasnet_cifar_arg_scope, 10, config=config,
        is_training=False)
    assert searched_nets.shapes(end_points) == {
        'Stem': [2, 32, 32, 96], 'Cell_0': [2, 32, 32, 192], 'Reduction_Cell_0': [2, 16, 16, 256],
        'Cell_1': [2, 16, 16, 384], 'Reduction_Cell_1': [2, 8, 8, 512], 'Cell_2': [2, 8, 8, 768],
        'global_pool': [2, 768], 'Logits': [2, 10], 'Predictions': [2, 10]}
    assert tf.global_variables()[0].op.name == 'l1_stem_3x3/weights'
    logits, predictions = searched_nets.run([net, end_points['Predictions']])
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(predictions.sum(1), 1, rtol=1e-5)


def test_training_adds_the_auxiliary_head_and_a_drop_path_schedule():
    _, end_points = _build_small(side=96, changes=dict(drop_path_keep_prob=0.5))
    assert end_points['AuxLogits'].shape.as_list() == [2, 5]
    names = [variable.op.name for variable in tf.trainable_variables() if 'aux' in variable.op.name]
    assert names[0] == 'aux_1/aux_logits/proj/weights'
    assert 'aux_1/aux_logits/Conv/weights' in names
    assert names[-2:] == ['aux_1/aux_logits/FC/weights', 'aux_1/aux_logits/FC/biases']
    draws = [op for op in tf.get_default_graph().get_operations()
             if op.type == 'RandomUniform' and '/Initializer/' not in op.name
             and op.name.split('/')[0].replace('reduction_', '').startswith('cell')]
    # Every operation but the identity: 8 in a normal cell, 9 in one of the 4 that reduce.
    assert len(draws) == 3 * 8 + 4 * 9
    assert tf.train.get_global_step() is not None


def test_inference_is_repeatable_and_has_no_auxiliary_head():
    net, end_points = _build_small(is_training=False, batch=1)
    assert 'AuxLogits' not in end_points
    assert not [v for v in tf.global_variables() if 'aux' in v.op.name]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        first, second = session.run(net), session.run(net)
    assert first.shape == second.shape == (1, 5)
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)


@pytest.mark.parametrize('changes', [dict(use_aux_head=0), dict(num_reduction_layers=1)])
def test_auxiliary_head_can_be_left_out(changes):
    _, end_points = _build_small(changes=changes)
    assert 'AuxLogits' not in end_points


@pytest.mark.parametrize('num_classes', [0, None])
def test_without_classes_the_result_is_pooled_features(num_classes):
    net, end_points = _build_small(num_classes, is_training=True)
    assert net is end_points['global_pool']
    assert net.shape.as_list() == [2, 96]
    assert not {'Logits', 'Predictions', 'AuxLogits'} & set(end_points)
    assert not [v for v in tf.global_variables() if v.op.name.startswith('final_layer')]


def test_building_stops_at_the_final_end_point():
    net, end_points = _build_small(final_endpoint='Reduction_Cell_0')
    assert list(end_points) == ['Stem', 'Cell_0', 'Reduction_Cell_0']
    assert net is end_points['Reduction_Cell_0']


def test_unknown_final_end_point_is_refused():
    with pytest.raises(ValueError, match='final_endpoint must be one of Stem, .*Predictions. '
                                         "Received instead: 'Cell_3'"):
        _build_small(final_endpoint='Cell_3', is_training=False, changes=dict(num_cells=1))


@pytest.mark.parametrize('skip, filters', [(0, 24), (1, 8)])
def test_cell_after_a_reduction_can_skip_its_input(skip, filters):
    _build_small(final_endpoint='Cell_1', changes=dict(skip_reduction_layer_input=skip))
    before = [v for v in tf.trainable_variables() if v.op.name == 'cell_1/path1_conv/weights'][0]
    # 24 = 6 * 4 filters of Cell_0, the reduction's input; 8 = 4 * 2 of the stem before it.
    assert before.shape.as_list()[2] == filters


def test_channels_first_has_the_same_variables_and_end_points():
    def built(data_format):
        with tf.Graph().as_default():
            _, end_points = _build_small(side=96, changes=dict(data_format=data_format))
            return (searched_nets.shapes(end_points),
                    [(v.op.name, v.shape.as_list()) for v in tf.global_variables()])

    last, last_variables = built('NHWC')
    first, first_variables = built('NCHW')
    assert first_variables == last_variables
    moved = {name: [shape[0], shape[3], shape[1], shape[2]] if len(shape) == 4 else shape
             for name, shape in last.items()}
    assert first == moved


def test_bounded_network_has_the_same_variables_and_bounded_cells():
    net, end_points = _build_small(is_training=False, batch=1, side=48,
                                   changes=dict(use_bounded_activation=True))
    bounded = [(v.op.name, v.shape.as_list()) for v in tf.global_variables()]
    cell, _ = searched_nets.run([end_points['Cell_2'], net])
    # The first 16 channels are the projected layer before; the others are made by the cell.
    assert cell.shape[-1] == 6 * 16
    added = cell[..., 16:]
    assert added.min() >= 0 and added.max() <= nasnet_utils.CLIP_BY_VALUE_CAP
    tf.reset_default_graph()
    _build_small(is_training=False, batch=1, side=48)
    assert bounded == [(v.op.name, v.shape.as_list()) for v in tf.global_variables()]


def test_a_given_configuration_stays_as_it_was():
    config = _small(drop_path_keep_prob=0.5)
    before = config.values()
    searched_nets.build(nasnet.build_nasnet_mobile, nasnet.nasnet_mobile_arg_scope, 5, side=64,
                        config=config, is_training=False, final_endpoint='Stem')
    assert config.values() == before


@pytest.mark.parametrize('config, expected', [
    (nasnet.cifar_config, (18, 32, 3.0, 0, 0.6, 1.0, 937500)),
    (nasnet.mobile_imagenet_config, (12, 44, 1.0, 0, 1.0, 0.5, 250000)),
    (nasnet.large_imagenet_config, (18, 168, 3.0, 1, 0.7, 0.5, 250000))])
def test_configurations(config, expected):
    hparams = config()
    assert (hparams.num_cells, hparams.num_conv_filters, hparams.stem_multiplier,
            hparams.skip_reduction_layer_input, hparams.drop_path_keep_prob,
            hparams.dense_dropout_keep_prob, hparams.total_training_steps) == expected
    assert (hparams.num_reduction_layers, hparams.use_aux_head, hparams.data_format,
            hparams.filter_scaling_rate, hparams.use_bounded_activation) == (
                2, 1, 'NHWC', 2.0, False)


@pytest.mark.parametrize('arg_scope, decay, weight_decay', [
    (nasnet.nasnet_cifar_arg_scope, 0.9, 5e-4), (nasnet.nasnet_mobile_arg_scope, 0.9997, 4e-5),
    (nasnet.nasnet_large_arg_scope, 0.9997, 5e-5)])
def test_arg_scopes_regularise_and_average(arg_scope, decay, weight_decay):
    config = _small()
    _, end_points = searched_nets.build(nasnet.build_nasnet_mobile, arg_scope, 5, side=33,
                                        config=config, final_endpoint='Stem')
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    kernels = [v for v in tf.trainable_variables() if v.op.name.endswith('weights')]
    assert len(losses) == len(kernels)
    conv0 = tf.get_default_graph().get_tensor_by_name('conv0/Conv2D:0')
    updates = [op for op in tf.get_collection(tf.GraphKeys.UPDATE_OPS) if 'conv0_bn' in op.name]
    mean = [v for v in tf.global_variables() if v.op.name == 'conv0_bn/moving_mean'][0]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        loss, weights = session.run([losses[0], kernels[0]])
        assert losses[0].op.name.startswith('conv0/')
        np.testing.assert_allclose(loss, weight_decay * np.square(weights).sum() / 2, rtol=1e-5)
        batch, _ = session.run([conv0, updates])
        np.testing.assert_allclose(session.run(mean), (1 - decay) * batch.mean((0, 1, 2)),
                                   rtol=1e-3, atol=1e-7)
    assert end_points['Stem'].shape.as_list() == [2, 4, 4, 8]
