"""A frozen graph without weights: the class of a pixel is which of its colours is strong."""
import numpy as np
import tensorflow.compat.v1 as tf

CLASS_NAMES = ('dark', 'red', 'green', 'blue')


def expected_labels(image):
    """Returns the labels the graph gives, int64 `[height, width]`."""
    image = np.asarray(image, np.int64)
    return np.where(image.max(2) > 127, image.argmax(2) + 1, 0)


def write(path):
    """Writes the graph; returns its path as a string."""
    with tf.Graph().as_default() as graph:
        image = tf.placeholder(tf.uint8, [1, None, None, 3], name='ImageTensor')
        levels = tf.cast(image, tf.int32)
        labels = tf.where(tf.reduce_max(levels, 3) > 127, tf.argmax(levels, 3) + 1,
                          tf.zeros(tf.shape(image)[:3], tf.int64))
        tf.identity(labels, name='SemanticPredictions')
    with open(str(path), 'wb') as stream:
        stream.write(graph.as_graph_def().SerializeToString())
    return str(path)


def picture(height=40, width=60):
    """Returns a uint8 picture with a dark ground, a red and a blue field."""
    image = np.full((height, width, 3), 30, np.uint8)
    image[:height // 2, :width // 3] = (220, 40, 40)
    image[height // 2:, width // 2:] = (40, 40, 220)
    return image
