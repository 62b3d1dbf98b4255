"""What predicting with a network costs, counted in graphs that are built for it and never run."""
import collections

import tensorflow.compat.v1 as tf

from deeplab import model
from deeplab import names
from deeplab.core import feature_extractor
from deeplab.utils import graph_cost

CLASSIFIER_STRIDE = 32
_IGNORED = 255

Cost = collections.namedtuple('Cost', ['multiply_adds', 'float_operations', 'batch_norm_elements',
                                       'evaluation_float_operations', 'memory', 'variables'])
Cost.__doc__ = """Counts of one network at one size; see the functions of `graph_cost`.

Fields:
    multiply_adds, float_operations, batch_norm_elements: of all passes through the network.
    evaluation_float_operations: what an evaluation in the same graph adds; None: not counted.
    memory: a `graph_cost.Memory`, the largest of all passes.
    variables: a `graph_cost.Variables`.
"""


def _per_class_counts(labels, num_classes):
    """Adds what an evaluation in the graph does with labels [batch, height, width] at each step.

    That is the matrix behind mean IoU, and true positives, false positives and false negatives of
    every class on its own, all weighted by whether a pixel is to be ignored. The true labels come
    from an input pipeline, so that their number is not known in the graph: what depends on them
    alone has no count. Counted so, the figures published for MobileNetV3 come out.

    Returns:
        List of tensors that update these.
    """
    predicted = tf.reshape(labels, [-1])
    truth = tf.placeholder(tf.int64, [None])
    weights = tf.cast(tf.not_equal(truth, _IGNORED), tf.float32)
    updates = [tf.metrics.mean_iou(truth, predicted, num_classes, weights=weights)[1]]
    truths, predictions = (tf.one_hot(values, num_classes) for values in (truth, predicted))
    for label in range(num_classes):
        for metric in (tf.metrics.true_positives, tf.metrics.false_positives,
                       tf.metrics.false_negatives):
            updates.append(metric(truths[:, label], predictions[:, label], weights=weights)[1])
    return updates


def _cost_of_graph(outputs):
    operations = graph_cost.ancestors(outputs)
    return Cost(graph_cost.multiply_adds(operations), graph_cost.float_operations(operations),
                graph_cost.batch_norm_elements(operations), None,
                graph_cost.activation_memory(operations, outputs),
                graph_cost.variable_sizes(tf.global_variables(), tf.trainable_variables()))


def segmentation_cost(options: names.ModelOptions, image_pyramid=None, evaluated=False) -> Cost:
    """Returns the cost of predicting labels and probabilities of one image.

    Args:
        options: with a crop_size, the size of the image.
        image_pyramid: scales that the network sees the image at, or None.
        evaluated: also count, in `evaluation_float_operations`, what an evaluation in the same
            graph adds; see `_per_class_counts`.
    """
    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [1] + list(options.crop_size) + [3])
        predictions = model.predict_labels(images, options, image_pyramid)
        cost = _cost_of_graph([predictions[name] for name in sorted(predictions)])
        if evaluated:
            inside = graph_cost.ancestors(list(predictions.values()))
            more = set(graph_cost.ancestors(_per_class_counts(
                predictions[names.OUTPUT_TYPE],
                options.outputs_to_num_classes[names.OUTPUT_TYPE]))) - set(inside)
            cost = cost._replace(evaluation_float_operations=graph_cost.float_operations(more))
        return cost


def classifier_cost(model_variant: str, input_size, num_classes: int) -> Cost:
    """Returns the cost of a backbone with its ImageNet classifier on one image."""
    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [1] + list(input_size) + [3])
        scores, _ = feature_extractor.extract_features(
            images, output_stride=CLASSIFIER_STRIDE, model_variant=model_variant,
            num_classes=num_classes, global_pool=True)
        return _cost_of_graph([scores])


def added_up(costs, times: int = 1) -> Cost:
    """Returns the cost of several passes of one network: counts added, the largest memory."""
    def total(field):
        return times * sum(getattr(cost, field) or 0 for cost in costs)

    return costs[0]._replace(
        multiply_adds=total('multiply_adds'), float_operations=total('float_operations'),
        batch_norm_elements=total('batch_norm_elements'),
        memory=graph_cost.Memory(max(cost.memory.total for cost in costs),
                                 max(cost.memory.peak for cost in costs)))


def multi_scale_cost(options, scales, flip, evaluated=False, known=None) -> Cost:
    """Returns the cost of predicting from several scales, mirrored too if asked for.

    Args:
        options, evaluated: see `segmentation_cost`.
        scales: of the image.
        flip: whether every scale is also predicted mirrored.
        known: dict of costs counted before, kept up to date; None for none.
    """
    known = {} if known is None else known
    costs = []
    for scale in scales:
        key = (repr(options), scale, evaluated)
        if key not in known:
            known[key] = segmentation_cost(options, [scale], evaluated)
        costs.append(known[key])
    return added_up(costs, 2 if flip else 1)
