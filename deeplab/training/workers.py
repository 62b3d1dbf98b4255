"""Who trains: this process alone, or one of several workers around parameter servers.

Both kinds offer the same to `deeplab.training.job`: where to begin, on what devices, in which
session, and what to do when the connection to the others is lost.
"""
import collections
import re
import threading
import time

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab.training import acceleration
from deeplab.training import cluster
from deeplab.training import cluster_config
from deeplab.training import reporting
from deeplab.training import starting
from deeplab.utils import checkpoints

# Where a run begins. checkpoint: the newest in the folder, or None. held: whether the variables
# have their values already, on the parameter servers, and `step` is theirs.
Origin = collections.namedtuple('Origin', ['step', 'checkpoint', 'held'])

_POLL_SECONDS = 1.0
_NEWS_SECONDS = 15.0
# A finished worker waits that long for a parameter server, to tell it; it may not be up yet.
_FAREWELL_SECONDS = 60.0
_OPERATION_TIMEOUT_MS = 30000
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
         tf.errors.DeadlineExceededError)


class SoleWorker(object):
    """The process that trains alone.

    Args:
      options: a TrainingOptions.
    """

    is_chief = True
    device = ''
    markers = ()

    def __init__(self, options):
        self._options = options
        self.target = options.master

    @property
    def session_config(self):
        """The ConfigProto of a run: its threads, and CPU where a device is missing."""
        return acceleration.configure(tf.ConfigProto(
            allow_soft_placement=True,
            intra_op_parallelism_threads=self._options.num_threads,
            inter_op_parallelism_threads=self._options.num_threads), self._options)

    def find_origin(self, stop):
        """The Origin of the run, or None where `stop` came while waiting for it."""
        del stop
        resumed = starting.latest_intact(self._options.train_logdir)
        return Origin(checkpoints.step_of(resumed) if resumed else 0, resumed, False)

    def make_markers(self):
        """Variables that get values once all others have theirs; in the default graph."""
        return []

    def reporters(self, graph):
        """Where this worker's reports go."""
        return reporting.make(self._options, graph)

    def supervise(self, work, stop):
        """Calls `work` under the StopRequest `stop`.

        Returns:
          What it returns, or None where there was nothing for it but to give up.
        """
        del stop
        return work()

    def is_lost(self, error):
        """Whether an error says that others have gone and may come back."""
        del error
        return False

    def finish(self):
        """Lets others know that the training is finished."""

    def describe(self):
        """Who this is, for the log; '' where there is nobody else."""
        return ''


class ClusterWorker(SoleWorker):
    """One of several workers; task 0 is the chief, who initialises, saves and reports.

    Args:
      options: a TrainingOptions with `num_ps_tasks`.
      members: a cluster_config.Cluster, whose server this process then runs; None where a server
        runs already, at `options.master`.
    """

    def __init__(self, options, members=None):
        super(ClusterWorker, self).__init__(options)
        self.is_chief = options.task == 0
        self.device = '/job:{}/task:{}'.format(cluster_config.WORKER, options.task)
        self._members = members
        self._awaited = [('the server of --master', options.master[len('grpc://'):])]
        if members:
            self._awaited = [('parameter server {}'.format(task), address)
                             for task, address in enumerate(members.servers)]
            self._server = cluster.start_server(members, options)
            self.target = self._server.target

    @property
    def session_config(self):
        """As that of a sole worker; other workers may come and go unnoticed."""
        config = super(ClusterWorker, self).session_config
        config.device_filters.extend(['/job:' + cluster_config.PS, self.device])
        return config

    def supervise(self, work, stop):
        """Calls `work` in a thread of its own; see `SoleWorker.supervise`.

        Whatever needs a parameter server that has gone may wait for it without end, deaf to
        signals. The main thread stays free to hear them, and to say what is missing.
        """
        outcome = {}

        def call():
            try:
                outcome['result'] = work()
            except BaseException as error:  # pylint: disable=broad-except
                outcome['error'] = error

        thread = threading.Thread(target=call, daemon=True)
        connection, news = cluster.Connection(self._awaited), _News()
        with stop:
            thread.start()
            while thread.is_alive():
                thread.join(_POLL_SECONDS)
                lost = connection.lost()
                if lost and thread.is_alive():
                    news.tell('No connection to %s.', lost)
                    if stop.signal:
                        return None
        if 'error' in outcome:
            raise outcome['error']
        return outcome['result']

    def make_markers(self):
        """The markers of `cluster.ready_markers`."""
        return cluster.ready_markers(self._options.num_ps_tasks)

    def reporters(self, graph):
        """All reporters for the chief, the log for others."""
        if self.is_chief:
            return reporting.make(self._options, graph)
        return reporting.Reporters([
            reporting.LogReporter(self._options.training_number_of_steps)])

    def describe(self):
        """Who this is, for the log."""
        return '{} of {} worker{}, {} parameter server{}'.format(
            cluster.worker_name(self._options.task), self._options.num_replicas,
            's' if self._options.num_replicas > 1 else '', self._options.num_ps_tasks,
            's' if self._options.num_ps_tasks > 1 else '')

    def is_lost(self, error):
        """Whether an error says that a parameter server has gone, or lost its variables."""
        if isinstance(error, tf.errors.FailedPreconditionError):
            return 'uninitialized' in error.message
        return isinstance(error, _LOST)

    def find_origin(self, stop):
        """Waits until there is something to work with; see `SoleWorker.find_origin`.

        The chief waits for the parameter servers. What they hold goes on where they hold all of
        it and no checkpoint is newer; otherwise everything goes back to the checkpoint. Others wait
        for the chief, and at first for `startup_delay_steps` steps for each worker before them.
        """
        news = _News()
        while not stop.signal:
            latest = self._latest()
            step = checkpoints.step_of(latest) if latest else 0
            if not self.is_chief and step >= self._options.training_number_of_steps:
                return Origin(step, latest, False)
            held, hindrance = self._look()
            if hindrance is None and self.is_chief:
                return Origin(held, latest, True) if held is not None and held >= step else Origin(
                    step, latest, False)
            if hindrance is None:
                if held is not None and held >= self._first_step():
                    return Origin(held, latest, True)
                hindrance = 'the chief' if held is None else 'step {} (now {})'.format(
                    self._first_step(), held)
            news.tell('Waiting for %s.', hindrance)
            time.sleep(_POLL_SECONDS)
        return None

    def _latest(self):
        folder = self._options.train_logdir
        return (starting.latest_intact if self.is_chief else checkpoints.latest_checkpoint)(folder)

    def _first_step(self):
        return min(self._options.task * self._options.startup_delay_steps,
                   self._options.training_number_of_steps)

    def _look(self):
        """(step the parameter servers hold, or None; what there is to wait for, or None)."""
        for name, address in self._awaited:
            if not cluster.is_reachable(address):
                return None, '{} at {}'.format(name, address)
        with tf.Graph().as_default():
            with tf.device(cluster.ps_device(0)):
                global_step = tf.train.create_global_step()
            ready = tf.reduce_all(tf.stack([
                tf.is_variable_initialized(marker) for marker in self.make_markers()]))
            try:
                with self._short_session() as session:
                    return int(session.run(global_step)) if session.run(ready) else None, None
            except tf.errors.OpError as error:
                if not self.is_lost(error):
                    raise
                return None, 'the parameter servers ({})'.format(_first_line(error))

    def _short_session(self):
        config = self.session_config
        config.operation_timeout_in_ms = _OPERATION_TIMEOUT_MS
        return tf.Session(self.target, config=config)

    def finish(self):
        """Tells the parameter servers, and through them the other workers, that this is the end.

        The chief raises the step they hold to the last one: where it ended early (--patience), the
        others then do as well.
        """
        if not self._members:
            return
        began = time.time()
        while self._look()[1] is not None:
            if time.time() - began > _FAREWELL_SECONDS:
                logging.info('No parameter server is left to be told that this is the end.')
                return
            time.sleep(_POLL_SECONDS)
        with tf.Graph().as_default():
            with tf.device(cluster.ps_device(0)):
                global_step = tf.train.create_global_step()
            told = tf.group(*[cluster.finished_queue(task).enqueue(self._options.task)
                              for task in range(self._options.num_ps_tasks)])
            try:
                with self._short_session() as session:
                    if self.is_chief:
                        session.run(global_step.assign(self._options.training_number_of_steps))
                        session.run([marker.initializer for marker in self.make_markers()])
                    session.run(told)
            except tf.errors.OpError as error:
                if not self.is_lost(error):
                    raise
                logging.info('A parameter server has gone already: %s', _first_line(error))


class _News(object):
    """Says what is waited for: at once when it changes, and from time to time when not."""

    def __init__(self):
        self._last = None
        self._since = self._told = time.time()

    def tell(self, text, hindrance):
        now = time.time()
        # Numbers in it change without being another thing.
        kind = re.sub(r'\d+', '', hindrance)
        if kind == self._last and now - self._told < _NEWS_SECONDS:
            return
        if kind != self._last:
            self._last, self._since = kind, now
            logging.info(text, hindrance)
        else:
            logging.info(text + ' %d s so far.', hindrance, now - self._since)
        self._told = now


def _first_line(error):
    return error.message.splitlines()[0]


def make(options, members=None):
    """The worker that `options`, valid ones, and a cluster_config.Cluster or None ask for."""
    return ClusterWorker(options, members) if options.num_ps_tasks else SoleWorker(options)
