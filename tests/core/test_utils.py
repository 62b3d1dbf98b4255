"""Small parts shared by backbones and heads."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import utils


def _run(fetches, feed=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feed)


def test_scale_dimension_keeps_aligned_corners_on_the_grid():
    cases = [(513, 1 / 16, 33), (513, 1 / 8, 65), (321, 0.5, 161), (129, 1.25, 161), (5, 1.0, 5)]
    for dim, scale, wanted in cases:
        assert utils.scale_dimension(dim, scale) == wanted
        assert _run(utils.scale_dimension(tf.constant(dim), scale)) == wanted


def test_resize_bilinear_aligns_corners_and_keeps_the_dtype_asked_for():
    image = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    resized = _run(utils.resize_bilinear(image, [3, 3]))
    np.testing.assert_allclose(resized[0, :, :, 0], [[0, .5, 1], [1, 1.5, 2], [2, 2.5, 3]])
    assert utils.resize_bilinear(image, [3, 3], tf.int32).dtype == tf.int32


def test_q_sigmoid_is_a_clipped_line():
    x = np.array([-5.0, -3.0, 0.0, 3.0, 9.0], np.float32)
    np.testing.assert_allclose(_run(utils.q_sigmoid(tf.constant(x))),
                               np.clip(x + 3, 0, 6) * 0.16667, rtol=1e-6)


def test_split_separable_conv_has_two_named_layers_and_regularises_the_second():
    images = tf.ones([1, 9, 9, 3])
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], normalizer_fn=slim.batch_norm):
        net = utils.split_separable_conv2d(images, 8, rate=2, weight_decay=0.1, scope='sep')
    assert net.shape.as_list() == [1, 9, 9, 8]
    names = [variable.op.name for variable in slim.get_model_variables()]
    assert names[0] == 'sep_depthwise/depthwise_weights'
    assert 'sep_pointwise/weights' in names
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert [loss.op.name.split('/')[0] for loss in losses] == ['sep_pointwise']


@pytest.mark.parametrize('weights', [1.0, 0.5, [1.0, 2.0, 4.0]])
def test_label_weights_by_hand(weights):
    labels = np.array([[0, 1, 2], [255, 2, 0]], np.int32)
    table = [weights] * 3 if isinstance(weights, float) else weights
    wanted = [[0.0 if label == 255 else table[label] for label in row] for row in labels]
    got = _run(utils.get_label_weight_mask(tf.constant(labels), 255, 3, weights))
    np.testing.assert_array_equal(got, np.array(wanted, np.float32))


@pytest.mark.parametrize('weights', [1, (1.0, 2.0, 3.0), np.ones(3), [1.0, 2.0]])
def test_label_weights_of_another_kind_or_number_are_refused(weights):
    with pytest.raises(ValueError, match='label_weights'):
        utils.get_label_weight_mask(tf.zeros([2, 2], tf.int32), 255, 3, weights)


def test_batch_norm_params_and_functions():
    params = utils.get_batch_norm_params(decay=0.9, is_training=False)
    assert params == dict(decay=0.9, epsilon=1e-5, center=True, scale=True, is_training=False)
    zeros = utils.get_batch_norm_params(initialize_gamma_as_zeros=True)
    assert list(zeros['param_initializers']) == ['gamma']
    assert utils.get_batch_norm_fn('None') is slim.batch_norm
    with pytest.raises(ValueError, match='sync_batch_norm_method'):
        utils.get_batch_norm_fn('magic')
