"""The DeepLab model: wires backbone, head, decoder and logits, and predicts with them.

Papers: DeepLabv1 arXiv 1412.7062, v2 1606.00915, v3 1706.05587, v3+ 1802.02611, dense prediction
cell 1809.04184. Images are [batch, height, width, 3] in 0..255 everywhere; the backbone's own
scaling happens inside.
"""
import tensorflow.compat.v1 as tf

from deeplab.core import aspp
from deeplab.core import backbone
from deeplab.core import decoder
from deeplab.core import dense_prediction_cell
from deeplab.core import feature_extractor
from deeplab.core import head_scope
from deeplab.core import logits as logits_layer
from deeplab.core import utils
from deeplab.core.aspp import ASPP_SCOPE, CONCAT_PROJECTION_SCOPE
from deeplab.core.decoder import DECODER_SCOPE
from deeplab.core.dense_prediction_cell import META_ARCHITECTURE_SCOPE
from deeplab.core.image_pooling import IMAGE_POOLING_SCOPE
from deeplab.core.logits import LOGITS_SCOPE_NAME
from slim_nets import boundaries

MERGED_LOGITS_SCOPE = 'merged_logits'
PROB_SUFFIX = '_prob'

_HEAD_SCOPES = (LOGITS_SCOPE_NAME, IMAGE_POOLING_SCOPE, ASPP_SCOPE, CONCAT_PROJECTION_SCOPE,
                DECODER_SCOPE, META_ARCHITECTURE_SCOPE)


def get_extra_layer_scopes(last_layers_contain_logits_only=False):
    """Returns the scopes of the layers on top of the backbone.

    Args:
        last_layers_contain_logits_only: only the logits count as such.
    """
    return [LOGITS_SCOPE_NAME] if last_layers_contain_logits_only else list(_HEAD_SCOPES)


def _size_of(images, model_options):
    """Returns the input's [height, width]: the crop's, or the tensor's where there is no crop."""
    if model_options.crop_size is not None:
        return list(model_options.crop_size)
    shape = tf.shape(images)
    return [shape[1], shape[2]]


def _of_known_size(images, model_options):
    """Tells the graph the images' size where the crop says it.

    A smaller or larger image would be an error later on. Without the size, TensorFlow 2.21 on a
    CPU ends the whole process at a small convolution of unknown input size.
    """
    crop_size = model_options.crop_size
    if images.shape[1:3].is_fully_defined() or crop_size is None or any(
            tf.is_tensor(side) for side in crop_size):
        return images
    return tf.ensure_shape(images, [None] + list(crop_size) + [None])


def _resize_like(values, images):
    return utils.resize_bilinear(values, tf.shape(images)[1:3], values.dtype)


def extract_features(images, model_options, weight_decay=0.0001, reuse=None, is_training=False,
                     fine_tune_batch_norm=False, nas_training_hyper_parameters=None):
    """Runs the backbone and, unless `aspp_with_batch_norm` is off, the head on it.

    Args:
        images: [batch, height, width, 3], 0..255.
        model_options: a ModelOptions.
        weight_decay: L2 factor of the weights.
        reuse: whether to reuse the variables.
        is_training: whether the network is being trained.
        fine_tune_batch_norm: whether batch norm's statistics are, too.
        nas_training_hyper_parameters: dict with 'drop_path_keep_prob', 'total_training_steps'.

    Returns:
        (features [batch, feature height, feature width, channels], dict of end points).
    """
    settings = backbone.Settings(
        output_stride=model_options.output_stride, multi_grid=model_options.multi_grid,
        depth_multiplier=model_options.depth_multiplier, divisible_by=model_options.divisible_by,
        final_endpoint=None, weight_decay=weight_decay, reuse=reuse, is_training=is_training,
        fine_tune_batch_norm=fine_tune_batch_norm, regularize_depthwise=False, num_classes=None,
        global_pool=False, nas_architecture_options=model_options.nas_architecture_options,
        nas_training_hyper_parameters=nas_training_hyper_parameters,
        use_bounded_activation=model_options.use_bounded_activation,
        batch_norm_decay=model_options.batch_norm_decay,
        sync_batch_norm_method=model_options.sync_batch_norm_method)
    features, end_points = feature_extractor.build_features(
        images, model_options.model_variant, settings,
        preprocessed_images_dtype=model_options.preprocessed_images_dtype)
    if not model_options.aspp_with_batch_norm:
        return features, end_points
    if model_options.dense_prediction_cell_config is not None:
        # The cell's rates are told for output stride 16.
        multiplier = dense_prediction_cell.conv_rate_multiplier(model_options.output_stride)
        cell = dense_prediction_cell.DensePredictionCell(
            model_options.dense_prediction_cell_config, {'conv_rate_multiplier': multiplier})
        return cell.build_cell(
            features, output_stride=model_options.output_stride,
            crop_size=model_options.crop_size,
            image_pooling_crop_size=model_options.image_pooling_crop_size,
            weight_decay=weight_decay, reuse=reuse, is_training=is_training,
            fine_tune_batch_norm=fine_tune_batch_norm), end_points
    with head_scope.head_arg_scope(
            weight_decay, backbone.trains_batch_norm(settings), reuse=reuse,
            activation_fn=head_scope.activation(model_options.use_bounded_activation),
            sync_batch_norm_method=model_options.sync_batch_norm_method,
            batch_norm_decay=model_options.batch_norm_decay):
        return aspp.aspp(features, model_options, weight_decay, is_training), end_points


def refine_by_decoder(features, end_points, crop_size=None, decoder_output_stride=None,
                      decoder_use_separable_conv=False, decoder_use_sum_merge=False,
                      decoder_filters=256, decoder_output_is_logits=False, model_variant=None,
                      weight_decay=0.0001, reuse=None, is_training=False,
                      fine_tune_batch_norm=False, use_bounded_activation=False,
                      sync_batch_norm_method='None'):
    """Refines features with low-level ones (DeepLabv3+, arXiv 1802.02611, section 3.1).

    Args:
        features: [batch, height, width, channels].
        end_points: the backbone's end points.
        crop_size: [height, width] of the network's input.
        decoder_output_stride: strides of the low-level features, highest first.
        decoder_use_separable_conv: depthwise separable convolutions.
        decoder_use_sum_merge: add the two inputs instead of concatenating them.
        decoder_filters: filters of the convolutions.
        decoder_output_is_logits: the output is the logits: one linear 1x1 convolution each.
        model_variant: name of the backbone.
        weight_decay: L2 factor of the weights.
        reuse: whether to reuse the variables.
        is_training, fine_tune_batch_norm: batch norm trains where both hold.
        use_bounded_activation: ReLU6 in place of ReLU.
        sync_batch_norm_method: see `deeplab.core.utils.get_batch_norm_fn`.

    Returns:
        [batch, height, width, decoder_filters] at the lowest of the strides.

    Raises:
        ValueError: no crop size.
        UserError: the backbone has no low-level features at one of the strides.
    """
    if crop_size is None:
        raise ValueError('The decoder needs crop_size, [height, width] of its input. Received '
                         'instead: None.')
    return decoder.decode(
        features, end_points, crop_size, decoder_output_stride,
        use_separable_conv=decoder_use_separable_conv, use_sum_merge=decoder_use_sum_merge,
        filters=decoder_filters, output_is_logits=decoder_output_is_logits,
        model_variant=model_variant, weight_decay=weight_decay, reuse=reuse,
        train_batch_norm=is_training and fine_tune_batch_norm,
        use_bounded_activation=use_bounded_activation,
        sync_batch_norm_method=sync_batch_norm_method)


def get_branch_logits(features, num_classes, atrous_rates=None, aspp_with_batch_norm=False,
                      kernel_size=1, weight_decay=0.0001, reuse=None, scope_suffix=''):
    """Adds the logits layer; see `deeplab.core.logits.branch_logits`."""
    return logits_layer.branch_logits(
        features, num_classes, atrous_rates=atrous_rates,
        aspp_with_batch_norm=aspp_with_batch_norm, kernel_size=kernel_size,
        weight_decay=weight_decay, reuse=reuse, scope_suffix=scope_suffix)


def _single_scale_logits(images, model_options, weight_decay, reuse, is_training,
                         fine_tune_batch_norm, nas_training_hyper_parameters):
    """Returns dict: output name -> [batch, logits height, logits width, classes]."""
    features, end_points = extract_features(
        images, model_options, weight_decay=weight_decay, reuse=reuse, is_training=is_training,
        fine_tune_batch_norm=fine_tune_batch_norm,
        nas_training_hyper_parameters=nas_training_hyper_parameters)
    boundaries.mark(features)
    if model_options.decoder_output_stride:
        features = boundaries.mark(decoder.decode(
            features, end_points, _size_of(images, model_options),
            model_options.decoder_output_stride,
            use_separable_conv=model_options.decoder_use_separable_conv,
            use_sum_merge=model_options.decoder_use_sum_merge,
            filters=model_options.decoder_filters,
            output_is_logits=model_options.decoder_output_is_logits,
            model_variant=model_options.model_variant, weight_decay=weight_decay, reuse=reuse,
            train_batch_norm=is_training and fine_tune_batch_norm,
            use_bounded_activation=model_options.use_bounded_activation,
            sync_batch_norm_method=model_options.sync_batch_norm_method,
            batch_norm_decay=model_options.batch_norm_decay))
    outputs_to_logits = {}
    for output, num_classes in sorted(model_options.outputs_to_num_classes.items()):
        if model_options.decoder_output_is_logits:
            outputs_to_logits[output] = tf.identity(features, name=output)
        else:
            outputs_to_logits[output] = get_branch_logits(
                features, num_classes, model_options.atrous_rates,
                aspp_with_batch_norm=model_options.aspp_with_batch_norm,
                kernel_size=model_options.logits_kernel_size, weight_decay=weight_decay,
                reuse=reuse, scope_suffix=output)
    return outputs_to_logits


def _at_scale(images, model_options, scale):
    """Returns (images, model options) resized by `scale`."""
    if scale == 1.0:
        return images, model_options
    size = [utils.scale_dimension(side, scale) for side in _size_of(images, model_options)]
    channels = images.shape[3]
    scaled = utils.resize_bilinear(images, size, images.dtype)
    pooling_size = model_options.image_pooling_crop_size
    if model_options.crop_size is None:
        scaled.set_shape([None, None, None, channels])
        return scaled, model_options
    scaled.set_shape([None] + size + [channels])
    if pooling_size:
        pooling_size = [utils.scale_dimension(side, scale) for side in pooling_size]
    return scaled, model_options._replace(crop_size=size, image_pooling_crop_size=pooling_size)


def _merge(scaled_logits, merge_method):
    reduce = {'max': tf.reduce_max, 'avg': tf.reduce_mean}[merge_method]
    return reduce(tf.stack(scaled_logits, axis=4), axis=4)


def multi_scale_logits(images, model_options, image_pyramid, weight_decay=0.0001,
                       is_training=False, fine_tune_batch_norm=False,
                       nas_training_hyper_parameters=None):
    """Computes the logits of the images at several scales, and merges them.

    Args:
        images: [batch, height, width, 3], 0..255.
        model_options: a ModelOptions.
        image_pyramid: scales; None or empty for 1.0 alone.
        weight_decay: L2 factor of the weights.
        is_training: whether the network is being trained.
        fine_tune_batch_norm: whether batch norm's statistics are, too.
        nas_training_hyper_parameters: dict with 'drop_path_keep_prob', 'total_training_steps'.

    Returns:
        Dict: output name -> dict with MERGED_LOGITS_SCOPE and, for several scales, 'logits_1.00'
        and so on; each [batch, logits height, logits width, classes], all of one size.
    """
    scales = list(image_pyramid or [1.0])
    images = _of_known_size(images, model_options)
    stride = min(model_options.decoder_output_stride or [model_options.output_stride])
    size = [utils.scale_dimension(side, max(1.0, max(scales)) / stride)
            for side in _size_of(images, model_options)]
    results = {output: {} for output in model_options.outputs_to_num_classes}
    for scale in scales:
        scaled_images, scaled_options = _at_scale(images, model_options, scale)
        outputs_to_logits = _single_scale_logits(
            scaled_images, scaled_options, weight_decay, tf.AUTO_REUSE, is_training,
            fine_tune_batch_norm, nas_training_hyper_parameters)
        for output, logits in sorted(outputs_to_logits.items()):
            name = MERGED_LOGITS_SCOPE if len(scales) == 1 else 'logits_{:.2f}'.format(scale)
            results[output][name] = utils.resize_bilinear(logits, size, logits.dtype)
    if len(scales) > 1:
        for by_scale in results.values():
            by_scale[MERGED_LOGITS_SCOPE] = _merge(list(by_scale.values()),
                                                   model_options.merge_method)
    return results


def predict_labels(images, model_options, image_pyramid=None):
    """Predicts labels and probabilities.

    Args:
        images: [batch, height, width, 3], 0..255.
        model_options: a ModelOptions.
        image_pyramid: scales whose logits are merged, or None.

    Returns:
        Dict: output name -> int64 labels [batch, height, width]; output name + PROB_SUFFIX ->
        float32 probabilities [batch, height, width, classes].
    """
    results = multi_scale_logits(images, model_options, image_pyramid=image_pyramid)
    predictions = {}
    for output in sorted(results):
        logits = results[output][MERGED_LOGITS_SCOPE]
        if model_options.prediction_with_upsampled_logits:
            logits = _resize_like(logits, images)
            predictions[output] = tf.argmax(logits, 3)
            predictions[output + PROB_SUFFIX] = tf.nn.softmax(logits)
        else:
            labels = tf.image.resize_nearest_neighbor(
                tf.expand_dims(tf.argmax(logits, 3, output_type=tf.int32), 3),
                tf.shape(images)[1:3], align_corners=True, name='resize_prediction')
            predictions[output] = tf.cast(tf.squeeze(labels, 3), tf.int64)
            predictions[output + PROB_SUFFIX] = _resize_like(tf.nn.softmax(logits), images)
    return predictions


def predict_labels_multi_scale(images, model_options, eval_scales=(1.0,),
                               add_flipped_images=False):
    """Predicts from the mean of the probabilities at several scales, mirrored too if asked for.

    Args:
        images: [batch, height, width, 3], 0..255.
        model_options: a ModelOptions.
        eval_scales: scales of the images.
        add_flipped_images: also predict on the images mirrored left to right.

    Returns:
        As `predict_labels`; the probabilities are the mean of the softmaxes.
    """
    outputs = sorted(model_options.outputs_to_num_classes)
    probabilities = {output: [] for output in outputs}
    for number, scale in enumerate(eval_scales):
        for mirrored in ([False, True] if add_flipped_images else [False]):
            def mirror(values, when=mirrored):
                return tf.reverse(values, [2]) if when else values

            with tf.variable_scope(tf.get_variable_scope(),
                                   reuse=True if number or mirrored else None):
                results = multi_scale_logits(mirror(images), model_options,
                                             image_pyramid=[scale])
            for output in outputs:
                logits = mirror(results[output][MERGED_LOGITS_SCOPE])
                probabilities[output].append(tf.nn.softmax(_resize_like(logits, images)))
    predictions = {}
    for output in outputs:
        mean = tf.add_n(probabilities[output]) / len(probabilities[output])
        predictions[output] = tf.argmax(mean, 3)
        predictions[output + PROB_SUFFIX] = mean
    return predictions
