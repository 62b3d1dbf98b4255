"""The MobileNets against the numbers of the reference: variables, end points, values."""
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import mobilenet_v2
from slim_nets.mobilenet import mobilenet_v3
from tests import golden_net
from tests import shared_data

_LARGE_SEG = mobilenet_v3.set_inner_widths(mobilenet_v3.V3_LARGE_DETECTION,
                                           {13: 336, 14: 480, 15: 480})
_SMALL_SEG = mobilenet_v3.set_inner_widths(mobilenet_v3.V3_SMALL_DETECTION,
                                           {9: 144, 10: 288, 11: 288})


def _v2(images, multiplier, divisible_by, **options):
    full_width = multiplier == 1.0
    return mobilenet_v2.mobilenet_base(
        images, depth_multiplier=multiplier, divisible_by=divisible_by or (8 if full_width else 1),
        min_depth=8 if full_width else 1, final_endpoint='layer_18', **options)


def _v3(conv_defs, final_endpoint, scope='MobilenetV3'):
    def build(images, multiplier, unused_divisible_by, **options):
        return mobilenet_v3.mobilenet_base(
            images, depth_multiplier=multiplier, conv_defs=conv_defs,
            final_endpoint=final_endpoint, scope=scope, **options)
    return build


_NETWORKS = {
    'mobilenet_v2': _v2,
    'mobilenet_v3_large_seg': _v3(_LARGE_SEG, 'layer_17'),
    'mobilenet_v3_small_seg': _v3(_SMALL_SEG, 'layer_13'),
    'mobilenet_edgetpu': _v3(mobilenet_v3.V3_EDGETPU, 'layer_24', 'MobilenetEdgeTPU'),
}


def _build(variant, images, output_stride=16, multiplier=1.0, divisible_by=None,
           is_training=False):
    with slim.arg_scope(mobilenet_v2.training_scope(is_training=is_training)):
        return _NETWORKS[variant](images, multiplier, divisible_by, output_stride=output_stride)


def _facts(variant):
    with open(shared_data.path('facts/variants.json')) as handle:
        variants = json.load(handle)['variants']
    return variants[variant] if isinstance(variants, dict) else next(
        facts for facts in variants if facts['variant'] == variant)


def _images(size=129):
    return tf.zeros([1, size, size, 3])


@pytest.mark.parametrize('variant', sorted(_NETWORKS))
@pytest.mark.parametrize('output_stride', ['8', '16'])
def test_end_points(variant, output_stride):
    expected = _facts(variant)['end_points_for_129x129'][output_stride]
    _, end_points = _build(variant, _images(), int(output_stride))
    assert {name: net.shape.as_list() for name, net in end_points.items()} == expected


@pytest.mark.parametrize('variant', sorted(_NETWORKS))
def test_features_at_every_output_stride(variant):
    for output_stride, shape in _facts(variant)[
            'features_shape_for_129x129_by_output_stride'].items():
        with tf.Graph().as_default():
            features, _ = _build(variant, _images(), int(output_stride))
            assert features.shape.as_list() == shape, output_stride


@pytest.mark.parametrize('variant', sorted(_NETWORKS))
def test_depth_multipliers(variant):
    for multiplier, expected in _facts(variant)['depth_multiplier'].items():
        with tf.Graph().as_default():
            features, _ = _build(variant, _images(33), multiplier=float(multiplier))
            parameters = sum(int(np.prod(v.shape.as_list())) for v in tf.trainable_variables())
        assert (features.shape.as_list()[3], parameters) == (
            expected['feature_channels'], expected['backbone_parameters']), multiplier


@pytest.mark.parametrize('variant', sorted(_NETWORKS))
def test_training_graph(variant):
    expected = _facts(variant)['backbone_training']
    _build(variant, _images(33), is_training=True)
    norms = [operation for operation in tf.get_default_graph().get_operations()
             if operation.type == 'FusedBatchNormV3']
    assert {round(operation.get_attr('epsilon'), 6) for operation in norms} == {0.001}
    assert len(norms) == expected['batch_norm_epsilon_in_graph']['0.001']
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2 * len(norms)
    assert len(tf.losses.get_regularization_losses()) == expected['l2_regularised_layers']
    assert len(tf.global_variables()) == expected['global_variables']
    assert len(tf.trainable_variables()) == expected['trainable']


@pytest.mark.parametrize('golden', [
    'mobilenet_v2__pascal_os16', 'mobilenet_v2_dm05__pascal_os16',
    'mobilenet_v2__divisible_by_16', 'mobilenet_v3_large_seg__plain_os16',
    'mobilenet_v3_small_seg__plain_os16', 'mobilenet_edgetpu__cityscapes_os32',
    'mobilenet_edgetpu_dm075__cityscapes_os16'])
def test_variables(golden):
    with open(shared_data.path('goldens/variables/{}.json'.format(golden))) as handle:
        record = json.load(handle)
    flags = record['config']['flags']
    _build(flags['model_variant'], _images(33), record['config']['output_stride'],
           flags.get('depth_multiplier', 1.0), flags.get('divisible_by'))
    trainable = set(tf.trainable_variables())
    assert [[v.op.name, v.shape.as_list(), v in trainable] for v in tf.global_variables()] == [
        [v['name'], v['shape'], v['trainable']] for v in record['variables']
        if v['name'].startswith('Mobilenet')]


@pytest.mark.parametrize('golden, init', [
    ('mobilenet_v2__pascal_os16', 'he'), ('mobilenet_v2_dm05__pascal_os16', 'mid'),
    ('mobilenet_v3_large_seg__os32_small', 'he'), ('mobilenet_v3_small_seg__plain_os16', 'he'),
    ('mobilenet_edgetpu__cityscapes_os32', 'mid')])
def test_values(golden, init):
    with np.load(shared_data.path('goldens/outputs/{}.npz'.format(golden))) as arrays:
        record = json.loads(str(arrays['meta_json']))
        name = init + '_features'
        expected_features = arrays[name] if name in arrays.files else None
    config = record['config']
    images = golden_net.image(config) * np.float32(2.0 / 255.0) - np.float32(1)
    features, end_points = _build(
        config['flags']['model_variant'], tf.constant(images), config['output_stride'],
        config['flags'].get('depth_multiplier', 1.0))
    weights = golden_net.Weights(tf.global_variables())
    with tf.Session() as session:
        weights.load(session, init)
        features, values = session.run([features, end_points])
    assert set(values) == set(record[init + '_end_points'])
    for name, expected in record[init + '_end_points'].items():
        value = values[name].astype(np.float64)
        spread = expected['std']
        assert value.mean() == pytest.approx(expected['mean'], abs=1e-5 * spread), name
        assert value.std() == pytest.approx(spread, rel=1e-5), name
        assert abs(value).max() == pytest.approx(expected['absmax'], rel=1e-5), name
    if expected_features is not None:
        worst = abs(features - expected_features).max()
        assert worst < 1e-4 * expected_features.std()
