"""Tests of what builds a MobileNet from its layer records."""
import copy
import inspect

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import conv_blocks
from slim_nets.mobilenet import mobilenet as lib
from slim_nets.mobilenet import spec as spec_lib

op = lib.op


def _tiny():
    """A network with every kind of layer and a stride of 16 in all."""
    return {
        'defaults': {
            (slim.batch_norm,): {'center': True, 'scale': True},
            (slim.conv2d, slim.fully_connected, slim.separable_conv2d): {
                'normalizer_fn': slim.batch_norm, 'activation_fn': tf.nn.relu6},
            (conv_blocks.expanded_conv,): {'normalizer_fn': slim.batch_norm},
        },
        'spec': [
            op(slim.conv2d, stride=2, num_outputs=8, kernel_size=[3, 3]),
            op(conv_blocks.expanded_conv, stride=2, num_outputs=16),
            op(conv_blocks.split_separable_conv2d, stride=2, num_outputs=16),
            op(conv_blocks.expanded_conv, stride=2, num_outputs=24, kernel_size=(5, 5)),
            op(conv_blocks.expanded_conv, stride=1, num_outputs=24),
            op(slim.conv2d, stride=1, num_outputs=32, kernel_size=[1, 1]),
        ],
    }


def _images(size=33):
    values = np.random.RandomState(1).uniform(-1, 1, size=(2, size, size, 3))
    return tf.constant(values.astype(np.float32))


def _spy(calls):
    def layer(net, stride=1, rate=1, kernel_size=(3, 3)):
        calls.append((stride, rate))
        return tf.identity(net)
    return layer


def _strides_and_rates(strides, output_stride, **layer):
    calls = []
    spec = [op(_spy(calls), stride=stride, **layer) for stride in strides]
    lib.mobilenet_base(tf.zeros([1, 8, 8, 3]), {'spec': spec}, output_stride=output_stride)
    return calls


@pytest.mark.parametrize('output_stride, expected', [
    (None, [(2, 1), (1, 1), (2, 1), (2, 1), (1, 1), (2, 1), (1, 1)]),
    (64, [(2, 1), (1, 1), (2, 1), (2, 1), (1, 1), (2, 1), (1, 1)]),
    (8, [(2, 1), (1, 1), (2, 1), (2, 1), (1, 1), (1, 1), (1, 2)]),
    (4, [(2, 1), (1, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 4)]),
    (1, [(1, 1), (1, 2), (1, 2), (1, 4), (1, 8), (1, 8), (1, 16)]),
])
def test_strides_turn_into_rates_once_the_output_stride_is_reached(output_stride, expected):
    assert _strides_and_rates([2, 1, 2, 2, 1, 2, 1], output_stride) == expected


@pytest.mark.parametrize('kernel_size, last_rate', [([1, 1], 1), (1, 1), (3, 2), ([1, 3], 2)])
def test_pointwise_layers_get_no_rate(kernel_size, last_rate):
    assert _strides_and_rates([2, 2, 1], 2, kernel_size=kernel_size) == [
        (2, 1), (1, 1), (1, last_rate)]


@pytest.mark.parametrize('output_stride, sizes', [
    (None, [17, 9, 5, 3, 3, 3]), (16, [17, 9, 5, 3, 3, 3]), (8, [17, 9, 5, 5, 5, 5]),
    (4, [17, 9, 9, 9, 9, 9]), (2, [17] * 6), (1, [33] * 6)])
def test_sizes_at_each_output_stride(output_stride, sizes):
    net, end_points = lib.mobilenet_base(_images(), _tiny(), output_stride=output_stride)
    assert [int(end_points['layer_%d' % n].shape[1]) for n in range(1, 7)] == sizes
    assert net is end_points['layer_6']


def test_dense_features_agree_with_strided_ones_where_both_are():
    """The atrous algorithm computes the same features, only at more positions."""
    images = _images(65)
    spec = _tiny()
    coarse, _ = lib.mobilenet_base(images, spec, scope='net')
    with tf.variable_scope('', reuse=True):
        dense, _ = lib.mobilenet_base(images, spec, output_stride=4, scope='net')
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        coarse, dense = session.run([coarse, dense])
    assert dense.shape[1:3] == (17, 17) and coarse.shape[1:3] == (5, 5)
    np.testing.assert_allclose(dense[:, ::4, ::4], coarse, rtol=1e-3, atol=1e-5)


def test_explicit_padding_equals_same_on_odd_sizes():
    images = _images()
    same, _ = lib.mobilenet_base(images, _tiny(), scope='net', output_stride=8)
    with tf.variable_scope('', reuse=True):
        explicit, _ = lib.mobilenet_base(images, _tiny(), scope='net', output_stride=8,
                                         use_explicit_padding=True)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_allclose(*session.run([same, explicit]), rtol=1e-4, atol=1e-6)


def test_end_points_list_the_parts_of_blocks():
    _, end_points = lib.mobilenet_base(_images(), _tiny(), scope='net')
    assert set(end_points) == (
        {'layer_%d' % n for n in range(1, 7)}
        | {'layer_%d/%s' % (n, part) for n in (2, 4, 5)
           for part in ('expansion_output', 'depthwise_output', 'output')})
    assert end_points['layer_4/depthwise_output'].op.name == (
        'net/expanded_conv_1/depthwise_output')
    assert end_points['layer_4/depthwise_output'].shape.as_list() == [2, 3, 3, 96]


def test_end_points_are_those_of_this_call():
    _, first = lib.mobilenet_base(_images(), _tiny(), scope='net')
    with tf.variable_scope('', reuse=True):
        _, second = lib.mobilenet_base(_images(65), _tiny(), scope='net')
    assert set(first) == set(second)
    assert not set(first.values()) & set(second.values())
    assert second['layer_2/output'].shape.as_list() == [2, 17, 17, 16]
    assert len(tf.global_variables()) == len({v.name for v in tf.global_variables()})


def test_final_endpoint_ends_the_network():
    net, end_points = lib.mobilenet_base(_images(), _tiny(), final_endpoint='layer_4')
    assert net is end_points['layer_4']
    assert 'layer_5' not in end_points
    assert not any('Conv_1' in variable.name for variable in tf.global_variables())


@pytest.mark.parametrize('name', ['layer_7', 'layer_0', 'layer_3/output', 'Conv'])
def test_unknown_final_endpoint(name):
    with pytest.raises(ValueError, match="layer_1 ... layer_6.*'{}'".format(name)):
        lib.mobilenet_base(_images(), _tiny(), final_endpoint=name)


@pytest.mark.parametrize('output_stride', [0, -2, 3, 12, 2.5, '8'])
def test_bad_output_stride(output_stride):
    with pytest.raises(ValueError, match='output_stride.*power of two.*' + repr(output_stride)):
        lib.mobilenet_base(_images(), _tiny(), output_stride=output_stride)


@pytest.mark.parametrize('multiplier', [0, -1.0])
def test_bad_multiplier(multiplier):
    with pytest.raises(ValueError, match='depth multiplier must be above 0'):
        lib.mobilenet_base(_images(), _tiny(), multiplier=multiplier)


def test_multiplier_scales_the_channels_and_leaves_the_records_alone():
    spec = _tiny()
    before = copy.deepcopy(spec['spec'])
    net, end_points = lib.mobilenet_base(_images(), spec, multiplier=1.4)
    assert [end_points['layer_%d' % n].shape.as_list()[3] for n in range(1, 7)] == [
        16, 24, 24, 32, 32, 48]
    assert net.shape.as_list()[3] == 48
    assert [layer.params for layer in spec['spec']] == [layer.params for layer in before]


def test_depth_multiplier_takes_its_rounding_from_arg_scopes():
    params = {'num_outputs': 100}
    lib.depth_multiplier(params, 0.33)
    assert params == {'num_outputs': 32}
    params = {'num_outputs': 100}
    with slim.arg_scope([lib.depth_multiplier], divisible_by=1, min_depth=40):
        lib.depth_multiplier(params, 0.33)
    assert params == {'num_outputs': 40}
    params = {'stride': 2}
    lib.depth_multiplier(params, 0.33)
    assert params == {'stride': 2}


def test_op_is_a_record():
    record = op(slim.conv2d, num_outputs=8)
    assert record.op is slim.conv2d
    assert record.params == {'num_outputs': 8}
    assert record.multiplier_func is lib.depth_multiplier
    other = op(slim.conv2d, multiplier_func=spec_lib.keep_depth, num_outputs=8)
    other.multiplier_func(other.params, 0.25)
    assert other.params == {'num_outputs': 8}


def test_halves_left_by_divisions_are_rounded():
    spec = _tiny()
    spec['spec'][4].params['num_outputs'] /= 1.6
    net, _ = lib.mobilenet_base(_images(), spec, final_endpoint='layer_5')
    assert net.shape.as_list()[3] == 16


# ---- whose word counts for batch norm -----------------------------------------------------

# One mean and one variance for each of 11 convolutions (the separable block has no batch norm).
_ALL_UPDATES = 22


def _updates():
    return len(tf.get_collection(tf.GraphKeys.UPDATE_OPS))


def _trains(is_training_of_scope=None, **arguments):
    """Builds inside an arg scope of batch norm; tells whether its statistics are updated."""
    with lib.safe_arg_scope([slim.batch_norm], is_training=is_training_of_scope):
        lib.mobilenet_base(_images(), _tiny(), **arguments)
    assert _updates() in (0, _ALL_UPDATES)
    return _updates() == _ALL_UPDATES


@pytest.mark.parametrize('scope_says, caller_says, trains', [
    (True, 'nothing', True),
    (False, 'nothing', False),
    (None, 'nothing', False),
    (True, False, False),
    (False, True, True),
    (True, None, True),
    (False, None, False),
])
def test_batch_norm_mode(scope_says, caller_says, trains):
    arguments = {} if caller_says == 'nothing' else {'is_training': caller_says}
    assert _trains(scope_says, **arguments) is trains


def test_batch_norm_mode_can_be_a_tensor():
    training = tf.placeholder_with_default(False, [])
    with slim.arg_scope(lib.training_scope(is_training=training)):
        net, _ = lib.mobilenet_base(_images(), _tiny())
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        frozen = session.run(net)
        live = session.run(net, {training: True})
    assert abs(frozen - live).max() > 1e-3


def test_an_inner_arg_scope_wins_over_training_scope():
    with slim.arg_scope(lib.training_scope(is_training=True)):
        assert not _trains(False)


def test_the_promised_signature_is_kept():
    parameters = inspect.signature(lib.mobilenet_base).parameters
    assert list(parameters) == ['inputs', 'conv_defs', 'multiplier', 'final_endpoint',
                                'output_stride', 'use_explicit_padding', 'scope', 'is_training']
    assert parameters['is_training'].default is False


def test_arg_scope_can_address_the_network_itself():
    with slim.arg_scope([lib.mobilenet_base], is_training=True):
        lib.mobilenet_base(_images(), _tiny())
    assert _updates() == _ALL_UPDATES


# ---- training scope -----------------------------------------------------------------------

def test_training_scope_regularises_all_but_depthwise_weights():
    with slim.arg_scope(lib.training_scope(weight_decay=0.01)):
        lib.mobilenet_base(_images(), _tiny())
    names = {loss.op.name.split('/kernel')[0] for loss in tf.losses.get_regularization_losses()}
    assert len(names) == 9
    assert not any('depthwise' in name for name in names)


def test_training_scope_settings():
    with slim.arg_scope(lib.training_scope(is_training=False, bn_decay=0.5,
                                           dropout_keep_prob=0.3)) as scope:
        batch_norm = scope[slim.arg_scope_func_key(slim.batch_norm)]
        dropout = scope[slim.arg_scope_func_key(slim.dropout)]
    assert batch_norm == {'is_training': False, 'decay': 0.5}
    assert dropout == {'is_training': False, 'keep_prob': 0.3}


def test_training_scope_initialises_with_a_truncated_normal():
    with slim.arg_scope(lib.training_scope(stddev=0.01)):
        lib.mobilenet_base(_images(), _tiny(), final_endpoint='layer_4')
    depthwise = [v for v in tf.global_variables() if v.op.name.endswith('depthwise_weights')]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = np.concatenate([value.ravel() for value in session.run(depthwise)])
    assert abs(values).max() <= 0.02
    assert 0.007 < values.std() < 0.011


def test_training_scope_initialises_with_xavier():
    with slim.arg_scope(lib.training_scope(stddev=-1)):
        lib.mobilenet_base(_images(), _tiny(), final_endpoint='layer_1')
    weights = tf.global_variables()[0]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        bound = np.sqrt(6.0 / (9 * 3 + 9 * 8))
        assert 0.8 * bound < abs(session.run(weights)).max() <= bound


def test_training_scope_without_mode_leaves_it_to_others():
    with slim.arg_scope([slim.batch_norm], is_training=True):
        with slim.arg_scope(lib.training_scope(is_training=None)):
            assert _trains()


# ---- classifier ---------------------------------------------------------------------------

def test_classifier():
    logits, end_points = lib.mobilenet(_images(), num_classes=7, conv_defs=_tiny())
    assert logits.shape.as_list() == [2, 7]
    assert end_points['Logits'] is logits
    assert end_points['global_pool'].shape.as_list() == [2, 1, 1, 32]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        scores, shares = session.run([logits, end_points['Predictions']])
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected, rtol=1e-5)
    shapes = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    assert shapes['Mobilenet/Logits/Conv2d_1c_1x1/weights'] == [1, 1, 32, 7]
    assert shapes['Mobilenet/Logits/Conv2d_1c_1x1/biases'] == [7]


@pytest.mark.parametrize('num_classes', [0, None])
def test_without_classes_the_pooled_features_come_back(num_classes):
    net, end_points = lib.mobilenet(_images(), num_classes=num_classes, conv_defs=_tiny())
    assert net.shape.as_list() == [2, 1, 1, 32]
    assert 'Logits' not in end_points


def test_base_only_and_no_predictions():
    net, end_points = lib.mobilenet(_images(), conv_defs=_tiny(), base_only=True)
    assert net.shape.as_list() == [2, 3, 3, 32]
    assert 'global_pool' not in end_points
    _, end_points = lib.mobilenet(_images(), conv_defs=_tiny(), prediction_fn=None, scope='other')
    assert 'Predictions' not in end_points


def test_reuse_shares_the_variables():
    first, _ = lib.mobilenet(_images(), num_classes=5, conv_defs=_tiny(), scope='net')
    count = len(tf.global_variables())
    second, _ = lib.mobilenet(_images(), num_classes=5, conv_defs=_tiny(), scope='net', reuse=True)
    assert len(tf.global_variables()) == count
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_allclose(*session.run([first, second]), rtol=1e-6)


@pytest.mark.parametrize('options, drops', [
    ({}, False), ({'is_training': True}, True), ({'is_training': False}, False)])
def test_dropout_follows_the_caller(options, drops):
    lib.mobilenet(_images(), num_classes=5, conv_defs=_tiny(), **options)
    assert _has_dropout() is drops


@pytest.mark.parametrize('is_training', [True, False])
def test_dropout_follows_the_training_scope(is_training):
    with slim.arg_scope(lib.training_scope(is_training=is_training)):
        lib.mobilenet(_images(), num_classes=5, conv_defs=_tiny())
    assert _has_dropout() is is_training


def _has_dropout():
    return any(operation.type.startswith('RandomUniform') and 'Dropout' in operation.name
               for operation in tf.get_default_graph().get_operations())


def test_images_must_have_four_dimensions():
    with pytest.raises(ValueError, match=r'\[batch, height, width, channels\].*8, 8, 3'):
        lib.mobilenet(tf.zeros([8, 8, 3]), conv_defs=_tiny())


@pytest.mark.parametrize('pool_op, reference', [
    (tf.nn.avg_pool2d, np.mean), (tf.nn.max_pool2d, np.max)])
@pytest.mark.parametrize('known', [True, False])
def test_global_pool(pool_op, reference, known):
    values = np.random.RandomState(2).normal(size=(2, 3, 5, 4)).astype(np.float32)
    inputs = tf.constant(values)
    if not known:
        inputs = tf.placeholder_with_default(values, [None, None, None, 4])
    pooled = lib.global_pool(inputs, pool_op)
    assert pooled.shape.as_list()[1:] == [1, 1, 4]
    with tf.Session() as session:
        np.testing.assert_allclose(session.run(pooled), reference(values, (1, 2), keepdims=True),
                                   rtol=1e-5, atol=1e-6)


def test_global_pool_says_when_it_cannot():
    with pytest.raises(ValueError, match='unknown image size'):
        lib.global_pool(tf.placeholder(tf.float32, [1, None, None, 4]), lambda *_, **__: None)


def test_apply_activation():
    assert lib.apply_activation(3) == 3
    result = lib.apply_activation(tf.constant(-1.0), name='off', activation_fn=tf.nn.relu)
    assert result.op.name == 'off'
