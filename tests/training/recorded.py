"""Inputs of the recorded training steps: images and labels drawn from fixed seeds."""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.names import IMAGE, IMAGE_NAME, LABEL

CLASSES = 21
IGNORE_LABEL = 255


def images(size):
    return np.random.RandomState(0).randint(0, 256, (2, size, size, 3)).astype(np.float32)


def labels(size, ignored):
    """int32 [2, size, size, 1]: blocks of classes with holes of the ignore label."""
    random = np.random.RandomState(1)
    coarse = random.randint(0, CLASSES, (2, -(-size // 16), -(-size // 16)))
    holes = random.uniform(size=(2, -(-size // 8), -(-size // 8))) < ignored

    def grow(blocks, factor):
        return blocks.repeat(factor, 1).repeat(factor, 2)[:, :size, :size]
    return np.where(grow(holes, 8), IGNORE_LABEL, grow(coarse, 16)).astype(np.int32)[..., None]


class FixedBatch(object):
    """Stands for a data set that gives the same batch for ever, its batch dimension unknown."""

    ignore_label = IGNORE_LABEL
    num_of_classes = CLASSES

    def __init__(self, image_values, label_values):
        self._shape = [None] + list(image_values.shape[1:])
        self._image_values, self._label_values = image_values, label_values
        self.labels = None  # The placeholder, once the graph is built.

    def get_one_shot_iterator(self):
        return self

    def get_next(self):
        self.labels = tf.placeholder_with_default(self._label_values, self._shape[:-1] + [1])
        names = ['image_{}'.format(index) for index in range(len(self._image_values))]
        return {IMAGE: tf.placeholder_with_default(self._image_values, self._shape),
                LABEL: self.labels, IMAGE_NAME: tf.constant(names)}
