"""Dense prediction cell: what is accepted as a cell, and what is built from one."""
import copy
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.core import dense_prediction_cell as dpc
from deeplab.errors import UserError
from tests import golden_net
from tests import shared_data
from tests.core import small_runs

_PUBLISHED = 'dense_prediction_cell_branch5_top1_cityscapes.json'
_ONE_BY_ONE = {'op': 'conv', 'input': -1, 'kernel': 1}
_ATROUS = {'op': 'conv', 'input': -1, 'kernel': 3, 'rate': [1, 2]}
_POOLING = {'op': 'pyramid_pooling', 'input': -1, 'grid_size': [2, 1]}
_SMALL = {'reduction_size': 3, 'concat_channels': 4}


def _cell(*branches, **hparams):
    return dpc.DensePredictionCell(list(branches), dict(_SMALL, **hparams))


def _features(height=9, width=7, channels=2):
    return tf.constant(small_runs.noise(2, height, width, channels))


# What is accepted.


def test_published_cell_is_the_one_of_the_paper():
    with open(shared_data.path('facts/' + _PUBLISHED)) as handle:
        published = json.load(handle)
    assert dpc.load_config(_PUBLISHED) == published
    assert [branch.input for branch in dpc.DensePredictionCell(published).branches] == [
        -1, 0, 1, 0, 0]


def test_load_config_reads_a_file(tmp_path):
    path = tmp_path / 'cell.json'
    path.write_text(json.dumps([_ATROUS, _POOLING]))
    assert dpc.load_config(str(path)) == [_ATROUS, _POOLING]


@pytest.mark.parametrize('content, message', [
    (None, 'there is no such file'), ('[{"op": ', 'Expecting value'), ('[]', 'at least one branch'),
    ('[{"op": "pool", "input": -1}]', "Branch 0 .* got 'pool'")])
def test_load_config_names_flag_and_file(tmp_path, content, message):
    path = tmp_path / 'cell.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match='^--dense_prediction_cell_json=.*cell.json: .*' + message):
        dpc.load_config(str(path))


@pytest.mark.parametrize('config, message', [
    (None, 'list with at least one branch, got None'),
    ([], r'list with at least one branch, got \[\]'),
    ({'op': 'conv'}, 'list with at least one branch'),
    (['conv'], "Branch 0 .* must be a dictionary, got 'conv'"),
    ([{}], "'op' must be one of conv, pyramid_pooling, got 'nothing'"),
    ([_ONE_BY_ONE, dict(_ATROUS, op='convolution')], "Branch 1 .* 'op' .* got 'convolution'"),
    ([{'op': 'conv'}], "lacks 'input', 'kernel'"),
    ([{'op': 'pyramid_pooling', 'input': -1}], r"\(pyramid_pooling\) lacks 'grid_size'"),
    ([{'op': 'conv', 'input': -1, 'kernel': 3}], "lacks 'rate', which a kernel of 3 x 3 needs"),
    ([dict(_ATROUS, rates=[1, 1])], "unknown key 'rates'; .* Did you mean 'rate'"),
    ([dict(_POOLING, kernel=3)], "unknown key 'kernel'"),
    ([dict(_ATROUS, input=-2)], "'input' must be -1 .* got -2"),
    ([dict(_ATROUS, input=0)], "'input' must be -1 .* got 0"),
    ([_ONE_BY_ONE, dict(_ATROUS, input=1)], r"Branch 1 .* \(at most 0\), got 1"),
    ([dict(_ATROUS, input='features')], "'input' .* got 'features'"),
    ([dict(_ATROUS, input=True)], "'input' .* got True"),
    ([dict(_ATROUS, kernel=0)], "'kernel' must be a positive integer .* got 0"),
    ([dict(_ATROUS, kernel=[3, 3, 3])], r"'kernel' .* got \[3, 3, 3\]"),
    ([dict(_ATROUS, kernel=2.5)], "'kernel' .* got 2.5"),
    ([dict(_ATROUS, rate=[1, -6])], r"'rate' .* got \[1, -6\]"),
    ([dict(_ATROUS, rate=[6])], r"'rate' .* got \[6\]"),
    ([dict(_ATROUS, rate=None)], "'rate' .* got None"),
    ([dict(_POOLING, grid_size=[0, 1])], r"'grid_size' .* got \[0, 1\]")])
def test_mistakes_in_a_cell(config, message):
    with pytest.raises(UserError, match=message):
        dpc.DensePredictionCell(config)


def test_single_numbers_stand_for_pairs():
    branches = dpc.DensePredictionCell([
        dict(_ATROUS, kernel=3, rate=2), dict(_ATROUS, kernel=[1, 1]),
        dict(_POOLING, grid_size=2)]).branches
    assert [(branch.kernel, branch.rate, branch.grid_size) for branch in branches] == [
        ((3, 3), (2, 2), None), ((1, 1), (1, 2), None), (None, None, (2, 2))]


def test_hparams():
    hparams = dpc.dense_prediction_cell_hparams()
    assert hparams.values() == dict(
        reduction_size=256, dropout_on_concat_features=True, dropout_on_projection_features=False,
        dropout_keep_prob=0.9, concat_channels=256, conv_rate_multiplier=1)
    hparams.set_hparam('reduction_size', 32)
    hparams.concat_channels = 64
    assert hparams.parse('dropout_keep_prob=0.5, dropout_on_concat_features=False,') is hparams
    assert hparams.values() == dict(
        reduction_size=32, dropout_on_concat_features=False, dropout_on_projection_features=False,
        dropout_keep_prob=0.5, concat_channels=64, conv_rate_multiplier=1)
    cell = dpc.DensePredictionCell([_ONE_BY_ONE], hparams)
    assert cell.hparams is not hparams and cell.hparams.values() == hparams.values()
    assert dpc.dense_prediction_cell_hparams().reduction_size == 256
    assert repr(hparams).startswith('CellHparams(reduction_size=32, ')


@pytest.mark.parametrize('values, message', [
    ({'conv_rate_multiplier': 0}, 'conv_rate_multiplier .* at least 1, got 0'),
    ({'conv_rate_multiplier': 1.5}, 'conv_rate_multiplier .* at least 1, got 1.5'),
    ({'reduction_size': True}, 'reduction_size .* got True'),
    ({'dropout_keep_prob': 0}, r'dropout_keep_prob .* must be a number in \(0, 1\], got 0'),
    ({'dropout_keep_prob': 1.1}, 'got 1.1'),
    ({'dropout_on_concat_features': 1}, 'must be True or False, got 1'),
    ({'dropout_prob': 0.5}, "Unknown hyper-parameter 'dropout_prob' .* Did you mean 'dropout_")])
def test_mistakes_in_hparams(values, message):
    with pytest.raises(UserError, match=message):
        dpc.DensePredictionCell([_ONE_BY_ONE], values)
    with pytest.raises(UserError, match=message):
        dpc.CellHparams(**values)


@pytest.mark.parametrize('text', ['reduction_size', 'reduction_size=many', 'reduction_size='])
def test_hparams_that_cannot_be_read(text):
    with pytest.raises(UserError, match='Cannot read {!r}'.format(text)):
        dpc.dense_prediction_cell_hparams().parse(text)


def test_conv_rate_multiplier_keeps_the_field_of_view():
    assert [dpc.conv_rate_multiplier(stride) for stride in (16, 8, 4, 2)] == [1, 2, 4, 8]
    for stride in (32, 12, 0):
        with pytest.raises(UserError, match='--output_stride={}'.format(stride)):
            dpc.conv_rate_multiplier(stride)


@pytest.mark.parametrize('crop, grid, pooling_crop, target, window', [
    ([513, 513], (4, 4), None, [33, 33], [9, 9]),
    ([513, 513], (1, 1), None, [33, 33], [33, 33]),
    ([1025, 2049], (2, 4), None, [65, 129], [33, 33]),
    ([1025, 2049], (1, 1), [769, 769], [65, 129], [49, 49])])
def test_pyramid_pooling_sizes(crop, grid, pooling_crop, target, window):
    assert dpc.pyramid_pooling_sizes(crop, 16, grid, pooling_crop) == (target, window)


# What is built.


def _batch_norm(values, weights, name):
    gamma, beta, mean, variance = (weights['{}/BatchNorm/{}'.format(name, part)] for part in (
        'gamma', 'beta', 'moving_mean', 'moving_variance'))
    # A fused batch norm does not take an epsilon below 1.001e-5.
    return np.maximum((values - mean) / np.sqrt(variance + 1.001e-5) * gamma + beta, 0)


def _pointwise(values, weights, name):
    return _batch_norm(np.dot(values, weights[name + '/weights'][0, 0]), weights, name)


def _depthwise(values, weights, name, rate):
    kernel = weights[name + '/depthwise_weights']
    margin = [(side - 1) * step // 2 for side, step in zip(kernel.shape, rate)]
    padded = np.pad(values, [(0, 0)] + [(m, m) for m in margin] + [(0, 0)], 'constant')
    height, width = values.shape[1:3]
    total = sum(
        padded[:, y * rate[0]:y * rate[0] + height, x * rate[1]:x * rate[1] + width]
        * kernel[y, x, :, 0] for y in range(kernel.shape[0]) for x in range(kernel.shape[1]))
    return _batch_norm(total, weights, name)


def _average(values, window):
    height, width = (1 + side - reach for side, reach in zip(values.shape[1:3], window))
    return sum(values[:, y:y + height, x:x + width] for y in range(window[0])
               for x in range(window[1])) / float(window[0] * window[1])


def _stretch(values, size):
    for axis, target in zip((1, 2), size):
        places = np.linspace(0, values.shape[axis] - 1, target)
        values = np.apply_along_axis(
            lambda line: np.interp(places, np.arange(len(line)), line), axis, values)
    return values


def test_cell_is_the_composition_of_its_branches():
    features = small_runs.noise(2, 9, 7, 2)
    cell = _cell(_ONE_BY_ONE, dict(_ATROUS, input=0), dict(_ATROUS, kernel=[3, 1], rate=[2, 1]),
                 dict(_POOLING, input=1))
    output = cell.build_cell(tf.constant(features), output_stride=8, crop_size=[65, 49])
    assert output.shape.as_list() == [2, 9, 7, 4]
    variables = {variable.op.name[len('meta_architecture/'):]: variable
                 for variable in tf.global_variables()}
    found, weights = small_runs.seeded([output, variables])

    outputs = [_pointwise(features, weights, 'branch0')]
    for number, source, rate in ((1, outputs[0], (1, 2)), (2, features, (2, 1))):
        name = 'branch{}_'.format(number)
        filtered = _depthwise(source, weights, name + 'depthwise', rate)
        outputs.append(_pointwise(filtered, weights, name + 'pointwise'))
    pooled = _pointwise(_average(outputs[1], (5, 7)), weights, 'branch3')
    outputs.append(_stretch(pooled, (9, 7)))
    expected = _pointwise(np.concatenate(outputs, axis=3), weights, 'concat_projection')
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_published_cell_has_the_variables_of_the_reference():
    path = shared_data.path('goldens/variables/xception_71__dpc_os16_dec4.json')
    with open(path) as handle:
        golden = json.load(handle)
    cell = dpc.DensePredictionCell(dpc.load_config(_PUBLISHED))
    output = cell.build_cell(tf.zeros([2, 7, 7, 2048]), crop_size=[97, 97], is_training=True,
                             fine_tune_batch_norm=True)
    assert output.shape.as_list() == [2, 7, 7, 256]
    trainable = tf.trainable_variables()
    assert [dict(name=variable.op.name, shape=variable.shape.as_list(),
                 trainable=variable in trainable) for variable in tf.global_variables()] == [
                     record for record in golden['variables']
                     if record['name'].startswith('meta_architecture/')]
    # One penalty for each pointwise layer, none for a depthwise one.
    penalised = [loss.op.name for loss in tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)]
    assert len(penalised) == 6 and not any('depthwise' in name for name in penalised)


@pytest.mark.parametrize('multiplier', [1, 2, 3])
def test_rates_are_multiplied(multiplier):
    impulse = np.zeros((1, 21, 21, 1), np.float32)
    impulse[0, 10, 10, 0] = 100
    features = tf.placeholder_with_default(impulse, impulse.shape)
    output = _cell(_ATROUS, conv_rate_multiplier=multiplier).build_cell(features)
    with tf.Session(config=small_runs.ONE_THREAD) as session:
        golden_net.Weights(tf.global_variables()).load(session, 'he')
        change = session.run(output) - session.run(output, {features: 0 * impulse})
    rows, columns = (np.nonzero(np.abs(change[0]).sum(axis=(axis, 2)))[0] for axis in (1, 0))
    assert set(rows) <= {10 - multiplier, 10, 10 + multiplier} and len(rows) > 1
    assert set(columns) <= {10 - 2 * multiplier, 10, 10 + 2 * multiplier} and len(columns) > 1


@pytest.mark.parametrize('training, fine_tune, updates', [
    (False, False, 0), (False, True, 0), (True, False, 0), (True, True, 4)])
def test_batch_norm_learns_only_when_training_and_asked_to(training, fine_tune, updates):
    _cell(_ONE_BY_ONE).build_cell(_features(), is_training=training,
                                  fine_tune_batch_norm=fine_tune)
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == updates


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('on_concat, on_projection', [
    (False, False), (True, False), (False, True), (True, True)])
def test_dropout(training, on_concat, on_projection):
    cell = _cell(_ONE_BY_ONE, dropout_on_concat_features=on_concat, dropout_keep_prob=0.5,
                 dropout_on_projection_features=on_projection)
    output = cell.build_cell(_features(), is_training=training)
    with tf.Session(config=small_runs.ONE_THREAD) as session:
        golden_net.Weights(tf.global_variables()).load(session, 'he')
        once, twice = session.run(output), session.run(output)
    dropping = training and (on_concat or on_projection)
    assert np.array_equal(once, twice) != dropping
    # Noise is drawn once for each dropout (and to initialise, which does not count).
    noise = [op.name for op in tf.get_default_graph().get_operations()
             if op.type == 'RandomUniform' and 'Initializer' not in op.name]
    assert len(noise) == (on_concat + on_projection if training else 0)


@pytest.mark.parametrize('reuse', [True, tf.AUTO_REUSE])
def test_reuse(reuse):
    cell = _cell(_ATROUS, _POOLING)
    first = cell.build_cell(_features())
    names = [variable.op.name for variable in tf.global_variables()]
    second = cell.build_cell(_features(), reuse=reuse)
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        third = cell.build_cell(_features())
    assert [variable.op.name for variable in tf.global_variables()] == names
    first, second, third = small_runs.seeded([first, second, third])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    with pytest.raises(ValueError, match='already exists'):
        cell.build_cell(_features())


def test_scope():
    _cell(_ONE_BY_ONE).build_cell(_features(), scope='other')
    assert {variable.op.name.split('/')[0] for variable in tf.global_variables()} == {'other'}


def test_building_leaves_the_configuration_as_it_was():
    config = [dict(_POOLING, grid_size=[1, 1]), dict(_ATROUS, input=0)]
    before = copy.deepcopy(config)
    cell = dpc.DensePredictionCell(config, _SMALL)
    # A second build of another size would fail if the first one's sizes had been kept.
    cell.build_cell(_features(9, 7), output_stride=16, crop_size=[129, 97])
    output = cell.build_cell(_features(5, 5), output_stride=16, crop_size=[65, 65], reuse=True)
    assert output.shape.as_list() == [2, 5, 5, 4]
    assert config == before and cell.config is config


def test_size_of_features_is_enough_for_pooling():
    with_crop = _cell(_POOLING).build_cell(_features(9, 7), output_stride=4, crop_size=[33, 25])
    without = _cell(_POOLING).build_cell(_features(9, 7), output_stride=4, reuse=True)
    with_crop, without = small_runs.seeded([with_crop, without])
    np.testing.assert_array_equal(with_crop, without)


def test_sizes_known_only_when_running():
    features = tf.placeholder(tf.float32, [None, None, None, 2])
    conv = _cell(_ATROUS).build_cell(features, scope='conv')
    sides = tf.shape(features)[1:3] * 8 - 7
    pool = _cell(_POOLING).build_cell(
        features, output_stride=8, crop_size=[sides[0], sides[1]],
        image_pooling_crop_size=[33, 33], scope='pool')
    assert conv.shape.as_list() == pool.shape.as_list() == [None, None, None, 4]
    with tf.Session(config=small_runs.ONE_THREAD) as session:
        session.run(tf.global_variables_initializer())
        for output in session.run([conv, pool], {features: small_runs.noise(1, 6, 11, 2)}):
            assert output.shape == (1, 6, 11, 4)


@pytest.mark.parametrize('options, message', [
    (dict(features=None), r'crop_size is needed: .* got \[None, None\]'),
    (dict(features=None, crop_size='tensor'), 'Branch 1 .* need a fixed size'),
    (dict(crop_size=[65, 65], image_pooling_crop_size=[513, 513]),
     'Branch 1 .* windows of 17 x 33, but the features are 5 x 5'),
    (dict(crop_size=[513, 513]), 'Branch 1 .* ask for features of 33 x 33, got 5 x 5')])
def test_pooling_that_cannot_work_is_found_before_building(options, message):
    options = dict(options)
    features = options.pop('features', tf.zeros([1, 5, 5, 2]))
    if features is None:
        features = tf.placeholder(tf.float32, [None, None, None, 2])
    if options.get('crop_size') == 'tensor':
        options['crop_size'] = [tf.constant(65), tf.constant(65)]
    with pytest.raises(UserError, match=message):
        _cell(_ONE_BY_ONE, _POOLING).build_cell(features, output_stride=16, **options)
    assert tf.global_variables() == []
