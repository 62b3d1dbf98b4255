"""Batch norm whose statistics are taken over all clones, for few images a GPU.

Clones are built one after the other, and a layer of the first needs the statistics of clones that
are not there yet. So each layer goes on with a stand-in for the common statistics, at first its own
ones, and `Group.connect` puts the common ones in its place once all clones are there. Gradients
must be taken of the sum of all losses, after that: a clone's loss depends on the images of the
others as well.

    group = Group(config.num_clones)
    clones = model_deploy.create_clones(config, group.taking_part(build_one))
    group.connect()
    loss, grads_and_vars = model_deploy.optimize_clones_jointly(clones, optimizer)
"""
import collections
import contextlib
import functools
import types

import tensorflow.compat.v1 as tf
from tf_slim.layers import layers as slim_layers

from deeplab import compat_batch_norm

# own: float32 [2, channels], mean and variance over the clone's images. stand_in: the same shape,
# an identity of it until the clones are connected.
_Statistics = collections.namedtuple('_Statistics', ['own', 'stand_in'])


class Group(object):
    """The batch norms of several clones.

    All clones must have inputs of the same shapes. tf_slim's layers for inputs of rank 2, where
    they are fused, cannot take part: ValueError.

    Args:
      num_clones: number of clones.
    """

    def __init__(self, num_clones):
        self._num_clones = num_clones
        self._statistics = collections.OrderedDict()  # {(layer, its use): [_Statistics by clone]}

    def taking_part(self, build):
        """A function as `build`, whose `slim.batch_norm` layers are part of the group."""
        @functools.wraps(build)
        def build_clone(*args, **kwargs):
            with self._replaced_layers():
                return build(*args, **kwargs)
        return build_clone

    @contextlib.contextmanager
    def _replaced_layers(self):
        uses = collections.Counter()  # A layer may be used more than once, as in a pyramid.

        def share(name, own):
            key = (name, uses[name])
            uses[name] += 1
            stand_in = tf.identity(own, name='sync_batch_norm')
            self._statistics.setdefault(key, []).append(_Statistics(own, stand_in))
            return stand_in

        def make_layer(**settings):
            return _Layer(share, self._num_clones, **settings)

        replacements = {
            'normalization_layers': types.SimpleNamespace(BatchNormalization=make_layer),
            '_fused_batch_norm': _refuse}
        replaced = {name: getattr(slim_layers, name) for name in replacements}
        vars(slim_layers).update(replacements)
        try:
            yield
        finally:
            vars(slim_layers).update(replaced)

    def connect(self):
        """Gives all clones the statistics over all of them.

        Raises:
          ValueError: the clones differ in their layers.
        """
        for (name, _), members in self._statistics.items():
            if len(members) != self._num_clones:
                raise ValueError('Batch norm {} is part of {} clones. Expected {}.'.format(
                    name, len(members), self._num_clones))
            with tf.device(members[0].own.device), tf.name_scope('sync_batch_norm'):
                common = _over_all([member.own for member in members])
            for member in members:
                # TensorFlow's own way of giving an op another input; it has no public name.
                member.stand_in.op._update_input(0, common)  # pylint: disable=protected-access


def _refuse(inputs, *unused_args, **unused_kwargs):
    """Stands for the kind of layer in tf_slim that has no statistics to share."""
    raise ValueError('Batch norm over several clones needs inputs of rank 4, or fused=False; and '
                     'updates in UPDATE_OPS. Received inputs of shape {}.'.format(inputs.shape))


def _over_all(statistics):
    """Mean and variance over several sets of equally many values, from those of each.

    Args:
      statistics: list of float32 [2, channels].

    Returns:
      float32 [2, channels].
    """
    means, variances = tf.unstack(tf.stack(statistics), axis=1)
    mean = tf.reduce_mean(means, axis=0)
    spread = tf.reduce_mean(tf.squared_difference(means, mean), axis=0)
    return tf.stack([mean, tf.reduce_mean(variances, axis=0) + spread])


class _Layer(compat_batch_norm.BatchNormalization):
    """Batch norm that shares its statistics in training.

    Args:
      share: function of a name and statistics, float32 [2, channels], returning those to use.
      num_clones: number of clones that share.
      **settings: as of compat_batch_norm.BatchNormalization.
    """

    def __init__(self, share, num_clones, **settings):
        super(_Layer, self).__init__(**settings)
        self._share = share
        self._num_clones = num_clones

    def _normalise(self, inputs, training):
        if not training:
            return super(_Layer, self)._normalise(inputs, training)
        channel_axis = self._axis % inputs.shape.ndims
        others = [axis for axis in range(inputs.shape.ndims) if axis != channel_axis]
        own = tf.stack(tf.nn.moments(tf.cast(inputs, self.moving_mean.dtype.base_dtype), others))
        mean, variance = tf.unstack(self._share(self.moving_mean.op.name, own))
        outputs = self._scale_and_shift(inputs, mean, variance, self.effective_epsilon(inputs))
        if not self.is_fused(inputs):
            return outputs, mean, variance
        # As the fused kernels: moving averages are of the unbiased variance.
        count = tf.cast(tf.size(inputs) * self._num_clones, variance.dtype) / tf.cast(
            tf.shape(inputs)[channel_axis], variance.dtype)
        return outputs, mean, variance * count / tf.maximum(count - 1.0, 1.0)
