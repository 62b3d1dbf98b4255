"""NASNet-A for CIFAR and ImageNet.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", arXiv 1707.07012.
"""
import tf_slim as slim

from slim_nets.nasnet import cells
from slim_nets.nasnet import layers
from slim_nets.nasnet import stages
from slim_nets.nasnet.hparams import HParams

_COMMON = dict(
    data_format=layers.DATA_FORMAT_NHWC,
    filter_scaling_rate=2.0,
    num_reduction_layers=2,
    use_aux_head=1,
    use_bounded_activation=False)


def cifar_config() -> HParams:
    """Hyperparameters of NASNet-A (6 @ 768) on CIFAR-10; 937500 steps are 600 epochs of batch 32.

    All configurations have:
        stem_multiplier: factor on the filters of the first convolution.
        drop_path_keep_prob, total_training_steps: the drop path schedule.
        num_cells: number of cells, those that NASNet-A's reduction cells add not counted.
        num_conv_filters: filters of the cells at full resolution (ImageNet: at 1/8).
        filter_scaling_rate: factor on the filters where resolution is halved.
        num_reduction_layers: how often it is halved after the stem.
        skip_reduction_layer_input: 1: the cell after a reduction cell does not see that
            reduction cell's input.
        use_aux_head: 1: an auxiliary classifier in training.
        dense_dropout_keep_prob: keep probability of the dropout before the classifier.
        data_format: 'NHWC' or 'NCHW'.
        use_bounded_activation: bounds for 8-bit inference.
    """
    return HParams(
        num_cells=18, num_conv_filters=32, stem_multiplier=3.0, skip_reduction_layer_input=0,
        drop_path_keep_prob=0.6, dense_dropout_keep_prob=1.0, total_training_steps=937500,
        **_COMMON)


def large_imagenet_config() -> HParams:
    """Hyperparameters of NASNet-A (6 @ 4032) on ImageNet, 331 x 331; names: `cifar_config`."""
    return HParams(
        num_cells=18, num_conv_filters=168, stem_multiplier=3.0, skip_reduction_layer_input=1,
        drop_path_keep_prob=0.7, dense_dropout_keep_prob=0.5, total_training_steps=250000,
        **_COMMON)


def mobile_imagenet_config() -> HParams:
    """Hyperparameters of NASNet-A (4 @ 1056) on ImageNet, 224 x 224; names: `cifar_config`."""
    return HParams(
        num_cells=12, num_conv_filters=44, stem_multiplier=1.0, skip_reduction_layer_input=0,
        drop_path_keep_prob=1.0, dense_dropout_keep_prob=0.5, total_training_steps=250000,
        **_COMMON)


def nasnet_cifar_arg_scope(weight_decay=5e-4, batch_norm_decay=0.9, batch_norm_epsilon=1e-5):
    """Returns the arg scope of `build_nasnet_cifar`; arguments: `stages.arg_scope`."""
    return stages.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_mobile_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
    """Returns the arg scope of `build_nasnet_mobile`; arguments: `stages.arg_scope`."""
    return stages.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_large_arg_scope(weight_decay=5e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
    """Returns the arg scope of `build_nasnet_large`; arguments: `stages.arg_scope`."""
    return stages.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def _end_points(images, hparams, is_training, num_classes, on_imagenet, current_step):
    """Builds the network, yielding each end point as (name, tensor)."""
    stem_cells = 2 if on_imagenet else 0
    # The depth that drop path counts includes the cells that halve the resolution.
    depth = hparams.num_cells + hparams.num_reduction_layers + stem_cells
    normal, reduction = (
        cell(hparams.num_conv_filters, hparams.drop_path_keep_prob, depth,
             hparams.total_training_steps, hparams.use_bounded_activation)
        for cell in (cells.NasNetANormalCell, cells.NasNetAReductionCell))
    outputs = (stages.imagenet_stem(images, hparams, reduction, current_step) if on_imagenet
               else stages.cifar_stem(images, hparams))
    yield 'Stem', outputs[-1]

    reductions = layers.calc_reduction_layers(hparams.num_cells, hparams.num_reduction_layers)
    auxiliary = stages.auxiliary_cell(hparams, num_classes, is_training)
    scaling = 1.0
    for number in range(hparams.num_cells):
        true_number = stem_cells + number + sum(first <= number for first in reductions)
        before = outputs[-2]
        if number in reductions:
            scaling *= hparams.filter_scaling_rate
            name = 'reduction_cell_{}'.format(reductions.index(number))
            outputs.append(reduction(outputs[-1], name, scaling, 2, before, true_number - 1,
                                     current_step))
            yield name.title(), outputs[-1]
            if not hparams.skip_reduction_layer_input:
                before = outputs[-2]
        outputs.append(normal(outputs[-1], 'cell_{}'.format(number), scaling, 1, before,
                              true_number, current_step))
        yield 'Cell_{}'.format(number), outputs[-1]
        if number == auxiliary:
            yield 'AuxLogits', stages.auxiliary_logits(
                outputs[-1], num_classes, hparams, 'aux_{}'.format(number))
    yield from stages.classifier(outputs[-1], num_classes, hparams)


def _build(default_config, on_imagenet, images, num_classes, is_training, final_endpoint, config,
           current_step):
    images, hparams = stages.prepare(images, config, default_config, is_training)
    with slim.arg_scope(stages.mode_scope(hparams, is_training)):
        points = _end_points(images, hparams, is_training, num_classes, on_imagenet, current_step)
        return stages.collect(points, final_endpoint)


def build_nasnet_cifar(images, num_classes, is_training=True, config=None, current_step=None):
    """Builds NASNet-A for images about 32 x 32.

    Args:
        images: float [batch, height, width, 3], of statically known size.
        num_classes: number of classes; 0 or None: no classifier, features only.
        is_training: Python bool: dropout, drop path, auxiliary head, batch statistics.
        config: hyperparameters; None: `cifar_config()`.
        current_step: scalar tensor, the step in the drop path schedule; None: the global step.

    Returns:
        (logits [batch, num_classes], end points): a dict with 'Stem', 'Cell_<n>',
        'Reduction_Cell_<n>', 'global_pool', 'Logits', 'Predictions' and, in training, 'AuxLogits'.
        Without classes the first is 'global_pool', [batch, channels].
    """
    return _build(cifar_config, False, images, num_classes, is_training, None, config,
                  current_step)


def build_nasnet_mobile(images, num_classes, is_training=True, final_endpoint=None, config=None,
                        current_step=None):
    """Builds NASNet-A (4 @ 1056), for ImageNet at 224 x 224: 5.3 million parameters.

    Args:
        final_endpoint: name of the end point to stop at and to return in place of the logits.
        config: hyperparameters; None: `mobile_imagenet_config()`.
        images, num_classes, is_training, current_step: as in `build_nasnet_cifar`.

    Returns:
        As `build_nasnet_cifar`.

    Raises:
        ValueError: there is no such `final_endpoint`.
    """
    return _build(mobile_imagenet_config, True, images, num_classes, is_training, final_endpoint,
                  config, current_step)


def build_nasnet_large(images, num_classes, is_training=True, final_endpoint=None, config=None,
                       current_step=None):
    """Builds NASNet-A (6 @ 4032), for ImageNet at 331 x 331: 88.9 million parameters.

    Arguments, result and errors are those of `build_nasnet_mobile`; the default configuration is
    `large_imagenet_config()`.
    """
    return _build(large_imagenet_config, True, images, num_classes, is_training, final_endpoint,
                  config, current_step)


build_nasnet_cifar.default_image_size = 32
build_nasnet_mobile.default_image_size = 224
build_nasnet_large.default_image_size = 331
