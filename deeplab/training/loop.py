"""The steps of a run: train, look, report, save, until the last one or a reason to stop."""
import os
import time

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.training import profiling
from deeplab.training import progress

_MOST_NAMES_SHOWN = 8


class Loop(object):
    """Runs training steps in a session.

    Args:
      tensors: a TrainGraph.
      options: a TrainingOptions.
      writer: a CheckpointWriter, or None on a worker that does not save.
      reporters: a reporting.Reporters.
      translate_error: puts a tf.errors.OpError caused by the input into words.
      evaluation: an evaluation.BestKeeper, or None.
    """

    def __init__(self, tensors, options, writer, reporters, translate_error, evaluation=None):
        self._tensors = tensors
        self._options = options
        self._writer = writer
        self._reporters = reporters
        self._translate_error = translate_error
        self._evaluation = evaluation
        self._clock = progress.StepClock()
        self._profiler = profiling.Profiler(options.profile_logdir)
        self._pictures_due = time.time()
        self.loss = None

    def run(self, session, step, stop):
        """Trains from `step` on.

        Args:
          session: a tf.Session whose variables have their values.
          step: steps done before.
          stop: a StopRequest.

        Returns:
          The number of steps done. `loss` is the loss of the last one.

        Raises:
          UserError: a loss that is not finite, memory or disk that does not suffice, bad input.
        """
        last_step = self._options.training_number_of_steps
        while step < last_step and not stop.signal:
            values = self._step(session)
            step = int(values['global_step'])
            self.loss = float(values['total_loss'])
            self._clock.tick()
            self._stop_if_not_finite(values)
            if 'image_summary' in values:
                self._reporters.pictures(values['image_summary'], step)
            if step % self._options.log_steps == 0 or step >= last_step:
                self._reporters.report(progress.make_report(
                    step, values, self._clock.read(), self._options))
            with self._clock.paused():
                if self._between_steps(session, step):
                    break
        return step

    def _between_steps(self, session, step):
        """Saves and evaluates where due; whether to stop early."""
        if self._writer is None:
            return False
        if self._evaluation is None or not self._evaluation.due(step):
            self._writer.save_if_due(session, step)
            return False
        checkpoint = self._writer.save(session, step)
        self._reporters.evaluation(step, self._evaluation.evaluate(checkpoint, step))
        return self._evaluation.stops_early

    def _step(self, session):
        fetches = {name: value for name, value in self._tensors._asdict().items()
                   if value is not None and name not in ('accumulate_op', 'image_summary')}
        if self._tensors.image_summary is not None and time.time() >= self._pictures_due:
            fetches['image_summary'] = self._tensors.image_summary
            self._pictures_due = time.time() + self._options.save_summaries_secs
        try:
            for _ in range(self._options.gradient_accumulation_steps - 1):
                session.run(self._tensors.accumulate_op)
            return self._profiler.run(session, fetches)
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(_memory_advice(error))
        except tf.errors.OpError as error:
            raise self._translate_error(error)

    def _stop_if_not_finite(self, values):
        if np.isfinite(values['total_loss']) and np.isfinite(values['gradient_norm']):
            return
        names = [os.path.basename(name.decode('utf-8', 'replace'))
                 for name in values['image_names']]
        raise UserError(
            'Training has diverged at step {}: loss {}, gradient norm {}, learning rate {:.4g}, '
            'images {}. Last checkpoint: {}. Lower the learning rate, or limit the steps with '
            '--clip_gradient_norm.'.format(
                values['global_step'], values['total_loss'], values['gradient_norm'],
                values['learning_rate'], ', '.join(names[:_MOST_NAMES_SHOWN]),
                self._writer and self._writer.latest))


def _memory_advice(error):
    return ('Out of memory ({}). What needs less: a smaller --train_batch_size or '
            '--train_crop_size, --gradient_accumulation_steps (the same update from smaller parts '
            'of the batch), --output_stride=16 in place of 8.'.format(
                error.message.splitlines()[0]))
