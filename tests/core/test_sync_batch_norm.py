"""Clones that share batch norm's statistics act as one large batch."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import sync_batch_norm
from slim_nets.deployment import model_deploy

_RANDOM = np.random.RandomState(0)
# The pictures differ in brightness and contrast: statistics of parts are not those of all.
_IMAGES = (_RANDOM.randn(4, 6, 5, 3) * np.reshape([0.5, 1, 2, 4], [4, 1, 1, 1])
           + np.reshape([3, 0, -2, 7], [4, 1, 1, 1])).astype(np.float32)
_TARGETS = _RANDOM.randn(4, 2).astype(np.float32)
_NORM = {'decay': 0.9, 'scale': True, 'epsilon': 1e-5}


def _network(images, fused):
    weights = tf.initializers.random_normal(stddev=0.5, seed=1)
    with slim.arg_scope([slim.conv2d, slim.fully_connected], weights_initializer=weights,
                        normalizer_fn=slim.batch_norm, activation_fn=tf.nn.tanh), \
            slim.arg_scope([slim.batch_norm], fused=fused, is_training=True, **_NORM):
        net = slim.conv2d(images, 4, 3, scope='first')
        # The same layer twice, as the scales of a pyramid use it.
        net = slim.conv2d(net, 4, 3, scope='second') + slim.conv2d(
            net * 2.0, 4, 3, scope='second', reuse=True)
        frozen = slim.batch_norm(net, is_training=False, scope='frozen')
        with slim.arg_scope([slim.batch_norm], fused=False):
            return slim.fully_connected(tf.reduce_mean(frozen, [1, 2]), 2, scope='flat')


def _results(num_clones, fused=None, shared=True):
    """Loss, gradients, and the moving averages after an update, by name."""
    with tf.Graph().as_default(), tf.Session() as session:
        batches = list(zip(np.split(_IMAGES, num_clones), np.split(_TARGETS, num_clones)))
        left = list(batches)

        def build():
            images, targets = left.pop(0)
            outputs = _network(tf.constant(images), fused)
            tf.losses.mean_squared_error(tf.constant(targets), outputs)

        config = model_deploy.DeploymentConfig(num_clones, clone_on_cpu=True)
        group = sync_batch_norm.Group(num_clones)
        clones = model_deploy.create_clones(
            config, group.taking_part(build) if shared else build)
        group.connect()
        loss, grads_and_vars = model_deploy.optimize_clones_jointly(
            clones, tf.train.GradientDescentOptimizer(1.0))
        session.run(tf.global_variables_initializer())
        values = {variable.op.name + ' gradient': gradient for gradient, variable in grads_and_vars}
        found = session.run(dict(values, loss=loss))
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS, clones[0].scope))
        # A layer that is used twice is updated twice, in an order of TensorFlow's choosing.
        averages = [variable for variable in tf.global_variables() if 'moving' in variable.op.name
                    and 'second' not in variable.op.name]
        assert len(averages) == 6
        return dict(found, **{
            variable.op.name: value for variable, value in zip(averages, session.run(averages))})


def _largest_difference(first, second):
    assert sorted(first) == sorted(second)
    return max(np.abs(first[name] - second[name]).max() for name in first)


@pytest.mark.parametrize('fused', [None, False])
@pytest.mark.parametrize('num_clones', [2, 4])
def test_clones_equal_one_large_batch(num_clones, fused):
    whole = _results(1, fused, shared=False)
    assert _largest_difference(whole, _results(num_clones, fused)) < 2e-5
    # What it would be otherwise.
    assert _largest_difference(whole, _results(num_clones, fused, shared=False)) > 0.1


def test_a_single_clone_is_as_it_was():
    assert _largest_difference(_results(1, shared=False), _results(1)) < 2e-5


def test_clones_that_differ_are_refused():
    group = sync_batch_norm.Group(2)
    build = group.taking_part(lambda: slim.batch_norm(tf.zeros([1, 2, 2, 3]), scope='bn'))
    build()
    with pytest.raises(ValueError, match='bn/moving_mean is part of 1 clones. Expected 2'):
        group.connect()


def test_a_layer_of_another_kind_is_refused():
    build = sync_batch_norm.Group(1).taking_part(
        lambda: slim.batch_norm(tf.zeros([4, 3]), scope='bn'))
    with pytest.raises(ValueError, match='rank 4'):
        build()


def test_layers_outside_are_not_part_of_it():
    before = slim.batch_norm(tf.zeros([1, 2, 2, 3]), scope='before')
    group = sync_batch_norm.Group(1)

    def fail():
        raise KeyError('x')
    with pytest.raises(KeyError):
        group.taking_part(fail)()
    after = slim.batch_norm(tf.zeros([1, 2, 2, 3]), scope='after')
    assert after.op.type == before.op.type
    group.connect()
    assert not [op for op in tf.get_default_graph().get_operations() if 'sync' in op.name]
