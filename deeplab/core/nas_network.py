"""Backbones found by architecture search: PNASNet-5 and Auto-DeepLab's (HNASNet).

Both are a stem of three convolutions, at stride 4, and twelve cells on the levels that
`nas_genotypes` lists.

PNASNet-5: Liu et al., arXiv 1712.00559. Auto-DeepLab: Liu et al., arXiv 1901.02985.
"""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import names
from deeplab.core import nas_cell
from deeplab.core import nas_genotypes
from deeplab.core import utils
from deeplab.errors import UserError
from deeplab.errors import nearest
from slim_nets import boundaries
from slim_nets import resnet_utils
from slim_nets.nasnet.hparams import HParams

# The level (stride 4 * 2^level) whose resolution `nas_remove_os32_stride` gives up.
_OS32_LEVEL = 3
# Filters of the classification head's convolutions on the way to stride 32.
_HEAD_FILTERS = {16: 512, 32: 1024}
_HEAD_OUTPUT_FILTERS = 2048


def config(num_conv_filters=20, total_training_steps=500000, drop_path_keep_prob=1.0) -> HParams:
    """Hyperparameters of a searched backbone.

    Args:
        num_conv_filters: filters of a cell at stride 4.
        total_training_steps: the step at which drop path reaches `drop_path_keep_prob`.
        drop_path_keep_prob: keep probability of drop path in the last cell at the end of training;
            1.0 drops nothing.

    Returns:
        HParams with these and `filter_scaling_rate`, the factor on the filters between levels.
    """
    return HParams(
        num_conv_filters=num_conv_filters, filter_scaling_rate=2.0,
        total_training_steps=total_training_steps, drop_path_keep_prob=drop_path_keep_prob)


def nas_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997, batch_norm_epsilon=0.001,
                  sync_batch_norm_method='None'):
    """Returns the arg scope of the backbones.

    Args:
        weight_decay: L2 factor of all convolutions' weights, the depthwise ones included.
        batch_norm_decay: of the moving averages.
        batch_norm_epsilon: added to the variance.
        sync_batch_norm_method: see `utils.get_batch_norm_fn`.
    """
    weighted = [slim.fully_connected, slim.conv2d, slim.separable_conv2d]
    # Uniform between -1 / sqrt(fan in) and 1 / sqrt(fan in).
    initializer = slim.variance_scaling_initializer(factor=1 / 3, mode='FAN_IN', uniform=True)
    with slim.arg_scope(
            weighted, activation_fn=None, weights_initializer=initializer,
            weights_regularizer=slim.l2_regularizer(weight_decay)), \
        slim.arg_scope(weighted[:1], scope='FC'), \
        slim.arg_scope(weighted[1:], biases_initializer=None), \
        slim.arg_scope([utils.get_batch_norm_fn(sync_batch_norm_method)], scale=True,
                       decay=batch_norm_decay, epsilon=batch_norm_epsilon) as scope:
        return scope


def _with_defaults(name, given, defaults):
    """Returns `defaults` updated by `given`, which may be None but name nothing new."""
    unknown = sorted(set(given or ()) - set(defaults))
    if unknown:
        raise ValueError('{} has an unknown key {!r}.{} Known: {}.'.format(
            name, unknown[0], nearest(unknown[0], defaults), ', '.join(sorted(defaults))))
    return dict(defaults, **(given or {}))


def _hyperparameters(num_conv_filters, given, is_training):
    """Returns the HParams of `config` with `nas_training_hyper_parameters` put in."""
    hparams = config(num_conv_filters=num_conv_filters)
    defaults = {name: hparams.get(name) for name in ('drop_path_keep_prob', 'total_training_steps')}
    hparams.override_from_dict(
        _with_defaults('nas_training_hyper_parameters', given, defaults))
    if not 0.0 < hparams.drop_path_keep_prob <= 1.0:
        raise UserError('drop_path_keep_prob must be above 0 and at most 1 (no drop path), got {}.'
                        .format(hparams.drop_path_keep_prob))
    if not is_training:
        hparams.set_hparam('drop_path_keep_prob', 1.0)
    return hparams


def _stem(images, batch_norm_fn):
    """Returns the normalised outputs, before activation, of the last two of three convolutions."""
    outputs, net = [], images
    for number, (filters, stride) in enumerate(((64, 2), (64, 1), (128, 2))):
        scope = 'conv{}'.format(number)
        net = resnet_utils.conv2d_same(net, filters, 3, stride=stride, scope=scope)
        outputs.append(batch_norm_fn(net, scope=scope + '_bn'))
        net = tf.nn.relu(outputs[-1])
    return outputs[1:]


def _cell_points(images, cell, backbone, filter_scaling_rate, batch_norm_fn, remove_os32_stride):
    """Builds stem and cells, yielding each end point as (name, tensor)."""
    outputs = _stem(images, batch_norm_fn)
    yield 'Stem', boundaries.mark(outputs[-1])
    level = 0
    for number, next_level in enumerate(backbone):
        net, stride = outputs[-1], 1
        # Without a resolution of stride 32, the cells of that level work at stride 16.
        same_resolution = remove_os32_stride and _OS32_LEVEL in (level, next_level)
        if next_level > level and not same_resolution:
            stride = 2
        elif next_level < level and not same_resolution:
            net = nas_cell.rescale(net, 2)
        outputs.append(cell(net, scope='cell_{}'.format(number), stride=stride,
                            filter_scaling=filter_scaling_rate ** next_level,
                            prev_layer=outputs[-2], cell_num=number))
        yield 'Cell_{}'.format(number), boundaries.mark(outputs[-1])
        level = next_level


def _head_strides(stride):
    """Returns the strides that the classification head steps through on the way to 32."""
    return [target for target in sorted(_HEAD_FILTERS) if target > stride]


def _head_points(net, stride, output_stride, num_classes, global_pool, batch_norm_fn):
    """Builds the classification head, yielding (name, end point, features for what follows).

    Args:
        net: activated features.
        stride: of the features.
        output_stride: of the logits: `stride` times a power of 2. Where it is less than 32, atrous
            convolutions stand for the strides left out.
        num_classes, global_pool, batch_norm_fn: see `_build`.
    """
    rate = 1
    for target in _head_strides(stride):
        step = 2 if target <= output_stride else 1
        rate *= 2 // step
        name = 'downsample_os{}'.format(target)
        net = resnet_utils.conv2d_same(net, _HEAD_FILTERS[target], 3, stride=step, rate=rate,
                                       scope=name + '_conv')
        normalised = batch_norm_fn(net, scope=name + '_bn')
        net = tf.nn.relu(normalised)
        yield name, normalised, net

    name = 'classification_head'
    net = slim.conv2d(net, _HEAD_OUTPUT_FILTERS, 1, scope=name + '_conv')
    normalised = batch_norm_fn(net, scope=name + '_bn')
    net = tf.nn.relu(normalised)
    if global_pool:
        net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
    yield name, normalised, net

    if num_classes:
        net = slim.conv2d(net, num_classes, 1, activation_fn=None, normalizer_fn=None,
                          scope='logits')
        yield 'predictions', slim.softmax(net, scope='predictions'), net


def _check_head(stride, output_stride):
    if output_stride % stride:
        raise UserError('With nas_use_classification_head, output_stride must be a multiple of the '
                        "features' stride {}, got {}.".format(stride, output_stride))


def _check_final_endpoint(name, backbone, head_stride, num_classes):
    known = ['Stem'] + ['Cell_{}'.format(number) for number in range(len(backbone))]
    if head_stride:
        known += ['downsample_os{}'.format(target) for target in _head_strides(head_stride)]
        known += ['classification_head'] + (['predictions'] if num_classes else [])
    if name and name not in known:
        raise ValueError('final_endpoint must be one of {}. Received instead: {!r}.'.format(
            ', '.join(known), name))


def _build(cell_class, backbone, images, num_classes, is_training, global_pool, output_stride,
           nas_architecture_options, nas_training_hyper_parameters, reuse, scope, final_endpoint,
           sync_batch_norm_method):
    """Builds the backbone that `cell_class` and `backbone` describe; the rest as in `pnasnet`."""
    options = _with_defaults('nas_architecture_options', nas_architecture_options,
                             names.default_nas_options())
    hparams = _hyperparameters(options[names.NAS_STEM_FILTERS],
                               nas_training_hyper_parameters, is_training)
    head_stride = 0
    if options[names.NAS_CLASSIFICATION_HEAD]:
        head_stride = 4 * 2 ** backbone[-1]
        _check_head(head_stride, output_stride)
    _check_final_endpoint(final_endpoint, backbone, head_stride, num_classes)
    batch_norm_fn = utils.get_batch_norm_fn(sync_batch_norm_method)
    cell = cell_class(hparams.num_conv_filters, hparams.drop_path_keep_prob, len(backbone),
                      hparams.total_training_steps, batch_norm_fn)

    end_points = {}
    with tf.variable_scope(scope, 'nas', [images], reuse=reuse), \
            slim.arg_scope([slim.dropout, batch_norm_fn], is_training=is_training):
        for name, net in _cell_points(images, cell, backbone, hparams.filter_scaling_rate,
                                      batch_norm_fn, options[names.NAS_REMOVE_OS32_STRIDE]):
            end_points[name] = net
            if name == final_endpoint:
                return net, end_points
        net = tf.nn.relu(net)
        if head_stride:
            for name, end_points[name], net in _head_points(
                    net, head_stride, output_stride, num_classes, global_pool, batch_norm_fn):
                if name == final_endpoint:
                    return end_points[name], end_points
    return net, end_points


def pnasnet(images, num_classes, is_training=True, global_pool=False, output_stride=16,
            nas_architecture_options=None, nas_training_hyper_parameters=None, reuse=None,
            scope='pnasnet', final_endpoint=None, sync_batch_norm_method='None'):
    """Builds PNASNet-5 for dense prediction.

    Args:
        images: float [batch, height, width, 3], between -1 and 1; any size.
        num_classes: number of classes of the classification head, if there is one; 0 or None:
            features only.
        is_training: Python bool: drop path, and batch norm by the batch's own statistics.
        global_pool: average the classification head's features over height and width.
        output_stride: 8, 16 or 32, ratio of the input's to the output's resolution.
        nas_architecture_options: dict or None, with some of
            nas_stem_output_num_conv_filters: filters of a cell at stride 4 (20);
            nas_use_classification_head: add the head of ImageNet training (False);
            nas_remove_os32_stride: cells of stride 32 work at stride 16 (False).
        nas_training_hyper_parameters: dict or None, with some of drop_path_keep_prob (1.0) and
            total_training_steps (500000).
        reuse: whether to reuse the variables of `scope`.
        scope: variable scope.
        final_endpoint: name of the end point to stop at and to return, before its activation.
        sync_batch_norm_method: see `utils.get_batch_norm_fn`.

    Returns:
        (net, end points). `net` is the activated output of the last cell, [batch, ceil(height /
        output_stride), ..., 5 * filters], or with a head its features, [..., 2048], or logits,
        [..., num_classes]. The dict holds 'Stem', 'Cell_0' to 'Cell_11', with a head
        'downsample_os16' and 'downsample_os32' where the features are of lower stride,
        'classification_head', and with classes 'predictions'.

    Raises:
        UserError: an output stride or keep probability that is not possible.
        ValueError: unknown options or `final_endpoint`.
    """
    backbones = nas_genotypes.PNAS_BACKBONES
    if output_stride not in backbones:
        raise UserError('output_stride must be 8, 16 or 32 with model_variant nas_pnasnet, got {}.'
                        .format(output_stride))
    return _build(nas_genotypes.PNASCell, backbones[output_stride], images, num_classes,
                  is_training, global_pool, output_stride, nas_architecture_options,
                  nas_training_hyper_parameters, reuse, scope, final_endpoint,
                  sync_batch_norm_method)


def hnasnet(images, num_classes, is_training=True, global_pool=False, output_stride=8,
            nas_architecture_options=None, nas_training_hyper_parameters=None, reuse=None,
            scope='hnasnet', final_endpoint=None, sync_batch_norm_method='None'):
    """Builds Auto-DeepLab's backbone, whose cells go down to stride 32 and up again.

    Args:
        output_stride: used by the classification head alone: without it, features come at
            stride 8 whatever this says.
        images, num_classes, is_training, global_pool, nas_architecture_options,
        nas_training_hyper_parameters, reuse, scope, final_endpoint, sync_batch_norm_method: as in
            `pnasnet`.

    Returns, raises:
        As `pnasnet`.
    """
    return _build(nas_genotypes.HNASCell, nas_genotypes.HNAS_BACKBONE, images, num_classes,
                  is_training, global_pool, output_stride, nas_architecture_options,
                  nas_training_hyper_parameters, reuse, scope, final_endpoint,
                  sync_batch_norm_method)
