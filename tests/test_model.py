"""The wiring of the model on a narrow MobileNetV2."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import model
from deeplab import names

_SIZE = 65
_CLASSES = 4


def _options(**changes):
    return names.ModelOptions(
        {names.OUTPUT_TYPE: _CLASSES}, crop_size=[_SIZE, _SIZE], output_stride=16,
        depth_multiplier=0.25, aspp_convs_filters=16, decoder_filters=16)._replace(**changes)


def _image(batch=1, height=_SIZE, width=_SIZE):
    return np.random.RandomState(0).randint(0, 256, (batch, height, width, 3)).astype(np.float32)


def _run(fetches, feed=None, seed=1):
    """Runs with every variable drawn afresh, so that nothing is constant by its initial value."""
    rng = np.random.RandomState(seed)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for variable in sorted(tf.global_variables(), key=lambda v: v.op.name):
            shape = variable.shape.as_list()
            value = rng.uniform(0.5, 1.5, shape) if 'variance' in variable.op.name else (
                rng.normal(0, 0.4, shape))
            variable.load(value.astype(np.float32), session)
        return session.run(fetches, feed)


def test_scopes_of_the_layers_on_top():
    assert model.get_extra_layer_scopes(last_layers_contain_logits_only=True) == ['logits']
    assert set(model.get_extra_layer_scopes()) == {
        'logits', 'image_pooling', 'aspp', 'concat_projection', 'decoder', 'meta_architecture'}


@pytest.mark.parametrize('changes, stride', [
    (dict(), 16),
    (dict(output_stride=8), 8),
    (dict(output_stride=32), 32),
    (dict(decoder_output_stride=[4]), 4),
    (dict(decoder_output_stride=[8, 4], decoder_use_separable_conv=False), 4),
    (dict(decoder_output_stride=[4], decoder_use_sum_merge=True), 4),
    (dict(decoder_output_stride=[8], decoder_output_is_logits=True, decoder_filters=_CLASSES,
          decoder_use_sum_merge=True, aspp_with_squeeze_and_excitation=True,
          aspp_with_concat_projection=False, image_se_uses_qsigmoid=True), 8),
    (dict(aspp_with_batch_norm=False, atrous_rates=[6, 12], logits_kernel_size=3), 16),
    (dict(add_image_level_feature=False, atrous_rates=[6, 12, 18]), 16),
    (dict(atrous_rates=[6, 12, 18], aspp_with_separable_conv=False), 16),
])
def test_logits_have_the_size_of_their_stride(changes, stride):
    logits = model.multi_scale_logits(tf.constant(_image()), _options(**changes), None)
    merged = logits[names.OUTPUT_TYPE][model.MERGED_LOGITS_SCOPE]
    side = (_SIZE - 1) // stride + 1
    assert merged.shape.as_list() == [1, None, None, _CLASSES] or (
        merged.shape.as_list() == [1, side, side, _CLASSES])
    assert _run(merged).shape == (1, side, side, _CLASSES)


def test_without_a_crop_any_size_goes_and_equals_the_same_with_a_crop():
    options = _options(decoder_output_stride=[4])
    image = _image(height=49, width=81)
    images = tf.placeholder(tf.float32, [1, None, None, 3])
    free = model.predict_labels(images, options._replace(crop_size=None))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        fixed = model.predict_labels(images, options._replace(crop_size=[49, 81]))
    prob = names.OUTPUT_TYPE + model.PROB_SUFFIX
    got, wanted = _run([free[prob], fixed[prob]], {images: image})
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize('method, merge', [('max', np.max), ('avg', np.mean)])
def test_pyramid_merges_the_logits_of_its_scales(method, merge):
    results = model.multi_scale_logits(tf.constant(_image()), _options(merge_method=method),
                                       [0.5, 1.0])[names.OUTPUT_TYPE]
    assert sorted(results) == ['logits_0.50', 'logits_1.00', 'merged_logits']
    got = _run(results)
    scales = np.stack([got['logits_0.50'], got['logits_1.00']])
    np.testing.assert_allclose(got['merged_logits'], merge(scales, axis=0), rtol=1e-6)


def test_multi_scale_probabilities_are_the_mean_of_the_softmaxes():
    images = tf.constant(_image())
    options = _options()
    prob = names.OUTPUT_TYPE + model.PROB_SUFFIX
    several = model.predict_labels_multi_scale(images, options, eval_scales=(0.5, 1.0),
                                               add_flipped_images=True)
    singles = []
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        for scale in (0.5, 1.0):
            for mirrored in (False, True):
                source = tf.reverse(images, [2]) if mirrored else images
                one = model.predict_labels_multi_scale(source, options, eval_scales=(scale,))[prob]
                singles.append(tf.reverse(one, [2]) if mirrored else one)
    got, labels, parts = _run([several[prob], several[names.OUTPUT_TYPE], singles])
    np.testing.assert_allclose(got, np.mean(parts, axis=0), atol=1e-5)
    np.testing.assert_allclose(got.sum(axis=3), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(labels, got.argmax(axis=3))


def test_softmax_before_upsampling_gives_labels_of_the_small_map():
    options = _options(prediction_with_upsampled_logits=False)
    images = tf.constant(_image())
    predictions = model.predict_labels(images, options)
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        logits = model.multi_scale_logits(images, options, None)[names.OUTPUT_TYPE][
            model.MERGED_LOGITS_SCOPE]
    labels, prob, small = _run([predictions[names.OUTPUT_TYPE],
                                predictions[names.OUTPUT_TYPE + model.PROB_SUFFIX], logits])
    assert labels.shape == (1, _SIZE, _SIZE) and labels.dtype == np.int64
    assert prob.shape == (1, _SIZE, _SIZE, _CLASSES)
    np.testing.assert_array_equal(labels[0, ::16, ::16], small[0].argmax(axis=2))


def test_dropout_acts_in_training_and_only_there():
    images = tf.constant(_image())
    kwargs = dict(is_training=True, fine_tune_batch_norm=False)
    training, _ = model.extract_features(images, _options(), **kwargs)
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        again, _ = model.extract_features(images, _options(), reuse=True)
    dropped, whole = _run([training, again])
    zeros = np.mean((dropped == 0) & (whole != 0))
    assert 0.02 < zeros / np.mean(whole != 0) < 0.25
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], whole[kept] / 0.9, rtol=1e-4)


@pytest.mark.parametrize('train, fine_tune, updates', [
    (True, True, True), (True, False, False), (False, True, False)])
def test_batch_norm_trains_only_when_training_and_asked_to(train, fine_tune, updates):
    model.multi_scale_logits(tf.constant(_image()), _options(decoder_output_stride=[4]), None,
                             is_training=train, fine_tune_batch_norm=fine_tune)
    assert bool(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == updates


@pytest.mark.parametrize('given, decays', [(0.9997, {0.997, 0.9997}), (0.5, {0.5})])
def test_batch_norm_decay_acts_when_given(given, decays):
    model.multi_scale_logits(tf.constant(_image()), _options(batch_norm_decay=given), None,
                             is_training=True, fine_tune_batch_norm=True)
    means = [variable for variable in tf.global_variables()
             if variable.op.name.endswith('moving_mean')]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for variable in means:
            variable.load(np.full(variable.shape.as_list(), 1e4, np.float32), session)
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        # Batch means are tiny beside 1e4: what is left of it is the decay.
        left = {round(float(np.median(value)) / 1e4, 4) for value in session.run(means)}
    assert left == decays


def test_decoder_without_crop_or_end_point_is_refused():
    features = tf.zeros([1, 5, 5, 8])
    with pytest.raises(ValueError, match='crop_size'):
        model.refine_by_decoder(features, {}, decoder_output_stride=[4],
                                model_variant='mobilenet_v2')
    with pytest.raises(errors.UserError, match='decoder_output_stride=2'):
        model.refine_by_decoder(features, {}, crop_size=[65, 65], decoder_output_stride=[2],
                                model_variant='mobilenet_v2')


def test_logits_with_a_kernel_need_several_rates():
    with pytest.raises(ValueError, match='logits_kernel_size'):
        model.get_branch_logits(tf.zeros([1, 5, 5, 8]), 3, kernel_size=3)
