"""Builds a MobileNet from a list of layer records.

A network is data: `conv_defs = {'defaults': {...}, 'spec': [op(...), op(...), ...]}`. `defaults`
maps tuples of functions to their default arguments; `spec` holds one record a layer, written with
`op`. Copy and edit such a dict to make a variant; see mobilenet_v2.V2_DEF for an example.

Tensors are [batch, height, width, channels].
"""
import functools
import inspect

import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import boundaries
from slim_nets.mobilenet import conv_blocks
from slim_nets.mobilenet import scopes
from slim_nets.mobilenet import spec

NoOpScope = scopes.NoOpScope
safe_arg_scope = scopes.safe_arg_scope
Op = spec.Op
op = spec.op
depth_multiplier = spec.depth_multiplier

_CONVOLUTIONS = (slim.conv2d, slim.fully_connected, slim.separable_conv2d)


def apply_activation(x, name=None, activation_fn=None):
    """Returns `activation_fn(x, name=name)`, or `x` itself without an activation."""
    return x if activation_fn is None else activation_fn(x, name=name)


def _takes(function, argument):
    return argument in inspect.signature(function).parameters


def _build_layer(layer, net, params, use_explicit_padding):
    if use_explicit_padding:
        if _takes(layer.op, 'use_explicit_padding'):
            params['use_explicit_padding'] = True
        elif 'kernel_size' in params:
            net = conv_blocks.fixed_padding(net, params['kernel_size'], params.get('rate', 1))
    return layer.op(net, **params)


def _folder(operation_name):
    return operation_name.rpartition('/')[0]


def _inner_end_points(operations, layer_names):
    """Finds what blocks marked by operations named `...output`.

    Args:
        operations: list of `tf.Operation`.
        layer_names: dict from the name scope of a layer to the name of its end point.

    Returns:
        dict from '<layer>/<operation>' to tensor.
    """
    found = {}
    for operation in operations:
        folder, _, leaf = operation.name.rpartition('/')
        if folder in layer_names and leaf.endswith('output'):
            found['{}/{}'.format(layer_names[folder], leaf)] = operation.outputs[0]
    return found


def _scope_decides(network):
    """Lets `is_training`, where the caller does not give it, be what the arg scopes around say.

    The default in the signature holds where neither the caller nor an arg scope says anything.
    Without this the default would overrule `slim.arg_scope([slim.batch_norm], is_training=True)`
    and batch norm would silently stay frozen in training.
    """
    signature = inspect.signature(network)
    default = signature.parameters['is_training'].default

    @functools.wraps(network)
    def build(*args, **kwargs):
        if 'is_training' not in signature.bind_partial(*args, **kwargs).arguments:
            kwargs['is_training'] = _batch_norm_mode(default)
        return network(*args, **kwargs)

    return build


def _batch_norm_mode(default=False):
    return scopes.surrounding_value(slim.batch_norm, 'is_training', default)


@slim.add_arg_scope
@_scope_decides
def mobilenet_base(inputs, conv_defs, multiplier=1.0, final_endpoint=None, output_stride=None,
                   use_explicit_padding=False, scope=None, is_training=False):
    """Builds the layers of a network, without pooling and classifier.

    Args:
        inputs: [batch, height, width, 3], float, in [-1, 1] for the published networks.
        conv_defs: dict with `defaults` and `spec`; see the top of this file.
        multiplier: number above 0, depth multiplier.
        final_endpoint: str `layer_<n>`, counted from 1, where to stop; None for all layers.
        output_stride: int, power of two: ratio of input to output resolution. Where the layers'
            strides would go beyond it, they are replaced by atrous rates. None keeps all strides.
        use_explicit_padding: bool, pad by zeros instead of SAME; equal for odd input sizes.
        scope: str or `tf.VariableScope`; None for `Mobilenet` made unique.
        is_training: bool or bool tensor, mode of batch norm. If it is not given, an arg scope
            around that sets it for `slim.batch_norm` decides; without one it is False. None sets
            nothing.

    Returns:
        ([batch, height / output_stride, width / output_stride, channels],
        dict of end points: `layer_<n>`, and `layer_<n>/expansion_output`,
        `layer_<n>/depthwise_output` and `layer_<n>/output` of expanded convolutions).

    Raises:
        ValueError: on a depth multiplier not above 0, an unknown `final_endpoint`, or an
            `output_stride` that is no power of two.
    """
    layers = conv_defs['spec']
    names = spec.check_request(layers, multiplier, final_endpoint, output_stride)
    overrides = {}
    if use_explicit_padding:
        overrides[slim.conv2d, slim.separable_conv2d] = {'padding': 'VALID'}
    strides = spec.StrideBudget(output_stride)
    operations_before = len(inputs.graph.get_operations())
    end_points, layer_names = {}, {}
    net = inputs
    with scopes.layer_scope(scope, 'Mobilenet'), \
            safe_arg_scope([slim.batch_norm], is_training=is_training), \
            scopes.arg_scopes(conv_defs.get('defaults', {}), overrides):
        for name, layer in zip(names, layers):
            params = spec.layer_arguments(layer, multiplier, strides)
            net = boundaries.mark(_build_layer(layer, net, params, use_explicit_padding))
            end_points[name] = net
            layer_names[_folder(net.name)] = name
            if name == final_endpoint:
                break
    new_operations = inputs.graph.get_operations()[operations_before:]
    end_points.update(_inner_end_points(new_operations, layer_names))
    return net, end_points


def _dropout_mode(arguments):
    """Returns the mode of dropout: the caller's word, else its arg scope's, else batch norm's."""
    if 'is_training' in arguments:
        return arguments['is_training']
    return scopes.surrounding_value(slim.dropout, 'is_training', _batch_norm_mode())


def _classifier(features, num_classes, is_training):
    with safe_arg_scope([slim.dropout], is_training=is_training):
        net = slim.dropout(features, scope='Dropout')
    net = slim.conv2d(net, num_classes, (1, 1), activation_fn=None, normalizer_fn=None,
                      biases_initializer=tf.zeros_initializer(), scope='Conv2d_1c_1x1')
    return tf.identity(tf.squeeze(net, axis=[1, 2]), name='output')


@slim.add_arg_scope
def mobilenet(inputs, num_classes=1001, prediction_fn=slim.softmax, reuse=None, scope='Mobilenet',
              base_only=False, **mobilenet_args):
    """Builds a MobileNet with its classifier.

    Args:
        inputs: [batch, height, width, 3], float, in [-1, 1] for the published networks.
        num_classes: int, 1001 for ImageNet with a background class; 0 or None to end with the
            pooled features.
        prediction_fn: function (logits, scope) giving the `Predictions` end point; None for none.
        reuse, scope: of the variables.
        base_only: bool, stop before pooling.
        **mobilenet_args: for `mobilenet_base`; `conv_defs` is required.

    Returns:
        (logits, end points): logits [batch, num_classes], or pooled features
        [batch, 1, 1, channels] without classes, or features [batch, height / output_stride,
        width / output_stride, channels] with `base_only`. End points: those of
        `mobilenet_base`, `global_pool`, `Logits` and `Predictions`.

    Raises:
        ValueError: if `inputs` is not four-dimensional, and as `mobilenet_base` does.
    """
    shape = inputs.shape
    if shape.ndims != 4:
        raise ValueError('MobileNets take images of shape [batch, height, width, channels]. '
                         'Received instead: {}'.format(shape))
    with tf.variable_scope(scope, 'Mobilenet', reuse=reuse) as own_scope:
        inputs = tf.identity(inputs, name='input')
        net, end_points = mobilenet_base(inputs, scope=own_scope, **mobilenet_args)
        if base_only:
            return net, end_points
        net = tf.identity(net, name='embedding')
        with tf.variable_scope('Logits'):
            net = end_points['global_pool'] = global_pool(net)
            if not num_classes:
                return net, end_points
            logits = _classifier(net, num_classes, _dropout_mode(mobilenet_args))
        end_points['Logits'] = logits
        if prediction_fn is not None:
            end_points['Predictions'] = prediction_fn(logits, 'Predictions')
    return logits, end_points


def global_pool(input_tensor, pool_op=tf.nn.avg_pool2d):
    """Pools each picture to a single position.

    Args:
        input_tensor: [batch, height, width, channels]; height and width need not be known.
        pool_op: `tf.nn.avg_pool2d` or `tf.nn.max_pool2d`, or a function of their arguments.

    Returns:
        [batch, 1, 1, channels].

    Raises:
        ValueError: on another function and unknown height or width.
    """
    height, width = input_tensor.shape.as_list()[1:3]
    if height is not None and width is not None:
        return pool_op(input_tensor, ksize=[1, height, width, 1], strides=[1, 1, 1, 1],
                       padding='VALID')
    # Window sizes must be known when a graph is built; reductions need not.
    if pool_op is tf.nn.avg_pool2d:
        return tf.reduce_mean(input_tensor, axis=(1, 2), keepdims=True)
    if pool_op is tf.nn.max_pool2d:
        return tf.reduce_max(input_tensor, axis=(1, 2), keepdims=True)
    raise ValueError('With unknown image size, `pool_op` must be tf.nn.avg_pool2d or '
                     'tf.nn.max_pool2d. Received instead: {!r}'.format(pool_op))


def training_scope(is_training=True, weight_decay=0.00004, stddev=0.09, dropout_keep_prob=0.8,
                   bn_decay=0.997):
    """Returns the arg scope MobileNets are trained in.

    `with slim.arg_scope(training_scope()): logits, end_points = mobilenet_v2.mobilenet(images)`

    Args:
        is_training: bool or bool tensor, mode of batch norm and dropout; None leaves both as they
            are set around.
        weight_decay: number, L2 factor of the convolutions; depthwise weights are left out.
        stddev: number, of the truncated normal that initialises weights; negative for Xavier.
        dropout_keep_prob: number, share of features that the classifier's dropout keeps.
        bn_decay: number, decay of batch norm's moving averages; None leaves slim's default.

    Returns:
        An arg scope.
    """
    if stddev < 0:
        initializer = slim.initializers.xavier_initializer()
    else:
        initializer = tf.truncated_normal_initializer(stddev=stddev)
    with slim.arg_scope(_CONVOLUTIONS, weights_initializer=initializer,
                        normalizer_fn=slim.batch_norm), \
            safe_arg_scope([slim.batch_norm], is_training=is_training, decay=bn_decay), \
            safe_arg_scope([slim.dropout], is_training=is_training,
                           keep_prob=dropout_keep_prob), \
            slim.arg_scope([slim.separable_conv2d], weights_regularizer=None), \
            slim.arg_scope([slim.conv2d],
                           weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
        return scope
