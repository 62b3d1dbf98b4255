"""Tests of deeplab.evaluation.writers."""
import pytest

from deeplab.evaluation import writers


def test_errors_of_writing_threads_come_out():
    pool = writers.Writers()

    def fail():
        raise OSError('disk full')

    pool.submit(fail)
    with pytest.raises(OSError, match='disk full'):
        pool.finish()


def test_everything_submitted_is_done():
    pool = writers.Writers()
    done = []
    for number in range(100):
        pool.submit(done.append, number)
    pool.finish()
    assert sorted(done) == list(range(100))


def test_reading_ahead_keeps_the_order_and_hands_on_errors():
    def halve(number):
        if number % 2:
            raise ValueError('odd')
        return number // 2

    found = []
    for item, future in writers.read_ahead(halve, range(11)):
        try:
            found.append((item, future.result()))
        except ValueError as error:
            found.append((item, str(error)))
    assert found == [(number, 'odd' if number % 2 else number // 2) for number in range(11)]


def test_reading_ahead_of_nothing():
    assert list(writers.read_ahead(len, [])) == []
