"""The pixel-wise softmax cross entropy DeepLab trains on, with hard-pixel mining.

Per scale: sum of the weighted pixel losses / number of pixels that are not ignored. With mining
only the hardest pixels count, and the sum is divided by how many of them have a loss other than
zero (online bootstrapping, arXiv:1605.06885).
"""
import tensorflow.compat.v1 as tf

from deeplab.core import utils


def _size(tensor):
    """[height, width] of [batch, height, width, channels]: ints where static, else a tensor."""
    static = tensor.get_shape().as_list()[1:3]
    return static if None not in static else tf.shape(tensor)[1:3]


def _share_of_sum(total, count):
    """total / count, and zero (not NaN) where nothing was counted."""
    anything = tf.cast(count > 0, tf.float32)
    return anything * (total / tf.maximum(count, 1e-5))


def _mining_share(top_share, mining_steps):
    """The share of pixels to keep now: all at step 0, `top_share` from step `mining_steps` on."""
    if not mining_steps:
        return top_share
    step = tf.cast(tf.train.get_or_create_global_step(), tf.float32)
    ramp = tf.minimum(1.0, step / mining_steps)
    return ramp * top_share + (1.0 - ramp)


def _hardest_mean(pixel_losses, top_share, mining_steps):
    """Mean of the non-zero losses among the hardest pixels."""
    # Ignored pixels are counted here although their loss is zero: the number kept depends on the
    # size of the batch alone.
    pixels = tf.cast(tf.size(pixel_losses), tf.float32)
    kept = tf.cast(_mining_share(top_share, mining_steps) * pixels, tf.int32)
    hardest, _ = tf.nn.top_k(pixel_losses, k=kept, name='top_k_percent_pixels')
    non_zero = tf.cast(tf.not_equal(hardest, 0.0), tf.float32)
    return _share_of_sum(tf.reduce_sum(hardest), tf.reduce_sum(non_zero))


def _matting_targets(alpha, counted):
    """[pixels] foreground confidence -> [pixels, 2] back- and foreground; ignored ones as 0."""
    foreground = alpha * counted
    return tf.stack([1.0 - foreground, foreground], axis=1)


def _check_arguments(labels, loss_weight, gt_is_matting_map):
    if labels is None:
        raise ValueError('No label for softmax cross entropy loss: `labels` is None.')
    if not gt_is_matting_map:
        return
    if not labels.dtype.is_floating:
        raise ValueError('Labels must be floats if groundtruth is a matting map. Received dtype '
                         '{} instead.'.format(labels.dtype.name))
    if loss_weight != 1.0:
        raise ValueError('loss_weight must equal to 1 if groundtruth is matting map. Received {} '
                         'instead.'.format(loss_weight))


def _match_sizes(logits, labels, upsample_logits):
    """Brings both to one size: logits up (bilinear) or labels down (nearest neighbour)."""
    sized = _sized_labels(logits, labels, upsample_logits)
    return (utils.resize_bilinear(logits, _size(labels)) if upsample_logits else logits), sized


def _sized_labels(logits, labels, upsample_logits):
    if upsample_logits:
        return labels
    # Nearest neighbour for matting maps too: the ignore value must not be blended with others.
    return tf.image.resize_nearest_neighbor(labels, _size(logits), align_corners=True)


def counted_pixels(logits, labels, ignore_label, upsample_logits=True):
    """Number of pixels a batch's loss is divided by: those that are not ignored.

    Args:
      logits: float32 [batch, h, w, classes].
      labels: int32 [batch, height, width, 1].
      ignore_label: label value that costs nothing.
      upsample_logits: as for the loss.

    Returns:
      A float32 scalar.
    """
    sized = _sized_labels(logits, labels, upsample_logits)
    return tf.reduce_sum(tf.cast(tf.not_equal(sized, ignore_label), tf.float32))


def add_softmax_cross_entropy_loss_for_each_scale(scales_to_logits,
                                                  labels,
                                                  num_classes,
                                                  ignore_label,
                                                  loss_weight=1.0,
                                                  upsample_logits=True,
                                                  hard_example_mining_step=0,
                                                  top_k_percent_pixels=1.0,
                                                  gt_is_matting_map=False,
                                                  scope=None):
    """Adds one loss a scale to the graph's loss collection.

    Args:
      scales_to_logits: dict from scale name to float32 logits [batch, h, w, num_classes].
      labels: int32 [batch, height, width, 1], values in 0..num_classes-1 or `ignore_label`;
        float32 in 0..1 (or `ignore_label`) for a matting map.
      num_classes: number of classes.
      ignore_label: pixels with this label cost nothing and are not counted in the divisor.
      loss_weight: one float for all classes, or a list of one float a class. Weights multiply the
        pixel losses and not the divisor.
      upsample_logits: bring logits up to the size of the labels; otherwise labels down.
      hard_example_mining_step: step at which mining has reached `top_k_percent_pixels`, coming
        linearly from 1; 0 mines fully from the start. Not read where `top_k_percent_pixels` is 1.
      top_k_percent_pixels: share in (0, 1] of the hardest pixels that make the loss; 1 takes all.
      gt_is_matting_map: labels are foreground confidences of a two-class problem.
      scope: prefix of the name scope of each loss, `<scope>_<scale name>`.

    Raises:
      ValueError: without labels, for a matting map of integers or with weights, and for weights
        of a wrong type or length.
    """
    _check_arguments(labels, loss_weight, gt_is_matting_map)
    mine = top_k_percent_pixels != 1.0
    default_name = 'softmax_hard_example_mining' if mine else 'softmax_all_pixel_loss'
    for scale_name, scale_logits in scales_to_logits.items():
        sized_logits, sized_labels = _match_sizes(scale_logits, labels, upsample_logits)
        flat_labels = tf.reshape(sized_labels, [-1])
        flat_logits = tf.reshape(sized_logits, [-1, num_classes])
        weights = utils.get_label_weight_mask(
            flat_labels, ignore_label, num_classes, label_weights=loss_weight)
        counted = tf.cast(tf.not_equal(flat_labels, ignore_label), tf.float32)
        if gt_is_matting_map:
            targets = _matting_targets(flat_labels, counted)
        else:
            targets = tf.one_hot(flat_labels, num_classes)

        loss_name = '{}_{}'.format(scope, scale_name) if scope else None
        with tf.name_scope(loss_name, default_name, [flat_logits, targets, weights]):
            pixel_losses = weights * tf.nn.softmax_cross_entropy_with_logits_v2(
                labels=tf.stop_gradient(targets), logits=flat_logits, name='pixel_losses')
            if mine:
                loss = _hardest_mean(pixel_losses, top_k_percent_pixels, hard_example_mining_step)
            else:
                loss = _share_of_sum(tf.reduce_sum(pixel_losses), tf.reduce_sum(counted))
            tf.losses.add_loss(loss)
