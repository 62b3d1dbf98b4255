"""Shuffle buffer and shares of workers, counted without a graph."""
import pytest

from deeplab.datasets import record_stream
from deeplab.datasets import tfrecord_file
from tests.datasets import record_factory


def order(**changes):
    values = dict(num_readers=1, should_shuffle=True, should_repeat=True, shuffle_buffer=10,
                  seed=1, worker_count=1, worker_index=0, start=0)
    values.update(changes)
    return record_stream.Order(**values)


def test_all_records_are_shuffled_where_they_fit(tmp_path):
    shards = record_factory.write_split(tmp_path, count=9, num_shards=2)
    assert record_stream.default_shuffle_buffer(shards) == 9


def test_large_records_are_shuffled_among_fewer(tmp_path, monkeypatch):
    path = str(tmp_path / 'shard')
    tfrecord_file.write(path, [bytes(1000)] * 200)
    monkeypatch.setattr(record_stream, '_SHUFFLE_BYTES', 100 * 1000)
    assert record_stream.default_shuffle_buffer([path]) == 100
    monkeypatch.setattr(record_stream, '_SHUFFLE_BYTES', 1000)
    assert record_stream.default_shuffle_buffer([path]) == 64


@pytest.mark.parametrize('counts, workers', [((5, 4), 2), ((5, 4, 3), 2), ((7,), 3)])
def test_shares_add_up(tmp_path, counts, workers):
    shards = [str(tmp_path / 'shard{}'.format(number)) for number in range(len(counts))]
    for path, count in zip(shards, counts):
        tfrecord_file.write(path, [b'x'] * count)
    shares = [record_stream.records_of_worker(
        shards, order(worker_count=workers, worker_index=index)) for index in range(workers)]
    assert sum(shares) == sum(counts) and min(shares) > 0
