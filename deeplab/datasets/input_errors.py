"""Errors of the running input pipeline, told as one line that names the picture or the shard."""
import codecs
import contextlib
import io
import re

from absl import logging
from PIL import Image
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file

# Everything `fail_unless` says starts so, which is how `translate_error` finds it again.
_MARK = 'Bad picture: '
_MARKED = re.compile(r'assertion failed: \[' + _MARK + r'(.*?)\]\s*(?:\n|$)', re.DOTALL)
_UNDECODABLE = re.compile(
    r'Invalid (?:JPEG|PNG)|image file format|Expected image \(JPEG|Uncompress failed')
_DATA_SIZE = re.compile(r'data size (\d+)')


def fail_unless(condition, message_parts):
    """Returns an op that stops the pipeline with one line unless `condition` holds.

    Args:
        condition: scalar bool tensor.
        message_parts: function giving a list of scalar string tensors and texts; called for the
            failing branch only, so that a message costs nothing while all is well.
    """
    def fail():
        message = tf.strings.join([_MARK] + list(message_parts()))
        with tf.control_dependencies([tf.Assert(False, [message])]):
            return tf.constant(False)

    return tf.cond(condition, lambda: tf.constant(True), fail)


def _unescape(text):
    """Undoes the C escapes TensorFlow puts into messages."""
    try:
        return codecs.escape_decode(text.encode('utf-8'))[0].decode('utf-8', 'replace')
    except ValueError:
        return text


def translate_error(error, shards=()):
    """Turns an error of a running graph into one for the user, where the input caused it.

    Args:
        error: what `session.run` raised.
        shards: paths of the records being read, to find the damaged one.

    Returns:
        A `UserError` naming the picture or the shard and record; `error` itself when something
        else went wrong. Jobs write `raise translate_error(error, dataset.shards)`.
    """
    message = getattr(error, 'message', None) or str(error)
    if isinstance(error, tf.errors.DataLossError):
        return _data_loss(message, shards)
    if not isinstance(error, tf.errors.InvalidArgumentError):
        return error
    marked = _MARKED.search(message)
    if marked:
        return errors.UserError(_unescape(marked.group(1)))
    if _UNDECODABLE.search(message):
        return _undecodable(message, shards) or error
    return error


@contextlib.contextmanager
def translated(shards=()):
    """Within it, errors the input caused are raised as `UserError`; see `translate_error`."""
    try:
        yield
    except tf.errors.OpError as error:
        translation = translate_error(error, shards)
        if translation is error:
            raise
        raise translation from None


def _data_loss(message, shards):
    for check in (tfrecord_file.count, tfrecord_file.verify):
        for path in shards:
            try:
                check(path)
            except errors.UserError as found:
                return found
    return errors.UserError('A shard is damaged: {}. Copy it again or convert the data set again.'
                            .format(message.splitlines()[0].strip().rstrip('.')))


def _undecodable(message, shards):
    logging.info('A picture cannot be decoded; looking for it in %d shard(s).', len(shards))
    size = _DATA_SIZE.search(message)
    size = int(size.group(1)) if size else None
    for path in shards:
        for record in records.read(path):
            for kind, encoded in (('image', record.image), ('label', record.label)):
                if encoded and size in (None, len(encoded)) and not _decodes(encoded):
                    return errors.UserError(
                        'Picture {} in {}: its {} cannot be decoded. Convert the data set again '
                        'without it.'.format(record.name, path, kind))
    return None


def _decodes(encoded):
    try:
        Image.open(io.BytesIO(encoded)).load()
    except (IOError, SyntaxError, ValueError):
        return False
    return True
