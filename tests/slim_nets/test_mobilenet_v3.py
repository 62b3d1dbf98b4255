"""Tests of MobileNetV3 and MobileNet-EdgeTPU. See also test_mobilenet_goldens.py."""
import copy

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import mobilenet_v3

_NETWORKS = {
    'large': (mobilenet_v3.large, 5484313),
    'small': (mobilenet_v3.small, 2543881),
    'large_minimalistic': (mobilenet_v3.large_minimalistic, 3925569),
    'small_minimalistic': (mobilenet_v3.small_minimalistic, 2045761),
    'edge_tpu': (mobilenet_v3.edge_tpu, 4092713),
}


def _images(size=65):
    return tf.zeros([1, size, size, 3])


def _operation_types():
    return [operation.type for operation in tf.get_default_graph().get_operations()]


def _kernel_sizes():
    return {tuple(v.shape.as_list()[:2]) for v in tf.trainable_variables()
            if v.shape.ndims == 4}


def _evaluate(tensor):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensor)


@pytest.mark.parametrize('name', sorted(_NETWORKS))
def test_parameter_counts_with_classifier(name):
    network, parameters = _NETWORKS[name]
    logits, end_points = network(tf.zeros([1, 224, 224, 3]), num_classes=1001)
    assert logits.shape.as_list() == [1, 1001]
    assert end_points['Predictions'].shape.as_list() == [1, 1001]
    assert end_points['global_pool'].shape.as_list()[1:3] == [1, 1]
    assert sum(int(np.prod(v.shape.as_list())) for v in tf.trainable_variables()) == parameters
    assert network.default_image_size == 224
    scope = 'MobilenetEdgeTPU' if name == 'edge_tpu' else 'MobilenetV3'
    assert all(v.op.name.startswith(scope + '/') for v in tf.global_variables())


@pytest.mark.parametrize('conv_defs', [mobilenet_v3.V3_LARGE_MINIMALISTIC,
                                       mobilenet_v3.V3_SMALL_MINIMALISTIC])
def test_minimalistic_networks_have_nothing_fancy(conv_defs):
    mobilenet_v3.mobilenet(_images(64), conv_defs=conv_defs)
    assert _kernel_sizes() == {(1, 1), (3, 3)}
    assert not any('squeeze_excite' in v.name for v in tf.global_variables())
    assert 'Relu6' not in _operation_types()


def test_large_has_what_the_paper_says():
    _, end_points = mobilenet_v3.mobilenet_base(_images(), final_endpoint='layer_17')
    assert _kernel_sizes() == {(1, 1), (3, 3), (5, 5)}
    # First and last convolution, and two in each of the last nine blocks; eight gates.
    assert _operation_types().count('Relu6') == 20 + 8
    assert [end_points['layer_%d/depthwise_output' % n].shape.as_list()[3]
            for n in range(2, 17)] == [16, 64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672,
                                       960, 960]
    assert end_points['layer_17'].shape.as_list()[3] == 960


def test_hard_swish():
    values = np.array([-5, -3, -1.5, 0, 1, 3, 7], np.float32)
    expected = [0, 0, -1.5 * 1.5 / 6, 0, 4 / 6., 3, 7]
    np.testing.assert_allclose(_evaluate(mobilenet_v3.hard_swish(tf.constant(values))), expected,
                               rtol=1e-6)


@pytest.mark.parametrize('shape', [(1, 4, 4, 2), (1, 3, 5, 2)])
def test_reduce_to_1x1(shape):
    values = np.random.RandomState(0).normal(size=shape).astype(np.float32)
    pooled = mobilenet_v3.reduce_to_1x1(tf.constant(values), stride=1)
    assert pooled.shape.as_list() == [1, 1, 1, 2]
    np.testing.assert_allclose(_evaluate(pooled), values.mean(axis=(1, 2), keepdims=True),
                               rtol=1e-4, atol=1e-6)


def test_reduce_to_1x1_of_unknown_size_uses_the_default_window():
    values = np.random.RandomState(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    unknown = tf.placeholder_with_default(values, [1, None, None, 2])
    np.testing.assert_allclose(_evaluate(mobilenet_v3.reduce_to_1x1(unknown, default_size=4)),
                               values.mean(axis=(1, 2), keepdims=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_classifier_at_each_output_stride(output_stride):
    logits, end_points = mobilenet_v3.small(_images(), num_classes=4, output_stride=output_stride)
    assert logits.shape.as_list() == [1, 4]
    size = 64 // output_stride + 1
    assert end_points['layer_13'].shape.as_list() == [1, size, size, 576]


def test_fused_block():
    _, end_points = mobilenet_v3.mobilenet_base(
        _images(), conv_defs=mobilenet_v3.V3_EDGETPU, final_endpoint='layer_4', scope='net')
    shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
    assert shapes['net/expanded_conv_1/expand/weights'] == [3, 3, 16, 128]
    assert shapes['net/expanded_conv_1/project/weights'] == [1, 1, 128, 32]
    assert not any('depthwise' in name or 'expanded_conv/expand' in name for name in shapes)
    assert end_points['layer_3/expansion_output'].shape.as_list() == [1, 17, 17, 128]


def test_fused_block_keeps_its_stride():
    """So MobileNet-EdgeTPU is never finer than stride 8, and asking for less changes nothing."""
    features = {}
    for output_stride in (2, 4, 8):
        features[output_stride], _ = mobilenet_v3.edge_tpu(
            _images(), depth_multiplier=0.35, base_only=True, output_stride=output_stride,
            reuse=tf.AUTO_REUSE)
    values = _evaluate(features)
    assert values[8].shape[1:3] == (9, 9)
    np.testing.assert_array_equal(values[2], values[8])
    np.testing.assert_array_equal(values[4], values[8])


def test_fused_block_needs_an_expansion_for_its_stride():
    with pytest.raises(ValueError, match='stride 2 needs an expansion factor above 1'):
        mobilenet_v3.mbv3_fused(1, 16, 3, s=2)


@pytest.mark.parametrize('conv_defs, end_point', [
    (mobilenet_v3.V3_SMALL, 'layer_13'), (mobilenet_v3.V3_EDGETPU, 'layer_24')])
def test_explicit_padding_equals_same_on_odd_sizes(conv_defs, end_point):
    images = tf.constant(np.random.RandomState(0).uniform(-1, 1, (1, 33, 33, 3)), tf.float32)
    arguments = dict(depth_multiplier=0.35, conv_defs=conv_defs, final_endpoint=end_point,
                     output_stride=16, scope='net')
    same, _ = mobilenet_v3.mobilenet_base(images, **arguments)
    explicit, _ = mobilenet_v3.mobilenet_base(images, use_explicit_padding=True, reuse=True,
                                              **arguments)
    assert same.shape == explicit.shape
    same, explicit = _evaluate([same, explicit])
    np.testing.assert_allclose(same, explicit, rtol=1e-3, atol=1e-4 * abs(same).max())


@pytest.mark.parametrize('full, halved, first, last', [
    (mobilenet_v3.V3_LARGE, mobilenet_v3.V3_LARGE_DETECTION, 13, 16),
    (mobilenet_v3.V3_SMALL, mobilenet_v3.V3_SMALL_DETECTION, 9, 12)])
def test_detection_networks_halve_the_last_layers(full, halved, first, last):
    pairs = [(before.params.get('num_outputs'), after.params.get('num_outputs'))
             for before, after in zip(full['spec'], halved['spec'])]
    assert all(after * 2 == before for before, after in pairs[first:last + 1])
    assert all(after == before for before, after in pairs[:first] + pairs[last + 1:])


def test_set_inner_widths_leaves_the_original_alone():
    slim_net = mobilenet_v3.set_inner_widths(mobilenet_v3.V3_SMALL_DETECTION, {9: 144, 10: 200})
    for scope, conv_defs in (('slim', slim_net), ('full', mobilenet_v3.V3_SMALL_DETECTION)):
        mobilenet_v3.mobilenet_base(_images(), conv_defs=conv_defs, scope=scope,
                                    final_endpoint='layer_12')
    shapes = {v.op.name: v.shape.as_list()[2:] for v in tf.trainable_variables()}
    assert [shapes['slim/expanded_conv_%d/expand/weights' % n] for n in (8, 9, 10)] == [
        [48, 144], [48, 200], [48, 288]]
    assert [shapes['full/expanded_conv_%d/expand/weights' % n] for n in (8, 9, 10)] == [
        [48, 288], [48, 288], [48, 288]]


def test_editing_a_copy_by_hand_gives_the_same_network():
    """As code written for the reference does it, divisions that leave floats included."""
    by_hand = copy.deepcopy(mobilenet_v3.V3_SMALL)
    for index, width in ((9, 144), (10, 288), (11, 288), (12, None)):
        params = by_hand['spec'][index].params
        params['num_outputs'] /= 2
        if width is not None:
            inputs = by_hand['spec'][index - 1].params['num_outputs']
            params['expansion_size'] = mobilenet_v3.expand_input(width / inputs)
    by_helpers = mobilenet_v3.set_inner_widths(mobilenet_v3.V3_SMALL_DETECTION,
                                               {9: 144, 10: 288, 11: 288})
    for scope, conv_defs in (('hand', by_hand), ('help', by_helpers)):
        mobilenet_v3.mobilenet_base(_images(), conv_defs=conv_defs, scope=scope,
                                    depth_multiplier=0.5, final_endpoint='layer_13')
    shapes = [(v.op.name, v.shape.as_list()) for v in tf.global_variables()]
    half = len(shapes) // 2
    assert [(name[4:], shape) for name, shape in shapes[:half]] == [
        (name[4:], shape) for name, shape in shapes[half:]]


@pytest.mark.parametrize('finegrain, width', [(False, 512), (True, 1024)])
def test_narrow_networks_and_their_last_layer(finegrain, width):
    _, end_points = mobilenet_v3.small(_images(), depth_multiplier=0.5,
                                       finegrain_classification_mode=finegrain)
    assert end_points['layer_15'].shape.as_list()[3] == width
    assert end_points['layer_13'].shape.as_list()[3] == 288


def test_edge_tpu_075_keeps_its_last_layer():
    net, _ = mobilenet_v3.edge_tpu_075(_images(), num_classes=0)
    assert net.shape.as_list() == [1, 1, 1, 1280]


def test_multiplier_has_another_name():
    with pytest.raises(ValueError, match='depth_multiplier'):
        mobilenet_v3.mobilenet(_images(), multiplier=0.5)


@pytest.mark.parametrize('is_training', [True, False])
def test_batch_norm_is_updated_in_training_only(is_training):
    with slim.arg_scope(mobilenet_v3.training_scope(is_training=is_training)):
        mobilenet_v3.mobilenet_base(_images(), conv_defs=mobilenet_v3.V3_SMALL,
                                    final_endpoint='layer_13')
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == (68 if is_training else 0)


def test_wrapped_partial_defaults_can_be_overridden_and_fixed_arguments_stay():
    def network(images, scope='a', depth=1):
        return images, scope, depth

    wrapped = mobilenet_v3.wrapped_partial(network, new_defaults={'scope': 'b'}, depth=2)
    assert wrapped(5) == (5, 'b', 2)
    assert wrapped(5, scope='c') == (5, 'c', 2)
    assert wrapped.__name__ == 'network'
