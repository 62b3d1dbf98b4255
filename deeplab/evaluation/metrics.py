"""Scores of a semantic segmentation, all worked out from one confusion matrix.

With n[i, j] pixels of label i predicted as j (Long et al., "Fully Convolutional Networks for
Semantic Segmentation", section 5):

* IoU of a class: n[i, i] / (row sum + column sum - n[i, i])
* mean IoU: average over the classes that occur in the labels or in the predictions, the rule of
  `tf.metrics.mean_iou`. A class that only occurs in predictions counts, with 0.
* pixel accuracy: sum of n[i, i] / all pixels
* mean accuracy: average recall of the classes that occur in the labels
* frequency-weighted IoU: IoU averaged with the row sums as weights
"""
import collections

import numpy as np

# Arrays are float64 [num_classes], NaN where a class gives no value; the rest are floats in 0..1.
Scores = collections.namedtuple('Scores', [
    'mean_iou', 'pixel_accuracy', 'mean_accuracy', 'frequency_weighted_iou',
    'class_iou',        # NaN: neither labelled nor predicted
    'class_accuracy',   # share of all pixels on which "this class or not" is right
    'class_precision',  # NaN: never predicted
    'class_recall',     # NaN: never labelled
    'class_pixels',     # int64: labelled pixels
    'class_predicted_pixels',
])

# What always answering the most frequent class scores.
Baseline = collections.namedtuple('Baseline', ['label', 'mean_iou', 'pixel_accuracy'])


def _divide(numerator, denominator):
    """Divides, with NaN where the denominator is 0."""
    result = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)


def _mean_of_numbers(values):
    """Averages what is not NaN; 0 when nothing is left (as `tf.metrics.mean_iou` has it)."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else 0.0


def compute_scores(matrix) -> Scores:
    """Computes all scores of a confusion matrix.

    Args:
      matrix: integer array `[num_classes, num_classes]`, rows = labels, columns = predictions.

    Returns:
      Scores.

    Raises:
      ValueError: the matrix is not square.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError('Argument `matrix` must be square. Received instead shape {}.'.format(
            matrix.shape))
    right = matrix.diagonal()
    labelled, predicted, total = matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
    class_iou = _divide(right, labelled + predicted - right)
    recall = _divide(right, labelled)
    wrong = labelled + predicted - 2 * right
    return Scores(
        mean_iou=_mean_of_numbers(class_iou),
        pixel_accuracy=float(right.sum() / total) if total else 0.0,
        mean_accuracy=_mean_of_numbers(recall),
        frequency_weighted_iou=(
            float(np.nansum(class_iou * labelled) / total) if total else 0.0),
        class_iou=class_iou,
        class_accuracy=_divide(total - wrong, np.full_like(labelled, total)),
        class_precision=_divide(right, predicted),
        class_recall=recall,
        class_pixels=labelled,
        class_predicted_pixels=predicted)


def most_frequent_class_baseline(matrix) -> Baseline:
    """Returns what predicting the most frequent label everywhere would have scored.

    Args:
      matrix: confusion matrix `[num_classes, num_classes]`; only its row sums matter.
    """
    labelled = np.asarray(matrix).sum(axis=1)
    label = int(labelled.argmax())
    constant = np.zeros((len(labelled), len(labelled)), dtype=np.int64)
    constant[:, label] = labelled
    scores = compute_scores(constant)
    return Baseline(label, scores.mean_iou, scores.pixel_accuracy)
