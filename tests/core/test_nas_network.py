"""PNASNet and HNASNet: variables and numbers of the reference, strides, head, options, errors."""
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import compat
from deeplab.core import nas_network
from deeplab.errors import UserError
from tests import golden_net
from tests import shared_data

_NETWORKS = {'nas_pnasnet': nas_network.pnasnet, 'nas_hnasnet': nas_network.hnasnet}
# Of end point statistics, relative to the spread of the end point.
_TOLERANCE = 2e-6 if compat.IS_TF1 else 1e-5


def _build(network, images, num_classes=None, is_training=False, **kwargs):
    with slim.arg_scope(nas_network.nas_arg_scope()):
        return network(images, num_classes, is_training=is_training, **kwargs)


def _image(side=33, batch=1):
    values = np.random.RandomState(0).uniform(-1, 1, (batch, side, side, 3))
    return tf.constant(values, tf.float32)


def _shapes(end_points):
    return {name: tensor.shape.as_list() for name, tensor in end_points.items()}


def _variables(prefix=''):
    return [(v.op.name, v.shape.as_list()) for v in tf.global_variables()
            if v.op.name.startswith(prefix)]


def _of_backbone(name):
    return name.split('/')[0] in ('pnasnet', 'hnasnet')


def _golden(key):
    with open(shared_data.path('goldens/variables/{}.json'.format(key))) as handle:
        return json.load(handle)


def _golden_variables(key):
    return [(entry['name'], entry['shape']) for entry in _golden(key)['variables']
            if _of_backbone(entry['name'])]


def _facts(variant):
    with open(shared_data.path('facts/variants.json')) as handle:
        return json.load(handle)['variants'][variant]


@pytest.mark.parametrize('key', ['nas_pnasnet__aspp_os16_dec4', 'nas_hnasnet__aspp_os8_dec4'])
def test_variables_and_numbers_equal_the_reference(key):
    golden = np.load(shared_data.path('goldens/outputs/{}.npz'.format(key)))
    meta = json.loads(str(golden['meta_json']))
    config = meta['config']
    image = golden_net.image(config)
    images = tf.placeholder(tf.float32, image.shape)
    features, end_points = _build(_NETWORKS[config['variant']], images * 2 / 255 - 1,
                                  output_stride=config['output_stride'])
    assert _variables() == _golden_variables(key)
    weights = golden_net.Weights(tf.global_variables())
    with tf.Session() as session:
        for init in ('he', 'mid'):
            weights.load(session, init)
            got, points = session.run([features, end_points], {images: image})
            wanted = golden[init + '_features']
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * wanted.std())
            recorded = meta[init + '_end_points']
            assert set(points) == set(recorded)
            for name, statistics in recorded.items():
                values = points[name].astype(np.float64)
                assert list(values.shape) == statistics['shape']
                errors = (values.mean() - statistics['mean'], values.std() - statistics['std'],
                          np.abs(values).max() - statistics['absmax'])
                worst = np.abs(errors) / (statistics['std'], statistics['std'],
                                          statistics['absmax'])
                assert worst.max() < _TOLERANCE, (init, name, worst)


@pytest.mark.parametrize('variant, key, output_stride, options', [
    ('nas_pnasnet', 'nas_pnasnet__aspp_os8_dec4', 8, None),
    ('nas_hnasnet', 'nas_hnasnet__aspp_os8_dec4_noos32', 8, {'nas_remove_os32_stride': True})])
def test_training_graph(variant, key, output_stride, options):
    _, end_points = _build(_NETWORKS[variant], tf.zeros([2, 129, 129, 3]), is_training=True,
                           output_stride=output_stride, nas_architecture_options=options)
    assert _variables() == _golden_variables(key)
    facts = _facts(variant)
    if options is None:
        expected = {name: [2] + shape[1:] for name, shape in
                    facts['end_points_for_129x129'][str(output_stride)].items()}
    else:
        # Stride 16 takes the place of 32; the widths stay.
        expected = {name: [2] + ([9, 9] if shape[1] == 5 else shape[1:3]) + shape[3:]
                    for name, shape in facts['end_points_for_129x129']['8'].items()}
    assert _shapes(end_points) == expected
    golden = _golden(key)
    assert len(tf.trainable_variables()) == len(
        [entry for entry in golden['variables'] if entry['trainable'] and
         _of_backbone(entry['name'])])
    assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == len(
        [name for name in golden['l2_regularized'] if _of_backbone(name)])
    norms = [op for op in tf.get_default_graph().get_operations()
             if op.type.startswith('FusedBatchNorm')]
    assert {round(op.get_attr('epsilon'), 7) for op in norms} == {0.001}
    assert all(op.get_attr('is_training') for op in norms)
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2 * len(norms)
    assert not [op for op in tf.get_default_graph().get_operations()
                if op.type == 'RandomUniform' and '/Initializer/' not in op.name]


def test_initial_weights_are_uniform_by_fan_in():
    _build(nas_network.pnasnet, _image(), final_endpoint='Cell_0')
    kernels = [v for v in tf.trainable_variables() if v.op.name.endswith('weights')]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for variable, values in zip(kernels, session.run(kernels)):
            bound = 1 / np.sqrt(np.prod(values.shape[:-1]))
            # For depthwise kernels, slim counts all input channels as one fan.
            assert np.abs(values).max() <= bound * 1.00001, variable.op.name
            if values.size > 1000:
                np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.1)


def test_arg_scope_sets_averages_and_weight_decay():
    with slim.arg_scope(nas_network.nas_arg_scope(weight_decay=0.5, batch_norm_decay=0.9)):
        nas_network.pnasnet(_image(), None, final_endpoint='Stem')
    conv0 = tf.get_default_graph().get_tensor_by_name('pnasnet/conv0/Conv2D:0')
    named = {v.op.name: v for v in tf.global_variables()}
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        weights, loss = session.run([named['pnasnet/conv0/weights'], losses[0]])
        np.testing.assert_allclose(loss, 0.5 * np.square(weights).sum() / 2, rtol=1e-5)
        batch, _ = session.run([conv0, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
        mean = session.run(named['pnasnet/conv0_bn/moving_mean'])
        np.testing.assert_allclose(mean, 0.1 * batch.mean((0, 1, 2)), rtol=1e-3, atol=1e-6)


def test_reuse_shares_the_variables():
    image = _image()
    first, _ = _build(nas_network.hnasnet, image, final_endpoint='Cell_0')
    count = len(tf.global_variables())
    second, _ = _build(nas_network.hnasnet, image, final_endpoint='Cell_0', reuse=True)
    assert len(tf.global_variables()) == count
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([first, second]))


def test_filters_and_scope_are_options():
    net, end_points = _build(
        nas_network.pnasnet, _image(), final_endpoint='Cell_0', scope='other',
        nas_architecture_options={'nas_stem_output_num_conv_filters': 3})
    assert list(end_points) == ['Stem', 'Cell_0'] and net is end_points['Cell_0']
    assert net.shape.as_list() == [1, 5, 5, 5 * 3 * 2]
    assert len(_variables('other/')) == len(_variables())


def test_any_input_size_gives_the_numbers_of_the_known_one():
    values = np.random.RandomState(0).uniform(-1, 1, (1, 41, 57, 3)).astype(np.float32)
    known = tf.placeholder(tf.float32, values.shape)
    unknown = tf.placeholder(tf.float32, [None, None, None, 3])
    # Cell 5 is the first after a step up: from 3 x 4 to 5 x 7, though cell 3 had 6 x 8.
    options = {'nas_stem_output_num_conv_filters': 2}
    static, _ = _build(nas_network.hnasnet, known, final_endpoint='Cell_5',
                       nas_architecture_options=options)
    dynamic, _ = _build(nas_network.hnasnet, unknown, final_endpoint='Cell_5', reuse=True,
                        nas_architecture_options=options)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        got, wanted = session.run([dynamic, static], {known: values, unknown: values})
    assert wanted.shape == (1, 5, 7, 5 * 4)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def _drawn():
    return len([op for op in tf.get_default_graph().get_operations()
                if op.type == 'RandomUniform' and '/Initializer/' not in op.name])


@pytest.mark.parametrize('is_training, expected', [(True, 2 * 9), (False, 0)])
def test_drop_path_is_for_training_alone(is_training, expected):
    _build(nas_network.pnasnet, _image(), is_training=is_training, final_endpoint='Cell_1',
           nas_training_hyper_parameters={'drop_path_keep_prob': 0.7,
                                          'total_training_steps': 100})
    assert _drawn() == expected
    assert [v.op.name for v in tf.global_variables() if 'global_step' in v.op.name] == (
        ['global_step'] if is_training else [])


def test_head_reaches_stride_32_by_strides_or_holes():
    # Name: (stride, output stride asked for, {end point: side}, rates of the convolutions).
    cases = {
        'hnas_8': (8, 8, {'downsample_os16': 17, 'downsample_os32': 17}, [2, 4]),
        'hnas_16': (8, 16, {'downsample_os16': 9, 'downsample_os32': 9}, [1, 2]),
        'hnas_32': (8, 32, {'downsample_os16': 9, 'downsample_os32': 5}, [1, 1]),
        'pnas_16': (16, 16, {'downsample_os32': 17}, [2]),
        'pnas_32': (32, 32, {}, [])}
    for scope, (stride, output_stride, sides, rates) in cases.items():
        built = []

        def batch_norm(net, scope, built=built):
            built.append((scope, net))
            return slim.batch_norm(net, scope=scope)

        with tf.variable_scope(scope), slim.arg_scope(nas_network.nas_arg_scope()):
            points = {name: (point, net) for name, point, net in nas_network._head_points(
                _image(17), stride, output_stride, 5, False, batch_norm)}
        assert {name: point.shape.as_list()[1] for name, (point, _) in points.items()
                if name.startswith('downsample')} == sides
        assert [name for name, _ in built] == [name + '_bn' for name in points][:-1]
        last = list(sides.values())[-1] if sides else 17
        assert points['classification_head'][0].shape.as_list() == [1, last, last, 2048]
        assert points['predictions'][1].shape.as_list() == [1, last, last, 5]
        holes = [op for op in tf.get_default_graph().get_operations()
                 if op.name.startswith(scope) and op.type == 'SpaceToBatchND']
        assert len(holes) == sum(rate > 1 for rate in rates)
        filters = {'downsample_os16': 512, 'downsample_os32': 1024}
        assert all(points[name][0].shape.as_list()[3] == filters[name] for name in sides)


def test_classification_network():
    net, end_points = _build(
        nas_network.pnasnet, _image(65), num_classes=7, global_pool=True, output_stride=32,
        nas_architecture_options={'nas_use_classification_head': True,
                                  'nas_stem_output_num_conv_filters': 2})
    assert net.shape.as_list() == [1, 1, 1, 7]
    assert end_points['Cell_11'].shape.as_list() == [1, 3, 3, 5 * 2 * 8]
    assert end_points['classification_head'].shape.as_list() == [1, 3, 3, 2048]
    names = [name for name, _ in _variables('pnasnet/')][-6:]
    assert names == ['pnasnet/classification_head_conv/weights'] + [
        'pnasnet/classification_head_bn/' + part for part in
        ('gamma', 'beta', 'moving_mean', 'moving_variance')] + ['pnasnet/logits/weights']
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        predictions = session.run(end_points['predictions'])
    assert predictions.shape == (1, 1, 1, 7)
    np.testing.assert_allclose(predictions.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize('network, kwargs, message', [
    ('nas_pnasnet', dict(output_stride=4), 'output_stride must be 8, 16 or 32 .*got 4'),
    ('nas_pnasnet', dict(output_stride=64), 'output_stride must be 8, 16 or 32 .*got 64'),
    ('nas_hnasnet', dict(output_stride=4,
                         nas_architecture_options={'nas_use_classification_head': True}),
     'output_stride must be a multiple of .* 8, got 4'),
    ('nas_pnasnet', dict(nas_training_hyper_parameters={'drop_path_keep_prob': 0.0}),
     r'drop_path_keep_prob must be above 0 .*got 0\.0'),
    ('nas_hnasnet', dict(nas_training_hyper_parameters={'drop_path_keep_prob': 1.5}),
     r'drop_path_keep_prob must be above 0 .*got 1\.5')])
def test_impossible_settings_are_the_users_mistake(network, kwargs, message):
    with pytest.raises(UserError, match=message):
        _build(_NETWORKS[network], _image(), **kwargs)
    assert not tf.global_variables()


@pytest.mark.parametrize('kwargs, message', [
    (dict(final_endpoint='Cell_12'), 'final_endpoint must be one of Stem, Cell_0, .*Cell_12'),
    (dict(final_endpoint='classification_head'), 'final_endpoint must be one of'),
    (dict(nas_architecture_options={'nas_use_clasification_head': True}),
     "nas_architecture_options has an unknown key .*Did you mean 'nas_use_classification_head'"),
    (dict(nas_training_hyper_parameters={'steps': 1}),
     'nas_training_hyper_parameters has an unknown key'),
    (dict(sync_batch_norm_method='unknown'), 'sync_batch_norm_method must be one of')])
def test_unknown_names_are_refused_before_anything_is_built(kwargs, message):
    with pytest.raises(ValueError, match=message):
        _build(nas_network.pnasnet, _image(), **kwargs)
    assert not tf.global_variables()


def test_config():
    hparams = nas_network.config(num_conv_filters=8)
    assert hparams.values() == dict(
        num_conv_filters=8, filter_scaling_rate=2.0, total_training_steps=500000,
        drop_path_keep_prob=1.0)
    hparams.set_hparam('drop_path_keep_prob', 0.5)
    assert hparams.drop_path_keep_prob == 0.5
