"""Tests of MobileNetV2. What its end points are at each stride: test_mobilenet_goldens.py."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import mobilenet as lib
from slim_nets.mobilenet import mobilenet_v2


def _images(size=65):
    return tf.zeros([1, size, size, 3])


def _parameters():
    return sum(int(np.prod(v.shape.as_list())) for v in tf.trainable_variables())


def _widths(end_points):
    return [end_points['layer_%d' % n].shape.as_list()[3] for n in range(1, 20)]


@pytest.mark.parametrize('network, parameters', [
    # Weights, biases, gammas and betas as counted by other libraries for the same architecture.
    (mobilenet_v2.mobilenet, 3506153),
    (mobilenet_v2.mobilenet_v2_140, 6110569),
    (mobilenet_v2.mobilenet_v2_050, 1969961),
    (mobilenet_v2.mobilenet_v2_035, 1678409),
])
def test_parameter_counts_with_classifier(network, parameters):
    logits, end_points = network(_images(), num_classes=1001)
    assert logits.shape.as_list() == [1, 1001]
    assert _parameters() == parameters
    assert end_points['Predictions'].shape.as_list() == [1, 1001]
    assert network.default_image_size == 224


def test_table_2_of_the_paper():
    _, end_points = mobilenet_v2.mobilenet_base(tf.zeros([1, 224, 224, 3]))
    assert _widths(end_points) == [32, 16] + [24] * 2 + [32] * 3 + [64] * 4 + [96] * 3 + [
        160] * 3 + [320, 1280]
    sizes = [int(end_points['layer_%d' % n].shape[1]) for n in range(1, 20)]
    assert sizes == [112] * 2 + [56] * 2 + [28] * 3 + [14] * 7 + [7] * 5
    assert not any('Logits' in v.name for v in tf.global_variables())


def test_names_of_a_released_checkpoint():
    mobilenet_v2.mobilenet(_images())
    names = [v.op.name for v in tf.global_variables()]
    assert names[0] == 'MobilenetV2/Conv/weights'
    assert 'MobilenetV2/expanded_conv_16/project/BatchNorm/moving_variance' in names
    assert names[-2:] == ['MobilenetV2/Logits/Conv2d_1c_1x1/weights',
                          'MobilenetV2/Logits/Conv2d_1c_1x1/biases']
    graph = tf.get_default_graph()
    for name in ('input', 'embedding', 'Logits/output'):
        assert graph.get_operation_by_name('MobilenetV2/' + name)


@pytest.mark.parametrize('output_stride, size', [(8, 9), (16, 5), (32, 3), (None, 3)])
def test_output_strides(output_stride, size):
    net, _ = mobilenet_v2.mobilenet_base(_images(), final_endpoint='layer_18',
                                         output_stride=output_stride)
    assert net.shape.as_list() == [1, size, size, 320]


@pytest.mark.parametrize('multiplier, finegrain, widths', [
    (0.5, False, [160, 640]), (0.5, True, [160, 1280]), (1.4, True, [448, 1792])])
def test_last_layer_at_other_widths(multiplier, finegrain, widths):
    _, end_points = mobilenet_v2.mobilenet_base(_images(33), depth_multiplier=multiplier,
                                                finegrain_classification_mode=finegrain)
    assert _widths(end_points)[-2:] == widths
    assert mobilenet_v2.V2_DEF['spec'][-1].multiplier_func is lib.depth_multiplier


@pytest.mark.parametrize('multiplier, rounding, widths', [
    # With 2 channels the third layer would lose a sixth of its 2.4.
    (0.1, {'divisible_by': 1, 'min_depth': 1}, [3, 2, 3, 3, 3]),
    (0.1, {'min_depth': 32}, [32, 32, 32, 32, 32]),
    (0.75, {'divisible_by': 16}, [32, 16, 32, 32, 32]),
])
def test_rounding_of_channels(multiplier, rounding, widths):
    _, end_points = mobilenet_v2.mobilenet_base(_images(33), depth_multiplier=multiplier,
                                                final_endpoint='layer_5', **rounding)
    assert [end_points['layer_%d' % n].shape.as_list()[3] for n in range(1, 6)] == widths


def test_the_first_block_does_not_expand():
    mobilenet_v2.mobilenet_base(_images(), final_endpoint='layer_3')
    names = [v.op.name for v in tf.global_variables()]
    assert 'MobilenetV2/expanded_conv/expand/weights' not in names
    assert 'MobilenetV2/expanded_conv_1/expand/weights' in names


@pytest.mark.parametrize('activation, used, unused', [
    (None, 'Relu6', 'Tanh'), (tf.nn.tanh, 'Tanh', 'Relu6')])
def test_activation(activation, used, unused):
    mobilenet_v2.mobilenet_base(_images(33), final_endpoint='layer_6', activation_fn=activation)
    types = [operation.type for operation in tf.get_default_graph().get_operations()]
    # One in the first layer, one in the second, which does not expand, two in each block after.
    assert (types.count(used), types.count(unused)) == (10, 0)


def test_multiplier_has_another_name():
    with pytest.raises(ValueError, match='depth_multiplier'):
        mobilenet_v2.mobilenet(_images(), multiplier=0.5)


@pytest.mark.parametrize('is_training', [True, False])
def test_batch_norm_is_updated_in_training_only(is_training):
    """As DeepLab builds it: an arg scope around, and nothing said to the network."""
    with slim.arg_scope(mobilenet_v2.training_scope(is_training=is_training)):
        mobilenet_v2.mobilenet_base(_images(), final_endpoint='layer_18', output_stride=16)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert len(updates) == (102 if is_training else 0)


def test_update_ops_move_the_averages():
    images = tf.constant(np.random.RandomState(0).uniform(-1, 1, (2, 33, 33, 3)), tf.float32)
    with slim.arg_scope([slim.batch_norm], is_training=True, decay=0.5):
        mobilenet_v2.mobilenet_base(images, depth_multiplier=0.35, final_endpoint='layer_5')
    averages = tf.get_collection(tf.GraphKeys.MOVING_AVERAGE_VARIABLES) or [
        v for v in tf.global_variables() if 'moving' in v.op.name]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run(averages)
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        after = session.run(averages)
    assert averages
    assert all(abs(new - old).max() > 0 for new, old in zip(after, before))


@pytest.mark.parametrize('groups', [8, 4])
def test_group_norm(groups):
    images = tf.constant(np.random.RandomState(0).uniform(-1, 1, (1, 33, 33, 3)), tf.float32)
    net, _ = mobilenet_v2.mobilenet_base_group_norm(images, final_endpoint='layer_3',
                                                    groups=groups)
    names = [v.op.name for v in tf.global_variables()]
    assert 'MobilenetV2/expanded_conv_1/project/GroupNorm/gamma' in names
    assert not any('BatchNorm' in name for name in names)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = session.run(net)[0]
    # The projection is linear: its groups come out with mean 0 and variance 1.
    values = values.reshape(-1, groups, 24 // groups)
    np.testing.assert_allclose(values.mean(axis=(0, 2)), np.zeros(groups), atol=1e-4)
    np.testing.assert_allclose(values.var(axis=(0, 2)), np.ones(groups), rtol=1e-2)


def test_group_norm_builds_whole_and_leaves_its_definition_alone():
    before = set(mobilenet_v2.V2_DEF_GROUP_NORM['defaults'])
    net, _ = mobilenet_v2.mobilenet_base_group_norm(_images())
    assert net.shape.as_list() == [1, 3, 3, 1280]
    assert set(mobilenet_v2.V2_DEF_GROUP_NORM['defaults']) == before


def test_explicit_padding_equals_same_on_odd_sizes():
    images = tf.constant(np.random.RandomState(0).uniform(-1, 1, (1, 33, 33, 3)), tf.float32)
    arguments = dict(depth_multiplier=0.35, final_endpoint='layer_9', scope='net')
    same, _ = mobilenet_v2.mobilenet_base(images, **arguments)
    explicit, _ = mobilenet_v2.mobilenet_base(images, use_explicit_padding=True, reuse=True,
                                              **arguments)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_allclose(*session.run([same, explicit]), rtol=1e-3, atol=1e-6)


def test_images_of_unknown_size():
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    logits, _ = mobilenet_v2.mobilenet(images, num_classes=5, depth_multiplier=0.35)
    assert logits.shape.as_list() == [None, 5]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(logits, {images: np.zeros((2, 40, 64, 3))}).shape == (2, 5)


def test_wrapped_partial():
    narrow = mobilenet_v2.wrapped_partial(mobilenet_v2.mobilenet, depth_multiplier=0.35)
    assert narrow.__name__ == 'mobilenet'
    assert narrow.default_image_size == 224
    logits, end_points = narrow(_images(), num_classes=3)
    assert logits.shape.as_list() == [1, 3]
    assert end_points['layer_19'].shape.as_list()[3] == 448
