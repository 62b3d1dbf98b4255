"""TFRecord files as bytes: walked by their length headers, without TensorFlow and without decoding.

A record is: length (uint64), masked CRC-32C of those eight bytes, the content, masked CRC-32C of
the content; all little endian. Walking the lengths touches a few bytes a record however large the
content is, which is what makes counting and checking a whole data set cheap.
"""
import collections
import contextlib
import functools
import mmap
import os
import struct

import tensorflow.compat.v1 as tf

from deeplab import errors

_HEADER = struct.Struct('<QI')
_FOOTER_BYTES = 4
_CASTAGNOLI = 0x82f63b78
_MASK_DELTA = 0xa282ead8

# Where one record's content lies in its file.
Span = collections.namedtuple('Span', ['start', 'length'])


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def masked_crc32c(content: bytes) -> int:
    """Returns the masked CRC-32C of TFRecord files (pure Python: meant for a few bytes)."""
    crc = 0xffffffff
    for byte in content:
        crc = _CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >> 8)
    crc ^= 0xffffffff
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xffffffff


def is_remote(path: str) -> bool:
    """Returns whether `path` is not in the local file system (gs://..., hdfs://...)."""
    return '://' in path


def _damaged(path, index, what):
    return errors.UserError(
        '{}: record {} {}. The shard is damaged: copy it again or convert the data set again.'
        .format(path, index, what))


@contextlib.contextmanager
def open_bytes(path: str):
    """Gives the content of a file as something to slice: mapped where local, read where remote."""
    if is_remote(path):
        with tf.gfile.GFile(path, 'rb') as stream:
            yield stream.read()
        return
    try:
        stream = open(path, 'rb')
    except (IOError, OSError) as error:
        raise errors.UserError('Cannot read {}: {}.'.format(path, error.strerror or error))
    with stream:
        if os.fstat(stream.fileno()).st_size == 0:
            yield b''
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content


def walk(content, path: str):
    """Yields the `Span` of every record.

    Args:
        content: what `open_bytes` gave.
        path: name for error messages.

    Raises:
        UserError: naming file and record index, where the file is cut short or a length header
            does not match its checksum.
    """
    size = len(content)
    position = index = 0
    while position < size:
        if size - position < _HEADER.size:
            raise _damaged(path, index, 'is cut short (file ends inside its header)')
        length, checksum = _HEADER.unpack(content[position:position + _HEADER.size])
        if masked_crc32c(content[position:position + 8]) != checksum:
            raise _damaged(path, index, 'has a corrupt length header at byte {}'.format(position))
        start = position + _HEADER.size
        position = start + length + _FOOTER_BYTES
        if position > size:
            raise _damaged(path, index, 'is cut short ({} of {} bytes are there)'.format(
                max(0, min(size - start, length)), length))
        yield Span(start, length)
        index += 1


def spans(path: str) -> tuple:
    """Returns the `Span`s of a file's records; remembered until the file changes.

    Raises:
        UserError: as `walk`.
    """
    if is_remote(path):
        return _spans(path, None)
    try:
        status = os.stat(path)
    except OSError as error:
        raise errors.UserError('Cannot read {}: {}.'.format(path, error.strerror or error))
    return _spans(path, (status.st_size, status.st_mtime))


@functools.lru_cache(maxsize=4096)
def _spans(path, _unused_version):
    with open_bytes(path) as content:
        return tuple(walk(content, path))


def count(path: str) -> int:
    """Returns the number of records of a file; errors as `walk`."""
    return len(spans(path))


def verify(path: str) -> int:
    """Reads a file to the end, checking every byte against its checksum.

    Returns:
        The number of records.

    Raises:
        UserError: naming file and record index.
    """
    expected = count(path)
    index = 0
    try:
        for _ in tf.io.tf_record_iterator(path):
            index += 1
    except tf.errors.DataLossError:
        raise _damaged(path, index, 'does not match its checksum')
    if index != expected:
        raise _damaged(path, index, 'cannot be read')
    return index


def read(path: str):
    """Yields the content of every record as bytes; errors as `verify`, when they are reached."""
    with open_bytes(path) as content:
        for span in walk(content, path):
            yield bytes(content[span.start:span.start + span.length])


def write(path: str, contents) -> int:
    """Writes a file of records as a whole or not at all.

    Args:
        path: the file; written under a temporary name in the same folder, then renamed.
        contents: iterable of serialised records (bytes).

    Returns:
        How many records were written.
    """
    temporary = os.path.join(os.path.dirname(path),
                             '.{}.tmp-{}'.format(os.path.basename(path), os.getpid()))
    written = 0
    try:
        with tf.io.TFRecordWriter(temporary) as writer:
            for content in contents:
                writer.write(content)
                written += 1
        tf.gfile.Rename(temporary, path, overwrite=True)
    finally:
        if tf.gfile.Exists(temporary):
            tf.gfile.Remove(temporary)
    return written
