"""Reads small pictures as label arrays, for tests of segmentation metrics."""
import os

import numpy as np
from PIL import Image

from deeplab.evaluation import segment_overlaps

# Where relative paths lie. Absolute paths are taken as they are.
TEST_DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'testdata')


def read_test_image(testdata_path, *args, **kwargs) -> np.ndarray:
    """Reads a picture.

    Args:
      testdata_path: of the file; a relative one is below `TEST_DATA`.
      *args, **kwargs: passed to `PIL.Image.Image.convert`, the mode first: 'RGB', 'L', ...
        Without any, pixels come as they are stored.

    Returns:
      `[height, width]` or `[height, width, channels]`, uint8 for most modes.
    """
    with Image.open(os.path.join(TEST_DATA, testdata_path)) as picture:
        return np.array(picture.convert(*args, **kwargs) if args or kwargs else picture)


def _look_up(values, table, dtype):
    """Returns `values` replaced by table[value]; a value outside of the table is a ValueError."""
    keys = np.array(sorted(table), dtype=np.int64)
    starts = segment_overlaps.run_starts(values)
    runs = values.reshape(-1)[starts].astype(np.int64)
    strange = np.setdiff1d(runs, keys)
    if strange.size:
        raise ValueError('The picture holds values that the map does not: {}.'.format(
            ', '.join(str(value) for value in strange[:5])))
    replaced = np.array([table[key] for key in keys.tolist()], dtype=dtype)
    return np.repeat(replaced[np.searchsorted(keys, runs)],
                     segment_overlaps.run_lengths(starts, values.size)).reshape(values.shape)


def _one_number(color):
    red, green, blue = (int(part) for part in color)
    return (red * 256 + green) * 256 + blue


def read_segmentation_with_rgb_color_map(image_testdata_path, rgb_to_semantic_label,
                                         output_dtype=None) -> np.ndarray:
    """Reads a picture whose colours stand for labels.

    Args:
      image_testdata_path: of the picture; see `read_test_image`.
      rgb_to_semantic_label: {(red, green, blue): label}.
      output_dtype: of the labels; None for numpy's choice for the labels of the map.

    Returns:
      Labels `[height, width]`.

    Raises:
      ValueError: the picture has a colour that is not in the map.
    """
    image = read_test_image(image_testdata_path, mode='RGB').astype(np.int64)
    packed = (image[..., 0] * 256 + image[..., 1]) * 256 + image[..., 2]
    table = {_one_number(color): label for color, label in rgb_to_semantic_label.items()}
    return _look_up(packed, table, output_dtype)


def panoptic_segmentation_with_class_map(instance_testdata_path,
                                         instance_label_to_semantic_label):
    """Reads a grey picture of instances and gives each its class.

    Args:
      instance_testdata_path: of the picture; see `read_test_image`.
      instance_label_to_semantic_label: {instance: class}, for exactly the picture's instances.

    Returns:
      (instances, classes): two uint8 arrays `[height, width]`.

    Raises:
      ValueError: the picture's instances are not those of the map.
    """
    instances = read_test_image(instance_testdata_path, mode='L')
    absent = sorted(set(instance_label_to_semantic_label) - set(np.unique(instances).tolist()))
    if absent:
        raise ValueError('The map holds instances that the picture does not: {}.'.format(
            ', '.join(str(value) for value in absent)))
    return instances, _look_up(instances, instance_label_to_semantic_label, instances.dtype)
