"""Small record folders for tests."""
import io
import os

import numpy as np
from PIL import Image

from deeplab.datasets import build_data
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file


def encode(pixels, image_format='PNG', **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=image_format, **options)
    return stream.getvalue()


def picture(index, height, width, num_classes=3, ignore_label=255):
    """Returns a uint8 image [height, width, 3] and a label [height, width], the same each time."""
    random = np.random.RandomState(index)
    coarse = random.randint(0, 256, (-(-height // 8), -(-width // 8), 3))
    image = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].astype(np.uint8)
    label = random.randint(0, num_classes, (height, width)).astype(np.uint8)
    label[0, :2] = ignore_label
    return image, label


def example(index, height=20, width=30, image_format='PNG', label=None, with_label=True,
            name=None, **kwargs) -> bytes:
    """Returns one serialised record named 'picture<index>'."""
    image, own_label = picture(index, height, width, **kwargs)
    label = own_label if label is None else label
    return build_data.image_seg_to_tfexample(
        encode(image, image_format), name or 'picture{}'.format(index), height, width,
        build_data.encode_label(label) if with_label else None).SerializeToString()


def write_split(folder, split='train', count=6, num_shards=2, **kwargs) -> list:
    """Writes `count` records dealt over shards; returns the shards' paths."""
    paths = records.shard_paths(str(folder), split, num_shards)
    os.makedirs(str(folder), exist_ok=True)
    for number, path in enumerate(paths):
        tfrecord_file.write(path, (example(index, **kwargs)
                                   for index in range(number, count, num_shards)))
    return paths
