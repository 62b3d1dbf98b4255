"""A parallel map over processes that keeps the order and never holds more than a few results."""
import collections
from concurrent import futures
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time

from deeplab import errors
from deeplab.utils import cores

# Items that travel together: enough to make the cost of travelling small, few enough to hold many.
_CHUNK = 4
# Chunks under way for each worker: one in work, one waiting, so that none idles.
_CHUNKS_PER_WORKER = 2
_PARENT_CHECK_SECONDS = 0.5
_worker_is_set_up = False


def _leave_with_parent(parent):
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


def _set_up_worker(parent):
    """Ctrl-C is the parent's to handle; a parent that was killed takes its workers along."""
    global _worker_is_set_up
    if not _worker_is_set_up:
        _worker_is_set_up = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_leave_with_parent, args=(parent,), daemon=True).start()


def _work(function, parent, chunk):
    _set_up_worker(parent)
    return [function(item) for item in chunk]


def _chunks(items):
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, _CHUNK)), [])


def _make_executor(num_workers):
    options = {}
    if sys.version_info >= (3, 7) and 'fork' in multiprocessing.get_all_start_methods():
        # A fork has everything imported already; a fresh process would import TensorFlow first.
        options['mp_context'] = multiprocessing.get_context('fork')
    return futures.ProcessPoolExecutor(num_workers, **options)


def ordered_map(function, items, num_workers: int = 0, after_death: str = ''):
    """Yields function(item) for each item, in order, computed by several processes.

    The memory taken depends on the number of workers, not on the number of items.

    Args:
        function: a function at the top level of a module, or a functools.partial of one.
        items: iterable; items and results must be picklable.
        num_workers: number of processes; 1 works in this process, 0 takes one for each core.
        after_death: sentence, for the error, on what the next run makes of the work done.

    Raises:
        UserError: when a worker dies, as it does when memory runs out.
    """
    num_workers = num_workers or cores.cpu_count()
    if num_workers == 1:
        for item in items:
            yield function(item)
        return
    work = functools.partial(_work, function, os.getpid())
    executor = _make_executor(num_workers)
    under_way = collections.deque()
    try:
        for chunk in _chunks(items):
            under_way.append(executor.submit(work, chunk))
            if len(under_way) > num_workers * _CHUNKS_PER_WORKER:
                for result in under_way.popleft().result():
                    yield result
        while under_way:
            for result in under_way.popleft().result():
                yield result
    except futures.process.BrokenProcessPool:
        raise errors.UserError(
            'One of {} worker processes died, most likely because memory ran out. Run the same '
            'command again with fewer: --num_workers={}. {}'.format(
                num_workers, num_workers // 2, after_death).rstrip())
    finally:
        for future in under_way:
            future.cancel()
        executor.shutdown()
