"""Weighted means over several session runs: one update from a batch that does not fit at once."""
import tensorflow.compat.v1 as tf


class PartNumber(object):
    """Counts the parts of a batch, from 0, so that each can draw random numbers of its own.

    A local variable: a run begins and resumes between batches.
    """

    def __init__(self):
        self._number = tf.Variable(0, dtype=tf.int64, trainable=False, name='part_number',
                                   collections=[tf.GraphKeys.LOCAL_VARIABLES])
        self.value = self._number.read_value()

    def advance_op(self):
        """An op that counts on; make it under a control dependency on the use of `value`."""
        return self._number.assign_add(1).op

    def reset_op(self):
        """An op that begins again; make it under a control dependency on the use of `value`."""
        return self._number.assign(0).op


class WeightedMean(object):
    """Means of tensors over a few runs, each run weighing as much as it says.

    Runs of all but the last part fetch `add_op`; the last one uses `means` and, once those have
    been used, runs `reset_op`. Sums are local variables: they are not part of checkpoints, which
    are written between updates only.

    Args:
      values: list of float32 tensors of static shapes.
      weight: float32 scalar, the weight of this run's values, 0 or above.
    """

    def __init__(self, values, weight):
        with tf.name_scope('accumulation'):
            weighted = [value * weight for value in values] + [weight]
            sums = [self._zeros(value) for value in weighted]
            self.add_op = tf.group(*[
                total.assign_add(value) for total, value in zip(sums, weighted)])
            totals = [total.read_value() + value for total, value in zip(sums, weighted)]
            # A batch without a single pixel that counts has zero gradients, not NaN.
            divisor = tf.maximum(totals[-1], 1e-5)
            self.means = [total / divisor for total in totals[:-1]]
            self._sums = sums

    @staticmethod
    def _zeros(value):
        with tf.device(value.device):
            return tf.Variable(
                tf.zeros(value.shape, value.dtype), trainable=False,
                collections=[tf.GraphKeys.LOCAL_VARIABLES])

    def reset_op(self):
        """An op that forgets all sums; make it under a control dependency on the use of `means`."""
        return tf.group(*[total.assign(tf.zeros_like(total)) for total in self._sums])
