"""A convolution whose weights can be standardised before they are used.

Qiao et al., "Weight standardization", arXiv 1903.10520, equations 6 and 7: each output channel's
weights are used with mean 0 and variance 1, which smooths the loss where group normalisation stands
in for batch normalisation. Trained variables are the weights before that, so checkpoints of
networks with and without it have the same names and shapes.

`conv2d` takes the place of `slim.conv2d`, `Conv2D` that of the layer class behind it, which
current TensorFlow has no more.
"""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import resnet_utils

_EPSILON = 1e-5
_TF_DATA_FORMAT = {'channels_last': 'NHWC', 'channels_first': 'NCHW'}
_LAYER_DATA_FORMAT = {None: 'channels_last', 'NHWC': 'channels_last', 'NCHW': 'channels_first'}


def standardize_weights(kernel: tf.Tensor) -> tf.Tensor:
    """Gives each output channel's weights mean 0 and variance 1.

    Args:
        kernel: [kernel height, kernel width, input channels, output channels].

    Returns:
        A tensor of the same shape and dtype.
    """
    mean, variance = tf.nn.moments(kernel, [0, 1, 2], keepdims=True)
    return (kernel - mean) / tf.sqrt(variance + _EPSILON)


def _pair(name: str, value) -> tuple:
    """Returns `value`, one positive integer or two, as a tuple of two."""
    pair = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) != 2 or any(int(entry) != entry or entry < 1 for entry in pair):
        raise ValueError('{} must be one positive integer or two, got {!r}.'.format(name, value))
    return tuple(int(entry) for entry in pair)


def _choice(name: str, value, choices):
    if value not in choices:
        raise ValueError('{} must be one of {}, got {!r}.'.format(name, list(choices), value))
    return value


class Conv2D:
    """A two-dimensional convolution layer with optional weight standardisation.

    The variables, `kernel` [height, width, input channels, filters] and `bias` [filters], are made
    by `tf.get_variable` on the first call, so scopes, reuse, partitioners and custom getters apply;
    later calls share them.

    Attributes:
        kernel: the variable of the weights, before standardisation; None before the first call.
        bias: the variable of the biases; None before the first call and without biases.
        built: bool, whether the variables exist.
    """

    def __init__(self, filters, kernel_size, strides=(1, 1), padding='valid',
                 data_format='channels_last', dilation_rate=(1, 1), activation=None, use_bias=True,
                 kernel_initializer=None, bias_initializer=tf.zeros_initializer(),
                 kernel_regularizer=None, bias_regularizer=None, use_weight_standardization=False,
                 activity_regularizer=None, kernel_constraint=None, bias_constraint=None,
                 trainable=True, name=None, **kwargs):
        """Checks and keeps the arguments.

        Args:
            filters: int, number of output channels.
            kernel_size: int or two, height and width of the kernel.
            strides: int or two.
            padding: 'valid' or 'same', in any case.
            data_format: 'channels_last' or 'channels_first'.
            dilation_rate: int or two, the atrous rate; this or `strides` has to be 1.
            activation: function applied to the result, or None.
            use_bias: bool, whether to add biases.
            kernel_initializer: initializer; None for the variable scope's.
            bias_initializer: initializer.
            kernel_regularizer: function from the weights to a scalar loss, or None.
            bias_regularizer: the same for the biases.
            use_weight_standardization: bool.
            activity_regularizer: function from the result to a scalar loss, or None.
            kernel_constraint: function from the updated weights to those to store, or None.
            bias_constraint: the same for the biases.
            trainable: bool, whether the variables join TRAINABLE_VARIABLES.
            name: str, the variable scope; 'conv2d', made unique, if None.
            **kwargs: `dtype` of the variables (default: the inputs'), `_scope`, a variable scope to
                use instead of `name`, and `_reuse`, whether to reuse its variables.

        Raises:
            TypeError: an unknown keyword.
            ValueError: a value out of its range, or strides and dilation rate both above 1.
        """
        unknown = set(kwargs) - {'dtype', '_scope', '_reuse'}
        if unknown:
            raise TypeError('Conv2D got unknown arguments: {}.'.format(', '.join(sorted(unknown))))
        self.filters = filters
        self.kernel_size = _pair('kernel_size', kernel_size)
        self.strides = _pair('strides', strides)
        self.dilation_rate = _pair('dilation_rate', dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError('strides and dilation_rate cannot both exceed 1, got {} and '
                             '{}.'.format(self.strides, self.dilation_rate))
        self.padding = _choice('padding', padding.lower(), ('valid', 'same'))
        self.data_format = _choice('data_format', data_format, _TF_DATA_FORMAT)
        self.activation = activation
        self.use_bias = use_bias
        self.use_weight_standardization = use_weight_standardization
        self.activity_regularizer = activity_regularizer
        self.trainable = trainable
        self.name = name
        self.dtype = kwargs.get('dtype')
        self.kernel = self.bias = None
        self.built = False
        self._kernel_options = dict(initializer=kernel_initializer, regularizer=kernel_regularizer,
                                    constraint=kernel_constraint)
        self._bias_options = dict(initializer=bias_initializer, regularizer=bias_regularizer,
                                  constraint=bias_constraint)
        self._scope = kwargs.get('_scope')
        self._reuse = kwargs.get('_reuse')

    @property
    def variables(self) -> list:
        """The layer's variables, weights first."""
        return [variable for variable in (self.kernel, self.bias) if variable is not None]

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolves `inputs`, making the variables at the first call.

        Args:
            inputs: [batch, height, width, channels], or [batch, channels, height, width] for
                'channels_first'.

        Returns:
            The same with `filters` channels and the height and width that strides and padding give.
        """
        inputs = tf.convert_to_tensor(inputs)
        scope = self.name if self._scope is None else self._scope
        with tf.variable_scope(scope, 'conv2d', [inputs], reuse=self._reuse) as opened:
            # Calls after the first must find the scope again, not make the next unique one.
            self._scope = opened
            if not self.built:
                self.build(inputs.shape, inputs.dtype.base_dtype)
            outputs = self.call(inputs)
        if self.activity_regularizer is not None:
            tf.add_to_collection(tf.GraphKeys.REGULARIZATION_LOSSES,
                                 self.activity_regularizer(outputs))
        return outputs

    apply = __call__

    def build(self, input_shape: tf.TensorShape, dtype=tf.float32):
        """Makes the variables in the current variable scope.

        Args:
            input_shape: shape of the inputs, of rank 4, channels known.
            dtype: the variables' type where the constructor was given none.

        Raises:
            ValueError: `input_shape` is of another rank or does not give the channels.
        """
        shape = tf.TensorShape(input_shape)
        if shape.ndims != 4:
            raise ValueError('Conv2D expects inputs of rank 4, got shape {}.'.format(shape))
        channels = shape.as_list()[1 if self.data_format == 'channels_first' else 3]
        if channels is None:
            raise ValueError('Conv2D needs to know the number of input channels, got shape '
                             '{}.'.format(shape))
        self.dtype = self.dtype or dtype
        self.kernel = self.add_variable('kernel', self.kernel_size + (channels, self.filters),
                                        **self._kernel_options)
        if self.use_bias:
            self.bias = self.add_variable('bias', (self.filters,), **self._bias_options)
        self.built = True

    def add_variable(self, name: str, shape, **options):
        """Makes or gets the variable `name` of the current variable scope."""
        return tf.get_variable(name, shape, self.dtype, trainable=self.trainable, **options)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolves `inputs` with the existing variables. See `__call__` for the shapes."""
        data_format = _TF_DATA_FORMAT[self.data_format]
        kernel = tf.convert_to_tensor(self.kernel)
        if self.use_weight_standardization:
            kernel = standardize_weights(kernel)
        # Not tf.nn.conv2d: on TensorFlow 1.15 that has no gradient for atrous rates on a CPU.
        outputs = tf.nn.convolution(inputs, kernel, self.padding.upper(), strides=self.strides,
                                    dilation_rate=self.dilation_rate, data_format=data_format,
                                    name='Conv2D')
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, self.bias, data_format=data_format)
        return outputs if self.activation is None else self.activation(outputs)


class _SlimConv2D(Conv2D):
    """Names and collects its variables as `slim.conv2d` does."""

    _SLIM_NAMES = {'kernel': 'weights', 'bias': 'biases'}

    def __init__(self, *args, variables_collections=None, **kwargs):
        super().__init__(*args, **kwargs)
        self._variables_collections = variables_collections

    def add_variable(self, name, shape, constraint=None, **options):
        assert constraint is None, 'slim variables take no constraint'
        name = self._SLIM_NAMES[name]
        collections = slim.utils.get_variable_collections(self._variables_collections, name)
        return slim.model_variable(name, shape, self.dtype, trainable=self.trainable,
                                   collections=collections, **options)


@slim.add_arg_scope
def conv2d(inputs: tf.Tensor, num_outputs: int, kernel_size, stride=1, padding: str = 'SAME',
           data_format: str = None, rate=1, activation_fn=tf.nn.relu, normalizer_fn=None,
           normalizer_params: dict = None, weights_initializer=slim.xavier_initializer(),
           weights_regularizer=None, biases_initializer=tf.zeros_initializer(),
           biases_regularizer=None, use_weight_standardization: bool = False, reuse=None,
           variables_collections=None, outputs_collections: str = None, trainable: bool = True,
           scope: str = None) -> tf.Tensor:
    """`slim.conv2d` with optional weight standardisation.

    Variables are `weights` [height, width, input channels, num_outputs] and, without normaliser,
    `biases` [num_outputs].

    Args:
        inputs: [batch, height, width, channels], or [batch, channels, height, width] for 'NCHW'.
        num_outputs: number of output channels.
        kernel_size: int or two.
        stride: int or two; this or `rate` has to be 1.
        padding: 'SAME' or 'VALID'.
        data_format: 'NHWC', 'NCHW' or None for 'NHWC'.
        rate: int or two, the atrous rate.
        activation_fn: function applied last; None for a linear layer.
        normalizer_fn: function applied to the convolution's result instead of adding biases.
        normalizer_params: its keyword arguments.
        weights_initializer: initializer of the weights.
        weights_regularizer: function from the weights to a scalar loss, or None.
        biases_initializer: initializer of the biases; None for no biases.
        biases_regularizer: function from the biases to a scalar loss, or None.
        use_weight_standardization: whether to standardise the weights before using them.
        reuse: whether to reuse the variables; needs `scope`.
        variables_collections: further collections of the variables: a list, or a dictionary with
            the keys 'weights' and 'biases'.
        outputs_collections: collection to which the result is added.
        trainable: whether the variables join TRAINABLE_VARIABLES.
        scope: variable scope; 'Conv', made unique, if None.

    Returns:
        As `inputs`, with `num_outputs` channels and the height and width that stride and padding
        give.

    Raises:
        ValueError: a value out of its range, stride and rate both above 1, or inputs of another
            rank than 4.
    """
    layer_format = _LAYER_DATA_FORMAT[_choice('data_format', data_format, _LAYER_DATA_FORMAT)]
    with tf.variable_scope(scope, 'Conv', [inputs], reuse=reuse) as layer_scope:
        inputs = tf.convert_to_tensor(inputs)
        layer = _SlimConv2D(
            num_outputs, kernel_size, stride, padding, layer_format, dilation_rate=rate,
            use_bias=normalizer_fn is None and biases_initializer is not None,
            kernel_initializer=weights_initializer, kernel_regularizer=weights_regularizer,
            bias_initializer=biases_initializer, bias_regularizer=biases_regularizer,
            use_weight_standardization=use_weight_standardization, trainable=trainable,
            variables_collections=variables_collections)
        layer.build(inputs.shape, inputs.dtype.base_dtype)
        outputs = layer.call(inputs)
        if normalizer_fn is not None:
            outputs = normalizer_fn(outputs, **(normalizer_params or {}))
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return slim.utils.collect_named_outputs(outputs_collections, layer_scope.name, outputs)


def conv2d_same(inputs: tf.Tensor, num_outputs: int, kernel_size: int, stride: int, rate: int = 1,
                scope: str = None) -> tf.Tensor:
    """This module's `conv2d`, padded as `slim_nets.resnet_utils.conv2d_same` pads slim's.

    Args:
        inputs: [batch, height, width, channels].
        num_outputs, kernel_size, stride, rate, scope: as there, all of them ints but the scope.

    Returns:
        [batch, ceil(height / stride), ceil(width / stride), num_outputs], what the convolution of
        stride 1 gives at every `stride`-th position.
    """
    if stride == 1:
        return conv2d(inputs, num_outputs, kernel_size, rate=rate, scope=scope)
    padded = resnet_utils.pad_like_stride_one(inputs, kernel_size, rate)
    return conv2d(padded, num_outputs, kernel_size, stride=stride, rate=rate, padding='VALID',
                  scope=scope)
