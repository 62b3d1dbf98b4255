"""Puts copies ("clones") of a model on the devices of this worker, and sums their gradients.

    config = DeploymentConfig(num_clones=2)
    with tf.device(config.variables_device()):
        global_step = tf.train.get_or_create_global_step()
    clones = create_clones(config, model_fn, [inputs])
    with tf.device(config.optimizer_device()):
        optimizer = tf.train.MomentumOptimizer(0.01, 0.9)
        total_loss, grads_and_vars = optimize_clones(clones, optimizer)
        train_op = optimizer.apply_gradients(grads_and_vars, global_step)

`deploy` does all of this in one call. Where things live:

    what                      one machine                with parameter servers
    variables                 /device:CPU:0              /job:ps/task:<i>/device:CPU:0, in turn
    clone i                   /device:GPU:<i>            /job:worker/device:GPU:<i>
      with clone_on_cpu       /device:CPU:0              /job:worker/device:CPU:0
    optimizer and inputs      /device:CPU:0              /job:worker/device:CPU:0

With several clones the ops of clone i stand under the name scope `clone_<i>`, so its losses, update
ops and summaries can be told from those of the others; variables are shared, without a prefix.
"""
import collections

import tensorflow.compat.v1 as tf
import tf_slim as slim

# What the model function returned, the name scope it ran under ('' or ending in '/'), the device.
Clone = collections.namedtuple('Clone', ['outputs', 'scope', 'device'])

# Results of `deploy`; train_op and total_loss are None where there is nothing to optimise.
DeployedModel = collections.namedtuple(
    'DeployedModel', ['train_op', 'summary_op', 'total_loss', 'clones'])

_CPU = '/device:CPU:0'
_NO_LOSS = 'None of the {} clones has a loss in the collection LOSSES.'
_VARIABLE_OPS = ('Variable', 'VariableV2', 'AutoReloadVariable', 'VarHandleOp')


def create_clones(config, model_fn, args=None, kwargs=None):
    """Calls `model_fn` once a clone, on the clone's device and under its name scope.

    Variables are made by the first clone, on `config.variables_device()`, and reused by the others.

    Args:
        config: a DeploymentConfig.
        model_fn: callable, given `*args` and `**kwargs`.
        args: positional arguments for `model_fn`, or None.
        kwargs: keyword arguments for `model_fn`, or None.

    Returns:
        A list of Clone.
    """
    clones = []
    with slim.arg_scope([slim.model_variable, slim.variable], device=config.variables_device()):
        for index in range(config.num_clones):
            device = config.clone_device(index)
            sharing = tf.variable_scope(tf.get_variable_scope(), reuse=True if index else None)
            with tf.name_scope(config.clone_scope(index)) as scope, tf.device(device), sharing:
                clones.append(Clone(model_fn(*(args or ()), **(kwargs or {})), scope, device))
    return clones


def optimize_clones(clones, optimizer, regularization_losses=None, **kwargs):
    """Computes the total loss of all clones and its gradients.

    A clone's loss is the sum of its LOSSES divided by the number of clones; regularisation is
    counted once.

    Args:
        clones: list of Clone.
        optimizer: a tf.train.Optimizer.
        regularization_losses: list of scalars; None takes the collection REGULARIZATION_LOSSES.
        **kwargs: passed to `optimizer.compute_gradients`.

    Returns:
        (total_loss, grads_and_vars): a scalar, and a list of (gradient, variable) where gradients
        are summed over clones. Variables without gradient in every clone are left out.

    Raises:
        ValueError: where no clone has any loss.
    """
    if regularization_losses is None:
        regularization_losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    losses, gradients = [], []
    for clone in clones:
        with tf.name_scope(clone.scope):
            loss = _clone_loss(clone, len(clones), regularization_losses)
            if loss is None:
                continue
            with tf.device(clone.device):
                gradients.append(optimizer.compute_gradients(loss, **kwargs))
        losses.append(loss)
        regularization_losses = []
    if not losses:
        raise ValueError(_NO_LOSS.format(len(clones)))
    return tf.add_n(losses, name='total_loss'), _sum_over_clones(gradients)


def optimize_clones_jointly(clones, optimizer, regularization_losses=None, **kwargs):
    """As `optimize_clones`, for clones whose losses depend on each other's images.

    The gradients are taken at once, of the sum of all losses; each op's gradient is computed on the
    device of the op.

    Args:
        clones: list of Clone.
        optimizer: a tf.train.Optimizer.
        regularization_losses: as of `optimize_clones`.
        **kwargs: passed to `optimizer.compute_gradients`.

    Returns:
        (total_loss, grads_and_vars) as of `optimize_clones`.

    Raises:
        ValueError: where no clone has any loss.
    """
    total_loss = _total_loss(clones, regularization_losses)
    if total_loss is None:
        raise ValueError(_NO_LOSS.format(len(clones)))
    grads_and_vars = optimizer.compute_gradients(
        total_loss, colocate_gradients_with_ops=True, **kwargs)
    return total_loss, [pair for pair in grads_and_vars if pair[0] is not None]


def deploy(config, model_fn, args=None, kwargs=None, optimizer=None, summarize_gradients=False):
    """Creates the clones and, with an optimizer, the op that trains them.

    Args:
        config: a DeploymentConfig.
        model_fn: callable, given `*args` and `**kwargs`, see `create_clones`.
        args: positional arguments for `model_fn`, or None.
        kwargs: keyword arguments for `model_fn`, or None.
        optimizer: a tf.train.Optimizer, or None to only build the model and its loss.
        summarize_gradients: add a histogram and the norm of every gradient to the summaries.

    Returns:
        A DeployedModel. Its summary_op merges the summaries of the first clone and of the total
        loss. The update ops (batch norm) of the first clone run before train_op gives its value.
    """
    outer_summaries = set(tf.get_collection(tf.GraphKeys.SUMMARIES))
    clones = create_clones(config, model_fn, args, kwargs)
    main_scope = clones[0].scope
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS, main_scope)

    train_op = total_loss = None
    summaries = set()
    with tf.device(config.optimizer_device()):
        if optimizer is None:
            total_loss = _total_loss(clones)
        else:
            global_step = tf.train.get_or_create_global_step()
            total_loss, grads_and_vars = optimize_clones(clones, optimizer)
            if summarize_gradients:
                summaries.update(_gradient_summaries(grads_and_vars))
            updates.append(optimizer.apply_gradients(grads_and_vars, global_step=global_step))
            with tf.control_dependencies([tf.group(*updates)]):
                train_op = tf.identity(total_loss, name='train_op')
        summaries.update(outer_summaries)
        summaries.update(tf.get_collection(tf.GraphKeys.SUMMARIES, main_scope))
        if total_loss is not None:
            summaries.add(tf.summary.scalar('total_loss', total_loss))
        in_order = sorted(summaries, key=lambda summary: summary.name)
        summary_op = tf.summary.merge(in_order, name='summary_op') if in_order else None
    return DeployedModel(train_op, summary_op, total_loss, clones)


def _clone_loss(clone, num_clones, regularization_losses):
    """This clone's share of the total loss, a scalar, or None where it has no losses at all."""
    own = tf.get_collection(tf.GraphKeys.LOSSES, clone.scope)
    shares = []
    with tf.device(clone.device):
        if own:
            shares.append(tf.add_n(own, name='clone_loss'))
            if num_clones > 1:
                shares[0] = tf.divide(shares[0], float(num_clones), name='scaled_clone_loss')
        if regularization_losses:
            shares.append(tf.add_n(regularization_losses, name='regularization_loss'))
        return tf.add_n(shares) if shares else None


def _total_loss(clones, regularization_losses=None):
    if regularization_losses is None:
        regularization_losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    losses = []
    for clone in clones:
        with tf.name_scope(clone.scope):
            losses.append(_clone_loss(clone, len(clones), regularization_losses))
        regularization_losses = []
    losses = [loss for loss in losses if loss is not None]
    return tf.add_n(losses, name='total_loss') if losses else None


def _sum_over_clones(gradients):
    """[[(gradient, variable), ...], ...] by clone -> [(summed gradient, variable), ...]."""
    summed = []
    for same_variable in zip(*gradients):
        variable = same_variable[0][1]
        present = [gradient for gradient, _ in same_variable if gradient is not None]
        if len(present) > 1:
            summed.append((tf.add_n(present, name=variable.op.name + '/sum_grads'), variable))
        elif present:
            summed.append((present[0], variable))
    return summed


def _gradient_summaries(grads_and_vars):
    summaries = []
    for gradient, variable in grads_and_vars:
        values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
        summaries.append(tf.summary.histogram(variable.op.name + '/gradient', values))
        summaries.append(tf.summary.scalar(
            variable.op.name + '/gradient_norm', tf.global_norm([values])))
    return summaries


class DeploymentConfig(object):
    """Says which device holds what; see the table at the top of this module.

    Args:
        num_clones: model copies on this worker, one a GPU.
        clone_on_cpu: put the copies on the CPU.
        replica_id: index of this worker.
        num_replicas: number of workers.
        num_ps_tasks: number of parameter servers; 0 keeps variables on the worker.
        worker_job_name: job name of the workers in the cluster.
        ps_job_name: job name of the parameter servers in the cluster.

    Raises:
        ValueError: for several replicas without parameter servers, job names that are missing, or a
            replica_id that is not below num_replicas.
    """

    def __init__(self, num_clones=1, clone_on_cpu=False, replica_id=0, num_replicas=1,
                 num_ps_tasks=0, worker_job_name='worker', ps_job_name='ps'):
        if num_replicas > 1 and num_ps_tasks < 1:
            raise ValueError('When using replicas num_ps_tasks must be positive. Received '
                             'num_replicas={}, num_ps_tasks={} instead.'.format(
                                 num_replicas, num_ps_tasks))
        if num_ps_tasks > 0 and not worker_job_name:
            raise ValueError('Must specify worker_job_name when using replicas.')
        if num_ps_tasks > 0 and not ps_job_name:
            raise ValueError('Must specify ps_job_name when using parameter server.')
        if replica_id >= num_replicas:
            raise ValueError('replica_id must be less than num_replicas. Received replica_id={}, '
                             'num_replicas={} instead.'.format(replica_id, num_replicas))
        self.num_clones = num_clones
        self.clone_on_cpu = clone_on_cpu
        self.replica_id = replica_id
        self.num_replicas = num_replicas
        self.num_ps_tasks = num_ps_tasks
        self.ps_device = '/job:' + ps_job_name if num_ps_tasks > 0 else ''
        self.worker_device = '/job:' + worker_job_name if num_ps_tasks > 0 else ''

    def caching_device(self):
        """Device that caches variable values: the reader's with parameter servers, else None."""
        return (lambda op: op.device) if self.num_ps_tasks > 0 else None

    def clone_device(self, clone_index):
        """Device string of a clone; ValueError where the index is not below num_clones."""
        self._check_index(clone_index)
        place = _CPU if self.clone_on_cpu else '/device:GPU:{}'.format(clone_index)
        return self.worker_device + place

    def clone_scope(self, clone_index):
        """Name scope of a clone, '' for a single one; ValueError as in `clone_device`."""
        self._check_index(clone_index)
        return 'clone_{}'.format(clone_index) if self.num_clones > 1 else ''

    def optimizer_device(self):
        """Device string of the optimizer."""
        return self.worker_device + _CPU

    def inputs_device(self):
        """Device string of the input pipeline."""
        return self.worker_device + _CPU

    def variables_device(self):
        """Device string of variables, or a device function that deals them out to the servers."""
        device = self.ps_device + _CPU
        if not self.num_ps_tasks:
            return device
        dealt = []

        def choose(op):
            """Gives each new variable the next parameter server; leaves other ops alone."""
            kind = op.op if isinstance(op, tf.NodeDef) else op.type
            if op.device or kind not in _VARIABLE_OPS:
                return op.device
            dealt.append(op.name)
            task = (len(dealt) - 1) % self.num_ps_tasks
            return '{}/task:{}{}'.format(self.ps_device, task, _CPU)
        return choose

    def _check_index(self, clone_index):
        if clone_index >= self.num_clones:
            raise ValueError('clone_index must be less than num_clones. Received {} of {} '
                             'instead.'.format(clone_index, self.num_clones))
