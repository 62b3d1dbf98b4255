"""Folds batch norm into the convolutions before it.

At inference batch norm is a factor and an offset for each channel (Ioffe and Szegedy, arXiv
1502.03167, section 3.1), and so are a bias and any multiplication by constants. The factor goes
into the weights of the convolution, the offset becomes its bias.

Other weights round differently. That matters where a filter is steep: it answers with the small
difference of large numbers, as one that looks for edges does, and nothing after it tells the
rounding from an edge.
"""
import collections

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.export import rebuild

_CONVOLUTIONS = ('Conv2D', 'DepthwiseConv2dNative')
_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
_SUMS = ('Add', 'AddV2', 'BiasAdd')
# A depthwise filter whose result can change by more than so many times what its input changes is
# steep. (The activations after it range from 0 to 6.)
_STEEP = 64

# The affine function of a convolution's result that a tensor is. convolution: the op; regroup: the
# BatchToSpaceND behind it, or None; factor and offset: float64 vectors, one value a channel.
_Affine = collections.namedtuple('_Affine', ['convolution', 'regroup', 'factor', 'offset'])


def _vector(tensor, channels):
    """Returns the value of a constant of one value a channel (or one for all), else None."""
    value = rebuild.constant(tensor)
    if value is None or value.size not in (1, channels) or (
            value.size == channels and value.ndim and value.shape[-1] != channels):
        return None
    return np.broadcast_to(value.astype(np.float64).ravel(), [channels])


def _norms(graph):
    """Returns dict: name of a FusedBatchNorm that infers with constants -> (factor, offset).

    They are what TensorFlow computes of the constants, to the last bit.
    """
    found = {}
    with tf.Graph().as_default(), tf.Session() as session:
        for op in graph.get_operations():
            values = [rebuild.constant(tensor) for tensor in list(op.inputs)[1:5]]
            if op.type in _NORMS and not op.get_attr('is_training') and (
                    op.get_attr('data_format') == b'NHWC' and all(
                        value is not None for value in values)):
                gamma, beta, mean, variance = [tf.constant(value) for value in values]
                factor = tf.rsqrt(variance + op.get_attr('epsilon')) * gamma
                found[op.name] = (factor, beta - factor * mean)
        found = session.run(found) if found else {}
    return {name: [value.astype(np.float64) for value in pair] for name, pair in found.items()}


def _step(op, data_name, norms):
    """Returns (factor, offset) where the op is such a function of the tensor `data_name`."""
    if op.type in _NORMS:
        return norms.get(op.name)
    if op.type not in _SUMS + ('Mul', 'Sub') or len(op.inputs) != 2:
        return None
    position = 0 if op.inputs[0].name == data_name else 1
    channels = op.inputs[position].shape.as_list()[-1]
    value = _vector(op.inputs[1 - position], channels) if channels else None
    if value is None or (op.type == 'Sub' and position == 1):
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    return {'Mul': (value, zero), 'Sub': (one, -value)}.get(op.type, (one, value))


def _find(graph, outputs):
    """Returns dict: name of a tensor -> _Affine, only for the last tensor of each chain."""
    takers = rebuild.consumers(graph)
    norms = _norms(graph)
    found = {}
    for op in graph.get_operations():
        if op.type not in _CONVOLUTIONS or rebuild.constant(op.inputs[1]) is None or (
                op.get_attr('data_format') != b'NHWC'):
            continue
        tensor, regroup = op.outputs[0], None
        channels = tensor.shape.as_list()[-1]
        affine = _Affine(op, None, np.ones(channels), np.zeros(channels))
        steps = 0
        while len(takers.get(tensor.name, ())) == 1 and tensor.op.name not in outputs:
            taker = takers[tensor.name][0]
            if taker.type == 'BatchToSpaceND' and regroup is None and not steps:
                regroup = taker
            else:
                step = _step(taker, tensor.name, norms)
                if step is None or taker.outputs[0].shape.as_list()[-1] != channels:
                    break
                factor, offset = step
                affine = affine._replace(factor=affine.factor * factor,
                                         offset=affine.offset * factor + offset)
                steps += 1
            tensor = taker.outputs[0]
        if steps:
            found[tensor.name] = affine._replace(regroup=regroup)
    return found


def _scaled_weights(convolution, factor):
    weights = rebuild.constant(convolution.inputs[1])
    if convolution.type == 'DepthwiseConv2dNative':
        # [height, width, channels, multiplier]: the last two count the results together.
        factor = factor.reshape(weights.shape[2:])
    return (weights.astype(np.float64) * factor).astype(weights.dtype)


def _is_steep(affine):
    """Whether a depthwise convolution has a steep filter."""
    if affine.convolution.type != 'DepthwiseConv2dNative':
        return False
    weights = rebuild.constant(affine.convolution.inputs[1])
    sums = np.abs(weights).sum(axis=(0, 1)).ravel()
    return np.max(sums * np.abs(affine.factor)) > _STEEP


def fold_batch_norm(graph_def, outputs, even_steep=False) -> tf.GraphDef:
    """Makes every chain of factors and offsets behind a convolution one BiasAdd.

    Covers FusedBatchNorm in its three versions, its form as Mul, Add and Sub, biases, and dilated
    convolutions made of SpaceToBatchND and BatchToSpaceND; Conv2D and DepthwiseConv2dNative.

    Args:
        graph_def: GraphDef whose weights and statistics are constants.
        outputs: names of ops that stay.
        even_steep: fold also where filters are steep, see the module. Otherwise the factor stays a
            Mul there.
    """
    graph = rebuild.import_graph(graph_def)
    chains = _find(graph, outputs)
    inputs_of = {}

    def replace(op, inputs):
        if op.type in _CONVOLUTIONS + ('BatchToSpaceND',):
            inputs_of[op.name] = inputs
        affine = chains.get(op.outputs[0].name) if op.outputs else None
        if affine is None:
            return None
        convolution = affine.convolution
        in_weights, left = affine.factor, None
        if not even_steep and _is_steep(affine):
            in_weights, left = np.ones_like(affine.factor), affine.factor.astype(np.float32)
        data = rebuild.like(convolution, [inputs_of[convolution.name][0], tf.constant(
            _scaled_weights(convolution, in_weights), name=convolution.name + '/folded')],
            convolution.name + '/folded_convolution')[0]
        if affine.regroup is not None:
            data = rebuild.like(affine.regroup, [data] + inputs_of[affine.regroup.name][1:],
                                affine.regroup.name + '/folded')[0]
        if left is not None:
            data *= tf.constant(left, name=convolution.name + '/factor')
        if not np.any(affine.offset):
            return [data]
        bias = tf.constant(affine.offset.astype(np.float32), name=convolution.name + '/bias')
        return [tf.nn.bias_add(data, bias, name=convolution.name + '/BiasAdd')]

    return rebuild.rebuild(graph, replace, outputs)

