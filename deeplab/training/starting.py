"""The state a run starts from: its own checkpoint, another one's weights, or initialisers."""
from absl import logging
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.utils import checkpoints


def latest_intact(folder):
    """The newest checkpoint of a folder that can be read to its end, or None.

    A machine that loses power may leave a damaged last checkpoint; the one before it then serves.

    Raises:
      UserError: where there are checkpoints and none can be read.
    """
    latest = checkpoints.latest_checkpoint(folder)
    if latest is None:
        return None
    older = [prefix for prefix in reversed(checkpoints.list_checkpoints(folder))
             if prefix != latest]
    for prefix in [latest] + older:
        problem = _problem_of(prefix)
        if problem is None:
            return prefix
        logging.warning('Checkpoint %s is damaged (%s); looking for the one before it.', prefix,
                        problem)
    raise UserError('--train_logdir={}: none of the {} checkpoints can be read, the latest being '
                    '{}. Remove them to start anew.'.format(folder, len(older) + 1, latest))


def _problem_of(prefix):
    try:
        reader = checkpoints.read(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # Compares the checksum of what it reads.
    except Exception as error:  # The class differs between TensorFlow versions.
        return str(error).splitlines()[0]
    return None


class Start(object):
    """Gives variables their first values. Must be made while the graph can still grow.

    Args:
      saver: tf.train.Saver of the run.
      init_fn: function of a session that loads an initial checkpoint, or None.
      markers: variables that get their values once all others have theirs.
      joins: whether `join` will be called, not `prepare`.
    """

    def __init__(self, saver, init_fn, markers=(), joins=False):
        self._saver = saver
        self._init_fn = init_fn
        self._init_op = tf.global_variables_initializer()
        self._local_init_op = tf.local_variables_initializer()
        self._mark_op = tf.group(*[marker.initializer for marker in markers])
        self._marker_names = {marker.op.name for marker in markers}
        self._missing = None
        if joins:
            self._missing = tf.report_uninitialized_variables(
                list(markers) + tf.global_variables())
        self._global_step = tf.train.get_global_step()

    def prepare(self, session, checkpoint):
        """Restores `checkpoint`, or initialises where it is None; the number of steps done."""
        session.run([self._init_op, self._local_init_op])
        if checkpoint:
            self._saver.restore(session, checkpoint)
        elif self._init_fn:
            self._init_fn(session)
        session.run(self._mark_op)
        return int(session.run(self._global_step))

    def join(self, session):
        """Takes the variables as the parameter servers hold them; the number of steps done.

        Raises:
          UserError: what they hold is another network.
          tf.errors.AbortedError: they have lost it.
        """
        session.run(self._local_init_op)
        missing = {name.decode('utf-8') for name in session.run(self._missing)}
        if missing & self._marker_names:
            raise tf.errors.AbortedError(None, None, 'A parameter server has been started again.')
        if missing:
            raise UserError(
                'The parameter servers hold another network: it has no {}. Give all processes the '
                'same flags, or start the parameter servers again.'.format(sorted(missing)[0]))
        return int(session.run(self._global_step))
