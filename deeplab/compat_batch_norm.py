"""A batch normalisation layer without Keras, for tf_slim on TensorFlow 2.13 and later.

`deeplab.compat` hands this module to tf_slim in place of TensorFlow's own layer module, so the
class keeps that layer's constructor arguments. Variables, their order, their collections and the
arithmetic equal those of tf_slim's batch norm on TensorFlow 1.15.
"""
import tensorflow.compat.v1 as tf

# cuDNN refuses smaller values; TensorFlow 1.15 raises an epsilon below it in its fused kernels, so
# 1e-5 acts as 1.001e-5 there and has to do so here.
_SMALLEST_FUSED_EPSILON = 1.001e-5


def _is_low_precision(dtype) -> bool:
    return dtype in (tf.float16, tf.bfloat16)


class BatchNormalization:
    """Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167, section 3).

    Inputs are [batch, height, width, channels] (`axis` -1) or [batch, channels, height, width]
    (`axis` 1), or of any other rank with the channels last; outputs have the same shape and dtype.
    Statistics and parameters are float32 also for float16 inputs.
    """

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True,
                 beta_initializer=None, gamma_initializer=None, moving_mean_initializer=None,
                 moving_variance_initializer=None, beta_regularizer=None, gamma_regularizer=None,
                 trainable=True, renorm=False, renorm_clipping=None, renorm_momentum=0.99,
                 adjustment=None, name=None, _scope=None, _reuse=None, fused=None):
        del renorm_clipping, renorm_momentum, name
        if renorm or adjustment is not None:
            raise ValueError('Batch renormalisation (renorm, adjustment) needs TensorFlow 1.15; '
                             'this TensorFlow has no layer for it.')
        self._axis = axis
        self._momentum = momentum
        self._epsilon = epsilon
        self._trainable = trainable
        self._scope = _scope
        self._reuse = _reuse
        self._fused = fused is None or fused
        # name: (wanted, initializer, regularizer, trained by gradients)
        self._parameters = (
            ('gamma', scale, gamma_initializer or tf.ones_initializer(), gamma_regularizer, True),
            ('beta', center, beta_initializer or tf.zeros_initializer(), beta_regularizer, True),
            ('moving_mean', True, moving_mean_initializer or tf.zeros_initializer(), None, False),
            ('moving_variance', True, moving_variance_initializer or tf.ones_initializer(), None,
             False),
        )
        self.gamma = self.beta = self.moving_mean = self.moving_variance = None

    def apply(self, inputs, training=False):
        """Normalises `inputs`; in training the moving statistics' updates join UPDATE_OPS."""
        with tf.variable_scope(self._scope, reuse=self._reuse):
            self._make_variables(inputs)
            if isinstance(training, (bool, int)):
                outputs, mean, variance = self._normalise(inputs, bool(training))
                if training:
                    self._register_updates(mean, variance, 1.0 - self._momentum)
                return outputs
            outputs, mean, variance = tf.cond(
                training,
                lambda: self._normalise(inputs, True),
                lambda: self._normalise(inputs, False))
            # Where a tensor says "not training", the step of the moving average is zero.
            rate = tf.where(training, 1.0 - self._momentum, 0.0)
            self._register_updates(mean, variance, rate)
            outputs.set_shape(inputs.shape)
            return outputs

    __call__ = apply

    def _make_variables(self, inputs):
        channels = tf.Dimension(inputs.shape[self._axis]).value
        if channels is None:
            raise ValueError('Batch norm needs a known number of channels on axis {}, got shape '
                             '{}.'.format(self._axis, inputs.shape))
        dtype = tf.float32 if _is_low_precision(inputs.dtype) else inputs.dtype
        for name, wanted, initializer, regularizer, by_gradient in self._parameters:
            if not wanted:
                continue
            setattr(self, name, tf.get_variable(
                name, shape=[channels], dtype=dtype, initializer=initializer,
                regularizer=regularizer, trainable=self._trainable and by_gradient,
                synchronization=(tf.VariableSynchronization.AUTO if by_gradient
                                 else tf.VariableSynchronization.ON_READ),
                aggregation=(tf.VariableAggregation.NONE if by_gradient
                             else tf.VariableAggregation.MEAN)))

    def _normalise(self, inputs, training):
        """Returns (outputs, mean, variance); the last two are this batch's when training."""
        if self.is_fused(inputs):
            gamma, beta = self._gamma_and_beta()
            statistics = {} if training else {'mean': tf.convert_to_tensor(self.moving_mean),
                                              'variance': tf.convert_to_tensor(
                                                  self.moving_variance)}
            return tf.nn.fused_batch_norm(
                inputs, gamma, beta, epsilon=self.effective_epsilon(inputs),
                data_format='NCHW' if self._axis == 1 else 'NHWC', is_training=training,
                **statistics)
        return self._normalise_unfused(inputs, training)

    def is_fused(self, inputs) -> bool:
        """Whether `inputs` go through TensorFlow's fused kernels."""
        return inputs.shape.ndims == 4 and self._fused

    def effective_epsilon(self, inputs) -> float:
        """The epsilon that acts on `inputs`."""
        if self.is_fused(inputs):
            return max(self._epsilon, _SMALLEST_FUSED_EPSILON)
        return self._epsilon

    def _gamma_and_beta(self):
        size, dtype = self.moving_mean.shape, self.moving_mean.dtype.base_dtype
        return (tf.ones(size, dtype) if self.gamma is None else self.gamma,
                tf.zeros(size, dtype) if self.beta is None else self.beta)

    def _normalise_unfused(self, inputs, training):
        if training:
            rank = inputs.shape.ndims
            others = [axis for axis in range(rank) if axis != self._axis % rank]
            mean, variance = tf.nn.moments(
                tf.cast(inputs, self.moving_mean.dtype.base_dtype), others)
        else:
            mean = tf.convert_to_tensor(self.moving_mean)
            variance = tf.convert_to_tensor(self.moving_variance)
        return self._scale_and_shift(inputs, mean, variance, self._epsilon), mean, variance

    def _scale_and_shift(self, inputs, mean, variance, epsilon):
        gamma, beta = self._gamma_and_beta()
        aligned = [1] * inputs.shape.ndims
        aligned[self._axis] = -1
        factor = tf.cast(gamma * tf.rsqrt(variance + epsilon), inputs.dtype)
        offset = tf.cast(beta, inputs.dtype) - tf.cast(mean, inputs.dtype) * factor
        return inputs * tf.reshape(factor, aligned) + tf.reshape(offset, aligned)

    def _register_updates(self, mean, variance, rate):
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            step = (tf.convert_to_tensor(moving) - tf.cast(batch, moving.dtype.base_dtype)) * rate
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, moving.assign_sub(step))
