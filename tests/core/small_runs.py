"""Evaluates small graphs: one thread, repeatable inputs and weights."""
import numpy as np
import tensorflow.compat.v1 as tf

from tests import golden_net

ONE_THREAD = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)


def noise(*shape):
    """Returns the same normal float32 values at each call."""
    return np.random.RandomState(7).normal(0, 1, shape).astype(np.float32)


def seeded(fetches):
    """Evaluates in the default graph, every variable with the value its name gives it."""
    with tf.Session(config=ONE_THREAD) as session:
        golden_net.Weights(tf.global_variables()).load(session, 'mid')
        return session.run(fetches)


def initial(fetches):
    """Evaluates in the default graph, every variable with its initial value."""
    with tf.Session(config=ONE_THREAD) as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)
