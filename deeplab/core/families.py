"""What the backbones of each family have in common: their arg scope and their arguments."""
from deeplab.core import backbone
from deeplab.core import nas_network
from deeplab.core import resnet_v1_beta
from deeplab.core import xception
from slim_nets import resnet_utils


def _dense_arguments(record, settings):
    """Arguments that all families but the MobileNets share."""
    return dict(num_classes=settings.num_classes, global_pool=settings.global_pool,
                is_training=backbone.trains_batch_norm(settings),
                output_stride=settings.output_stride, reuse=settings.reuse, scope=record.scope,
                sync_batch_norm_method=settings.sync_batch_norm_method)


def _resnet_scope(settings):
    return resnet_v1_beta.resnet_arg_scope(
        weight_decay=settings.weight_decay, batch_norm_epsilon=1e-5, batch_norm_scale=True,
        batch_norm_decay=backbone.decay_or(settings, 0.95),
        sync_batch_norm_method=settings.sync_batch_norm_method)


def _resnet_arguments(record, settings):
    return dict(_dense_arguments(record, settings), multi_grid=settings.multi_grid)


def _resnet_v2_scope(settings):
    return resnet_utils.resnet_arg_scope(
        weight_decay=settings.weight_decay, batch_norm_epsilon=1e-5, batch_norm_scale=True,
        batch_norm_decay=backbone.decay_or(settings, 0.997))


def _resnet_v2_arguments(record, settings):
    arguments = dict(_dense_arguments(record, settings), spatial_squeeze=False)
    del arguments['sync_batch_norm_method']
    return arguments


def _xception_scope(settings):
    return xception.xception_arg_scope(
        weight_decay=settings.weight_decay, batch_norm_epsilon=1e-3, batch_norm_scale=True,
        batch_norm_decay=backbone.decay_or(settings, 0.9997),
        regularize_depthwise=settings.regularize_depthwise,
        use_bounded_activation=settings.use_bounded_activation,
        sync_batch_norm_method=settings.sync_batch_norm_method)


def _xception_arguments(record, settings):
    return dict(_resnet_arguments(record, settings),
                regularize_depthwise=settings.regularize_depthwise)


def _nas_scope(settings):
    return nas_network.nas_arg_scope(
        weight_decay=settings.weight_decay, batch_norm_epsilon=1e-3,
        batch_norm_decay=backbone.decay_or(settings, 0.9997),
        sync_batch_norm_method=settings.sync_batch_norm_method)


def _nas_arguments(record, settings):
    return dict(_dense_arguments(record, settings), final_endpoint=settings.final_endpoint,
                nas_architecture_options=settings.nas_architecture_options,
                nas_training_hyper_parameters=settings.nas_training_hyper_parameters)


RESNET = backbone.Family(_resnet_scope, _resnet_arguments, scoped_end_points=True)
RESNET_V2 = backbone.Family(_resnet_v2_scope, _resnet_v2_arguments, scoped_end_points=True)
XCEPTION = backbone.Family(_xception_scope, _xception_arguments, scoped_end_points=True)
NAS = backbone.Family(_nas_scope, _nas_arguments, scoped_end_points=False)
