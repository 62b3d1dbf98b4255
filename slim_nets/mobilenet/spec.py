"""Networks as data: layer records, what a depth multiplier and an output stride do to them."""
import collections
import numbers

import tf_slim as slim

from slim_nets.mobilenet import channels
from slim_nets.mobilenet import conv_blocks

# One layer: the function that builds it, its arguments, and the function
# (arguments, multiplier) that adapts the arguments to a depth multiplier, in place.
Op = collections.namedtuple('Op', ('op', 'params', 'multiplier_func'))


@slim.add_arg_scope
def depth_multiplier(output_params, multiplier, divisible_by=8, min_depth=8, **unused_kwargs):
    """Scales a layer's `num_outputs`, in place; layers without it stay as they are.

    Args:
        output_params: dict, the layer's arguments.
        multiplier: positive number.
        divisible_by: int, the result is a multiple of it (`channels.make_divisible`).
        min_depth: int, smallest result.
    """
    if 'num_outputs' in output_params:
        output_params['num_outputs'] = channels.make_divisible(
            output_params['num_outputs'] * multiplier, divisible_by, min_depth)


def keep_depth(output_params, multiplier, **unused_kwargs):
    """A `multiplier_func` for layers that have the same width at every depth multiplier."""
    del output_params, multiplier


def op(opfunc, multiplier_func=depth_multiplier, **params):
    """Returns the record of one layer of a network.

    Args:
        opfunc: function that builds the layer from its input and `params`.
        multiplier_func: function (params, multiplier) changing `params` for a depth multiplier.
        **params: arguments of `opfunc`; `stride` and `kernel_size` are understood here too.
    """
    return Op(opfunc, params=params, multiplier_func=multiplier_func)


def keep_last_layer_wide(conv_defs):
    """Returns a network like `conv_defs` whose last layer no depth multiplier changes."""
    *layers, last = conv_defs['spec']
    return dict(conv_defs, spec=layers + [last._replace(multiplier_func=keep_depth)])


class StrideBudget(object):
    """Turns strides into atrous rates once a network is as coarse as it may become.

    The atrous algorithm of DeepLab (arXiv 1606.00915, section 3.1): a layer that would go below
    the wanted resolution keeps it, and those after it sample wider instead.
    """

    def __init__(self, output_stride):
        self._wanted = output_stride
        self._reached = 1
        self._rate = 1

    def spend(self, params):
        """Returns (stride, rate) for a layer of these arguments."""
        stride = params.get('stride', 1)
        # A fused block has its stride in its expansion and takes it in any case.
        if self._reached != self._wanted or conv_blocks.fixed_stride(params) > 1:
            self._reached *= stride
            if self._wanted is not None and self._reached > self._wanted:
                self._wanted = self._reached
            return stride, 1
        rate = self._rate
        self._rate *= stride
        return 1, rate


def check_request(layers, multiplier, final_endpoint, output_stride):
    """Checks what was asked of a network and returns the names of its layers' end points.

    Args:
        layers: list of `Op`.
        multiplier, final_endpoint, output_stride: as `mobilenet.mobilenet_base` takes them.

    Returns:
        list of str: layer_1, layer_2, ...

    Raises:
        ValueError: on a value the network cannot be built with.
    """
    if multiplier <= 0:
        raise ValueError('The depth multiplier must be above 0. Received instead: {}'.format(
            multiplier))
    if output_stride is not None and not _is_power_of_two(output_stride):
        raise ValueError('Argument `output_stride` must be None or a power of two (1, 2, 4, 8, 16, '
                         '32, ...). Received instead: {!r}'.format(output_stride))
    names = ['layer_%d' % number for number in range(1, len(layers) + 1)]
    if final_endpoint is not None and final_endpoint not in names:
        raise ValueError('Argument `final_endpoint` must be one of layer_1 ... {}. Received '
                         'instead: {!r}'.format(names[-1], final_endpoint))
    return names


def _is_power_of_two(number):
    return isinstance(number, numbers.Integral) and number >= 1 and not number & (number - 1)


def layer_arguments(layer, multiplier, strides):
    """Returns the arguments of one layer at this depth multiplier, stride and rate."""
    params = dict(layer.params)
    layer.multiplier_func(params, multiplier)
    params['stride'], rate = strides.spend(params)
    if rate > 1 and conv_blocks.as_pair(params.get('kernel_size', ())) != (1, 1):
        params['rate'] = rate
    return params
