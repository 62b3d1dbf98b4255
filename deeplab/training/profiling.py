"""Traces of single steps, to be looked at in chrome://tracing."""
import os

from absl import logging
import tensorflow.compat.v1 as tf
from tensorflow.python.client import timeline

# Steps of this process that are traced; the first ones still warm up.
TRACED = (10, 20, 30)


class Profiler(object):
    """Runs a few steps with a full trace and writes `timeline-STEP.json` of each.

    Args:
      folder: folder of the traces, or None to trace nothing.
    """

    def __init__(self, folder):
        self._folder = folder
        self._steps_seen = 0

    def run(self, session, fetches):
        """`session.run(fetches)`, traced where this step's turn has come."""
        self._steps_seen += 1
        if not self._folder or self._steps_seen not in TRACED:
            return session.run(fetches)
        metadata = tf.RunMetadata()
        values = session.run(
            fetches, options=tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE),
            run_metadata=metadata)
        self._write(metadata, int(values['global_step']))
        return values

    def _write(self, metadata, step):
        tf.gfile.MakeDirs(self._folder)
        path = os.path.join(self._folder, 'timeline-{}.json'.format(step))
        trace = timeline.Timeline(metadata.step_stats).generate_chrome_trace_format()
        with tf.gfile.GFile(path + '.tmp', 'w') as stream:
            stream.write(trace)
        tf.gfile.Rename(path + '.tmp', path, overwrite=True)
        logging.info('Traced step %d: open %s in chrome://tracing', step, path)
