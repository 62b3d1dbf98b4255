"""Building blocks of the MobileNets.

Tensors are [batch, height, width, channels] throughout. Blocks mark their parts by identities that
end in `output` (`expansion_output`, `depthwise_output`, `output`); `mobilenet.mobilenet_base` lists
them among the end points.
"""
import contextlib
import functools

import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.mobilenet import channels
from slim_nets.mobilenet import scopes
from slim_nets.mobilenet import squeezing

squeeze_excite = squeezing.squeeze_excite

_DEPTHWISE_LOCATIONS = (None, 'input', 'expansion', 'output')


def as_pair(kernel_size):
    """Returns (height, width) of a kernel given as such, or by one int for both."""
    if isinstance(kernel_size, int):
        return kernel_size, kernel_size
    return tuple(kernel_size)


def fixed_padding(inputs, kernel_size, rate=1):
    """Pads with zeros so that a VALID convolution keeps the size, whatever the input size is.

    Where SAME pads an even-sized input of a strided convolution more at its end, this pads both
    sides alike; for odd sizes the two agree.

    Args:
        inputs: [batch, height, width, channels].
        kernel_size: (height, width) of the convolution to come, or an int for both.
        rate: int, its atrous rate.

    Returns:
        [batch, height + rate * (k_h - 1), width + rate * (k_w - 1), channels].
    """
    totals = [rate * (extent - 1) for extent in as_pair(kernel_size)]
    margins = [(total // 2, total - total // 2) for total in totals]
    return tf.pad(inputs, [(0, 0)] + margins + [(0, 0)])


@contextlib.contextmanager
def _prefix_for_parts(scope):
    """Yields what the parts' names start with: nothing inside a scope of their own, else `scope_`.

    MobileNetV1 checkpoints have the parts of a named block beside each other, not in a folder.
    """
    if scope is not None:
        yield scope + '_'
        return
    with scopes.layer_scope(None, 'separable'):
        yield ''


@slim.add_arg_scope
def split_separable_conv2d(input_tensor, num_outputs, scope=None, normalizer_fn=None, stride=1,
                           rate=1, endpoints=None, use_explicit_padding=False):
    """MobileNetV1's block: a 3x3 depthwise convolution, then a 1x1 convolution.

    Each is followed by its own normalisation and activation (arXiv 1704.04861, section 3.1).

    Args:
        input_tensor: [batch, height, width, channels], float.
        num_outputs: int, output channels.
        scope: str, prefix of both parts' variable names; None for a new scope `separable`.
        normalizer_fn: normalisation after each part.
        stride: int, of the depthwise convolution.
        rate: int, atrous rate of the depthwise convolution.
        endpoints: dict that receives both parts' outputs by scope name.
        use_explicit_padding: bool, pad by zeros and convolve without SAME.

    Returns:
        [batch, height / stride, width / stride, num_outputs].
    """
    kernel_size = (3, 3)
    outputs = {} if endpoints is None else endpoints
    with _prefix_for_parts(scope) as prefix:
        net = input_tensor
        if use_explicit_padding:
            net = fixed_padding(net, kernel_size, rate)
        net = slim.separable_conv2d(
            net, None, kernel_size, depth_multiplier=1, stride=stride, rate=rate,
            padding='VALID' if use_explicit_padding else 'SAME', normalizer_fn=normalizer_fn,
            scope=prefix + 'depthwise')
        outputs[prefix + 'depthwise'] = net
        net = slim.conv2d(net, num_outputs, (1, 1), normalizer_fn=normalizer_fn,
                          scope=prefix + 'pointwise')
        outputs[prefix + 'pointwise'] = net
    return net


def expand_input_by_factor(n, divisible_by=8):
    """Returns an `expansion_size` for `expanded_conv`: the input's channels times `n`, rounded.

    Args:
        n: number, the factor; it need not be whole: `width / channels` gives an inner width of
            exactly `width` at depth multiplier 1.
        divisible_by: int, inner widths become multiples of it.
    """
    def inner_width(num_inputs, **unused_kwargs):
        return channels.make_divisible(num_inputs * n, divisible_by)
    return inner_width


@slim.add_arg_scope
def split_conv(input_tensor, num_outputs, num_ways, scope, divisible_by=8, **kwargs):
    """A 1x1 convolution cut into groups of channels that do not see each other.

    Args:
        input_tensor: [batch, height, width, channels], float.
        num_outputs: int, output channels.
        num_ways: int, number of groups.
        scope: str, of the convolution; group i gets `<scope>_part_<i>`.
        divisible_by: int, group sizes are multiples of it; where a group would be smaller, the
            convolution stays whole.
        **kwargs: for `slim.conv2d`.

    Returns:
        [batch, height, width, num_outputs].
    """
    num_inputs = input_tensor.shape.as_list()[3]
    smallest_group = min(num_inputs, num_outputs) // num_ways
    if num_ways == 1 or smallest_group < divisible_by:
        return slim.conv2d(input_tensor, num_outputs, (1, 1), scope=scope, **kwargs)
    pieces = tf.split(input_tensor, channels.split_evenly(num_inputs, num_ways, divisible_by),
                      axis=3, name='split_' + scope)
    widths = channels.split_evenly(num_outputs, num_ways, divisible_by)
    convolved = []
    for index, (piece, width) in enumerate(zip(pieces, widths)):
        part = '{}_part_{}'.format(scope, index)
        convolved.append(tf.identity(slim.conv2d(piece, width, (1, 1), scope=part, **kwargs),
                                     name=part + '_output'))
    return tf.concat(convolved, axis=3, name=scope + '_concat')


def _keyword_of(function, name, default):
    """Returns an argument that `functools.partial` has fixed."""
    return (getattr(function, 'keywords', None) or {}).get(name, default)


def fixed_stride(params):
    """Returns the stride an `expanded_conv` takes in its expansion, whatever `stride` it is given.

    Args:
        params: dict, the arguments of the layer.
    """
    return _keyword_of(params.get('expansion_fn'), 'stride', 1)


def _with_splits(convolution, num_ways, divisible_by):
    """Returns `convolution`, with its groups decided if it is the one that has groups."""
    if convolution is not split_conv:
        return convolution
    return functools.partial(split_conv, num_ways=num_ways, divisible_by=divisible_by, stride=1)


@slim.add_arg_scope
def expanded_conv(input_tensor, num_outputs, expansion_size=expand_input_by_factor(6), stride=1,
                  rate=1, kernel_size=(3, 3), residual=True, normalizer_fn=None,
                  split_projection=1, split_expansion=1, split_divisible_by=8,
                  expansion_transform=None, depthwise_location='expansion',
                  depthwise_channel_multiplier=1, endpoints=None, use_explicit_padding=False,
                  padding='SAME', inner_activation_fn=None, depthwise_activation_fn=None,
                  project_activation_fn=tf.identity, depthwise_fn=slim.separable_conv2d,
                  expansion_fn=split_conv, projection_fn=split_conv, scope=None):
    """The inverted residual block: expand, convolve depthwise, project to a linear bottleneck.

    MobileNetV2 (arXiv 1801.04381, section 3.4); with `expansion_transform` (squeeze and excite)
    MobileNetV3's block (arXiv 1905.02244, section 5).

    Args:
        input_tensor: [batch, height, width, channels], float.
        num_outputs: int, channels of the bottleneck.
        expansion_size: inner width: an int, or a function of `num_inputs` (see
            `expand_input_by_factor`). No expansion is made if it is not above the input's.
        stride: int, of the depthwise convolution.
        rate: int, atrous rate of the depthwise convolution.
        kernel_size: (height, width) of the depthwise convolution.
        residual: True to add the input where stride and channels allow; or a function
            (input_tensor, output_tensor) giving the result; False for none.
        normalizer_fn: normalisation of all convolutions.
        split_projection, split_expansion: int, groups of the 1x1 convolutions (`split_conv`).
        split_divisible_by: int, divisor of the group sizes.
        expansion_transform: function (expansion_tensor, input_tensor) applied before projection.
        depthwise_location: 'input', 'expansion' or 'output': after which of them the depthwise
            convolution comes; None for no depthwise convolution.
        depthwise_channel_multiplier: int, outputs of the depthwise convolution for each input.
        endpoints: dict that receives depthwise_output, expansion_output and projection_output.
        use_explicit_padding: bool, pad by zeros (`fixed_padding`) and convolve without SAME.
        padding: 'SAME' or 'VALID', of the depthwise convolution.
        inner_activation_fn: activation of expansion and depthwise convolution; None for what the
            arg scope says.
        depthwise_activation_fn: activation of the depthwise convolution, if it is to differ.
        project_activation_fn: activation of the projection; linear by default.
        depthwise_fn, expansion_fn, projection_fn: the convolutions. An `expansion_fn` made by
            `functools.partial` with `kernel_size` and `stride` gives a fused block.
        scope: str; None for `expanded_conv` made unique.

    Returns:
        [batch, height / stride, width / stride, num_outputs], named `<scope>/output`.

    Raises:
        TypeError: on an unknown `depthwise_location`, or explicit padding without SAME.
    """
    if depthwise_location not in _DEPTHWISE_LOCATIONS:
        raise TypeError('Argument `depthwise_location` must be one of {}. Received instead: '
                        '{!r}'.format(_DEPTHWISE_LOCATIONS, depthwise_location))
    if use_explicit_padding and padding != 'SAME':
        raise TypeError('Explicit padding stands for SAME; it cannot go with padding {!r}'.format(
            padding))
    record = {} if endpoints is None else endpoints
    inner = {} if inner_activation_fn is None else {'activation_fn': inner_activation_fn}

    def padded(net, kernel, atrous_rate):
        return fixed_padding(net, kernel, atrous_rate) if use_explicit_padding else net

    def marked(net, name):
        record[name] = tf.identity(net, name=name)
        return record[name]

    def depthwise_at(location, net):
        if depthwise_location != location:
            return net
        activation = dict(inner)
        if location != 'expansion':
            activation['activation_fn'] = None
        elif depthwise_activation_fn is not None:
            activation['activation_fn'] = depthwise_activation_fn
        net = depthwise_fn(
            padded(net, kernel_size, rate), num_outputs=None, kernel_size=kernel_size,
            depth_multiplier=depthwise_channel_multiplier, stride=stride, rate=rate,
            normalizer_fn=normalizer_fn, padding='VALID' if use_explicit_padding else padding,
            scope='depthwise', **activation)
        return marked(net, 'depthwise_output')

    def expanded(net):
        num_inputs = net.shape.as_list()[3]
        width = expansion_size
        if callable(width):
            width = width(num_inputs=num_inputs)
        if width <= num_inputs:
            return net
        kernel = as_pair(_keyword_of(expansion_fn, 'kernel_size', 1))
        arguments = dict(inner, normalizer_fn=normalizer_fn, scope='expand')
        if use_explicit_padding and kernel != (1, 1):
            arguments['padding'] = 'VALID'
        convolution = _with_splits(expansion_fn, split_expansion, split_divisible_by)
        return marked(convolution(padded(net, kernel, 1), width, **arguments),
                      'expansion_output')

    def projected(net):
        convolution = _with_splits(projection_fn, split_projection, split_divisible_by)
        net = convolution(net, num_outputs, scope='project', normalizer_fn=normalizer_fn,
                          activation_fn=project_activation_fn)
        record['projection_output'] = net
        return net

    with scopes.layer_scope(scope, 'expanded_conv'):
        block_input = tf.identity(input_tensor, name='input')
        net = depthwise_at('expansion', expanded(depthwise_at('input', block_input)))
        if expansion_transform is not None:
            net = expansion_transform(expansion_tensor=net, input_tensor=block_input)
        net = depthwise_at('output', projected(net))
        if callable(residual):
            net = residual(input_tensor=block_input, output_tensor=net)
        elif residual and _can_add(block_input, net, stride):
            net = net + block_input
        return tf.identity(net, name='output')


def _can_add(before, after, stride):
    """Whether a block's input fits its output. The stride decides for sizes known only later."""
    return stride == 1 and before.shape.as_list()[3] == after.shape.as_list()[3]
