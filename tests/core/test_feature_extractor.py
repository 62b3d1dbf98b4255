"""The registry: what each backbone's record says, and how its graph trains, as recorded."""
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import errors
from deeplab.core import feature_extractor
from tests.goldens import make_compact

with open(os.path.join(os.path.dirname(make_compact.__file__), 'backbone_training.json')) as _file:
    _RECORDED = json.load(_file)
_SIZE = 33


def _build(variant, **settings):
    record = feature_extractor.get_backbone(variant)
    stride = 16 if 16 in record.output_strides else record.output_strides[0]
    return feature_extractor.extract_features(
        tf.zeros([2, _SIZE, _SIZE, 3]), output_stride=stride, model_variant=variant,
        is_training=True, **settings)


def _decays_of_updates():
    """Returns the decays of the moving averages: one less the scalar factor of each update."""
    rates = []
    for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS):
        operation = update.op if isinstance(update, tf.Tensor) else update
        rate, = [value for value in operation.inputs[1].op.inputs if value.shape.ndims == 0]
        rates.append(rate)
    with tf.Session() as session:
        return [round(1.0 - float(rate), 4) for rate in session.run(rates)]


@pytest.mark.parametrize('variant', sorted(_RECORDED))
def test_backbone_trains_as_recorded(variant):
    recorded = _RECORDED[variant]
    _, end_points = _build(variant, fine_tune_batch_norm=True)
    operations = [operation for operation in tf.get_default_graph().get_operations()
                  if operation.type.startswith('FusedBatchNorm')]
    assert all(operation.get_attr('is_training') for operation in operations)
    epsilons = [operation.get_attr('epsilon') for operation in operations]
    (wanted, count), = recorded['batch_norm_epsilon'].items()
    assert len(epsilons) == count
    np.testing.assert_allclose(epsilons, float(wanted), rtol=1e-4)
    (decay, count), = recorded['batch_norm_decay'].items()
    assert _decays_of_updates() == [float(decay)] * (2 * count)
    assert len(tf.global_variables()) == recorded['global_variables']
    assert len(tf.trainable_variables()) == recorded['trainable']
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert len(losses) == recorded['l2_regularised_layers']
    record = feature_extractor.get_backbone(variant)
    assert record.scope == recorded['name_scope']
    assert {str(stride): record.end_point_name(name) for stride, name in
            record.decoder_end_points.items()} == recorded['decoder_end_points']
    for name in recorded['decoder_end_points'].values():
        assert name in end_points
    np.testing.assert_allclose(feature_extractor.mean_pixel(variant), recorded['padding_pixel'])


@pytest.mark.parametrize('variant', ['mobilenet_v3_small_seg', 'resnet_v1_18_beta', 'nas_pnasnet'])
def test_frozen_batch_norm_uses_its_averages_and_updates_none(variant):
    _build(variant, fine_tune_batch_norm=False)
    operations = [operation for operation in tf.get_default_graph().get_operations()
                  if operation.type.startswith('FusedBatchNorm')]
    assert operations
    assert not any(operation.get_attr('is_training') for operation in operations)
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_every_recorded_backbone_is_registered():
    assert set(_RECORDED) <= set(feature_extractor.backbone_names())
    assert feature_extractor.mean_pixel() == [123.15, 115.9, 103.06]


def test_an_unknown_backbone_names_the_nearest_and_lists_all():
    with pytest.raises(errors.UserError) as caught:
        feature_extractor.get_backbone('xception65')
    assert "'xception_65'" in str(caught.value)
    for name in feature_extractor.backbone_names():
        assert name in str(caught.value)


@pytest.mark.parametrize('variant, low, high', [
    ('mobilenet_v2', -1.0, 1.0), ('resnet_v1_50', -123.15, 255 - 103.06),
    ('resnet_v1_50_beta', -1.0, 1.0)])
def test_pixels_are_scaled_as_each_network_was_trained(variant, low, high):
    record = feature_extractor.get_backbone(variant)
    pixels = np.zeros([1, 1, 2, 3], np.uint8)
    pixels[0, 0, 1] = 255
    with tf.Session() as session:
        scaled = session.run(record.preprocess(tf.constant(pixels)))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose([scaled.min(), scaled.max()], [low, high], rtol=1e-5)


def test_scaling_can_be_left_out_and_an_arg_scope_put_in():
    images = tf.zeros([1, _SIZE, _SIZE, 3])
    scope = feature_extractor.mobilenet_v2_arg_scope(is_training=False, weight_decay=0.1)
    network = feature_extractor.get_network('mobilenet_v2', preprocess_images=False,
                                            arg_scope=scope)
    features, _ = network(images, depth_multiplier=0.25, output_stride=16, scope='MobilenetV2')
    assert features.shape.as_list()[:3] == [1, 3, 3]
    first = slim.get_model_variables('MobilenetV2/Conv/weights')
    assert len(first) == 1
    first_convolution = [operation for operation in tf.get_default_graph().get_operations()
                         if operation.type == 'Conv2D'][0]
    source = first_convolution.inputs[0]
    assert source is images or source.op.type == 'Identity' and source.op.inputs[0] is images
