"""Tests of what only the residual networks of the second form have."""
import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_v2
from tests.slim_nets import resnet_examples as examples


def test_root_is_linear_and_features_are_rectified():
    features, end_points = examples.V2.small(examples.images(), global_pool=False)
    root, block, features = examples.run(
        [end_points['net/conv1'], end_points['net/block4'], features])
    assert root.min() < 0 and block.min() < 0
    assert features.min() == 0 and features.max() > 0


def test_bottleneck_adds_a_residual_of_the_activated_input():
    inputs = 3.0 * tf.random.stateless_normal([1, 5, 5, 4], seed=[5, 6])
    with slim.arg_scope(resnet_v2.resnet_arg_scope()), \
            slim.arg_scope([slim.batch_norm], is_training=False), \
            slim.arg_scope([slim.conv2d], outputs_collections='convolutions'):
        same = resnet_v2.bottleneck(inputs, 4, 2, 2, scope='same')
        other = resnet_v2.bottleneck(inputs, 8, 2, 2, scope='other')
    parts = slim.utils.convert_collection_to_dict('convolutions')
    projection = slim.get_unique_variable('other/shortcut/weights')
    values, parts, projection, same, other = examples.run([inputs, parts, projection, same, other])
    # A kept depth passes the input itself, a new one a projection of what was activated.
    np.testing.assert_allclose(same, values[:, ::2, ::2] + parts['same/conv3'], rtol=1e-5,
                               atol=1e-5)
    np.testing.assert_allclose(other, parts['other/shortcut'] + parts['other/conv3'], rtol=1e-5,
                               atol=1e-5)
    # Fresh statistics are 0 and 1; the fused kernel's epsilon is 1.001e-5.
    active = np.maximum(values[:, ::2, ::2], 0) / np.sqrt(1 + 1.001e-5)
    np.testing.assert_allclose(parts['other/shortcut'], active @ projection[0, 0], rtol=1e-4,
                               atol=1e-5)
    assert parts['same/conv3'].min() < 0 == parts['same/conv1'].min()
