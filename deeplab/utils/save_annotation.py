"""Writes label images (and other small arrays) as PNG files."""
import os

import numpy as np

from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files


def _to_unit_values(values):
    """Stretches `values` to 0..1; a constant array has no spread and stays as it is."""
    low, high = values.min(), values.max()
    # Label arrays are small unsigned integers: without a wider type the differences wrap around.
    spread = float(high) - float(low)
    return (values - float(low)) / spread if spread else values


def _to_uint8(values):
    """Casts like C does on common hardware: towards zero, then modulo 256, floats included."""
    return np.asarray(values).astype(np.int64).astype(np.uint8)


def save_annotation(label, save_dir, filename, add_colormap=True, normalize_to_unit_values=False,
                    scale_values=False, colormap_type=get_dataset_colormap.get_pascal_name()):
    """Writes `label` to `save_dir`/`filename`.png.

    Args:
      label: array `[height, width]` of labels; without `add_colormap` also of floats or
        `[height, width, 3]`.
      save_dir: an existing folder.
      filename: file name without its extension.
      add_colormap: write the colours of the labels (RGB); the two options below then do nothing.
      normalize_to_unit_values: stretch the values linearly to 0..1 (a constant image stays).
      scale_values: multiply the values by 255. Results beyond 255 wrap around modulo 256.
      colormap_type: name of a colormap or a table `[entries, 3]`.

    Raises:
      ValueError: with `add_colormap`, `label` is not of rank 2 or holds a label without a colour.
      IndexError: with `add_colormap`, `label` is not of an integer type.
    """
    values = np.asarray(label)
    if add_colormap:
        values = get_dataset_colormap.label_to_color_image(values, colormap_type)
    else:
        if normalize_to_unit_values:
            values = _to_unit_values(values)
        if scale_values:
            values = 255 * values.astype(np.float64 if values.dtype.kind == 'f' else np.int64)
    image_files.write_png(os.path.join(save_dir, filename + '.png'), _to_uint8(values))
