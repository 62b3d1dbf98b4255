"""The order of records: shards interleaved, shuffled while still encoded, repeatable, resumable.

An epoch is a function of (seed, number of the epoch), and each record gets its number in the whole
run. So any run can be taken up in the middle: `start` skips whole epochs for nothing and reads, but
never decodes, what was used of the current one.
"""
import collections

import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import tfrecord_file

# Encoded records kept for shuffling, unless said otherwise: as many as fit into these bytes.
_SHUFFLE_BYTES = 256 * 2 ** 20
_MIN_SHUFFLED = 64
_MAX_SEED = 2 ** 31 - 1

# Nothing here needs autograph, which costs seconds and on TensorFlow 1.15 breaks comprehensions.
plain = tf.autograph.experimental.do_not_convert

# num_readers: shards read in turns.
# should_shuffle, should_repeat: whether to mix the order, and to go on for ever.
# shuffle_buffer: records to choose the next one from.
# seed: of order and augmentation.
# worker_count, worker_index: each of several workers sees its own share of the records.
# start: number of the first record to give, counted over all epochs.
Order = collections.namedtuple('Order', [
    'num_readers', 'should_shuffle', 'should_repeat', 'shuffle_buffer', 'seed', 'worker_count',
    'worker_index', 'start'])


def default_shuffle_buffer(shards) -> int:
    """Returns how many records to shuffle among: all, where 256 MiB hold them."""
    spans = [span for path in shards for span in tfrecord_file.spans(path)]
    mean_bytes = sum(span.length for span in spans) / max(len(spans), 1)
    fitting = int(_SHUFFLE_BYTES / max(mean_bytes, 1))
    return max(1, min(len(spans), max(_MIN_SHUFFLED, fitting)))


def _deals_whole_shards(shards, order):
    return len(shards) % order.worker_count == 0


def records_of_worker(shards, order: Order) -> int:
    """Returns how many records an epoch of this worker has.

    Raises:
        UserError: when there are none, or the worker's number is impossible.
    """
    if not 0 <= order.worker_index < order.worker_count:
        raise errors.UserError('Worker number {} of {}: it must lie in 0..{}.'.format(
            order.worker_index, order.worker_count, order.worker_count - 1))
    counts = [tfrecord_file.count(path) for path in shards]
    if _deals_whole_shards(shards, order):
        own = sum(counts[order.worker_index::order.worker_count])
    else:
        own = sum(len(range(order.worker_index, count, order.worker_count)) for count in counts)
    if not own:
        raise errors.UserError('No record for worker {} of {}: there are only {} in {} shard(s).'
                               .format(order.worker_index, order.worker_count, sum(counts),
                                       len(shards)))
    return own


def numbered_records(shards, order: Order):
    """Returns a `tf.data.Dataset` of (int64 number in the run, serialised record) scalars."""
    epoch_size = records_of_worker(shards, order)
    first_epoch, used = divmod(order.start, epoch_size)
    last_epoch = tf.int64.max if order.should_repeat else 1

    def epoch(number):
        stream = _epoch(shards, order, number)
        if not used:
            return stream
        is_first = tf.equal(number, first_epoch)
        return stream.skip(tf.where(is_first, tf.constant(used, tf.int64),
                                    tf.constant(0, tf.int64)))

    records = tf.data.Dataset.range(first_epoch, last_epoch).flat_map(plain(epoch))
    numbers = tf.data.Dataset.range(order.start, tf.int64.max)
    return tf.data.Dataset.zip((numbers, records))


def _epoch(shards, order, number):
    seeds = tf.random.stateless_uniform(
        [2], seed=tf.stack([tf.constant(order.seed, tf.int64), number]), maxval=_MAX_SEED,
        dtype=tf.int64)
    whole_shards = _deals_whole_shards(shards, order)
    if whole_shards:
        shards = shards[order.worker_index::order.worker_count]
    names = tf.data.Dataset.from_tensor_slices(list(shards))
    if order.should_shuffle:
        names = names.shuffle(len(shards), seed=seeds[0], reshuffle_each_iteration=False)

    def read(name):
        stream = tf.data.TFRecordDataset(name)
        if not whole_shards:
            stream = stream.shard(order.worker_count, order.worker_index)
        return stream

    # One thread takes turns at the shards: a parallel interleave inside flat_map now and then
    # crashes TensorFlow 1.15 when its session closes, and reading is not what takes the time.
    records = names.interleave(
        plain(read), cycle_length=max(1, min(order.num_readers, len(shards))), block_length=1)
    if order.should_shuffle:
        records = records.shuffle(order.shuffle_buffer, seed=seeds[1],
                                  reshuffle_each_iteration=False)
    return records
