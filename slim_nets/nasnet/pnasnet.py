"""PNASNet-5 for ImageNet.

Liu et al., "Progressive Neural Architecture Search", arXiv 1712.00559.
"""
import tf_slim as slim

from slim_nets.nasnet import cells
from slim_nets.nasnet import layers
from slim_nets.nasnet import nasnet
from slim_nets.nasnet import stages
from slim_nets.nasnet.hparams import HParams


def large_imagenet_config() -> HParams:
    """Hyperparameters of PNASNet-5 (N = 4, F = 216); names: `nasnet.cifar_config`."""
    return nasnet.large_imagenet_config().override_from_dict(
        dict(num_cells=12, num_conv_filters=216, drop_path_keep_prob=0.6))


def mobile_imagenet_config() -> HParams:
    """Hyperparameters of PNASNet-5 (N = 3, F = 54); names: `nasnet.cifar_config`."""
    return nasnet.mobile_imagenet_config().override_from_dict(
        dict(num_cells=9, num_conv_filters=54, skip_reduction_layer_input=1))


def pnasnet_large_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
    """Returns the arg scope of `build_pnasnet_large`; arguments: `stages.arg_scope`."""
    return stages.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def pnasnet_mobile_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
    """Returns the arg scope of `build_pnasnet_mobile`; arguments: `stages.arg_scope`."""
    return stages.arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


class PNasNetNormalCell(cells.FixedCell):
    """The one cell of PNASNet-5, strided or not (arXiv 1712.00559, figure 1, left)."""

    GENOTYPE = cells.Genotype(
        operations=('separable_5x5_2', 'max_pool_3x3',
                    'separable_7x7_2', 'max_pool_3x3',
                    'separable_5x5_2', 'separable_3x3_2',
                    'separable_3x3_2', 'max_pool_3x3',
                    'separable_3x3_2', 'none'),
        used_hiddenstates=(1, 1, 0, 0, 0, 0, 0),
        hiddenstate_indices=(1, 1, 0, 0, 0, 0, 4, 0, 1, 0))


def _end_points(images, hparams, is_training, num_classes):
    """Builds the network, yielding each end point as (name, tensor)."""
    # The two cells of the stem count, as in the drop path schedule of the paper's networks.
    cell = PNasNetNormalCell(
        hparams.num_conv_filters, hparams.drop_path_keep_prob, hparams.num_cells + 2,
        hparams.total_training_steps, hparams.use_bounded_activation)
    outputs = stages.imagenet_stem(images, hparams, cell)
    yield 'Stem', outputs[-1]

    reductions = layers.calc_reduction_layers(hparams.num_cells, hparams.num_reduction_layers)
    auxiliary = stages.auxiliary_cell(hparams, num_classes, is_training)
    scaling, before = 1.0, None
    for number in range(hparams.num_cells):
        halve = number in reductions
        if halve:
            scaling *= hparams.filter_scaling_rate
        if hparams.skip_reduction_layer_input or not halve:
            before = outputs[-2]
        outputs.append(cell(outputs[-1], 'cell_{}'.format(number), scaling, 2 if halve else 1,
                            before, number + 2))
        yield 'Cell_{}'.format(number), outputs[-1]
        if number == auxiliary:
            yield 'AuxLogits', stages.auxiliary_logits(
                outputs[-1], num_classes, hparams, 'aux_{}'.format(number))
    yield from stages.classifier(outputs[-1], num_classes, hparams)


def _build(default_config, images, num_classes, is_training, final_endpoint, config):
    images, hparams = stages.prepare(images, config, default_config, is_training)
    with slim.arg_scope(stages.mode_scope(hparams, is_training)):
        return stages.collect(
            _end_points(images, hparams, is_training, num_classes), final_endpoint)


def build_pnasnet_large(images, num_classes, is_training=True, final_endpoint=None, config=None):
    """Builds PNASNet-5 (N = 4, F = 216), for ImageNet at 331 x 331: 86.1 million parameters.

    Args:
        images: float [batch, height, width, 3], of statically known size.
        num_classes: number of classes; 0 or None: no classifier, features only.
        is_training: Python bool: dropout, drop path, auxiliary head, batch statistics.
        final_endpoint: name of the end point to stop at and to return in place of the logits.
        config: hyperparameters; None: `large_imagenet_config()`.

    Returns:
        (logits [batch, num_classes], end points): a dict with 'Stem', 'Cell_<n>', 'global_pool',
        'Logits', 'Predictions' and, in training, 'AuxLogits'. Without classes the first is
        'global_pool', [batch, channels].

    Raises:
        ValueError: there is no such `final_endpoint`.
    """
    return _build(large_imagenet_config, images, num_classes, is_training, final_endpoint, config)


def build_pnasnet_mobile(images, num_classes, is_training=True, final_endpoint=None, config=None):
    """Builds PNASNet-5 (N = 3, F = 54), for ImageNet at 224 x 224: 5.1 million parameters.

    Arguments, result and errors are those of `build_pnasnet_large`; the default configuration is
    `mobile_imagenet_config()`.
    """
    return _build(mobile_imagenet_config, images, num_classes, is_training, final_endpoint, config)


build_pnasnet_large.default_image_size = 331
build_pnasnet_mobile.default_image_size = 224
