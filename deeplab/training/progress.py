"""Telling how a run goes: log lines, TensorBoard, and one JSON object a log step."""
import collections
import json
import math
import sys
import time

from absl import logging
import tensorflow.compat.v1 as tf

# What is known about a step that is reported. Losses and rates are those of this very step.
Report = collections.namedtuple('Report', [
    'step', 'total_loss', 'losses', 'learning_rate', 'gradient_norm',
    'step_seconds',        # mean over the steps since the last report
    'images_per_second',
    'seconds_left'])


class StepClock(object):
    """Measures time a step, leaving out the first step and whatever `pause` covers.

    The first step of a session includes TensorFlow's own set-up and would spoil the mean.
    """

    def __init__(self, clock=time.time):
        self._clock = clock
        self._since = None
        self._steps = 0
        self._mean = None

    def tick(self):
        """Notes the end of a step."""
        if self._since is None:
            self._since = self._clock()
        else:
            self._steps += 1

    def pause(self, seconds):
        """Leaves time out that was spent on something else than steps."""
        if self._since is not None:
            self._since += seconds

    def read(self):
        """Mean seconds a step since the last reading, or the last mean, or None before any."""
        if self._steps:
            now = self._clock()
            self._mean = (now - self._since) / self._steps
            self._since, self._steps = now, 0
        return self._mean


def duration(seconds):
    """Seconds as people read them: 59s, 12m05s, 3h02m."""
    seconds = int(round(seconds))
    if seconds < 60:
        return '{}s'.format(seconds)
    if seconds < 3600:
        return '{}m{:02d}s'.format(*divmod(seconds, 60))
    return '{}h{:02d}m'.format(seconds // 3600, seconds % 3600 // 60)


def line(report, last_step):
    """The log line of a report."""
    parts = ' + '.join('{} {:.4f}'.format(_short(name), value)
                       for name, value in sorted(report.losses.items()))
    text = 'step {}/{}  loss {:.4f} ({})  rate {:.3g}  gradient {:.3g}'.format(
        report.step, last_step, report.total_loss, parts, report.learning_rate,
        report.gradient_norm)
    if report.step_seconds is not None:
        text += '  {:.2f} s/step  {:.1f} images/s  {} left'.format(
            report.step_seconds, report.images_per_second, duration(report.seconds_left))
    return text


def _short(name):
    """semantic_merged_logits/mul_1 -> semantic_merged_logits; clone prefixes go as well."""
    if name == 'regularization_loss':
        return 'l2'
    parts = [part for part in name.split('/') if not part.startswith('clone_')]
    return parts[0]


class LogReporter(object):
    """One log line a report."""

    def __init__(self, last_step):
        self._last_step = last_step

    def report(self, report):
        logging.info(line(report, self._last_step))

    def close(self):
        pass


class TensorBoardReporter(object):
    """Scalars, and pictures where there are some, in an event file of the training folder."""

    def __init__(self, folder, graph=None):
        self._writer = tf.summary.FileWriter(folder, graph)

    def report(self, report):
        scalars = {
            'total_loss': report.total_loss,
            'learning_rate': report.learning_rate,
            'gradient_norm': report.gradient_norm,
            'step_seconds': report.step_seconds,
            'images_per_second': report.images_per_second}
        scalars.update(('losses/' + name, value) for name, value in report.losses.items())
        self._writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag=tag, simple_value=value)
            for tag, value in sorted(scalars.items()) if value is not None]), report.step)
        self._writer.flush()

    def add_pictures(self, serialized, step):
        """Adds a serialised summary of pictures."""
        self._writer.add_summary(serialized, step)

    def close(self):
        self._writer.close()


class JsonLinesReporter(object):
    """One JSON object of numbers a report, appended to a file, or to stdout for '-'."""

    def __init__(self, path):
        self._owned = path != '-'
        self._stream = open(path, 'a') if self._owned else sys.stdout

    def report(self, report):
        record = report._asdict()
        record.update(('losses/' + name, value) for name, value in record.pop('losses').items())
        self._stream.write(json.dumps(
            {key: _number(value) for key, value in record.items()}, sort_keys=True) + '\n')
        self._stream.flush()

    def close(self):
        if self._owned:
            self._stream.close()


def _number(value):
    """Strict JSON has no NaN and no infinity."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, int) else float(value)
