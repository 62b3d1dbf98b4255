"""Where reports of a run go: log, TensorBoard, and one JSON object a log step."""
import json
import math
import os
import socket
import sys
import time

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.training import progress

# In the training folder, whatever is asked for beside it.
METRICS_FILE = 'metrics.jsonl'


class LogReporter(object):
    """One log line a report."""

    def __init__(self, last_step):
        self._last_step = last_step

    def report(self, report):
        logging.info(progress.line(report, self._last_step))

    def evaluation(self, step, evaluation):
        logging.info('step %d/%d  %s', step, self._last_step, evaluation.text)

    def pictures(self, serialized, step):
        pass

    def close(self):
        pass


class TensorBoardReporter(object):
    """Scalars and pictures in an event file of the training folder.

    Tags: total_loss, learning_rate, gradient_norm, step_seconds, images_per_second,
    losses/<name of the loss>, samples/image, samples/label, samples/semantic; of evaluations as
    `evaluation.results.summary_values` names them.
    """

    def __init__(self, folder, graph=None):
        name = 'events.out.tfevents.{:010d}.{}'.format(int(time.time()), socket.gethostname())
        # An event file is a file of records. TensorFlow's own writer for it runs in a thread, which
        # meets a full disk with a traceback.
        self._writer = tf.python_io.TFRecordWriter(os.path.join(folder, name))
        self._write(0, file_version='brain.Event:2')
        if graph is not None:
            self._write(0, graph_def=graph.as_graph_def(add_shapes=True).SerializeToString())

    def report(self, report):
        scalars = {name: value for name, value in report._asdict().items()
                   if name not in ('step', 'losses', 'seconds_left')}
        scalars.update(('losses/' + name, value) for name, value in report.losses.items())
        self._add_scalars(scalars, report.step)

    def evaluation(self, step, evaluation):
        self._add_scalars(evaluation.scalars, step)

    def pictures(self, serialized, step):
        self._write(step, summary=tf.Summary.FromString(serialized))

    def _add_scalars(self, scalars, step):
        self._write(step, summary=tf.Summary(value=[
            tf.Summary.Value(tag=tag, simple_value=value)
            for tag, value in sorted(scalars.items()) if value is not None]))

    def _write(self, step, **content):
        if self._writer is None:
            return
        event = tf.Event(wall_time=time.time(), step=step, **content)
        try:
            self._writer.write(event.SerializeToString())
            self._writer.flush()
        except (tf.errors.OpError, IndexError, IOError) as error:
            # Curves are worth less than the training, which goes on without them.
            logging.warning('No more is written for TensorBoard: %s', str(error).splitlines()[0])
            self._writer = None

    def close(self):
        if self._writer is not None:
            self._writer.close()


class JsonLinesReporter(object):
    """One JSON object of numbers a report, appended to a file, or to stdout for '-'.

    Args:
      path: of the file.
      is_asked_for: whether the user asked for it. A place that cannot be written to is then an
        error, and otherwise a warning.
    """

    def __init__(self, path, is_asked_for=True):
        self._owned = path != '-'
        self._path = path
        self._is_asked_for = is_asked_for
        self._stream = None
        try:
            self._stream = open(path, 'a') if self._owned else sys.stdout
        except OSError as error:
            self._fail('cannot write to this file', error)

    def report(self, report):
        record = dict(report._asdict())
        record.update(('losses/' + name, value) for name, value in record.pop('losses').items())
        self._write(record)

    def evaluation(self, step, evaluation):
        self._write(dict(evaluation.scalars, step=step))

    def pictures(self, serialized, step):
        pass

    def _write(self, record):
        if self._stream is None:
            return
        numbers = {name: _number(value) for name, value in record.items()}
        try:
            self._stream.write(json.dumps(numbers, sort_keys=True) + '\n')
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._fail('cannot write any more', error)

    def _fail(self, what, error):
        if self._is_asked_for:
            raise UserError('--metrics_jsonl={}: {} ({}).'.format(self._path, what,
                                                                  error.strerror))
        # Figures are worth less than the training, which goes on without them.
        logging.warning('%s: %s (%s).', self._path, what, error.strerror)
        self._stream = None

    def close(self):
        if self._owned and self._stream is not None:
            self._stream.close()


def _number(value):
    """Strict JSON has no NaN and no infinity."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)


class Reporters(object):
    """Several reporters as one."""

    def __init__(self, reporters):
        self._reporters = reporters

    def __getattr__(self, name):
        def call_all(*args):
            for reporter in self._reporters:
                getattr(reporter, name)(*args)
        return call_all


def make(options, graph):
    """All reporters of a run, as one: log, TensorBoard, a file of metrics, and those asked for."""
    own_metrics = os.path.join(options.train_logdir, METRICS_FILE)
    reporters = [LogReporter(options.training_number_of_steps),
                 TensorBoardReporter(options.train_logdir, graph)]
    asked_for = options.metrics_jsonl
    if asked_for:
        reporters.append(JsonLinesReporter(asked_for))
    if not asked_for or os.path.abspath(asked_for) != os.path.abspath(own_metrics):
        reporters.append(JsonLinesReporter(own_metrics, is_asked_for=False))
    return Reporters(reporters)
