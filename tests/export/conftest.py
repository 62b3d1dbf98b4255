"""One small checkpoint, exported once, that all tests of exports share."""
import collections
import importlib.util
from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import names
from deeplab.core import feature_extractor
from deeplab.core import xception
from deeplab.export import job
from deeplab.export import network
from deeplab.export import tflite_model
from deeplab.utils import checkpoints
from tests import golden_net

CROP = [65, 65]
HAS_ONNX = all(importlib.util.find_spec(name) for name in ('onnx', 'onnxruntime', 'tf2onnx'))
FORMATS = tuple(name for name in job.FORMATS if name != job.ONNX or HAS_ONNX)

# folder: a path; results: dict from format to `check.Result`; sizes: of the pictures compared.
Exported = collections.namedtuple('Exported', ['folder', 'results', 'sizes'])


def options(**values):
    """Returns small ModelOptions."""
    return names.ModelOptions(
        {names.OUTPUT_TYPE: 3}, **dict(dict(
            crop_size=CROP, output_stride=8, depth_multiplier=0.25, aspp_convs_filters=16),
            **values))


def write_checkpoint(folder, model_options, init='he', biases=None, images=()):
    """Writes seeded weights (see `golden_net.seeded_value`); returns the prefix.

    Random weights prefer a class or two everywhere. With `biases`, the name of the variable that is
    added to the logits last, these are such that on `images` no class is preferred.
    """
    with tf.Graph().as_default() as graph, tf.Session() as session:
        feed = tf.placeholder(tf.float32, [1] + list(model_options.crop_size) + [3])
        network.build(feed, network.Recipe(model_options))
        golden_net.Weights(tf.global_variables()).load(session, init)
        if biases:
            logits = next(op for op in graph.get_operations() if op.type == 'ArgMax').inputs[0]
            means = [session.run(logits, {feed: on_canvas(model_options, image)}).mean((0, 1, 2))
                     for image in images]
            variable, = [each for each in tf.global_variables() if each.op.name == biases]
            variable.load(session.run(variable) - np.mean(means, 0), session)
        return tf.train.Saver().save(session, str(folder / 'model.ckpt'), global_step=1)


def freeze(model_options):
    """Returns `network.freeze` of seeded weights, without the way over a checkpoint's files."""
    with mock.patch.object(checkpoints, 'restore', lambda session, prefix, variables, class_flag:
                           golden_net.Weights(variables).load(session, 'he')):
        return network.freeze('', network.Recipe(model_options))


def picture(height, width, seed=0):
    """Returns a uint8 picture."""
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def on_canvas(model_options, image):
    """Returns a picture padded to the crop: float32 [1, height, width, 3]."""
    result = np.empty([1] + list(model_options.crop_size) + [3], np.float32)
    result[:] = feature_extractor.mean_pixel(model_options.model_variant)
    result[0, :image.shape[0], :image.shape[1]] = image
    return result


def canvas(model_options, covered):
    """Returns a made-up picture of size `covered` as `on_canvas` does."""
    return on_canvas(model_options, picture(*covered))


@pytest.fixture(scope='package', name='prefix')
def _prefix(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint'), options())


@pytest.fixture(scope='package', name='exported')
def _exported(prefix, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported') / 'out'
    images = [picture(50, 60, 1), picture(65, 40, 2)]
    results = job.export(
        prefix, network.Recipe(options()), str(folder / 'graph.pb'),
        job.Options(formats=FORMATS, tflite_types=tflite_model.TYPES, calibration=lambda: images,
                    images=images, repeats=1))
    return Exported(folder, {result.format: result for result in results},
                    [image.shape[:2] for image in images])


@pytest.fixture
def small_xception(monkeypatch):
    """Makes Xception an eighth as wide and its middle flow two modules long, for a quick test."""
    # pylint: disable=protected-access
    monkeypatch.setattr(xception, '_FULL_DEPTH', xception._FULL_DEPTH // 8)
    for name, layout in list(xception._LAYOUTS.items()):
        monkeypatch.setitem(xception._LAYOUTS, name, layout._replace(
            entry=[(depth // 8, stride) for depth, stride in layout.entry], middle_units=2))
