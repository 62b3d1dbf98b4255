"""Real networks at their smallest, on pictures made by number, for whole runs in a test's time."""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.names import IMAGE, IMAGE_NAME, LABEL, ModelOptions, OUTPUT_TYPE
from deeplab.training import job
from deeplab.training import options as training_options
from tests.training import tiny

SIZE = 33
CLASSES = tiny.CLASSES
# What makes a network small, by variant. The others have one width only.
VARIANTS = {
    'mobilenet_v2': dict(depth_multiplier=0.1),
    'mobilenet_v3_small_seg': dict(depth_multiplier=0.35, aspp_with_concat_projection=False),
    'resnet_v1_18_beta': dict(decoder_output_stride=[4], decoder_filters=16),
    'resnet_v2_50': dict(atrous_rates=[6, 12, 18]),
    'xception_41': dict(decoder_output_stride=[4], decoder_filters=16),
    'nas_pnasnet': dict(),
}


def model_options(variant='mobilenet_v2', **changes):
    """The ModelOptions of a network."""
    values = dict(VARIANTS[variant], model_variant=variant, aspp_convs_filters=16,
                  output_stride=16)
    values.update(changes)
    return ModelOptions({OUTPUT_TYPE: CLASSES}, crop_size=[SIZE, SIZE], **values)


class Dataset(tiny.Dataset):
    """Samples of SIZE x SIZE pixels that are a function of their number."""

    def _sample(self, number):
        number %= self._numbers
        coarse = tf.random.stateless_uniform([5, 5, 1], seed=tf.stack([number, 7]))
        pixels = tf.image.resize_nearest_neighbor(coarse[None], [SIZE, SIZE])[0]
        holes = tf.random.stateless_uniform([SIZE, SIZE, 1], seed=tf.stack([number, 8]))
        share = self._ignored_share * 2.0 * tf.cast(number % 2, tf.float32)
        label = tf.where(holes < share, tf.fill([SIZE, SIZE, 1], tiny.IGNORE_LABEL),
                         tf.cast(pixels * CLASSES, tf.int32))
        return {IMAGE: tf.tile(pixels * 255.0, [1, 1, 3]), LABEL: label,
                IMAGE_NAME: tf.strings.join(['sample', tf.strings.as_string(number)])}


def options(folder, **changes):
    """TrainingOptions of a short, repeatable run."""
    values = dict(train_logdir=str(folder), training_number_of_steps=4, train_batch_size=4,
                  log_steps=2, base_learning_rate=0.05, num_threads=1, seed=3,
                  save_interval_steps=2)
    values.update(changes)
    return training_options.TrainingOptions(**values)


def run(folder, network=None, **changes):
    """Trains; returns the job.Result."""
    own = options(folder, **changes)
    return job.run(own, network or model_options(),
                   lambda start: Dataset(own.clone_batch_size, start))


def assert_same_values(first, second, **tolerance):
    """Compares two checkpoints, bit for bit where no tolerance is given."""
    first, second = tiny.values_of(first), tiny.values_of(second)
    assert sorted(first) == sorted(second)
    for name in first:
        if tolerance:
            np.testing.assert_allclose(first[name], second[name], err_msg=name, **tolerance)
        else:
            assert np.array_equal(first[name], second[name]), name
