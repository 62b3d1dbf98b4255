"""What happens to gradients between the loss and the optimiser."""
import tensorflow.compat.v1 as tf


def get_model_gradient_multipliers(last_layers, last_layer_gradient_multiplier):
    """Factor on the gradient of each model variable that does not keep a factor of 1.

    Biases learn at twice the rate. A variable whose name holds the name of a last layer gets
    `last_layer_gradient_multiplier` (its bias twice that).

    Args:
      last_layers: names of the last layers, as `deeplab.model.get_extra_layer_scopes` gives them.
      last_layer_gradient_multiplier: a float.

    Returns:
      A dict from variable name (without ':0') to factor. Last-layer variables are listed even if
      their factor is 1.
    """
    factors = {}
    for name in (variable.op.name for variable in tf.model_variables()):
        is_bias = 'biases' in name
        is_last = any(layer in name for layer in last_layers)
        if is_bias or is_last:
            factors[name] = (2.0 if is_bias else 1.0) * (
                last_layer_gradient_multiplier if is_last else 1.0)
    return factors


def multiply(grads_and_vars, factors):
    """Multiplies gradients by the factors `get_model_gradient_multipliers` gives.

    Args:
      grads_and_vars: list of (gradient, variable); gradients are tensors or tf.IndexedSlices.
      factors: dict from variable name to factor.

    Returns:
      A list of (gradient, variable) in the same order.

    Raises:
      ValueError: where a variable with a factor other than 1 has no gradient.
    """
    scaled = []
    for gradient, variable in grads_and_vars:
        factor = factors.get(variable.op.name, 1.0)
        if factor != 1.0:
            if gradient is None:
                raise ValueError('`{}` has a gradient multiplier ({:g}) but no gradient.'.format(
                    variable.op.name, factor))
            gradient = _scale(gradient, factor)
        scaled.append((gradient, variable))
    return scaled


def _scale(gradient, factor):
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(
            gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor


def clip_by_global_norm(grads_and_vars, limit, norm=None):
    """Scales all gradients down together where their joint L2 norm exceeds `limit`.

    Args:
      grads_and_vars: list of (gradient, variable).
      limit: largest norm allowed, above 0.
      norm: the global norm where the caller has it already, a float32 scalar.

    Returns:
      A list of (gradient, variable).
    """
    gradients, variables = zip(*grads_and_vars)
    clipped, _ = tf.clip_by_global_norm(gradients, limit, use_norm=norm)
    return list(zip(clipped, variables))
