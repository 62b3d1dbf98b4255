"""Writing checkpoints of a run, when they are due, so that a failure loses nothing saved before."""
import glob
import os
import time

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.utils import checkpoints

_NAME = 'model.ckpt'


class CheckpointWriter(object):
    """Saves model variables, optimizer slots and the global step as `model.ckpt-STEP`.

    TensorFlow writes the files under temporary names, renames them, and only then names them in the
    `checkpoint` file, so a killed run leaves the new checkpoint whole or the one before it. Must be
    made while the graph can still grow.

    Args:
      folder: folder of the checkpoints.
      keep: number of checkpoints to keep, 0 for all.
      every_secs: seconds between checkpoints.
      every_steps: steps between checkpoints, 0 to go by seconds only.
      is_lost: function that tells whether an error is of the connection to parameter servers, not
        of the folder; such an error is raised as it is.
    """

    def __init__(self, folder, keep, every_secs, every_steps=0, is_lost=lambda error: False):
        self._folder = folder
        self._every_secs = every_secs
        self._every_steps = every_steps
        self._is_lost = is_lost
        self.saver = tf.train.Saver(max_to_keep=keep)
        self._last_time = time.time()
        self._saved = {}  # {step: prefix} of the last one saved or restored
        self._last_step = 0

    @property
    def latest(self):
        """Prefix of the latest checkpoint in the folder, or None."""
        return checkpoints.latest_checkpoint(self._folder)

    def start(self, step, restored):
        """Begins counting at `step`; `restored` is the checkpoint it came from, or None."""
        self._last_time = time.time()
        self._last_step = step
        self._saved = {step: restored} if restored else {}
        state = tf.train.get_checkpoint_state(self._folder)
        if state:
            # So that checkpoints of the interrupted run are rotated out as well.
            self.saver.recover_last_checkpoints(state.all_model_checkpoint_paths)

    def save_if_due(self, session, step):
        """Saves where time says so, or a multiple of `every_steps` has come since the last call."""
        has_come = self._every_steps and (
            step // self._every_steps > self._last_step // self._every_steps)
        self._last_step = step
        if has_come or time.time() - self._last_time >= self._every_secs:
            self.save(session, step)

    def save(self, session, step):
        """Saves unless this step has been saved already.

        Returns:
          Prefix of the checkpoint.

        Raises:
          UserError: where the folder cannot take the checkpoint, as with a full disk. What had
            been saved before is still there.
        """
        if step not in self._saved:
            path = os.path.join(self._folder, _NAME)
            try:
                self._saved = {step: self.saver.save(session, path, global_step=step)}
            except (tf.errors.OpError, ValueError, IOError) as error:
                if self._is_lost(error):
                    raise
                self._remove_partial('{}-{}'.format(path, step))
                raise UserError('Cannot save step {} in --train_logdir={}: {} The latest '
                                'checkpoint is {}.'.format(
                                    step, self._folder, _first_line(error), self.latest))
            self._last_time = time.time()
            logging.info('Saved %s', self._saved[step])
        return self._saved[step]

    def _remove_partial(self, prefix):
        leftovers = glob.glob(glob.escape(prefix) + '.*tempstate*')
        leftovers += glob.glob(glob.escape(prefix) + '_temp*/*')
        if not os.path.exists(prefix + '.index'):
            leftovers += glob.glob(glob.escape(prefix) + '.data-*')
        for leftover in leftovers:
            try:
                os.remove(leftover)
            except OSError:
                logging.warning('Could not remove the partial file %s', leftover)


def _first_line(error):
    return str(getattr(error, 'message', error)).splitlines()[0]
