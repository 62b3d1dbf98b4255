"""MobileNetV3 (arXiv 1905.02244, tables 1 and 2) and MobileNet-EdgeTPU.

    with slim.arg_scope(mobilenet_v3.training_scope(is_training=True)):
        logits, end_points = mobilenet_v3.large(images)

What the networks are is told in mobilenet_v3_defs. To change one, edit a copy: `scale_layers` and
`set_inner_widths` return copies, or take `copy.deepcopy` and set
`conv_defs['spec'][i].params['num_outputs']` or `['expansion_size']`.
"""
import functools

import tf_slim as slim

from slim_nets.mobilenet import mobilenet as lib
from slim_nets.mobilenet import mobilenet_v3_defs as defs
from slim_nets.mobilenet import spec

op = defs.op
expand_input = defs.expand_input
hard_swish = defs.hard_swish
reduce_to_1x1 = defs.reduce_to_1x1
squeeze_excite4 = defs.squeeze_excite4
mbv3_op = defs.mbv3_op
mbv3_fused = defs.mbv3_fused
scale_layers = defs.scale_layers
set_inner_widths = defs.set_inner_widths
DEFAULTS = defs.DEFAULTS
V3_LARGE = defs.V3_LARGE
V3_SMALL = defs.V3_SMALL
V3_LARGE_MINIMALISTIC = defs.V3_LARGE_MINIMALISTIC
V3_SMALL_MINIMALISTIC = defs.V3_SMALL_MINIMALISTIC
V3_EDGETPU = defs.V3_EDGETPU
V3_LARGE_DETECTION = defs.V3_LARGE_DETECTION
V3_SMALL_DETECTION = defs.V3_SMALL_DETECTION
training_scope = lib.training_scope


@slim.add_arg_scope
def mobilenet(input_tensor, num_classes=1001, depth_multiplier=1.0, scope='MobilenetV3',
              conv_defs=None, finegrain_classification_mode=False, **kwargs):
    """Builds a MobileNetV3 with its classifier, from float pictures [batch, height, width, 3].

    Arguments, results and errors as `mobilenet_v2.mobilenet`, but for two:

    Args:
        conv_defs: dict, the network, e.g. `V3_SMALL`; None for `V3_LARGE`.
        finegrain_classification_mode: bool, keep the last layer wide at any depth multiplier.
    """
    if 'multiplier' in kwargs:
        raise ValueError('MobileNetV3 is scaled by argument `depth_multiplier`, not `multiplier`')
    conv_defs = V3_LARGE if conv_defs is None else conv_defs
    if finegrain_classification_mode:
        conv_defs = spec.keep_last_layer_wide(conv_defs)
    return lib.mobilenet(input_tensor, num_classes=num_classes, conv_defs=conv_defs, scope=scope,
                         multiplier=depth_multiplier, **kwargs)


mobilenet.default_image_size = 224


@slim.add_arg_scope
def mobilenet_base(input_tensor, depth_multiplier=1.0, **kwargs):
    """Builds a MobileNetV3 without pooling and classifier.

    Args:
        input_tensor: [batch, height, width, 3], float in [-1, 1].
        depth_multiplier: number above 0, scale of the channel counts.
        **kwargs: for `mobilenet`. V3_LARGE and V3_SMALL pool in their last layers: give
            `final_endpoint` 'layer_17' or 'layer_13' for features of the picture.

    Returns:
        ([batch, height / output_stride, width / output_stride, channels], dict of end points).
    """
    return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


def wrapped_partial(func, new_defaults=None, **kwargs):
    """Returns `func` with some arguments fixed and others given new defaults.

    Args:
        func: function.
        new_defaults: dict of arguments that callers may still override.
        **kwargs: arguments to fix.

    Returns:
        A function with the name and attributes of `func`.
    """
    defaults = dict(new_defaults or {})

    @functools.wraps(func)
    def with_defaults(*args, **given):
        return func(*args, **dict(defaults, **given))

    return functools.update_wrapper(functools.partial(with_defaults, **kwargs), func)


# The published networks.
large = wrapped_partial(mobilenet, conv_defs=V3_LARGE)
small = wrapped_partial(mobilenet, conv_defs=V3_SMALL)
large_minimalistic = wrapped_partial(mobilenet, conv_defs=V3_LARGE_MINIMALISTIC)
small_minimalistic = wrapped_partial(mobilenet, conv_defs=V3_SMALL_MINIMALISTIC)
edge_tpu = wrapped_partial(mobilenet, new_defaults={'scope': 'MobilenetEdgeTPU'},
                           conv_defs=V3_EDGETPU)
edge_tpu_075 = wrapped_partial(mobilenet, new_defaults={'scope': 'MobilenetEdgeTPU'},
                               conv_defs=V3_EDGETPU, depth_multiplier=0.75,
                               finegrain_classification_mode=True)
