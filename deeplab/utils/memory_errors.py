"""Running out of memory as an error of the user: what had no room, and what needs less."""
import contextlib

import tensorflow.compat.v1 as tf

from deeplab import errors


@contextlib.contextmanager
def explained(advice: str):
    """Within it, TensorFlow's word that memory does not suffice becomes one line with advice.

    Args:
      advice: sentences on what to do; they end the message.

    Raises:
      UserError: in place of a `tf.errors.ResourceExhaustedError`.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise errors.UserError('Out of memory ({}). {}'.format(_reason(error.message), advice))


def _reason(message):
    lines = [line.strip() for line in message.splitlines()] or ['TensorFlow says no more']
    # Where operations fail side by side, the first line only counts them.
    return next((line for line in lines if 'OOM' in line), lines[0])
