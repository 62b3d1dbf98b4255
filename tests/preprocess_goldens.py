"""The reference's preprocessing results, and the pictures they were made of."""
import functools
import json
import zlib

import numpy as np

from tests import shared_data

SAMPLES = 256


def load() -> dict:
    """Returns the records of preprocess.json, or skips."""
    with open(shared_data.path('goldens/training/preprocess.json')) as stream:
        return json.load(stream)


@functools.lru_cache(maxsize=1)
def _arrays(path):
    with np.load(path) as arrays:
        return {key: arrays[key] for key in arrays.files}


def array(key: str):
    """Returns one array of preprocess.npz, or skips."""
    return _arrays(shared_data.path('goldens/training/preprocess.npz'))[key]


@functools.lru_cache(maxsize=16)
def picture(height, width):
    """Returns the uint8 image [height, width, 3] and label [height, width, 1] of a record."""
    random = np.random.RandomState(2)
    image = random.randint(0, 256, (height, width, 3)).astype(np.uint8)
    label = random.randint(0, 21, (height, width, 1)).astype(np.uint8)
    return image, label


def check(found, record, samples_key=None):
    """Compares an array with its record: shape, dtype, statistics, every byte, and samples."""
    found = np.asarray(found)
    assert list(found.shape) == record['shape']
    assert str(found.dtype) == record['dtype']
    if samples_key is not None:
        index = np.linspace(0, found.size - 1, SAMPLES).astype(np.int64)
        np.testing.assert_array_equal(found.ravel()[index], array(samples_key), samples_key)
    np.testing.assert_allclose(found.mean(dtype=np.float64), record['mean'], rtol=1e-7)
    assert float(found.min()) == record['min'] and float(found.max()) == record['max']
    assert zlib.crc32(np.ascontiguousarray(found).tobytes()) == record['crc32']
