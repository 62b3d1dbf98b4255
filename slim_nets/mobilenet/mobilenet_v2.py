"""MobileNetV2: inverted residuals and linear bottlenecks (arXiv 1801.04381, table 2).

    with slim.arg_scope(mobilenet_v2.training_scope(is_training=True)):
        logits, end_points = mobilenet_v2.mobilenet(images)

Variable names fit the released checkpoints mobilenet_v2_<depth multiplier>_<image size>.
"""
import functools

import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import conv_blocks
from slim_nets.mobilenet import mobilenet as lib
from slim_nets.mobilenet import spec

op = lib.op
expand_input = conv_blocks.expand_input_by_factor

_CONVOLUTIONS = (slim.conv2d, slim.fully_connected, slim.separable_conv2d)

# The middle of table 2 of the paper: channels, blocks, stride of the first of them.
_BOTTLENECKS = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


def _spec():
    layers = [
        op(slim.conv2d, stride=2, num_outputs=32, kernel_size=[3, 3]),
        # The first block does not expand; its factor 1 must not be rounded up either.
        op(conv_blocks.expanded_conv, expansion_size=expand_input(1, divisible_by=1),
           num_outputs=16),
    ]
    for width, blocks, first_stride in _BOTTLENECKS:
        layers += [op(conv_blocks.expanded_conv, stride=stride, num_outputs=width)
                   for stride in [first_stride] + [1] * (blocks - 1)]
    return layers + [op(slim.conv2d, stride=1, num_outputs=1280, kernel_size=[1, 1])]


def _defaults(normalizer_fn):
    return {
        # Center and scale decide which variables there are: the network's business, not training's.
        (slim.batch_norm,): {'center': True, 'scale': True},
        _CONVOLUTIONS: {'normalizer_fn': normalizer_fn, 'activation_fn': tf.nn.relu6},
        (conv_blocks.expanded_conv,): {
            'expansion_size': expand_input(6),
            'split_expansion': 1,
            'normalizer_fn': normalizer_fn,
            'residual': True,
        },
        (slim.conv2d, slim.separable_conv2d): {'padding': 'SAME'},
    }


V2_DEF = {'defaults': _defaults(slim.batch_norm), 'spec': _spec()}
V2_DEF_GROUP_NORM = {'defaults': _defaults(slim.group_norm), 'spec': _spec()}


def _with_default(conv_defs, functions, **arguments):
    """Returns the definition with further default arguments for some functions."""
    defaults = dict(conv_defs['defaults'])
    defaults[functions] = dict(defaults.get(functions, {}), **arguments)
    return dict(conv_defs, defaults=defaults)


@slim.add_arg_scope
def mobilenet(input_tensor, num_classes=1001, depth_multiplier=1.0, scope='MobilenetV2',
              conv_defs=None, finegrain_classification_mode=False, min_depth=None,
              divisible_by=None, activation_fn=None, **kwargs):
    """Builds MobileNetV2 with its classifier.

    Args:
        input_tensor: [batch, height, width, 3], float in [-1, 1].
        num_classes: int; 0 or None to end with the pooled features.
        depth_multiplier: number above 0, scale of the channel counts.
        scope: str or `tf.VariableScope` of the variables.
        conv_defs: dict, the layers (see `mobilenet.py`); None for `V2_DEF`.
        finegrain_classification_mode: bool, keep the last layer wide where the depth multiplier
            is below 1 (paper, section 6.1).
        min_depth: int, smallest channel count; None for 8.
        divisible_by: int, channel counts are multiples of it; None for 8.
        activation_fn: function to use in place of ReLU6.
        **kwargs: for `mobilenet.mobilenet`: output_stride, final_endpoint, is_training,
            use_explicit_padding, base_only, prediction_fn, reuse.

    Returns:
        (logits, end points), as `mobilenet.mobilenet`.

    Raises:
        ValueError: as `mobilenet.mobilenet` does, and on an argument `multiplier`.
    """
    if 'multiplier' in kwargs:
        raise ValueError('MobileNetV2 is scaled by argument `depth_multiplier`, not `multiplier`')
    conv_defs = V2_DEF if conv_defs is None else conv_defs
    if finegrain_classification_mode and depth_multiplier < 1:
        conv_defs = spec.keep_last_layer_wide(conv_defs)
    if activation_fn is not None:
        conv_defs = _with_default(conv_defs, _CONVOLUTIONS, activation_fn=activation_fn)
    with lib.safe_arg_scope([lib.depth_multiplier], min_depth=min_depth,
                            divisible_by=divisible_by):
        return lib.mobilenet(input_tensor, num_classes=num_classes, conv_defs=conv_defs,
                             scope=scope, multiplier=depth_multiplier, **kwargs)


mobilenet.default_image_size = 224


def wrapped_partial(func, *args, **kwargs):
    """Returns `functools.partial` of the arguments, with name and attributes of `func`."""
    return functools.update_wrapper(functools.partial(func, *args, **kwargs), func)


# The other published sizes.
mobilenet_v2_140 = wrapped_partial(mobilenet, depth_multiplier=1.4)
mobilenet_v2_050 = wrapped_partial(mobilenet, depth_multiplier=0.5,
                                   finegrain_classification_mode=True)
mobilenet_v2_035 = wrapped_partial(mobilenet, depth_multiplier=0.35,
                                   finegrain_classification_mode=True)


@slim.add_arg_scope
def mobilenet_base(input_tensor, depth_multiplier=1.0, **kwargs):
    """Builds MobileNetV2 without pooling and classifier.

    Args:
        input_tensor: [batch, height, width, 3], float in [-1, 1].
        depth_multiplier: number above 0, scale of the channel counts.
        **kwargs: for `mobilenet`.

    Returns:
        ([batch, height / output_stride, width / output_stride, channels], dict of end points).
    """
    return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


@slim.add_arg_scope
def mobilenet_base_group_norm(input_tensor, depth_multiplier=1.0, **kwargs):
    """Builds MobileNetV2 with group norm (arXiv 1803.08494), without pooling and classifier.

    Args:
        input_tensor: [batch, height, width, 3], float in [-1, 1]; height and width known.
        depth_multiplier: number above 0, scale of the channel counts.
        **kwargs: for `mobilenet`; and `groups`: int, number of groups, 8 by default. It must
            divide every channel count.

    Returns:
        ([batch, height / output_stride, width / output_stride, channels], dict of end points).
    """
    groups = kwargs.pop('groups', 8)
    conv_defs = _with_default(V2_DEF_GROUP_NORM, (slim.group_norm,), groups=groups)
    return mobilenet_base(input_tensor, depth_multiplier=depth_multiplier, conv_defs=conv_defs,
                          **kwargs)


def training_scope(**kwargs):
    """Returns the arg scope MobileNetV2 is trained in; arguments as `mobilenet.training_scope`.

    `with slim.arg_scope(mobilenet_v2.training_scope()): ...`
    """
    return lib.training_scope(**kwargs)
