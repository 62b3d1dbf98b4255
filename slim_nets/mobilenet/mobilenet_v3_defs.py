"""What MobileNetV3 (arXiv 1905.02244, tables 1 and 2) and MobileNet-EdgeTPU are made of.

The tables say what each network is; V3_LARGE and its sisters are made from them.
"""
import collections
import functools

import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import conv_blocks
from slim_nets.mobilenet import spec

op = spec.op
expand_input = conv_blocks.expand_input_by_factor


def hard_swish(x):
    """Returns x * relu6(x + 3) / 6, the piecewise swish (paper, section 5.2); any shape."""
    with tf.name_scope('hard_swish'):
        return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


def hard_sigmoid(x):
    """Returns relu6(x + 3) / 6, with the factor the published weights were trained with."""
    return tf.nn.relu6(x + 3.0) * 0.16667


def reduce_to_1x1(input_tensor, default_size=7, **kwargs):
    """Averages over the whole picture.

    Args:
        input_tensor: [batch, height, width, channels].
        default_size: int, side of the window where height or width is not known beforehand; the
            result is a single position then only if the picture has that size.
        **kwargs: for `slim.avg_pool2d`; an atrous rate has no meaning here and is left out.

    Returns:
        [batch, 1, 1, channels].
    """
    kwargs.pop('rate', None)
    window = input_tensor.shape.as_list()[1:3]
    if None in window:
        window = [default_size, default_size]
    return slim.avg_pool2d(input_tensor, kernel_size=window, **kwargs)


def squeeze_excite4(expansion_tensor, input_tensor=None):
    """Squeeze and excite with a quarter of the channels (paper, section 5.3).

    Args:
        expansion_tensor: [batch, height, width, channels], what is scaled.
        input_tensor: the block's input; not used.

    Returns:
        Same shape as `expansion_tensor`.
    """
    del input_tensor
    return conv_blocks.squeeze_excite(expansion_tensor, squeeze_factor=4,
                                      inner_activation_fn=tf.nn.relu, gating_fn=hard_sigmoid)


def mbv3_op(ef, n, k, s=1, act=tf.nn.relu, se=None, **kwargs):
    """Returns the record of one bottleneck block.

    Args:
        ef: number, expansion factor: inner width / input channels, rounded to multiples of 8.
        n: int, output channels.
        k: int, side of the depthwise kernel.
        s: int, stride.
        act: activation inside the block.
        se: `expansion_transform` of `conv_blocks.expanded_conv`, e.g. `squeeze_excite4`.
        **kwargs: further arguments of `conv_blocks.expanded_conv`.
    """
    return op(conv_blocks.expanded_conv, num_outputs=n, stride=s, kernel_size=(k, k),
              inner_activation_fn=act, expansion_transform=se,
              expansion_size=expand_input(ef), **kwargs)


def mbv3_fused(ef, n, k, s=1, **kwargs):
    """Returns the record of a fused block: a full convolution expands, and there is no depthwise.

    Its stride is always taken: an output stride that would forbid it is not reached.

    Args:
        ef: number, expansion factor; at 1 the block is a 1x1 convolution.
        n: int, output channels.
        k: int, side of the expanding kernel.
        s: int, stride.
        **kwargs: for `mbv3_op`.

    Raises:
        ValueError: on a stride without an expansion that could take it.
    """
    if s > 1 and ef <= 1:
        raise ValueError('A fused block with stride {} needs an expansion factor above 1. '
                         'Received instead: {}'.format(s, ef))
    expansion = functools.partial(slim.conv2d, kernel_size=(k, k), stride=s)
    return mbv3_op(ef, n, 1, s, depthwise_location=None, expansion_fn=expansion, **kwargs)


DEFAULTS = {
    (conv_blocks.expanded_conv,): {'normalizer_fn': slim.batch_norm, 'residual': True},
    (slim.conv2d, slim.fully_connected, slim.separable_conv2d): {
        'normalizer_fn': slim.batch_norm,
        'activation_fn': tf.nn.relu,
    },
    (slim.batch_norm,): {'center': True, 'scale': True},
}

# kernel, inner width, output channels, squeeze-excite, hard swish (or ReLU), stride: the columns
# of the paper's tables.
_Row = collections.namedtuple('_Row', ('kernel', 'inner', 'outputs', 'se', 'swish', 'stride'))
_RE, _HS, _SE, _NO = False, True, True, False

_LARGE_ROWS = [_Row(*columns) for columns in (
    (3, 16, 16, _NO, _RE, 1),
    (3, 64, 24, _NO, _RE, 2),
    (3, 72, 24, _NO, _RE, 1),
    (5, 72, 40, _SE, _RE, 2),
    (5, 120, 40, _SE, _RE, 1),
    (5, 120, 40, _SE, _RE, 1),
    (3, 240, 80, _NO, _HS, 2),
    (3, 200, 80, _NO, _HS, 1),
    (3, 184, 80, _NO, _HS, 1),
    (3, 184, 80, _NO, _HS, 1),
    (3, 480, 112, _SE, _HS, 1),
    (3, 672, 112, _SE, _HS, 1),
    (5, 672, 160, _SE, _HS, 2),
    (5, 960, 160, _SE, _HS, 1),
    (5, 960, 160, _SE, _HS, 1),
)]
_LARGE_ENDS = (16, 960, 1280)

_SMALL_ROWS = [_Row(*columns) for columns in (
    (3, 16, 16, _SE, _RE, 2),
    (3, 72, 24, _NO, _RE, 2),
    (3, 88, 24, _NO, _RE, 1),
    (5, 96, 40, _SE, _HS, 2),
    (5, 240, 40, _SE, _HS, 1),
    (5, 240, 40, _SE, _HS, 1),
    (5, 120, 48, _SE, _HS, 1),
    (5, 144, 48, _SE, _HS, 1),
    (5, 288, 96, _SE, _HS, 2),
    (5, 576, 96, _SE, _HS, 1),
    (5, 576, 96, _SE, _HS, 1),
)]
_SMALL_ENDS = (16, 576, 1024)


def _definition(rows, ends):
    """Returns the network of a table.

    Args:
        rows: list of `_Row`.
        ends: channels of the first convolution, of the last before and of the one after pooling.
    """
    first, before_pooling, after_pooling = ends
    swish = any(row.swish for row in rows)
    # The minimalistic networks leave everything to the default, ReLU.
    outer = {'activation_fn': hard_swish} if swish else {}
    layers = [op(slim.conv2d, stride=2, num_outputs=first, kernel_size=(3, 3), **outer)]
    inputs = first
    for row in rows:
        layers.append(mbv3_op(row.inner / float(inputs), row.outputs, row.kernel, row.stride,
                              act=hard_swish if row.swish else tf.nn.relu,
                              se=squeeze_excite4 if row.se else None))
        inputs = row.outputs
    layers += [
        op(slim.conv2d, stride=1, num_outputs=before_pooling, kernel_size=(1, 1), **outer),
        op(reduce_to_1x1, default_size=7, stride=1),
        op(slim.conv2d, stride=1, num_outputs=after_pooling, kernel_size=(1, 1),
           normalizer_fn=None, **outer),
    ]
    return {'defaults': dict(DEFAULTS), 'spec': layers}


def _minimalistic(rows):
    """Leaves out what is slow on some hardware: 5x5 kernels, squeeze-excite and hard swish."""
    return [row._replace(kernel=3, se=False, swish=False) for row in rows]


V3_LARGE = _definition(_LARGE_ROWS, _LARGE_ENDS)
V3_SMALL = _definition(_SMALL_ROWS, _SMALL_ENDS)
V3_LARGE_MINIMALISTIC = _definition(_minimalistic(_LARGE_ROWS), _LARGE_ENDS)
V3_SMALL_MINIMALISTIC = _definition(_minimalistic(_SMALL_ROWS), _SMALL_ENDS)


def _edge_stage(block, first_factor, width, kernel, blocks, **first):
    """A stage of MobileNet-EdgeTPU: its first block differs, the others expand by 4."""
    return ([block(first_factor, width, kernel, **first)]
            + [block(4, width, kernel) for _ in range(blocks - 1)])


V3_EDGETPU = {
    'defaults': dict(DEFAULTS),
    'spec': (
        [op(slim.conv2d, stride=2, num_outputs=32, kernel_size=(3, 3))]
        + _edge_stage(mbv3_fused, 1, 16, 3, blocks=1)
        + _edge_stage(mbv3_fused, 8, 32, 3, blocks=4, s=2)
        + _edge_stage(mbv3_fused, 8, 48, 3, blocks=4, s=2)
        + _edge_stage(mbv3_op, 8, 96, 3, blocks=4, s=2)
        + _edge_stage(mbv3_op, 8, 96, 3, blocks=4, residual=False)
        + _edge_stage(mbv3_op, 8, 160, 5, blocks=4, s=2)
        + _edge_stage(mbv3_op, 8, 192, 3, blocks=1)
        + [op(slim.conv2d, stride=1, num_outputs=1280, kernel_size=(1, 1))]
    ),
}


def _edited(conv_defs, changes):
    """Returns a copy with other arguments for some layers.

    Args:
        conv_defs: dict, a network.
        changes: dict from the layer's index in the spec to a dict of its new arguments.
    """
    layers = [layer._replace(params=dict(layer.params, **changes.get(index, {})))
              for index, layer in enumerate(conv_defs['spec'])]
    return dict(conv_defs, defaults=dict(conv_defs['defaults']), spec=layers)


def scale_layers(conv_defs, first, last, factor=0.5):
    """Returns a copy of a network with other output channels in some layers.

    Args:
        conv_defs: dict, a network.
        first, last: int, indices in `conv_defs['spec']` of the first and the last layer, from 0.
        factor: number, by which `num_outputs` is multiplied.
    """
    return _edited(conv_defs, {
        index: {'num_outputs': int(round(conv_defs['spec'][index].params['num_outputs'] * factor))}
        for index in range(first, last + 1)})


def set_inner_widths(conv_defs, widths):
    """Returns a copy of a network with other inner widths in some blocks.

    Args:
        conv_defs: dict, a network.
        widths: dict from the block's index in `conv_defs['spec']`, from 0, to its inner width at
            depth multiplier 1; it scales with the depth multiplier as the others do.
    """
    def factor(index):
        return widths[index] / float(conv_defs['spec'][index - 1].params['num_outputs'])

    return _edited(conv_defs, {index: {'expansion_size': expand_input(factor(index))}
                               for index in widths})


# For detection, the layers after stride 16 have half the channels (paper, section 6.3).
V3_LARGE_DETECTION = scale_layers(V3_LARGE, 13, 16)
V3_SMALL_DETECTION = scale_layers(V3_SMALL, 9, 12)
