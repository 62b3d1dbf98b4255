"""The registry of backbones, and feature extraction by any of them.

A new backbone is one more record below, and one more network file.
"""
import functools

import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import errors
from deeplab.core import backbone
from deeplab.core import families
from deeplab.core import mobilenet_families as mobilenets
from deeplab.core import nas_network
from deeplab.core import resnet_v1_beta as resnet
from deeplab.core import xception
from deeplab.core.mobilenet_families import (mobilenet_edgetpu, mobilenet_v2,
                                             mobilenet_v2_arg_scope,  # noqa: F401 (public name)
                                             mobilenet_v3_large_seg, mobilenet_v3_small_seg)
from slim_nets import resnet_v2

DECODER_END_POINTS = 'decoder_end_points'

_MOBILENET_STRIDES = (2, 4, 8, 16, 32, 64)
_RESNET_STRIDES = (4, 8, 16, 32)
_XCEPTION_STRIDES = (2, 4, 8, 16, 32)
# The first ResNets were trained on pictures less their mean, the others on [-1, 1].
_IMAGENET_MEAN = dict(preprocess=backbone.subtract_imagenet_mean,
                      padding_pixel=backbone.IMAGENET_MEAN_RGB)


def _mobilenet(name, network, scope, end_points_by_stride):
    return backbone.Backbone(
        name, network, mobilenets.FAMILY, scope, output_strides=_MOBILENET_STRIDES,
        decoder_end_points={stride: 'layer_{}/depthwise_output'.format(layer)
                            for stride, layer in end_points_by_stride.items()})


def _resnet(name, network, scope, units, unit_name, multi_grid_length, family=families.RESNET,
            **pixels):
    """`units` are the units of blocks 1 to 3 whose last convolution serves the decoder."""
    return backbone.Backbone(
        name, network, family, scope, output_strides=_RESNET_STRIDES,
        multi_grid_length=multi_grid_length,
        decoder_end_points={4 * 2 ** number: 'block{}/unit_{}/{}'.format(number + 1, unit,
                                                                          unit_name)
                            for number, unit in enumerate(units)}, **pixels)


def _xception(name, network, entry_blocks):
    """`entry_blocks` are the entry flow's blocks that serve the decoder at strides 4 and 8."""
    end_point = '{}/block{}/unit_1/xception_module/separable_conv2_pointwise'.format
    return backbone.Backbone(
        name, network, families.XCEPTION, name, output_strides=_XCEPTION_STRIDES,
        multi_grid_length=3,
        decoder_end_points={4: end_point('entry_flow', entry_blocks[0]),
                            8: end_point('entry_flow', entry_blocks[1]),
                            16: end_point('exit_flow', 1)})


_RECORDS = (
    _mobilenet('mobilenet_v2', mobilenet_v2, 'MobilenetV2', {4: 4, 8: 7, 16: 14}),
    _mobilenet('mobilenet_edgetpu', mobilenet_edgetpu, 'MobilenetEdgeTPU', {}),
    _mobilenet('mobilenet_v3_large_seg', mobilenet_v3_large_seg, 'MobilenetV3',
               {4: 4, 8: 7, 16: 13}),
    _mobilenet('mobilenet_v3_small_seg', mobilenet_v3_small_seg, 'MobilenetV3',
               {4: 2, 8: 4, 16: 9}),
    # Pads with mid-grey although it subtracts the mean, as the reference does.
    _resnet('resnet_v1_18', resnet.resnet_v1_18, 'resnet_v1_18', (1, 1, 1),
            'lite_bottleneck_v1/conv2', 2, preprocess=backbone.subtract_imagenet_mean),
    _resnet('resnet_v1_18_beta', resnet.resnet_v1_18_beta, 'resnet_v1_18', (1, 1, 1),
            'lite_bottleneck_v1/conv2', 2),
    _resnet('resnet_v1_50', resnet.resnet_v1_50, 'resnet_v1_50', (2, 3, 5),
            'bottleneck_v1/conv3', 3, **_IMAGENET_MEAN),
    _resnet('resnet_v1_50_beta', resnet.resnet_v1_50_beta, 'resnet_v1_50', (2, 3, 5),
            'bottleneck_v1/conv3', 3),
    _resnet('resnet_v1_101', resnet.resnet_v1_101, 'resnet_v1_101', (2, 3, 22),
            'bottleneck_v1/conv3', 3, **_IMAGENET_MEAN),
    _resnet('resnet_v1_101_beta', resnet.resnet_v1_101_beta, 'resnet_v1_101', (2, 3, 22),
            'bottleneck_v1/conv3', 3),
    # Not of the reference: slim's networks, so that their ImageNet checkpoints load.
    _resnet('resnet_v2_50', resnet_v2.resnet_v2_50, 'resnet_v2_50', (2, 3, 5),
            'bottleneck_v2/conv3', None, family=families.RESNET_V2),
    _resnet('resnet_v2_101', resnet_v2.resnet_v2_101, 'resnet_v2_101', (2, 3, 22),
            'bottleneck_v2/conv3', None, family=families.RESNET_V2),
    _xception('xception_41', xception.xception_41, (2, 3)),
    _xception('xception_65', xception.xception_65, (2, 3)),
    _xception('xception_71', xception.xception_71, (3, 5)),
    backbone.Backbone(
        'nas_pnasnet', nas_network.pnasnet, families.NAS, 'pnasnet', output_strides=(8, 16, 32),
        decoder_end_points={4: 'Stem', 8: 'Cell_3', 16: 'Cell_7'}),
    # Its features lie at stride 8 whatever is asked for, and the heads have to know.
    backbone.Backbone(
        'nas_hnasnet', nas_network.hnasnet, families.NAS, 'hnasnet', output_strides=(8,),
        decoder_end_points={4: 'Cell_2', 8: 'Cell_5', 16: 'Cell_7'}),
)
_REGISTRY = {record.name: record for record in _RECORDS}


def backbone_names() -> list:
    """Returns the names `model_variant` can take."""
    return [record.name for record in _RECORDS]


def get_backbone(model_variant: str) -> backbone.Backbone:
    """Returns the record of a backbone.

    Args:
        model_variant: its name; after colons, what is other than usual, see `backbone.changed`:
            'resnet_v2_50:pixels=mean:padding=black'.

    Raises:
        UserError: no backbone has that name; lists those there are.
    """
    if ':' in str(model_variant):
        name, *changes = model_variant.split(':')
        return backbone.changed(get_backbone(name), changes)
    if model_variant not in _REGISTRY:
        raise errors.UserError(
            '--model_variant={}: no such network.{} Known: {}.'.format(
                model_variant, errors.nearest(str(model_variant), _REGISTRY),
                ', '.join(backbone_names())))
    return _REGISTRY[model_variant]


def mean_pixel(model_variant=None):
    """Returns the RGB colour, 0..255, that pads pictures for a backbone (None: ImageNet's mean)."""
    if model_variant is None:
        return list(backbone.IMAGENET_MEAN_RGB)
    return list(get_backbone(model_variant).padding_pixel)


def get_network(network_name, preprocess_images, preprocessed_images_dtype=tf.float32,
                arg_scope=None):
    """Returns a function that scales images and runs a backbone's network on them.

    Args:
        network_name: name of a backbone.
        preprocess_images: whether images (0..255) are scaled as the network was trained with;
            otherwise they are taken as scaled already.
        preprocessed_images_dtype: dtype of the scaled images.
        arg_scope: in which the network is built; None for the one around.

    Returns:
        Function of images [batch, height, width, 3] and the network's own arguments.

    Raises:
        UserError: no backbone has that name.
    """
    record = get_backbone(network_name)

    @functools.wraps(record.network)
    def network_on_images(inputs, *args, **kwargs):
        if preprocess_images:
            inputs = record.preprocess(inputs, preprocessed_images_dtype)
        with slim.arg_scope({} if arg_scope is None else arg_scope):
            return record.network(inputs, *args, **kwargs)

    return network_on_images


def build_features(images, model_variant, settings: backbone.Settings, preprocess_images=True,
                   preprocessed_images_dtype=tf.float32):
    """Runs a backbone with everything `settings` says; see `extract_features`."""
    record = get_backbone(model_variant)
    network = get_network(model_variant, preprocess_images, preprocessed_images_dtype,
                          arg_scope=record.family.arg_scope(settings))
    return network(images, **record.family.arguments(record, settings))


def extract_features(images, output_stride=8, multi_grid=None, depth_multiplier=1.0,
                     divisible_by=None, final_endpoint=None, model_variant=None,
                     weight_decay=0.0001, reuse=None, is_training=False,
                     fine_tune_batch_norm=False, regularize_depthwise=False,
                     preprocess_images=True, preprocessed_images_dtype=tf.float32,
                     num_classes=None, global_pool=False, nas_architecture_options=None,
                     nas_training_hyper_parameters=None, use_bounded_activation=False):
    """Extracts features by a backbone.

    Args:
        images: [batch, height, width, 3], any numeric dtype, 0..255.
        output_stride: ratio of input to feature resolution.
        multi_grid: rates of the last block's units (arXiv 1706.05587, section 3.2.1), or None.
        depth_multiplier, divisible_by: channel scale of MobileNets, and its rounding.
        final_endpoint: where MobileNets and NAS networks stop; None for their end.
        model_variant: name of the backbone.
        weight_decay: L2 factor of the weights.
        reuse: whether to reuse the variables.
        is_training: whether the network is being trained.
        fine_tune_batch_norm: whether batch norm's statistics are, too.
        regularize_depthwise: whether Xception's depthwise weights fall under L2.
        preprocess_images, preprocessed_images_dtype: see `get_network`.
        num_classes, global_pool: of a classification head; None and False for none.
        nas_architecture_options: see `deeplab.names.default_nas_options`.
        nas_training_hyper_parameters: dict with 'drop_path_keep_prob', 'total_training_steps'.
        use_bounded_activation: ReLU6 in place of ReLU (Xception).

    Returns:
        (features [batch, height / output_stride, width / output_stride, channels], dict of end
        points).

    Raises:
        UserError: no backbone has that name.
        ValueError: the backbone cannot run as asked.
    """
    settings = backbone.Settings(
        output_stride=output_stride, multi_grid=multi_grid, depth_multiplier=depth_multiplier,
        divisible_by=divisible_by, final_endpoint=final_endpoint, weight_decay=weight_decay,
        reuse=reuse, is_training=is_training, fine_tune_batch_norm=fine_tune_batch_norm,
        regularize_depthwise=regularize_depthwise, num_classes=num_classes,
        global_pool=global_pool, nas_architecture_options=nas_architecture_options,
        nas_training_hyper_parameters=nas_training_hyper_parameters,
        use_bounded_activation=use_bounded_activation, batch_norm_decay=None,
        sync_batch_norm_method='None')
    return build_features(images, model_variant, settings, preprocess_images,
                          preprocessed_images_dtype)
