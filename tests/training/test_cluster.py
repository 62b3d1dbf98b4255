"""A training by several processes: some are killed, and it ends as it should."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.training import cluster
from deeplab.training import cluster_config
from deeplab.training import graph as training_graph
from deeplab.training import options as training_options
from deeplab.training import workers
from tests.training import tiny

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PATIENCE = 300  # seconds; a test that needs them all has failed anyway


def _free_addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(('', 0))
    addresses = ['localhost:{}'.format(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def _wait_until(condition, explain):
    deadline = time.time() + _PATIENCE
    while not condition():
        if time.time() > deadline:
            raise AssertionError(explain())
        time.sleep(0.1)


class _Processes(object):
    """Chief, one worker and one parameter server in a folder."""

    def __init__(self, folder, last_step, *changes):
        self._folder = str(folder)
        self._command = [sys.executable, '-m', 'tests.training.cluster_process', self._folder,
                         str(last_step)] + list(changes)
        addresses = _free_addresses(3)
        self._jobs = {name: [address] for name, address in zip(
            ('chief', 'worker', 'ps'), addresses)}
        self._running = {}
        self.logdir = os.path.join(self._folder, 'run')
        self.allow(0)

    def allow(self, step):
        """Lets the processes train until `step`."""
        path = os.path.join(self._folder, 'limit')
        with open(path + '.tmp', 'w') as stream:
            stream.write(str(step))
        os.replace(path + '.tmp', path)

    def start(self, name):
        environment = dict(
            os.environ, PYTHONPATH=_ROOT, TF_CPP_MIN_LOG_LEVEL='3', OMP_NUM_THREADS='1',
            TF_CONFIG=json.dumps({'cluster': self._jobs, 'task': {'type': name, 'index': 0}}))
        with open(self._log(name), 'w') as log:
            self._running[name] = subprocess.Popen(
                self._command, cwd=_ROOT, env=environment, stdout=log, stderr=log)

    def _log(self, name):
        return os.path.join(self._folder, name + '.log')

    def log(self, name):
        """What a process has said since it was started last."""
        with open(self._log(name)) as stream:
            return stream.read()

    def steps(self, name):
        """The steps a process has reported since it was started last."""
        return [int(step) for step in re.findall(r'step (\d+)/\d+  loss', self.log(name))]

    def _alive(self, name):
        if self._running[name].poll() is not None:
            raise AssertionError('{} has ended:\n{}'.format(name, self.log(name)))
        return True

    def expect(self, name, text):
        """Waits until a process says `text`."""
        _wait_until(lambda: text in self.log(name) or not self._alive(name), lambda: (
            '{} did not say {!r} but:\n{}'.format(name, text, self.log(name))))

    def expect_step(self, name, step):
        """Waits until a process has reported `step` or a later one."""
        _wait_until(lambda: self.steps(name)[-1:] >= [step] or not self._alive(name), lambda: (
            '{} did not get to step {}:\n{}'.format(name, step, self.log(name))))

    def kill(self, name, number=signal.SIGKILL):
        """Sends a signal; waits for the end, and returns the exit status."""
        self._alive(name)
        self._running[name].send_signal(number)
        return self.status(name)

    def status(self, name):
        """Waits for the end of a process; its exit status."""
        try:
            return self._running[name].wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError('{} does not end:\n{}'.format(name, self.log(name)))

    def end(self):
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def make_processes(tmp_path):
    made = []

    def make(*arguments):
        made.append(_Processes(tmp_path, *arguments))
        return made[-1]
    yield make
    for processes in made:
        processes.end()


def test_whoever_is_killed_comes_back_and_the_training_ends(make_processes):
    processes = make_processes(100)
    processes.allow(10)
    for name in ('worker', 'chief', 'ps'):  # Everybody can wait for everybody.
        processes.start(name)
    processes.expect('worker', 'Waiting for')
    processes.expect_step('chief', 10)
    processes.expect_step('worker', 3)
    # The worker waits for its startup delay, and shares the counter of steps.
    assert min(processes.steps('worker')) > 2
    assert not set(processes.steps('worker')) & set(processes.steps('chief'))

    for killed, survivor, alone, together, reached in (
            ('worker', 'chief', 20, 30, 21), ('chief', 'worker', 40, 50, 50)):
        processes.kill(killed)
        processes.allow(alone)
        processes.expect_step(survivor, alone)
        processes.start(killed)
        processes.expect(killed, 'Going on with what the parameter servers hold: step {}'.format(
            alone // 10))
        processes.allow(together)
        processes.expect_step(killed, reached)

    # With the parameter server goes what it held: back to the checkpoint.
    processes.kill('ps')
    processes.allow(10 ** 9)
    for name in ('chief', 'worker'):
        processes.expect(name, 'No connection to parameter server 0 at localhost:')
    assert processes.kill('chief', signal.SIGTERM) == 1  # stands for result.signal
    processes.start('ps')
    processes.start('chief')
    for name in ('chief', 'worker', 'ps'):
        assert processes.status(name) == 0, processes.log(name)
    resumed = re.search(r'Resuming from .*model.ckpt-(\d+): step (\d+) of 100', processes.log(
        'chief'))
    # Others train while the chief saves: the counter saved may be beyond the step of the name.
    assert resumed and 40 <= int(resumed.group(1)) <= int(resumed.group(2)) <= 52
    assert 'Lost the parameter servers' in processes.log('worker')
    assert 'The training is finished' in processes.log('ps')
    for name in ('chief', 'worker', 'ps'):
        assert 'Traceback' not in processes.log(name)

    # Asynchronous workers may each be in a step when the last one is done.
    last = tf.train.latest_checkpoint(processes.logdir)
    values = tiny.values_of(last)
    assert 100 <= values['global_step'] <= 101
    assert 100 <= int(last.rpartition('-')[2]) <= values['global_step']
    assert not [name for name in values if 'cluster' in name]
    assert all(np.isfinite(value).all() for value in values.values())
    assert values['body/weights/Momentum'].any()
    assert values['body/BatchNorm/moving_mean'].any()


def test_signals_and_a_job_that_is_finished_already(make_processes):
    processes = make_processes(12, 'gradient_accumulation_steps=2', 'clone_on_cpu=true',
                               'num_clones=2')
    processes.allow(7)
    for name in ('ps', 'chief'):
        processes.start(name)
    processes.expect_step('chief', 7)
    processes.allow(8)
    # The parameter server is told first, and holds out until the chief has saved.
    processes._running['ps'].send_signal(signal.SIGTERM)
    processes.expect('ps', 'Received SIGTERM')
    processes._running['chief'].send_signal(signal.SIGTERM)
    processes.allow(10 ** 9)
    assert processes.status('chief') == 1, processes.log('chief')  # stands for result.signal
    assert processes.status('ps') == 1
    step = processes.steps('chief')[-1]
    assert tf.train.latest_checkpoint(processes.logdir).endswith('-{}'.format(step))
    assert 'Stopped at step {} of 12'.format(step) in processes.log('chief')

    for name in ('ps', 'chief'):
        processes.start(name)
    assert processes.status('chief') == processes.status('ps') == 0
    assert 'step {} of 12'.format(step) in processes.log('chief')
    assert tf.train.latest_checkpoint(processes.logdir).endswith('-12')

    # The same once more: everybody finds out that there is nothing to do.
    for name in ('chief', 'ps'):
        processes.start(name)
    for name in ('chief', 'ps'):
        assert processes.status(name) == 0, processes.log(name)
    assert 'Nothing to do' in processes.log('chief')


def _cluster_options(**changes):
    values = dict(train_logdir='x', num_replicas=2, task=1, num_ps_tasks=2, train_batch_size=4,
                  master='grpc://nowhere:1')
    values.update(changes)
    return training_options.TrainingOptions(**values)


@pytest.mark.parametrize('changes', [
    {}, {'gradient_accumulation_steps': 2, 'seed': 1}, {'num_clones': 2}, {'optimizer': 'adam'},
    {'num_clones': 2, 'sync_batch_norm': True}])
def test_devices(monkeypatch, changes):
    monkeypatch.setattr(training_graph.model, 'multi_scale_logits', tiny.multi_scale_logits)
    options = _cluster_options(**changes)
    training_options.validate(options)
    worker = workers.make(options)
    with tf.Graph().as_default() as graph, tf.device(worker.device):
        training_graph.build(options, tiny.MODEL_OPTIONS, tiny.Dataset(options.clone_batch_size))
        worker.make_markers()
        # Variables are on the servers, all else is on this worker.
        shared = {variable.device for variable in tf.global_variables()}
        assert shared == {'/job:ps/task:{}/device:CPU:0'.format(task) for task in (0, 1)}
        for variable in tf.local_variables():
            assert variable.device.startswith('/job:worker/task:1')
        of_variables = {op for op in graph.get_operations() if op.device in shared}
        assert not {op.type for op in of_variables} & {'Conv2D', 'OneShotIterator', 'Mean'}
        for op in set(graph.get_operations()) - of_variables:
            # TensorFlow takes the device off what gives variables their first values.
            assert '/Initializer/' in op.name or op.device.startswith('/job:worker/task:1'), op.name
    assert worker.session_config.device_filters == ['/job:ps', '/job:worker/task:1']
    assert not worker.is_chief


@pytest.mark.parametrize('changes, part', [
    ({'master': ''}, '--num_ps_tasks=2 needs a cluster: set TF_CONFIG'),
    ({'master': 'host:1'}, '--master=host:1 has to be'),
    ({'quantize_delay_step': 1}, '--quantize_delay_step works on one machine only'),
    ({'mixed_precision': True}, '--mixed_precision works on one machine only'),
    ({'num_ps_tasks': -1}, '--num_ps_tasks must be'),
    ({'task': -1}, '--task must be'),
])
def test_options_that_a_cluster_cannot_follow(changes, part):
    with pytest.raises(UserError) as caught:
        training_options.validate(_cluster_options(**changes))
    assert part in str(caught.value)


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen(1)
        address = 'localhost:{}'.format(taken.getsockname()[1])
        assert cluster.is_reachable(address)
        members = cluster_config.Cluster('ps', 0, ['localhost:1'], [address])
        with pytest.raises(UserError, match='listen at ' + address):
            cluster.start_server(members, _cluster_options())
    assert not cluster.is_reachable(address)


@pytest.mark.parametrize('error, is_lost', [
    (tf.errors.UnavailableError(None, None, 'Socket closed'), True),
    (tf.errors.AbortedError(None, None, 'was probably restarted'), True),
    (tf.errors.FailedPreconditionError(None, None, 'uninitialized value v'), True),
    (tf.errors.FailedPreconditionError(None, None, 'is a directory'), False),
    (tf.errors.InvalidArgumentError(None, None, 'x'), False),
    (OSError('disk'), False),
])
def test_which_errors_mean_that_others_have_gone(error, is_lost):
    assert workers.make(_cluster_options()).is_lost(error) == is_lost
    assert not workers.make(training_options.TrainingOptions()).is_lost(error)
