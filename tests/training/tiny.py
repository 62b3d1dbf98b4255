"""A network and a data set small enough to train in a test's time."""
import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import model
from deeplab.names import IMAGE, IMAGE_NAME, LABEL, ModelOptions, OUTPUT_TYPE

CLASSES = 3
IGNORE_LABEL = 255
SIZE = 8


def multi_scale_logits(images, model_options, image_pyramid, weight_decay, is_training,
                       fine_tune_batch_norm, nas_training_hyper_parameters):
    """Stands for the real network: two convolutions, with a normalisation between them."""
    assert set(nas_training_hyper_parameters) == {'drop_path_keep_prob', 'total_training_steps'}
    with slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)):
        net = slim.conv2d(
            images / 128.0 - 1.0, 6, 3, scope='body', normalizer_fn=slim.batch_norm,
            normalizer_params={'is_training': is_training and fine_tune_batch_norm, 'decay': 0.9,
                               'scale': True})
        logits = slim.conv2d(net, CLASSES, 1, scope='logits/semantic', activation_fn=None)
    return {OUTPUT_TYPE: {model.MERGED_LOGITS_SCOPE: logits}}


MODEL_OPTIONS = ModelOptions({OUTPUT_TYPE: CLASSES}, crop_size=[SIZE, SIZE])


class Dataset(object):
    """Samples that are a function of their number: bright pixels are class 2, dark ones class 0.

    Args:
      batch_size: samples a batch.
      start: number of the first sample.
      ignored_share: share of the pixels that have the ignore label.
      numbers: samples there are before they repeat.
    """

    ignore_label = IGNORE_LABEL

    def __init__(self, batch_size, start=0, ignored_share=0.2, numbers=10 ** 9):
        self._batch_size = batch_size
        self._start = start
        self._ignored_share = ignored_share
        self._numbers = numbers

    def get_one_shot_iterator(self):
        samples = tf.data.Dataset.range(self._start, 2 ** 40).map(self._sample)
        return tf.data.make_one_shot_iterator(samples.batch(self._batch_size, drop_remainder=True))

    def _sample(self, number):
        number %= self._numbers
        pixels = tf.random.stateless_uniform([SIZE, SIZE, 1], seed=tf.stack([number, 7]))
        holes = tf.random.stateless_uniform([SIZE, SIZE, 1], seed=tf.stack([number, 8]))
        label = tf.cast(pixels * CLASSES, tf.int32)
        # Unequal numbers of counted pixels in the samples, so that means of means would differ.
        share = self._ignored_share * 2.0 * tf.cast(number % 2, tf.float32)
        return {
            IMAGE: tf.tile(pixels * 255.0, [1, 1, 3]),
            LABEL: tf.where(holes < share, tf.fill([SIZE, SIZE, 1], IGNORE_LABEL), label),
            IMAGE_NAME: tf.strings.join(['folder/sample', tf.strings.as_string(number)])}

    def translate_error(self, error):
        return error


def values_of(checkpoint):
    """{name: array} of a checkpoint."""
    reader = tf.train.load_checkpoint(checkpoint)
    return {name: np.array(reader.get_tensor(name))
            for name in reader.get_variable_to_shape_map()}
