"""Panoptic quality and parsing covering as TensorFlow ops that keep their sums in the graph."""
import tensorflow.compat.v1 as tf

from deeplab.evaluation import panoptic_quality
from deeplab.evaluation import parsing_covering

_NEAR_ZERO = 1e-10


def _divide_or_zero(x, y):
    is_zero = tf.abs(y) < _NEAR_ZERO
    return tf.where(is_zero, tf.zeros_like(x), x / tf.where(is_zero, tf.ones_like(y), y))


def _running_totals(make_metric, names, arrays, num_classes):
    """Adds up the sums of `make_metric()` over the images fed.

    Args:
      make_metric: function returning a new metric.
      names: the sums' attribute names.
      arrays: the four label tensors of an image.
      num_classes: length of each sum.

    Returns:
      ({name: float64 variable [num_classes]}, list of updates).
    """
    def sums_of_image(*labels):
        metric = make_metric()
        metric.compare_and_accumulate(*labels)
        return [getattr(metric, name) for name in names]

    image_sums = tf.py_func(sums_of_image, arrays, [tf.float64] * len(names), stateful=False)
    totals, updates = {}, []
    for name, image_sum in zip(names, image_sums):
        image_sum.set_shape([num_classes])
        totals[name] = tf.get_variable(
            name, [num_classes], tf.float64, initializer=tf.zeros_initializer(), trainable=False,
            collections=[tf.GraphKeys.LOCAL_VARIABLES, tf.GraphKeys.METRIC_VARIABLES])
        updates.append(tf.assign_add(totals[name], image_sum, use_locking=True))
    return totals, updates


def _label_tensors(*labels):
    if tf.executing_eagerly():
        raise RuntimeError('Streaming metrics are graph ops; with eager execution use the classes '
                           'PanopticQuality and ParsingCovering.')
    return [tf.convert_to_tensor(label) for label in labels]


def streaming_panoptic_quality(groundtruth_categories, groundtruth_instances,
                               predicted_categories, predicted_instances, num_classes,
                               max_instances_per_category, ignored_label, offset, name=None):
    """Panoptic quality over all images that the updates have been run on.

    The sums are local variables: run `tf.local_variables_initializer()` first. Each run of the
    updates compares one image.

    Args:
      groundtruth_categories: whole numbers `[height, width]`.
      groundtruth_instances: the same shape.
      predicted_categories: the same shape.
      predicted_instances: the same shape.
      num_classes: number of categories.
      max_instances_per_category: instances are below it.
      ignored_label: category left out.
      offset: see `base_metric.SegmentationMetric`; results do not depend on it.
      name: variable scope of the sums; None for `streaming_panoptic_quality`.

    Returns:
      (qualities, updates): float64 `[6, num_classes]` with the rows panoptic quality, segmentation
      quality, recognition quality, true positives, false negatives, false positives; and a list of
      ops. The column of the ignored label has no meaning.

    Raises:
      RuntimeError: eager execution is on.
    """
    def make_metric():
        return panoptic_quality.PanopticQuality(num_classes, ignored_label,
                                                max_instances_per_category, offset)

    arrays = _label_tensors(groundtruth_categories, groundtruth_instances, predicted_categories,
                            predicted_instances)
    with tf.variable_scope(name, 'streaming_panoptic_quality', arrays):
        totals, updates = _running_totals(
            make_metric, ['iou_per_class', 'tp_per_class', 'fn_per_class', 'fp_per_class'],
            arrays, num_classes)
        found, missed, false = (
            tf.convert_to_tensor(totals[kind + '_per_class']) for kind in ('tp', 'fn', 'fp'))
        segmentation = _divide_or_zero(tf.convert_to_tensor(totals['iou_per_class']), found)
        recognition = _divide_or_zero(found, found + (missed + false) / 2)
        qualities = tf.stack([segmentation * recognition, segmentation, recognition,
                              found, missed, false])
    return qualities, updates


def streaming_parsing_covering(groundtruth_categories, groundtruth_instances,
                               predicted_categories, predicted_instances, num_classes,
                               max_instances_per_category, ignored_label, offset,
                               normalize_by_image_size=True, name=None):
    """Parsing covering over all images that the updates have been run on.

    Args:
      groundtruth_categories, groundtruth_instances, predicted_categories, predicted_instances,
        num_classes, max_instances_per_category, ignored_label, offset: as for
        `streaming_panoptic_quality`.
      normalize_by_image_size: areas are shares of the image instead of pixels.
      name: variable scope of the sums; None for `streaming_parsing_covering`.

    Returns:
      (coverings, updates): float64 `[3, num_classes]` with the rows covering, sum of area * best
      IoU, sum of areas; and a list of ops.

    Raises:
      RuntimeError: eager execution is on.
    """
    def make_metric():
        return parsing_covering.ParsingCovering(num_classes, ignored_label,
                                                max_instances_per_category, offset,
                                                normalize_by_image_size)

    arrays = _label_tensors(groundtruth_categories, groundtruth_instances, predicted_categories,
                            predicted_instances)
    with tf.variable_scope(name, 'streaming_parsing_covering', arrays):
        totals, updates = _running_totals(
            make_metric, ['weighted_iou_per_class', 'gt_area_per_class'], arrays, num_classes)
        weighted = tf.convert_to_tensor(totals['weighted_iou_per_class'])
        areas = tf.convert_to_tensor(totals['gt_area_per_class'])
        coverings = tf.stack([_divide_or_zero(weighted, areas), weighted, areas])
    return coverings, updates
