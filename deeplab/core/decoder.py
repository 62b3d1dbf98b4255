"""The decoder: refines features by low-level ones of the backbone."""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import errors
from deeplab.core import feature_extractor
from deeplab.core import head_scope
from deeplab.core import utils

DECODER_SCOPE = 'decoder'
# Width that low-level features are reduced to, lest they outweigh the rich ones (arXiv 1802.02611,
# section 4.1).
LOW_LEVEL_FILTERS = 48


def low_level_end_point(model_variant, output_stride):
    """Returns the name of the end point that serves the decoder at `output_stride`.

    Raises:
        UserError: the backbone has none there.
    """
    record = feature_extractor.get_backbone(model_variant)
    if output_stride not in record.decoder_end_points:
        raise errors.UserError(
            '--decoder_output_stride={}: {} has no low-level features at that stride. {}'.format(
                output_stride, model_variant,
                'It offers {}.'.format(sorted(record.decoder_end_points))
                if record.decoder_end_points else 'It offers none: leave the flag out.'))
    return record.end_point_name(record.decoder_end_points[output_stride])


class _Merge:
    """How the decoder joins its features with one low-level feature."""

    def __init__(self, filters, is_logits, use_separable_conv, weight_decay):
        self._filters = filters
        # Logits come from plain 1x1 convolutions: nothing may follow a sum of linear layers.
        self._kernel_size = 1 if is_logits else 3
        self._separable = use_separable_conv and not is_logits
        self._weight_decay = weight_decay

    def _separable_conv(self, features, scope):
        return utils.split_separable_conv2d(features, filters=self._filters, rate=1,
                                            weight_decay=self._weight_decay, scope=scope)

    def by_sum(self, features, low_level, suffix):
        if self._separable:
            return self._separable_conv(features, 'decoder_split_sep_conv0' + suffix) + low_level
        return slim.conv2d(features, self._filters, self._kernel_size,
                           scope='decoder_conv0' + suffix) + low_level

    def by_concat(self, features, low_level, suffix):
        joined = tf.concat([features, low_level], 3)
        if not self._separable:
            return slim.repeat(joined, 2, slim.conv2d, self._filters, self._kernel_size,
                               scope='decoder_conv0' + suffix)
        for layer in ('decoder_conv0', 'decoder_conv1'):
            joined = self._separable_conv(joined, layer + suffix)
        return joined


def _resize(features, size):
    resized = utils.resize_bilinear(features, size, features.dtype)
    resized.set_shape([None] + [None if tf.is_tensor(side) else side for side in size] + [None])
    return resized


def decode(features, end_points, crop_size, decoder_output_stride, use_separable_conv=False,
           use_sum_merge=False, filters=256, output_is_logits=False, model_variant=None,
           weight_decay=0.0001, reuse=None, train_batch_norm=False, use_bounded_activation=False,
           sync_batch_norm_method='None', batch_norm_decay=utils.DEFAULT_BATCH_NORM_DECAY):
    """Refines features stage by stage; see `deeplab.model.refine_by_decoder` for the arguments."""
    merge = _Merge(filters, output_is_logits, use_separable_conv, weight_decay)
    join = merge.by_sum if use_sum_merge else merge.by_concat
    # A sum needs equal widths.
    low_level_filters = filters if use_sum_merge else LOW_LEVEL_FILTERS
    activation_fn = None if output_is_logits else head_scope.activation(use_bounded_activation)
    with head_scope.head_arg_scope(weight_decay, train_batch_norm, activation_fn=activation_fn,
                                   with_batch_norm=not output_is_logits, reuse=reuse,
                                   sync_batch_norm_method=sync_batch_norm_method,
                                   batch_norm_decay=batch_norm_decay):
        with tf.variable_scope(DECODER_SCOPE, DECODER_SCOPE, [features], reuse=reuse):
            for stage, stride in enumerate(decoder_output_stride):
                suffix = '_{}'.format(stage) if stage else ''
                size = [utils.scale_dimension(side, 1.0 / stride) for side in crop_size]
                low_level = slim.conv2d(
                    end_points[low_level_end_point(model_variant, stride)], low_level_filters, 1,
                    scope='feature_projection0' + suffix)
                features = join(_resize(features, size), _resize(low_level, size), suffix)
    return features
