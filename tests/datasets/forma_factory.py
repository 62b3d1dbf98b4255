"""Folders of the shape of the forma data sets' sources, with few and tiny pictures."""
import os

import numpy as np
from PIL import Image

from deeplab.datasets import descriptions

ATR_LABELS = 18
# The picture files are the same few over and over: only their names differ.
_DIFFERENT = 8


def scaled(size: int, scale: float) -> int:
    """Returns how many pictures of a split of `size` there are at a scale."""
    return max(1, int(size * scale + 0.5)) if size else 0


def count(name: str, scale: float) -> int:
    """Returns how many pictures of a data set there are at a scale."""
    return sum(scaled(size, scale) for size in descriptions.load(name).splits_to_sizes.values())


def source_labels(name: str, pixels, random) -> np.ndarray:
    """Returns labels as the source of `name` has them, uint8, for blocks of classes `pixels`.

    ATR has more labels than classes, so there the blocks are of other classes.
    """
    if name == 'humanparsing17k':
        return (pixels * 2 % ATR_LABELS).astype(np.uint8)
    if name == 'imaterialist37k':
        # Class n is bit n - 1. Sleeves and pants lie on a garment, which has its bit as well.
        garment = (pixels >= 7) * 2
        return (np.where(pixels > 0, 1 << (pixels - 1).clip(0), 0) | garment).astype(np.uint8)
    labels = pixels.astype(np.uint8)
    labels[random.rand(*labels.shape) < 0.02] = 255
    return labels


def _picture(name, number, height, width):
    random = np.random.RandomState(number)
    pixels = random.randint(0, 9, (height // 8 + 1, width // 8 + 1)).repeat(8, 0).repeat(8, 1)
    pixels = pixels[:height, :width]
    colors = np.random.RandomState(1).randint(0, 256, (9, 3))
    return colors[pixels].astype(np.uint8), source_labels(name, pixels, random)


def make_sources(root, name: str, scale: float = 0.01, size=(24, 16)) -> str:
    """Writes <root>/datasets/<name>/{images,labels}; returns that folder."""
    folder = os.path.join(str(root), 'datasets', name)
    kinds = {'images': '.jpg', 'labels': '.png'}
    for kind in kinds:
        os.makedirs(os.path.join(folder, kind))
    for number in range(count(name, scale)):
        different = number % _DIFFERENT
        for (kind, ending), pixels in zip(kinds.items(), _picture(
                name, different, size[0] + different, size[1])):
            path = os.path.join(folder, kind, 'p{:05d}{}'.format(number, ending))
            if number < _DIFFERENT:
                Image.fromarray(pixels).save(path)
            else:
                os.link(os.path.join(folder, kind, 'p{:05d}{}'.format(different, ending)), path)
    return folder
