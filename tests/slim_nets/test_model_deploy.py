"""Clones: devices, scopes, and gradients that equal those of one large batch."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.deployment import model_deploy

_RANDOM = np.random.RandomState(0)
_IMAGES = _RANDOM.randn(4, 5, 5, 3).astype(np.float32)
_LABELS = _RANDOM.randint(0, 3, [4]).astype(np.int32)


def _model(batches, with_batch_norm=False):
    """A small network with its loss; takes the next batch of the list at each call."""
    images, labels = batches.pop(0)
    net = slim.conv2d(
        tf.constant(images), 4, 3, scope='conv', weights_regularizer=slim.l2_regularizer(0.1),
        weights_initializer=tf.constant_initializer(np.linspace(-1, 1, 108).reshape(3, 3, 3, 4)),
        normalizer_fn=slim.batch_norm if with_batch_norm else None)
    logits = slim.fully_connected(
        tf.reduce_mean(net, [1, 2]), 3, scope='logits', activation_fn=None,
        weights_initializer=tf.constant_initializer(np.linspace(1, -1, 12).reshape(4, 3)))
    tf.losses.sparse_softmax_cross_entropy(tf.constant(labels), logits)
    return logits


def _loss_and_gradients(num_clones):
    with tf.Graph().as_default(), tf.Session() as session:
        config = model_deploy.DeploymentConfig(num_clones, clone_on_cpu=True)
        batches = list(zip(np.split(_IMAGES, num_clones), np.split(_LABELS, num_clones)))
        clones = model_deploy.create_clones(config, _model, [batches])
        optimizer = tf.train.GradientDescentOptimizer(0.1)
        loss, grads_and_vars = model_deploy.optimize_clones(clones, optimizer)
        session.run(tf.global_variables_initializer())
        names = [variable.op.name for _, variable in grads_and_vars]
        loss, values = session.run([loss, [grad for grad, _ in grads_and_vars]])
        return loss, dict(zip(names, values))


@pytest.mark.parametrize('num_clones', [2, 4])
def test_clones_have_the_gradients_of_one_large_batch(num_clones):
    loss, gradients = _loss_and_gradients(1)
    cloned_loss, cloned_gradients = _loss_and_gradients(num_clones)
    np.testing.assert_allclose(cloned_loss, loss, rtol=1e-6)
    assert sorted(gradients) == [
        'conv/biases', 'conv/weights', 'logits/biases', 'logits/weights']
    for name in gradients:
        np.testing.assert_allclose(cloned_gradients[name], gradients[name], rtol=1e-5, atol=1e-7)


def test_clone_scopes_share_variables_and_divide_the_rest():
    with tf.Graph().as_default():
        config = model_deploy.DeploymentConfig(num_clones=2)
        batches = list(zip(np.split(_IMAGES, 2), np.split(_LABELS, 2)))
        clones = model_deploy.create_clones(config, _model, [batches], {'with_batch_norm': True})
        assert [clone.scope for clone in clones] == ['clone_0/', 'clone_1/']
        assert [clone.device for clone in clones] == ['/device:GPU:0', '/device:GPU:1']
        assert sorted(variable.op.name for variable in tf.global_variables()) == [
            'conv/BatchNorm/beta', 'conv/BatchNorm/moving_mean', 'conv/BatchNorm/moving_variance',
            'conv/weights', 'logits/biases', 'logits/weights']
        assert {variable.device for variable in tf.global_variables()} == {'/device:CPU:0'}
        for clone in clones:
            assert clone.outputs.op.name.startswith(clone.scope)
            assert clone.outputs.device == clone.device
            assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS, clone.scope)) == 2
            assert len(tf.get_collection(tf.GraphKeys.LOSSES, clone.scope)) == 1
        # Regularisation belongs to the shared variables and is there once.
        assert len(tf.losses.get_regularization_losses()) == 1


def test_regularisation_counts_once_and_variables_without_gradient_are_left_out():
    with tf.Graph().as_default(), tf.Session() as session:
        def model():
            weight = slim.model_variable('w', [1], initializer=tf.constant_initializer(3.0))
            tf.get_variable('unused', [1])
            tf.losses.add_loss(tf.reduce_sum(weight) * 2.0)
        config = model_deploy.DeploymentConfig(num_clones=3, clone_on_cpu=True)
        clones = model_deploy.create_clones(config, model)
        weight = tf.model_variables()[0]
        loss, grads_and_vars = model_deploy.optimize_clones(
            clones, tf.train.GradientDescentOptimizer(1.0), [tf.reduce_sum(weight ** 2)])
        session.run(tf.global_variables_initializer())
        assert [variable.op.name for _, variable in grads_and_vars] == ['w']
        loss, gradient = session.run([loss, grads_and_vars[0][0]])
        np.testing.assert_allclose(loss, 6.0 + 9.0)
        np.testing.assert_allclose(gradient, [2.0 + 6.0])


def test_clones_without_losses_are_refused():
    with tf.Graph().as_default():
        clones = model_deploy.create_clones(model_deploy.DeploymentConfig(), lambda: None)
        with pytest.raises(ValueError, match='None of the 1'):
            model_deploy.optimize_clones(clones, tf.train.GradientDescentOptimizer(1.0))


def test_deploy_trains_and_updates_moving_averages():
    with tf.Graph().as_default(), tf.Session() as session:
        config = model_deploy.DeploymentConfig(clone_on_cpu=True)
        model = model_deploy.deploy(
            config, _model, [[(_IMAGES, _LABELS)]], {'with_batch_norm': True},
            optimizer=tf.train.GradientDescentOptimizer(0.5), summarize_gradients=True)
        assert model.train_op.op.name == 'train_op'
        assert model.total_loss.op.name == 'total_loss'
        session.run(tf.global_variables_initializer())
        moving_mean = [v for v in tf.global_variables() if v.op.name.endswith('moving_mean')][0]
        first = session.run(model.train_op)
        for _ in range(5):
            last = session.run(model.train_op)
        assert last < first
        assert np.abs(session.run(moving_mean)).max() > 0
        assert session.run(tf.train.get_global_step()) == 6
        summary = tf.Summary.FromString(session.run(model.summary_op))
        tags = {value.tag for value in summary.value}
        assert {'conv/weights/gradient', 'conv/weights/gradient_norm'} <= tags
        # The op that computes the loss has taken the plain name already.
        assert 'total_loss_1' in tags


def test_deploy_without_optimizer_gives_the_loss_only():
    with tf.Graph().as_default():
        model = model_deploy.deploy(
            model_deploy.DeploymentConfig(), _model, [[(_IMAGES, _LABELS)]])
        assert model.train_op is None
        assert model.total_loss is not None
    with tf.Graph().as_default():
        model = model_deploy.deploy(
            model_deploy.DeploymentConfig(), lambda: tf.get_variable('v', [1]))
        assert model.total_loss is None and model.summary_op is None


_DEVICES = [
    # arguments, clone 0, inputs and optimizer
    ({}, '/device:GPU:0', '/device:CPU:0'),
    ({'clone_on_cpu': True}, '/device:CPU:0', '/device:CPU:0'),
    ({'num_ps_tasks': 1}, '/job:worker/device:GPU:0', '/job:worker/device:CPU:0'),
    ({'num_ps_tasks': 1, 'clone_on_cpu': True, 'worker_job_name': 'w'},
     '/job:w/device:CPU:0', '/job:w/device:CPU:0'),
]


@pytest.mark.parametrize('arguments, clone, inputs', _DEVICES)
def test_devices(arguments, clone, inputs):
    config = model_deploy.DeploymentConfig(**arguments)
    assert config.clone_device(0) == clone
    assert config.inputs_device() == config.optimizer_device() == inputs
    assert config.clone_scope(0) == ''
    assert (config.caching_device() is None) == (config.num_ps_tasks == 0)


def test_variables_are_dealt_out_to_parameter_servers():
    config = model_deploy.DeploymentConfig(num_replicas=2, num_ps_tasks=2, ps_job_name='p')
    with tf.Graph().as_default():
        with tf.device(config.variables_device()):
            devices = [tf.get_variable(name, [1]).device for name in 'abc']
            pinned = tf.constant(1.0)
    assert devices == ['/job:p/task:{}/device:CPU:0'.format(task) for task in (0, 1, 0)]
    assert pinned.device == ''


@pytest.mark.parametrize('arguments, message', [
    ({'num_replicas': 2}, 'num_ps_tasks must be positive'),
    ({'num_ps_tasks': 1, 'worker_job_name': ''}, 'worker_job_name'),
    ({'num_ps_tasks': 1, 'ps_job_name': ''}, 'ps_job_name'),
    ({'replica_id': 1}, 'replica_id must be less'),
])
def test_bad_configurations_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        model_deploy.DeploymentConfig(**arguments)


def test_clone_index_out_of_range():
    config = model_deploy.DeploymentConfig(num_clones=2)
    assert config.clone_scope(1) == 'clone_1'
    for method in (config.clone_scope, config.clone_device):
        with pytest.raises(ValueError, match='less than num_clones'):
            method(2)
