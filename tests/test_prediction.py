"""Tests of deeplab.prediction."""
import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import model
from deeplab import names
from deeplab import prediction
from deeplab.core import feature_extractor
from deeplab.core import preprocess_utils
from tests import tiny_run

CLASSES = 5


options = functools.partial(tiny_run.model_options, CLASSES)
photograph = tiny_run.photograph


def run(tensors, feeds=None):
    """Gives the variables lively values, then runs."""
    with tf.Session() as session:
        tiny_run.set_values(session)
        return session.run(tensors, feeds)


def softmax(values):
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_one_scale_is_the_plain_prediction():
    images = np.stack([photograph(33, 49, seed) for seed in range(2)])
    got = prediction.build_prediction(tf.constant(images), options([33, 49]))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        expected = model.predict_labels(tf.constant(images, tf.float32), options([33, 49]))
    got, expected = run([got, expected])
    assert got.labels.shape == (2, 33, 49) and got.labels.dtype == np.int64
    assert len(np.unique(got.labels)) > 1
    np.testing.assert_array_equal(got.labels, expected['semantic'])
    np.testing.assert_allclose(got.probabilities.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(got.probabilities.argmax(axis=-1), got.labels)


def test_scales_and_flips_average_the_softmaxes():
    images = photograph(33, 49)[None]
    got = prediction.build_prediction(
        tf.constant(images), options([33, 49]), eval_scales=(0.5, 1.0), add_flipped_images=True)
    parts = []
    for scale in (0.5, 1.0):
        for mirrored in (False, True):
            with tf.variable_scope(tf.get_variable_scope(), reuse=True):
                taken = images[:, :, ::-1] if mirrored else images
                results = model.multi_scale_logits(
                    tf.constant(taken, tf.float32), options([33, 49]), image_pyramid=[scale])
            logits = tf.image.resize_bilinear(
                results['semantic'][model.MERGED_LOGITS_SCOPE], [33, 49], align_corners=True)
            parts.append(logits[:, :, ::-1] if mirrored else logits)
    got, parts = run([got, parts])
    mean = np.mean([softmax(part) for part in parts], axis=0)
    np.testing.assert_allclose(got.probabilities, mean, atol=1e-5)
    np.testing.assert_array_equal(got.labels, got.probabilities.argmax(axis=-1))


def test_one_flip_without_scales_counts():
    images = tf.constant(photograph(33, 33)[None])
    plain = prediction.build_prediction(images, options([33, 33]))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        flipped = prediction.build_prediction(images, options([33, 33]), add_flipped_images=True)
        mirrored = prediction.build_prediction(images[:, :, ::-1], options([33, 33]))
    plain, flipped, mirrored = run([plain, flipped, mirrored])
    expected = (plain.probabilities + mirrored.probabilities[:, :, ::-1]) / 2
    np.testing.assert_allclose(flipped.probabilities, expected, atol=1e-5)


def test_image_is_padded_to_the_crop_with_the_mean_pixel_and_cut_again():
    image = photograph(30, 41)
    padded = np.empty((65, 65, 3), np.float32)
    padded[:] = feature_extractor.mean_pixel('mobilenet_v2')
    padded[:30, :41] = image
    feed = tf.placeholder(tf.uint8, [1, None, None, 3])
    got = prediction.build_image_prediction(feed, options([65, 65]))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        expected = prediction.build_prediction(tf.constant(padded[None]), options([65, 65]))
    got, expected = run([got, expected], {feed: image[None]})
    assert got.labels.shape == (1, 30, 41)
    np.testing.assert_array_equal(got.labels, expected.labels[:, :30, :41])
    np.testing.assert_allclose(got.probabilities, expected.probabilities[:, :30, :41], atol=1e-6)


@pytest.mark.parametrize('scales', [(1.0,), (0.5, 1.25)])
def test_without_a_crop_images_are_padded_to_the_grid_of_features(scales):
    feed = tf.placeholder(tf.uint8, [1, None, None, 3])
    got = prediction.build_image_prediction(feed, options(), eval_scales=scales)
    for height, width in ((30, 41), (65, 33)):
        image = photograph(height, width)
        found = run(got, {feed: image[None]})
        assert found.labels.shape == (1, height, width)
        padded = np.empty((-(-(height - 1) // 16) * 16 + 1, -(-(width - 1) // 16) * 16 + 1, 3))
        padded[:] = feature_extractor.mean_pixel('mobilenet_v2')
        padded[:height, :width] = image
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            expected = prediction.build_prediction(
                tf.constant(padded[None], tf.float32), options(), eval_scales=scales)
        np.testing.assert_array_equal(found.labels, run(expected).labels[:, :height, :width])


def test_resized_image_comes_back_at_its_own_size():
    image = photograph(60, 90)
    resize_range = prediction.ResizeRange(33, 65, 16)
    feed = tf.placeholder(tf.uint8, [1, None, None, 3])
    got = prediction.build_image_prediction(feed, options([65, 65]), resize_range)
    resized = preprocess_utils.resize_to_range(tf.constant(image), None, *resize_range)[0]
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        small = prediction.build_image_prediction(resized[None], options([65, 65]))
    got, small = run([got, small], {feed: image[None]})
    assert small.labels.shape == (1,) + prediction.size_in_network(60, 90, resize_range)
    assert got.labels.shape == (1, 60, 90) and got.probabilities.shape == (1, 60, 90, CLASSES)
    rows = np.round(np.arange(60) * (small.labels.shape[1] - 1) / 59).astype(int)
    columns = np.round(np.arange(90) * (small.labels.shape[2] - 1) / 89).astype(int)
    differ = got.labels[0] != small.labels[0][rows][:, columns]
    assert differ.mean() < 0.02  # Ties of the rounding only.


def test_tags_are_those_of_the_summaries():
    assert prediction.prediction_tag() == 'miou_1.0'
    assert prediction.prediction_tag((0.5, 1, 1.75), True) == 'miou_0.5_1.0_1.75_flipped'


@pytest.mark.parametrize('arguments, message', [
    (((), False, None), '--eval_scales=: give'),
    (((1.0, 0), False, None), '--eval_scales=1.0,0'),
    (((0.5,), False, [1.0]), 'cannot be combined'),
    (((1.0,), True, [1.0]), 'cannot be combined'),
])
def test_impossible_requests(arguments, message):
    with pytest.raises(errors.UserError, match=message):
        prediction.check_scales(*arguments)


def test_an_exported_graph_keeps_the_size_of_the_crop():
    options = names.ModelOptions({names.OUTPUT_TYPE: 2}, crop_size=[33, 49], output_stride=16,
                                 depth_multiplier=0.25, aspp_convs_filters=16)
    prediction.build_image_prediction(
        tf.placeholder(tf.uint8, [1, None, None, 3], name='image'), options)
    graph_def = tf.get_default_graph().as_graph_def()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name='')
        first = [operation for operation in graph.get_operations()
                 if operation.type == 'Conv2D'][0]
        assert first.inputs[0].shape.as_list()[1:3] == [33, 49]
