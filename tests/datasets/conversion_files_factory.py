"""Folders of small pictures for the tests of the conversion."""
import os

import numpy as np
from PIL import Image

from deeplab.datasets import conversion_images
from deeplab.datasets import conversion_labels
from deeplab.datasets import conversion_pairs

NUM_CLASSES = 3
IGNORE_LABEL = 255


def rules(orientation='auto', class_map=None, num_classes=NUM_CLASSES, ignore_label=IGNORE_LABEL):
    return conversion_images.Rules(
        conversion_labels.LabelRules(num_classes, ignore_label, class_map), orientation)


def image(index, height=12, width=16):
    """A smooth picture, so that JPEG keeps it closely: uint8 [height, width, 3]."""
    down, right = np.mgrid[0:height, 0:width]
    return np.stack([down * 9 + index, right * 7, (down + right) * 4], axis=-1).astype(np.uint8)


def label(index, height=12, width=16):
    pixels = np.random.RandomState(index).randint(0, NUM_CLASSES, (height, width), np.uint8)
    pixels[0, 0] = IGNORE_LABEL
    return pixels


def save(folder, name, pixels, **options):
    path = os.path.join(str(folder), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def make_pairs(folder, count, first=0, **size):
    """Writes `count` JPEG images and PNG labels; returns list of Pair."""
    pairs = []
    for index in range(first, first + count):
        name = 'p{:03d}'.format(index)
        pairs.append(conversion_pairs.Pair(
            name,
            save(folder, 'images/{}.jpg'.format(name), image(index, **size)),
            save(folder, 'labels/{}.png'.format(name), label(index, **size))))
    return pairs
