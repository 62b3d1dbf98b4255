"""The steps of a run: train, look, report, save, until the last one or a reason to stop."""
import os
import time

from absl import logging
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.training import acceleration
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
      evaluation: a best_checkpoint.BestKeeper, or None.
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
        self._skipped = 0
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
        if self._evaluation is not None and self._ends_before_a_step(session, step, stop):
            return step
        while step < last_step and not stop.signal:
            values = self._step(session)
            # Other workers of a cluster may have made steps as well.
            before, step = step, int(values['global_step'])
            self.loss = float(values['total_loss'])
            self._clock.tick(step - before)
            if self._is_skipped(values):
                continue
            self._stop_if_not_finite(values)
            if 'image_summary' in values:
                self._reporters.pictures(values['image_summary'], step)
            log_steps = self._options.log_steps
            if step // log_steps > before // log_steps or step >= last_step:
                self._reporters.report(progress.make_report(
                    step, values, self._clock.read(), self._options))
            with self._clock.paused():
                if self._between_steps(session, before, step, stop):
                    break
        return step

    def _ends_before_a_step(self, session, step, stop):
        """Takes up evaluation where a run before left it; whether its patience has run out."""
        self._evaluation.start(step)
        if self._writer is not None and self._evaluation.is_missing(step):
            return self._evaluate(session, step, stop)
        if self._evaluation.stops_early:
            logging.info(self._evaluation.explain_stop())
            return True
        return False

    def _between_steps(self, session, before, step, stop):
        """Saves and evaluates where due; whether to stop early."""
        if self._writer is None:
            return False
        if self._evaluation is None or not self._evaluation.due(step, before):
            self._writer.save_if_due(session, step)
            return False
        return self._evaluate(session, step, stop)

    def _evaluate(self, session, step, stop):
        checkpoint = self._writer.save(session, step)
        evaluation = self._evaluation.evaluate(checkpoint, step, lambda: bool(stop.signal))
        if evaluation is None:
            return False
        self._reporters.evaluation(step, evaluation)
        if not self._evaluation.stops_early:
            return False
        logging.info(self._evaluation.explain_stop())
        return True

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
        except tf.errors.ResourceExhaustedError:
            raise  # Not of the input; the job explains it.
        except tf.errors.OpError as error:
            raise self._translate_error(error)

    def _is_skipped(self, values):
        """Whether mixed precision has left the step out, a gradient being too large for it."""
        left_out = (self._options.mixed_precision and np.isfinite(values['total_loss'])
                    and not np.isfinite(values['gradient_norm']))
        self._skipped = self._skipped + 1 if left_out else 0
        return 0 < self._skipped <= acceleration.MOST_SKIPPED

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
