"""One small checkpoint that all tests of exports share."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import names
from deeplab.core import feature_extractor
from deeplab.export import network
from tests import golden_net

CROP = [65, 65]


def options(**values):
    """Returns small ModelOptions."""
    return names.ModelOptions(
        {names.OUTPUT_TYPE: 3}, **dict(dict(
            crop_size=CROP, output_stride=8, depth_multiplier=0.25, aspp_convs_filters=16),
            **values))


def write_checkpoint(folder, model_options):
    """Writes seeded weights; returns the prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        network.build(tf.placeholder(tf.float32, [1] + list(model_options.crop_size) + [3]),
                      network.Recipe(model_options))
        golden_net.Weights(tf.global_variables()).load(session, 'he')
        return tf.train.Saver().save(session, str(folder / 'model.ckpt'), global_step=1)


def picture(height, width, seed=0):
    """Returns a uint8 picture."""
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def canvas(model_options, covered):
    """Returns a picture of size `covered`, padded to the crop: float32 [1, height, width, 3]."""
    result = np.empty([1] + list(model_options.crop_size) + [3], np.float32)
    result[:] = feature_extractor.mean_pixel(model_options.model_variant)
    result[0, :covered[0], :covered[1]] = picture(*covered)
    return result


@pytest.fixture(scope='package', name='prefix')
def _prefix(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint'), options())
