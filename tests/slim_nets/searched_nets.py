"""Helpers of the tests of NASNet-A and PNASNet-5."""
import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim


def count(variables) -> int:
    """Returns the number of values in the variables."""
    return sum(int(np.prod(variable.shape.as_list())) for variable in variables)


def shapes(end_points) -> dict:
    """Returns the shapes of the end points by name."""
    return {name: tensor.shape.as_list() for name, tensor in end_points.items()}


def build(builder, arg_scope, num_classes, side=None, batch=2, **kwargs):
    """Builds a network on random images; returns (its result, its end points)."""
    side = side or builder.default_image_size
    images = tf.random_uniform([batch, side, side, 3], seed=1)
    with slim.arg_scope(arg_scope()):
        return builder(images, num_classes, **kwargs)


def run(fetches):
    """Returns the values of `fetches` with fresh variables."""
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)
