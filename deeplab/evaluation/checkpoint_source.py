"""Which checkpoints to work on: the newest, all there are, or new ones as they come."""
import contextlib
import os
import shutil
import tempfile
import time

from absl import logging

from deeplab import errors
from deeplab.utils import archives
from deeplab.utils import checkpoints

_POLL_SECONDS = 1.0


@contextlib.contextmanager
def unpacked(path: str, flag: str = 'checkpoint_dir'):
    """Gives `path` itself, or the folder of the checkpoint inside where it is an archive.

    Args:
      path: folder, checkpoint prefix, or an archive (see `archives`), which is unpacked into a
        temporary folder that is removed at the end.
      flag: name of the flag it came from, for messages.

    Raises:
      UserError: the archive cannot be read or holds no checkpoint.
    """
    if not archives.is_archive(path):
        yield path
        return
    folder = tempfile.mkdtemp(prefix='deeplab-checkpoint-')
    try:
        title = '--{}={}'.format(flag, path)
        content = os.path.join(folder, 'content')
        archives.unpack(path, content, title=title)
        found = sorted(root for root, _, files in os.walk(content)
                       if any(name.endswith('.index') for name in files))
        if not found:
            raise errors.UserError('{}: the archive holds no checkpoint (no *.index).'.format(
                title))
        logging.info('Unpacked %s.', path)
        yield found[0]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def all_checkpoints(path: str, flag: str = 'checkpoint_dir') -> list:
    """Returns the prefixes of all checkpoints of a folder, lowest step first.

    Raises:
      UserError: there are none.
    """
    if not os.path.isdir(path):
        return [checkpoints.find_checkpoint(path, flag)]
    # `find_checkpoint` has the words for an empty folder.
    return checkpoints.list_checkpoints(path) or [checkpoints.find_checkpoint(path, flag)]


def new_checkpoints(path: str, interval_secs: float, timeout_secs: float, limit: int = 0,
                    is_last=None, flag: str = 'checkpoint_dir', sleep=time.sleep,
                    clock=time.time):
    """Yields the newest checkpoint of a folder, then every newer one, waiting for them.

    Args:
      path: folder of the checkpoints, which may still be missing or empty.
      interval_secs: least time from one checkpoint to the next, seconds.
      timeout_secs: ends when there is nothing new for so long.
      limit: ends after so many; not positive for any number.
      is_last: function of a prefix, whether training ends with that checkpoint; None if not known.
      flag: name of the flag `path` came from, for messages.
      sleep, clock: of the `time` module, exchanged in tests.

    Raises:
      UserError: no checkpoint came at all.
    """
    done = 0
    last = None
    while limit <= 0 or done < limit:
        began = clock()
        prefix = _wait_for_next(path, last, timeout_secs, sleep, clock)
        if prefix is None:
            if last is None:
                raise errors.UserError('--{}={}: no checkpoint came within {:g} seconds.'.format(
                    flag, path, timeout_secs))
            logging.info('No new checkpoint for %g seconds: ending.', timeout_secs)
            return
        last = prefix
        done += 1
        yield prefix
        if is_last is not None and is_last(prefix):
            logging.info('Training has finished with %s: ending.', prefix)
            return
        if limit <= 0 or done < limit:
            sleep(max(0.0, interval_secs - (clock() - began)))


def _wait_for_next(path, last, timeout_secs, sleep, clock):
    """Returns a prefix other than `last`, or None when the time is up."""
    deadline = clock() + timeout_secs
    told = False
    while True:
        prefix = checkpoints.latest_checkpoint(path) if os.path.isdir(path) else None
        if prefix is not None and prefix != last:
            return prefix
        if clock() >= deadline:
            return None
        if not told:
            logging.info('Waiting for a new checkpoint in %s.', path)
            told = True
        sleep(_POLL_SECONDS)
