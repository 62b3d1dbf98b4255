"""Random draws inside a network, repeatable where an arg scope says by what.

TensorFlow's own random ops count their draws in the session: a run that was interrupted goes on
with other numbers than one that was not. Inside

    with slim.arg_scope([draws.dropout, draws.uniform], repeat=draws.Repeat(seed, step)):

a draw is a function of the seed, the step and its place in the graph (so that of its clone) alone.
Without it nothing is added to TensorFlow's ops.
"""
import collections
import zlib

import tensorflow.compat.v1 as tf
import tf_slim as slim

# seed: list of Python ints. step: scalar integer tensor that is another one in every session run.
Repeat = collections.namedtuple('Repeat', ['seed', 'step'])


@slim.add_arg_scope
def uniform(shape, repeat=None):
    """Returns float32 numbers of a shape, uniform in [0, 1).

    Args:
      shape: list of ints and scalar tensors, or a tensor.
      repeat: a Repeat, or None for other numbers each time.
    """
    if repeat is None:
        return tf.random_uniform(shape, dtype=tf.float32)
    with tf.name_scope('draw') as place:
        words = '/'.join([place] + [str(part) for part in repeat.seed])
        return tf.random.stateless_uniform(shape, seed=tf.stack([
            tf.constant(zlib.crc32(words.encode()), tf.int64), tf.cast(repeat.step, tf.int64)]))


@slim.add_arg_scope
def dropout(inputs, keep_prob, is_training=True, scope=None, repeat=None):
    """Zeroes entries with probability 1 - keep_prob and divides the others by keep_prob.

    Args:
      inputs: float tensor of any shape.
      keep_prob: float above 0, at most 1.
      is_training: Python bool; False returns `inputs` as they are.
      scope: name scope.
      repeat: a Repeat, or None for other numbers each time.

    Returns:
      Tensor like `inputs`.
    """
    if repeat is None or not is_training or keep_prob == 1:
        return slim.dropout(inputs, keep_prob=keep_prob, is_training=is_training,
                            scope=scope)
    with tf.name_scope(scope, 'dropout', [inputs]):
        sides = inputs.shape.as_list()
        dynamic = tf.shape(inputs)
        drawn = uniform([dynamic[axis] if side is None else side
                         for axis, side in enumerate(sides)], repeat=repeat)
        kept = tf.cast(drawn < keep_prob, inputs.dtype)
        return inputs / keep_prob * kept
