"""Xception: strides, rates and classifier on small networks; the three variants as built."""
import collections
import functools
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import xception
from deeplab.errors import UserError
from tests import golden_net
from tests import shared_data
from tests.core import small_runs

_VARIANTS = ('xception_41', 'xception_65', 'xception_71')


def _small_blocks(regularize_depthwise=False, last_rates=None):
    """All kinds of blocks at a few channels; nominal stride with the root is 16."""
    block = functools.partial(xception.xception_block, activation_fn_in_separable_conv=False,
                              regularize_depthwise=regularize_depthwise, num_units=1)
    return [
        block('entry_flow/block1', depth_list=[2, 2, 4], skip_connection_type='conv', stride=2),
        block('entry_flow/block2', depth_list=[4, 4, 4], skip_connection_type='conv', stride=2),
        block('middle_flow/block1', depth_list=[4, 4, 4], skip_connection_type='sum', stride=1,
              num_units=2),
        block('exit_flow/block1', depth_list=[4, 8, 8], skip_connection_type='conv', stride=2),
        block('exit_flow/block2', depth_list=[8, 8, 16], skip_connection_type='none', stride=1,
              activation_fn_in_separable_conv=True, unit_rate_list=last_rates),
    ]


def _small_xception(images, regularize_depthwise=False, last_rates=None, scope_options=None,
                    **options):
    options.setdefault('is_training', False)
    options.setdefault('global_pool', False)
    options.setdefault('scope', 'small')
    with slim.arg_scope(xception.xception_arg_scope(
            regularize_depthwise=regularize_depthwise, **(scope_options or {}))):
        return xception.xception(images, _small_blocks(regularize_depthwise, last_rates), **options)


def test_stack_collects_block_outputs():
    with slim.arg_scope([xception.stack_blocks_dense], outputs_collections='ends'):
        net = xception.stack_blocks_dense(tf.zeros([1, 17, 17, 3]), _small_blocks(), 4)
    assert net.shape.as_list() == [1, 5, 5, 16]
    ends = slim.utils.convert_collection_to_dict('ends')
    assert list(ends) == [block.scope for block in _small_blocks()]
    assert [end.shape.as_list()[1] for end in ends.values()] == [9, 5, 5, 5, 5]


@pytest.mark.parametrize('size, regularize_depthwise', [(33, False), (40, False), (40, True)])
def test_dense_features_contain_the_strided_ones(size, regularize_depthwise):
    images = tf.constant(small_runs.noise(1, size, size, 3))
    nominal, _ = _small_xception(images, regularize_depthwise, last_rates=[1, 2, 1])
    outputs = {'nominal': nominal}
    for stride in (2, 4, 8, 16):
        outputs[stride], _ = _small_xception(images, regularize_depthwise, last_rates=[1, 2, 1],
                                             output_stride=stride, reuse=True)
        assert outputs[stride].shape.as_list() == [1] + 2 * [-(-size // stride)] + [16]
    outputs = small_runs.seeded(outputs)
    spread = outputs['nominal'].std()
    assert spread > 0
    for stride in (2, 4, 8, 16):
        skip = 16 // stride
        np.testing.assert_allclose(outputs[stride][:, ::skip, ::skip], outputs['nominal'],
                                   atol=1e-5 * spread, rtol=1e-5)


@pytest.mark.parametrize('stride', [0, 1, 3, 6, 32, 64, '8'])
def test_output_stride_that_cannot_be_reached(stride):
    images = tf.zeros([1, 33, 33, 3])
    ops_before = len(tf.get_default_graph().get_operations())
    with pytest.raises(UserError, match='output_stride cannot be reached: .* 2, 4, 8, 16, got {!r}'
                       .format(stride)):
        _small_xception(images, output_stride=stride)
    assert len(tf.get_default_graph().get_operations()) == ops_before


def test_classifier():
    images = tf.constant(small_runs.noise(2, 32, 32, 3))
    logits, end_points = _small_xception(images, num_classes=5, global_pool=True)
    assert logits.op.name.startswith('small/logits')
    assert end_points['small/logits'] is logits
    shapes = {name: end_points[name].shape.as_list() for name in ('global_pool', 'predictions')}
    assert shapes == {'global_pool': [2, 1, 1, 16], 'predictions': [2, 1, 1, 5]}
    found = small_runs.seeded({name: end_points[name] for name in
                  ('global_pool', 'predictions', 'small/logits', 'small/exit_flow/block2')})
    np.testing.assert_allclose(found['predictions'].sum(axis=3), np.ones((2, 1, 1)), rtol=1e-5)
    exponentials = np.exp(found['small/logits'])
    np.testing.assert_allclose(found['predictions'],
                               exponentials / exponentials.sum(axis=3, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(found['global_pool'], found['small/exit_flow/block2'].mean(
        axis=(1, 2), keepdims=True), rtol=1e-4, atol=1e-6)


def test_classifier_over_a_map_of_unknown_size():
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    logits, end_points = _small_xception(images, num_classes=5, output_stride=8)
    assert logits.shape.as_list() == [None, None, None, 5]
    assert 'global_pool' not in end_points
    with tf.Session(config=small_runs.ONE_THREAD) as session:
        session.run(tf.global_variables_initializer())
        assert session.run(logits, {images: small_runs.noise(2, 25, 18, 3)}).shape == (2, 4, 3, 5)


@pytest.mark.parametrize('training', [False, True])
def test_dropout_only_in_training(training):
    # `keep_prob` so small that dropout leaves nothing of 16 channels.
    logits, _ = _small_xception(tf.constant(small_runs.noise(1, 33, 33, 3)), num_classes=3,
                                global_pool=True, is_training=training, keep_prob=1e-7)
    found = small_runs.initial(logits)
    # Biases start from 0.
    assert found.any() != training


def test_batch_norm_learns_only_in_training():
    images = tf.constant(small_runs.noise(2, 16, 16, 3) + 1)
    _small_xception(images, is_training=False)
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []
    _small_xception(images, is_training=True, reuse=True)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    norms = len(tf.global_variables('.*/gamma'))
    assert len(updates) == 2 * norms
    mean, = tf.global_variables('small/entry_flow/conv1_1/BatchNorm/moving_mean')
    kernel, = tf.global_variables('small/entry_flow/conv1_1/weights')
    with tf.Session(config=small_runs.ONE_THREAD) as session:
        session.run(tf.global_variables_initializer())
        session.run(updates)
        found, weights = session.run([mean, kernel])
        border = ((0, 0), (1, 1), (1, 1), (0, 0))
        padded = np.pad(small_runs.noise(2, 16, 16, 3) + 1, border, 'constant')
        windows = [padded[:, y:y + 16:2, x:x + 16:2].mean(axis=(0, 1, 2))
                   for y in range(3) for x in range(3)]
    of_batch = np.sum([np.dot(window, weights[index // 3, index % 3])
                       for index, window in enumerate(windows)], axis=0)
    np.testing.assert_allclose(found, 0.0003 * of_batch, rtol=1e-3, atol=1e-8)


def test_reuse_shares_variables_and_repeats_end_points():
    images = tf.constant(small_runs.noise(1, 33, 33, 3))
    first, first_ends = _small_xception(images, output_stride=8)
    count = len(tf.global_variables())
    second, second_ends = _small_xception(images, output_stride=8, reuse=True)
    assert len(tf.global_variables()) == count
    assert list(first_ends) == list(second_ends)
    assert not any(end is second_ends[name] for name, end in first_ends.items())
    first, second = small_runs.seeded([first, second])
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError):
        _small_xception(images, output_stride=8)


@pytest.mark.parametrize('regularize_depthwise', [False, True])
def test_which_kernels_are_penalised(regularize_depthwise):
    _small_xception(tf.zeros([1, 33, 33, 3]), regularize_depthwise,
                    scope_options=dict(weight_decay=0.5))
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    penalised = [variable for variable in tf.trainable_variables()
                 if variable.op.name.endswith('weights')
                 and (regularize_depthwise or not variable.op.name.endswith('depthwise_weights'))]
    found, values = small_runs.seeded([losses, penalised])
    expected = [0.5 * np.sum(value.astype(np.float64) ** 2) / 2 for value in values]
    np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-4)


def test_without_batch_norm_there_are_biases():
    _small_xception(tf.zeros([1, 33, 33, 3]), scope_options=dict(use_batch_norm=False))
    kinds = collections.Counter(variable.op.name.split('/')[-1]
                                for variable in tf.global_variables())
    assert set(kinds) == {'weights', 'depthwise_weights', 'biases'}
    assert kinds['biases'] == kinds['weights'] + kinds['depthwise_weights']


def test_arg_scope_rejects_unknown_synchronisation():
    with pytest.raises(ValueError, match='sync_batch_norm_method'):
        xception.xception_arg_scope(sync_batch_norm_method='nccl')


# The published variants.


def _facts(variant):
    with open(shared_data.path('facts/variants.json')) as handle:
        return json.load(handle)['variants'][variant]


def _build(variant, size=129, output_stride=16, **options):
    options.setdefault('is_training', True)
    with slim.arg_scope(xception.xception_arg_scope()):
        return getattr(xception, variant)(
            tf.placeholder(tf.float32, [1, size, size, 3]), global_pool=False,
            output_stride=output_stride, **options)


@pytest.mark.parametrize('variant', _VARIANTS)
def test_variant_as_built(variant):
    facts = _facts(variant)
    path = shared_data.path('goldens/variables/{}__aspp_os16_dec4.json'.format(variant))
    with open(path) as handle:
        golden = json.load(handle)
    features, end_points = _build(variant)

    assert {name: end.shape.as_list() for name, end in end_points.items()} == (
        facts['end_points_for_129x129']['16'])
    assert end_points[variant + '/exit_flow/block2'].shape == features.shape
    trainable = tf.trainable_variables()
    assert [dict(name=variable.op.name, shape=variable.shape.as_list(),
                 trainable=variable in trainable) for variable in tf.global_variables()] == [
                     record for record in golden['variables']
                     if record['name'].startswith(variant + '/')]

    training = facts['backbone_training']
    norms = [op for op in tf.get_default_graph().get_operations()
             if op.type.startswith('FusedBatchNorm')]
    epsilons = collections.Counter(round(op.get_attr('epsilon'), 6) for op in norms)
    assert epsilons == {0.001: training['batch_norm_ops']['FusedBatchNormV3']}
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2 * len(norms)
    assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == (
        training['l2_regularised_layers'])


@pytest.mark.parametrize('output_stride', [2, 4, 8, 32, None])
def test_variant_at_other_strides(output_stride):
    facts = _facts('xception_41')
    features, end_points = _build('xception_41', output_stride=output_stride, is_training=False)
    assert features.shape.as_list() == facts['features_shape_for_129x129_by_output_stride'][
        str(output_stride or 32)]
    recorded = facts['end_points_for_129x129'].get(str(output_stride))
    assert recorded in (None, {name: end.shape.as_list() for name, end in end_points.items()})


@pytest.mark.parametrize('variant', _VARIANTS + ('xception_65_factory', 'xception_71_factory'))
@pytest.mark.parametrize('options, message', [
    (dict(output_stride=64), 'output_stride cannot be reached: .* 2, 4, 8, 16, 32, got 64'),
    (dict(multi_grid=[1, 2]), r'multi_grid needs exactly 3 .* got 2: \[1, 2\]'),
    (dict(multi_grid=(1, 1, 1, 1)), r'multi_grid needs exactly 3 .* got 4: \[1, 1, 1, 1\]'),
    (dict(multi_grid=[]), r'multi_grid needs exactly 3 .* got 0: \[\]')])
def test_variant_mistakes(variant, options, message):
    with pytest.raises(UserError, match=message):
        _build(variant, size=33, **options)
    assert tf.global_variables() == []


def test_kernels_start_from_a_narrow_normal():
    _build('xception_41', size=33)
    kernels = tf.global_variables('xception_41/exit_flow/.*weights')
    with tf.Session(config=small_runs.ONE_THREAD) as session:
        session.run(tf.variables_initializer(kernels))
        values = session.run(kernels)
    assert any(kernel.op.name.endswith('depthwise_weights') for kernel in kernels)
    for value in values:
        # A normal of deviation 0.09 cut at two deviations has a deviation of 0.0792.
        assert abs(value).max() <= 0.18
        np.testing.assert_allclose(value.std(), 0.0792, rtol=0.05)


@pytest.mark.parametrize('variant, entry_blocks', [('xception_65', [3]), ('xception_71', [4, 5])])
def test_factory_options(variant, entry_blocks):
    _build(variant + '_factory', size=65, kernel_size=5, use_squeeze_excite=True,
           multi_grid=[1, 2, 4], is_training=False)
    depthwise = tf.global_variables('.*/depthwise_weights')
    assert {tuple(kernel.shape.as_list()[:2]) for kernel in depthwise} == {(5, 5)}
    gates = tf.global_variables('.*/squeeze_excite/Conv_1/weights')
    modules = ['entry_flow/block{}/unit_1'.format(number) for number in entry_blocks]
    modules += ['middle_flow/block1/unit_{}'.format(number) for number in range(1, 17)]
    modules += ['exit_flow/block1/unit_1']
    assert [gate.op.name.split('/xception_module')[0] for gate in gates] == [
        '{}/{}'.format(variant, module) for module in modules]
    assert {tuple(gate.shape.as_list()) for gate in gates} == {(1, 1, 48, 728), (1, 1, 64, 1024)}


def test_regularised_variant_fuses_its_separable_convolutions():
    features, _ = _build('xception_41', size=33, regularize_depthwise=True, is_training=False)
    assert features.shape.as_list() == [1, 3, 3, 2048]
    module = 'xception_41/entry_flow/block1/unit_1/xception_module/separable_conv1/'
    assert [variable.op.name for variable in tf.global_variables(module + '.*weights')] == [
        module + 'depthwise_weights', module + 'pointwise_weights']


def test_end_points_in_numbers():
    golden = np.load(shared_data.path('goldens/outputs/xception_41__aspp_os16_dec4.npz'))
    meta = json.loads(str(golden['meta_json']))
    images = tf.constant(golden_net.image(meta['config'])) * (2.0 / 255.0) - 1.0
    with slim.arg_scope(xception.xception_arg_scope()):
        features, end_points = xception.xception_41(
            images, is_training=False, global_pool=False, output_stride=16)
    assert set(end_points) == set(meta['mid_end_points'])
    found = small_runs.seeded(dict(end_points, features=features))
    for name, expected in meta['mid_end_points'].items():
        value = found[name]
        statistics = [value.mean(), value.std(), np.abs(value).max()]
        np.testing.assert_allclose(
            statistics, [expected[key] for key in ('mean', 'std', 'absmax')], rtol=2e-5,
            atol=2e-5 * expected['std'], err_msg=name)
    spread = golden['mid_features'].std()
    np.testing.assert_allclose(found['features'], golden['mid_features'], atol=1e-4 * spread)
