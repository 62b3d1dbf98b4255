"""The parallel map: ordered, bounded, and gone when its parent is."""
import multiprocessing
import os
import signal
import time

import pytest

from deeplab import errors
from deeplab.datasets import conversion_workers


def double(number):
    time.sleep(0.001 * (number % 3))
    return 2 * number


def die(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(number):
    if number == 5:
        raise errors.UserError('five')
    return number


def tell_process(number, folder):
    open(os.path.join(folder, str(os.getpid())), 'w').close()
    time.sleep(0.02)
    return number


def is_alive(process):
    try:
        with open('/proc/{}/stat'.format(process)) as stream:
            return stream.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.parametrize('num_workers', [1, 2, 3])
@pytest.mark.parametrize('count', [0, 1, 30])
def test_results_come_in_order(num_workers, count):
    results = list(conversion_workers.ordered_map(double, range(count), num_workers))
    assert results == [2 * number for number in range(count)]


def test_items_are_taken_only_as_fast_as_results_are(num_workers=2):
    taken = []

    def items():
        for number in range(10000):
            taken.append(number)
            yield number

    results = conversion_workers.ordered_map(double, items(), num_workers)
    furthest = 0
    for _ in range(100):
        number = next(results) // 2
        furthest = max(furthest, len(taken) - number)
    results.close()
    assert furthest <= 24


@pytest.mark.parametrize('num_workers', [1, 2])
def test_errors_of_the_function_reach_the_caller(num_workers):
    results = conversion_workers.ordered_map(fail, range(20), num_workers)
    with pytest.raises(errors.UserError, match='five'):
        list(results)


def test_a_worker_that_dies_is_an_error_and_no_wait_for_ever():
    with pytest.raises(errors.UserError, match='One of 3 worker .* fewer: --num_workers=1.$'):
        list(conversion_workers.ordered_map(die, range(20), 3))
    with pytest.raises(errors.UserError, match='--num_workers=1. It goes on.$'):
        list(conversion_workers.ordered_map(die, range(20), 2, after_death='It goes on.'))


def _run_for_ever(folder):
    import functools
    import itertools
    work = functools.partial(tell_process, folder=folder)
    for _ in conversion_workers.ordered_map(work, itertools.count(), 2):
        pass


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='looks for processes in /proc')
def test_workers_leave_with_a_parent_that_was_killed(tmp_path):
    parent = multiprocessing.get_context('fork').Process(target=_run_for_ever,
                                                         args=(str(tmp_path),))
    parent.start()
    while len(os.listdir(str(tmp_path))) < 2:
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    workers = [int(name) for name in os.listdir(str(tmp_path))]
    deadline = time.time() + 60
    while any(is_alive(worker) for worker in workers) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(is_alive(worker) for worker in workers)
