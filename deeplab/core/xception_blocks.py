"""Building blocks of the Xception backbones: padding, separable convolutions, residual modules.

Names here are imported by `deeplab.core.xception`, which is where downstream code looks for them.

Sources: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions" (arXiv
1610.02357); Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation" (arXiv 1802.02611, section 3.2: the modified, aligned Xception, where strided
separable convolutions replace max pooling); He et al. (arXiv 1512.03385) for the residual
connections; Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244, section 5.3) for squeeze
and excitation.
"""
import functools
import numbers

import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import utils
from deeplab.errors import UserError
from slim_nets import resnet_utils
from slim_nets.mobilenet import conv_blocks

CONVS_PER_MODULE = 3
SKIP_CONNECTION_TYPES = ('conv', 'sum', 'none')

# With bounded activations every tensor that is stored stays in [-6, 6], which 8 bit arithmetic can
# hold.
_BOUND = 6
_SQUEEZE_FACTOR = 16

Block = resnet_utils.Block

# Zero padding by an amount that does not depend on the size: (inputs, kernel_size, rate=1).
fixed_padding = resnet_utils.pad_like_stride_one


def is_positive_int(value) -> bool:
    """True for 1, 2, ... of any integer type; a bool is not an integer here."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value > 0


def check_one_per_conv(name: str, values) -> tuple:
    """Returns `values` as a tuple of three positive ints.

    Raises:
        UserError: `values` is something else; the message starts with `name`.
    """
    is_list = isinstance(values, (list, tuple))
    if is_list and len(values) == CONVS_PER_MODULE and all(map(is_positive_int, values)):
        return tuple(values)
    received = '{}: {}'.format(len(values), list(values)) if is_list else repr(values)
    raise UserError(
        '{} needs exactly {} positive integers, one for each separable convolution of an Xception '
        'module, got {}'.format(name, CONVS_PER_MODULE, received))


@slim.add_arg_scope
def separable_conv2d_same(inputs, num_outputs, kernel_size, depth_multiplier, stride, rate=1,
                          use_explicit_padding=True, regularize_depthwise=False, scope=None,
                          **kwargs):
    """Separable convolution whose strided output is its dense output, subsampled.

    With explicit padding, stride s gives the same numbers as stride 1 with 'SAME' padding followed
    by taking every s-th row and column, for odd and even sizes alike. Without it plain 'SAME'
    padding is used.

    Args:
        inputs: float tensor `[batch, height, width, channels]`.
        num_outputs: int, output channels.
        kernel_size: int, side of the depthwise kernel.
        depth_multiplier: int, depthwise outputs for each input channel.
        stride: int.
        rate: int, atrous rate; only useful where `stride` is 1.
        use_explicit_padding: bool, see above.
        regularize_depthwise: bool. If set, depthwise and pointwise kernel form one layer (variables
            `scope/depthwise_weights`, `scope/pointwise_weights`) under one weights regularizer. If
            not, they are two layers, `scope_depthwise` and `scope_pointwise`, each with its own
            normalisation and activation.
        scope: str or None, variable scope (prefix).
        **kwargs: passed to each slim layer.

    Returns:
        Float tensor `[batch, ceil(height / stride), ceil(width / stride), num_outputs]`.
    """
    padding = 'SAME'
    if use_explicit_padding and stride > 1:
        inputs, padding = fixed_padding(inputs, kernel_size, rate), 'VALID'
    spatial = functools.partial(
        slim.separable_conv2d, inputs, kernel_size=kernel_size, depth_multiplier=depth_multiplier,
        stride=stride, rate=rate, padding=padding, **kwargs)
    if regularize_depthwise:
        return spatial(num_outputs=num_outputs, scope=scope)
    filtered = spatial(num_outputs=None, scope=scope and scope + '_depthwise')
    return slim.conv2d(filtered, num_outputs, 1, scope=scope and scope + '_pointwise', **kwargs)


def _clip(tensor):
    return tf.clip_by_value(tensor, -_BOUND, _BOUND)


def _activations(inside: bool, bounded: bool):
    """Returns what a module applies before a separable convolution and after each of its layers."""
    rectify = tf.nn.relu6 if bounded else tf.nn.relu
    if inside:
        return (lambda features: features), rectify
    return rectify, _clip if bounded else None


def _squeeze_excite(features, pool_size):
    return conv_blocks.squeeze_excite(
        features, squeeze_factor=_SQUEEZE_FACTOR, inner_activation_fn=tf.nn.relu,
        gating_fn=utils.q_sigmoid, pool=pool_size)


def _merge(residual, shortcut, bounded: bool):
    if not bounded:
        return residual + shortcut
    return tf.nn.relu6(_clip(residual) + _clip(shortcut))


@slim.add_arg_scope
def xception_module(inputs, depth_list, skip_connection_type, stride, kernel_size=3,
                    unit_rate_list=None, rate=1, activation_fn_in_separable_conv=False,
                    regularize_depthwise=False, outputs_collections=None, scope=None,
                    use_bounded_activation=False, use_explicit_padding=True,
                    use_squeeze_excite=False, se_pool_size=None):
    """Three separable convolutions and a residual connection (arXiv 1802.02611, figure 4).

    Args:
        inputs: float tensor `[batch, height, width, channels]`.
        depth_list: three ints, output channels of the convolutions.
        skip_connection_type: 'conv' (a strided 1 x 1 convolution of the input is added), 'sum' (the
            input itself is added; sizes must agree) or 'none'.
        stride: int, stride of the last convolution.
        kernel_size: int, side of the depthwise kernels.
        unit_rate_list: three ints, atrous rates of the convolutions relative to `rate` (the
            multi-grid of arXiv 1706.05587, section 3.1); None means 1, 1, 1.
        rate: int, atrous rate of the module.
        activation_fn_in_separable_conv: bool. If set, an activation follows each depthwise and each
            pointwise layer; if not, one comes before each separable convolution.
        regularize_depthwise: bool, see `separable_conv2d_same`.
        outputs_collections: str or None, collection that receives the module's output.
        scope: str or None, variable scope; default 'xception_module'.
        use_bounded_activation: bool, keep activations in [-6, 6] for quantised inference.
        use_explicit_padding: bool, see `separable_conv2d_same`.
        use_squeeze_excite: bool, weigh channels (squeeze and excitation) before the addition.
        se_pool_size: int or None, side of the pooling window of the squeeze; None is the whole map.

    Returns:
        Float tensor `[batch, ceil(height / stride), ceil(width / stride), depth_list[2]]`; in
        [0, 6] if `use_bounded_activation` is set and there is a skip connection.

    Raises:
        UserError: `depth_list` or `unit_rate_list` is not three positive ints, or the kind of skip
            connection is unknown.
    """
    depths = check_one_per_conv('depth_list', depth_list)
    if unit_rate_list is None:
        unit_rate_list = (1,) * CONVS_PER_MODULE
    unit_rates = check_one_per_conv('unit_rate_list', unit_rate_list)
    if skip_connection_type not in SKIP_CONNECTION_TYPES:
        raise UserError('Unsupported skip connection type: expected one of {}, got {!r}'.format(
            ', '.join(SKIP_CONNECTION_TYPES), skip_connection_type))

    before, after = _activations(activation_fn_in_separable_conv, use_bounded_activation)
    with tf.variable_scope(scope, 'xception_module', [inputs]) as module_scope:
        residual = inputs
        for position, (depth, unit_rate) in enumerate(zip(depths, unit_rates), start=1):
            residual = separable_conv2d_same(
                before(residual), depth, kernel_size, depth_multiplier=1,
                stride=stride if position == CONVS_PER_MODULE else 1, rate=rate * unit_rate,
                activation_fn=after, use_explicit_padding=use_explicit_padding,
                regularize_depthwise=regularize_depthwise,
                scope='separable_conv{}'.format(position))
        if use_squeeze_excite:
            residual = _squeeze_excite(residual, se_pool_size)

        if skip_connection_type == 'none':
            outputs = residual
        else:
            shortcut = inputs
            if skip_connection_type == 'conv':
                shortcut = slim.conv2d(inputs, depths[-1], 1, stride=stride, activation_fn=None,
                                       scope='shortcut')
            outputs = _merge(residual, shortcut, use_bounded_activation)
        return slim.utils.collect_named_outputs(outputs_collections, module_scope.name, outputs)


def xception_block(scope, depth_list, skip_connection_type, activation_fn_in_separable_conv,
                   regularize_depthwise, num_units, stride, kernel_size=3, unit_rate_list=None,
                   use_squeeze_excite=False, se_pool_size=None) -> Block:
    """Describes a stack of `num_units` equal Xception modules.

    Args:
        scope: str, variable scope of the block.
        num_units: int, number of modules; every one of them has the given `stride`.
        depth_list, skip_connection_type, activation_fn_in_separable_conv, regularize_depthwise,
            stride, kernel_size, unit_rate_list, use_squeeze_excite, se_pool_size: see
            `xception_module`.

    Returns:
        A `Block`; nothing is added to the graph.

    Raises:
        UserError: `depth_list` or `unit_rate_list` is not three positive ints.
    """
    if unit_rate_list is None:
        unit_rate_list = (1,) * CONVS_PER_MODULE
    unit = dict(
        depth_list=check_one_per_conv('depth_list', depth_list),
        skip_connection_type=skip_connection_type,
        activation_fn_in_separable_conv=activation_fn_in_separable_conv,
        regularize_depthwise=regularize_depthwise,
        stride=stride,
        kernel_size=kernel_size,
        unit_rate_list=check_one_per_conv('unit_rate_list', unit_rate_list),
        use_squeeze_excite=use_squeeze_excite,
        se_pool_size=se_pool_size)
    return Block(scope, xception_module, [dict(unit) for _ in range(num_units)])


@slim.add_arg_scope
def stack_blocks_dense(net, blocks, output_stride=None, outputs_collections=None):
    """Builds blocks one after the other and turns stride into atrous rate beyond `output_stride`.

    Args:
        net: float tensor `[batch, height, width, channels]`.
        blocks: list of `Block`.
        output_stride: int, wanted ratio of the size of `net` to that of the result, or None to use
            every stride as it stands.
        outputs_collections: str or None, collection that receives each block's output.

    Returns:
        Float tensor `[batch, ceil(height / stride), ceil(width / stride), channels of last unit]`.

    Raises:
        ValueError: no unit ends at `output_stride`; nothing has been built then.
    """
    return resnet_utils.stack_blocks_dense(
        net, blocks, output_stride, outputs_collections=outputs_collections)
