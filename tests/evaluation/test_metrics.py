"""Tests of deeplab.evaluation.metrics."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.evaluation import confusion
from deeplab.evaluation import metrics


def tensorflow_mean_iou(labels, predictions, weights, classes):
    with tf.Graph().as_default(), tf.Session() as session:
        weights = None if weights is None else tf.constant(weights)
        value, update = tf.metrics.mean_iou(
            tf.constant(labels), tf.constant(predictions), classes, weights=weights)
        session.run(tf.local_variables_initializer())
        session.run(update)
        return session.run(value)


@pytest.mark.parametrize('seed', range(12))
def test_mean_iou_equals_tensorflow(seed):
    random = np.random.RandomState(seed)
    classes = random.randint(1, 22)
    # Only some classes occur, in labels and in predictions each.
    labelled = random.choice(classes, random.randint(1, classes + 1), replace=False)
    predicted = random.choice(classes, random.randint(1, classes + 1), replace=False)
    labels = random.choice(labelled, 400)
    predictions = np.where(random.uniform(size=400) < 0.5, labels, random.choice(predicted, 400))
    ignored = random.uniform(size=400) < (0.3, 0.0, 1.0)[seed % 3]
    counted = confusion.ConfusionMatrix(classes, 255)
    counted.update(np.where(ignored, 255, labels), predictions)
    expected = tensorflow_mean_iou(labels, predictions, 1.0 - ignored, classes)
    assert metrics.compute_scores(counted.matrix).mean_iou == pytest.approx(expected, abs=1e-6)


def test_all_scores_of_a_matrix_worked_out_by_hand():
    # Class 2 is only predicted, class 3 occurs nowhere.
    matrix = np.array([[6, 2, 0, 0], [1, 9, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    scores = metrics.compute_scores(matrix)
    np.testing.assert_allclose(scores.class_iou, [6 / 9, 9 / 14, 0, np.nan])
    np.testing.assert_allclose(scores.class_precision, [6 / 7, 9 / 11, 0, np.nan])
    np.testing.assert_allclose(scores.class_recall, [6 / 8, 9 / 12, np.nan, np.nan])
    np.testing.assert_allclose(scores.class_accuracy, [17 / 20, 15 / 20, 18 / 20, 1])
    assert scores.class_pixels.tolist() == [8, 12, 0, 0]
    assert scores.class_predicted_pixels.tolist() == [7, 11, 2, 0]
    assert scores.mean_iou == pytest.approx((6 / 9 + 9 / 14) / 3)
    assert scores.pixel_accuracy == pytest.approx(15 / 20)
    assert scores.mean_accuracy == pytest.approx(0.75)
    assert scores.frequency_weighted_iou == pytest.approx((8 * 6 / 9 + 12 * 9 / 14) / 20)


def test_empty_matrix_scores_zero():
    scores = metrics.compute_scores(np.zeros((3, 3), np.int64))
    assert (scores.mean_iou, scores.pixel_accuracy, scores.mean_accuracy,
            scores.frequency_weighted_iou) == (0, 0, 0, 0)
    assert np.isnan(scores.class_iou).all() and np.isnan(scores.class_accuracy).all()


def test_perfect_prediction_scores_one():
    scores = metrics.compute_scores(np.diag([5, 0, 7]))
    assert scores.mean_iou == scores.pixel_accuracy == scores.frequency_weighted_iou == 1


def test_matrix_must_be_square():
    with pytest.raises(ValueError, match=r'shape \(2, 3\)'):
        metrics.compute_scores(np.zeros((2, 3)))


def test_baseline_is_what_the_constant_prediction_scores():
    labels = np.array([0] * 3 + [1] * 6 + [2] * 1)
    counted = confusion.ConfusionMatrix(4)
    counted.update(labels, np.array([2, 0] * 5))
    baseline = metrics.most_frequent_class_baseline(counted.matrix)
    assert baseline.label == 1
    assert baseline.mean_iou == pytest.approx(0.6 / 3)
    assert baseline.pixel_accuracy == pytest.approx(0.6)
    expected = tensorflow_mean_iou(labels, np.ones(10, np.int64), None, 4)
    assert baseline.mean_iou == pytest.approx(expected, abs=1e-6)
