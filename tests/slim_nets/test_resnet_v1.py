"""Tests of what only the residual networks of the first form have."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils
from slim_nets import resnet_v1
from tests.slim_nets import resnet_examples as examples


def test_stored_activations_are_those_before_the_stride():
    images = examples.images(65)
    features, end_points = examples.V1.small(images, global_pool=False,
                                             store_non_strided_activations=True)
    sides = [end_points['net/block{}'.format(block)].shape.as_list()[1] for block in (1, 2, 3, 4)]
    assert sides == [17, 9, 5, 3]
    usual, _ = examples.V1.small(images, global_pool=False, reuse=True)
    features, usual = examples.run([features, usual])
    np.testing.assert_allclose(features, usual, rtol=1e-4, atol=1e-4)


def test_resnet_v1_50_at_stride_8_subsampled_equals_its_nominal_features():
    def features(output_stride, reuse):
        with slim.arg_scope(resnet_v1.resnet_arg_scope()):
            return resnet_v1.resnet_v1_50(
                examples.images(65), is_training=False, global_pool=False, depth_multiplier=0.25,
                output_stride=output_stride, reuse=reuse)[0]

    dense, nominal = examples.run([resnet_utils.subsample(features(8, None), 4),
                                   features(None, True)])
    # The multiplier leaves the root as it is.
    assert slim.get_unique_variable('resnet_v1_50/conv1/weights').shape.as_list() == [7, 7, 3, 64]
    assert nominal.shape == (1, 3, 3, 512)
    np.testing.assert_allclose(dense, nominal, rtol=1e-4, atol=1e-4 * nominal.std())


@pytest.mark.parametrize('multiplier, smallest, depths', [
    (1, 8, [64, 128, 256, 512]), (0.5, 8, [32, 64, 128, 256]), (0.1, 20, [20, 20, 25, 51]),
    (1.25, 8, [80, 160, 320, 640])])
def test_depth_multiplier_scales_the_blocks(monkeypatch, multiplier, smallest, depths):
    blocks = examples.V1.blocks_of(monkeypatch, 50, depth_multiplier=multiplier,
                                   min_base_depth=smallest)
    for block, depth in zip(blocks, depths):
        assert {unit['depth_bottleneck'] for unit in block.args} == {depth}
        assert {unit['depth'] for unit in block.args} == {4 * depth}


def test_depth_multiplier_must_be_positive():
    with pytest.raises(ValueError, match='depth_multiplier must be positive, got 0'):
        resnet_v1.resnet_v1_50(tf.zeros([1, 17, 17, 3]), depth_multiplier=0)


def _bottlenecks(inputs, scope_options, **options):
    """Builds the units 'same', of stride 2, and 'other', of a new depth; returns their parts."""
    with slim.arg_scope(resnet_v1.resnet_arg_scope(**scope_options)), \
            slim.arg_scope([slim.batch_norm], is_training=False), \
            slim.arg_scope([resnet_v1.bottleneck], **options), \
            slim.arg_scope([slim.conv2d], outputs_collections='convolutions'):
        same = resnet_v1.bottleneck(inputs, 4, 2, 2, scope='same')
        other = resnet_v1.bottleneck(inputs, 8, 2, 2, scope='other')
    parts = slim.utils.convert_collection_to_dict('convolutions')
    assert list(parts) == ['same/conv1', 'same/conv2', 'same/conv3', 'other/shortcut',
                           'other/conv1', 'other/conv2', 'other/conv3']
    return examples.run([inputs, parts, same, other])


def test_bottleneck_is_the_rectified_sum_of_shortcut_and_residual():
    values, parts, same, other = _bottlenecks(
        3.0 * tf.random.stateless_normal([1, 5, 5, 4], seed=[5, 6]), {})
    np.testing.assert_allclose(same, np.maximum(values[:, ::2, ::2] + parts['same/conv3'], 0),
                               rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        other, np.maximum(parts['other/shortcut'] + parts['other/conv3'], 0), rtol=1e-5, atol=1e-5)
    assert same.shape == (1, 3, 3, 4) and other.shape == (1, 3, 3, 8)
    assert parts['same/conv3'].min() < 0 and parts['other/shortcut'].min() < 0
    assert parts['same/conv1'].min() == parts['same/conv2'].min() == 0


def test_bounded_activations_stay_within_six():
    _, parts, _, net = _bottlenecks(
        100.0 * tf.random.stateless_normal([1, 5, 5, 4], seed=[5, 6]),
        dict(activation_fn=tf.nn.relu6), use_bounded_activations=True)
    shortcut, residual = parts['other/shortcut'], parts['other/conv3']
    assert shortcut.min() == 0 and shortcut.max() == 6
    np.testing.assert_allclose(net, np.clip(shortcut + np.clip(residual, -6, 6), 0, 6), rtol=1e-5,
                               atol=1e-5)
    assert net.max() == 6


def test_no_op_scope_lets_errors_through():
    with resnet_v1.NoOpScope():
        assert tf.get_variable_scope().name == ''
    with pytest.raises(KeyError):
        with resnet_v1.NoOpScope():
            raise KeyError('out')
