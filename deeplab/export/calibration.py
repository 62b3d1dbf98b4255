"""Pictures that the ranges of an int8 model are measured on."""
import io
import itertools
import os

from deeplab import errors
from deeplab.datasets import records
from deeplab.utils import image_files


def shards_of(item: str) -> list:
    """Returns the TFRecord shards an item means: a shard, or a folder of them; else none."""
    if os.path.isdir(item):
        return [os.path.join(item, name) for name in sorted(os.listdir(item))
                if records.is_shard(name)]
    name = os.path.basename(item)
    return [item] if records.is_shard(name) or name.endswith(('.tfrecord', '.tfrecords')) else []


class Pictures:
    """An iterable factory of pictures: each call goes over them again."""

    def __init__(self, paths, shards, limit: int):
        """Takes where pictures are.

        Args:
            paths: of picture files.
            shards: of TFRecord files.
            limit: how many to take at most, spread evenly over the files; from shards the first.
        """
        paths = list(paths)
        step = max(1, len(paths) // limit)
        self._paths = paths[::step][:limit]
        self._shards = list(shards)
        self._limit = limit

    def __call__(self):
        """Yields the pictures, uint8 `[height, width, 3]`.

        Raises:
            UserError: a file cannot be read.
        """
        return itertools.islice(itertools.chain(
            (image_files.read_image(path, '--calibration_data: {}'.format(path))
             for path in self._paths), self._from_shards()),
            self._limit)

    def _from_shards(self):
        for path in self._shards:
            if not os.path.exists(path):
                raise errors.UserError('--calibration_data={}: there is no such file.'.format(path))
            for record in records.read(path):
                yield image_files.read_image(io.BytesIO(record.image), title=record.name)
