"""What the processes of a cluster share: servers, and signs left on the parameter servers.

Every process runs TensorFlow's gRPC server. Variables live on the parameter servers; beside them
lie

* a marker on each, `cluster/ready_<i>`, that has a value once the chief has given all variables
  theirs. A parameter server that was started again has lost its marker along with its variables, so
  "all markers are there" means "the state is whole";
* a queue on each, into which every worker puts its number once the training is finished. A
  parameter server that has heard of all of them ends: cluster managers wait for that.

None of these are part of checkpoints.
"""
import collections
import contextlib
import socket
import time

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.training import cluster_config
from deeplab.training import stopping

_PROBE_SECONDS = 1.0
_POLL_SECONDS = 0.3
# A worker is gone when this many probes in a row find nobody at its address.
_PROBES = 3
# A parameter server told to stop looks that often at most whether workers are still saving.
_PATIENCE = 100


def ps_device(task):
    """Device string of a parameter server."""
    return '/job:{}/task:{}/device:CPU:0'.format(cluster_config.PS, task)


def ready_markers(num_servers):
    """The markers, a bool variable a parameter server, in the default graph."""
    markers = []
    for task in range(num_servers):
        with tf.device(ps_device(task)):
            markers.append(tf.get_variable(
                'cluster/ready_{}'.format(task), initializer=True, trainable=False,
                collections=['cluster_markers']))
    return markers


def finished_queue(task):
    """The queue of finished workers' numbers on a parameter server, in the default graph."""
    with tf.device(ps_device(task)):
        return tf.FIFOQueue(2 ** 16, tf.int32, shapes=[[]], shared_name='cluster/finished',
                            name='cluster/finished_{}'.format(task))


def is_reachable(address):
    """Whether somebody listens at 'host:port'."""
    host, _, port = address.rpartition(':')
    try:
        socket.create_connection((host.strip('[]'), int(port)), timeout=_PROBE_SECONDS).close()
        return True
    except OSError:
        return False


def start_server(cluster, options):
    """Starts the gRPC server of this process.

    Args:
      cluster: a cluster_config.Cluster.
      options: a TrainingOptions.

    Raises:
      UserError: its port is taken.
    """
    _check_port(cluster.address)
    config = tf.ConfigProto(
        allow_soft_placement=True,
        intra_op_parallelism_threads=options.num_threads,
        inter_op_parallelism_threads=options.num_threads,
        # A parameter server beside a worker must not take its GPU.
        device_count={'GPU': 0} if cluster.is_ps else {})
    jobs = {cluster_config.WORKER: list(cluster.workers), cluster_config.PS: list(cluster.servers)}
    try:
        return tf.train.Server(jobs, cluster.job, cluster.task, config=config)
    except tf.errors.OpError as error:
        raise UserError('TF_CONFIG: cannot serve at {}: {}'.format(
            cluster.address, error.message.splitlines()[0]))


def _check_port(address):
    """gRPC shares a port with whoever else asks for it, and messages then go astray."""
    port = int(address.rpartition(':')[2])
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('', port))
        except OSError as error:
            raise UserError(
                'TF_CONFIG: this process is to listen at {}, and port {} cannot be had here ({}). '
                'End what uses it (an earlier run?), or take another port.'.format(
                    address, port, error.strerror))


def serve(cluster, options):
    """Runs a parameter server until the job is finished or a signal comes.

    Finished is the job when the chief has said so, and every other worker as well or is gone.
    On a signal it serves on until the workers have gone, for about half a minute at most: they may
    be saving.

    Args:
      cluster: a cluster_config.Cluster.
      options: a TrainingOptions.

    Returns:
      The number of the signal that ended it, or None.
    """
    server = start_server(cluster, options)
    logging.info('Parameter server %d of %d, at %s. It ends with the training.', cluster.task,
                 len(cluster.servers), cluster.address)
    with stopping.StopRequest('ending once the workers have gone') as stop:
        with tf.Graph().as_default():
            finished = _Finished(cluster)
            with tf.Session(server.target, config=tf.ConfigProto(
                    device_filters=['/job:{}/task:{}'.format(cluster.job, cluster.task)])
                            ) as session:
                while not stop.signal and not finished.all(session):
                    time.sleep(_POLL_SECONDS)
        if not stop.signal:
            logging.info('The training is finished; so is parameter server %d.', cluster.task)
            return None
        for _ in range(_PATIENCE):
            if not any(is_reachable(address) for address in cluster.workers):
                break
            time.sleep(_POLL_SECONDS)
    return stop.signal


class Connection(object):
    """Whether processes can be reached; one that does not answer once may only be busy.

    Args:
      addresses: list of (name, 'host:port').
    """

    def __init__(self, addresses):
        self._addresses = addresses
        self._misses = collections.Counter()

    def lost(self):
        """Name and address of one that could not be reached the last few times, or None."""
        for name, address in self._addresses:
            self._misses[name] = 0 if is_reachable(address) else self._misses[name] + 1
        return next(('{} at {}'.format(name, address) for name, address in self._addresses
                     if self._misses[name] >= _PROBES), None)


class _Finished(object):
    """Which workers a parameter server needs to wait for no longer."""

    def __init__(self, cluster):
        self._workers = dict(enumerate(cluster.workers))
        self._heard = set()
        self._misses = dict.fromkeys(self._workers, 0)
        queue = finished_queue(cluster.task)
        self._size, self._next = queue.size(), queue.dequeue()

    def all(self, session):
        """Whether there is no worker left to wait for."""
        while session.run(self._size):
            task = int(session.run(self._next))
            if task not in self._heard:
                logging.info('%s has finished.', worker_name(task))
            self._heard.add(task)
        if 0 not in self._heard:
            return False
        missing = sorted(set(self._workers) - self._heard)
        for task in missing:
            self._misses[task] = 0 if is_reachable(self._workers[task]) else self._misses[task] + 1
        return all(self._misses[task] >= _PROBES for task in missing)


def worker_name(task):
    """What messages call a worker."""
    return 'Worker {}'.format(task) if task else 'The chief'
