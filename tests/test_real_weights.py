"""Real trained weights on real photographs: what is exported says what the original said."""
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from deeplab import compat
from deeplab import model
from deeplab import names
from deeplab.export import frozen_graph
from deeplab.export import job
from deeplab.export import network
from deeplab.utils import checkpoints
from tests import shared_data

_WEIGHTS = 'data/mobilenet_v2_pascal_trainval/model.ckpt-30000'
# Photographs of the reduced run; the slow one takes all there are.
_FEW = 3


def _options(output_stride):
    return names.ModelOptions({names.OUTPUT_TYPE: 21}, crop_size=[513, 513],
                              output_stride=output_stride)


def _photographs(limit=None):
    folder = shared_data.path('data/voc')
    found = sorted(os.listdir(os.path.join(folder, 'JPEGImages')))[:limit]
    for name in found:
        image = np.array(Image.open(os.path.join(folder, 'JPEGImages', name)))
        label = np.array(Image.open(os.path.join(
            folder, 'SegmentationClass', name.replace('.jpg', '.png'))))
        yield image, label


def test_checkpoint_holds_exactly_the_variables_of_the_network():
    prefix = shared_data.path(_WEIGHTS + '.index')[:-len('.index')]
    images = tf.placeholder(tf.float32, [1, 513, 513, 3])
    model.predict_labels(images, _options(16))
    wanted = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    saved = dict(checkpoints.read(prefix).get_variable_to_shape_map())
    saved.pop('global_step')
    assert len(wanted) == 272
    assert saved == wanted


def _labels_that_differ(tmp_path, limit):
    prefix = shared_data.path(_WEIGHTS + '.index')[:-len('.index')]
    path = str(tmp_path / 'graph.pb')
    result = job.export(prefix, network.Recipe(_options(8)), path)[1]
    assert result.different == 0
    ours = frozen_graph.FrozenGraph(path)
    theirs = frozen_graph.FrozenGraph(
        shared_data.path('data/mobilenet_v2_pascal_trainval/frozen_inference_graph.pb'))
    different = total = right = counted = 0
    for image, label in _photographs(limit):
        got, = ours.run(image)
        wanted, = theirs.run(image)
        assert got.shape == wanted.shape == (1,) + image.shape[:2]
        different += int(np.sum(got != wanted))
        total += wanted.size
        right += int(np.sum((got[0] == label) & (label != 255)))
        counted += int(np.sum(label != 255))
    ours.close()
    theirs.close()
    return different, total, right / counted


def test_export_equals_the_published_graph_on_a_few_photographs(tmp_path):
    different, total, accuracy = _labels_that_differ(tmp_path, _FEW)
    assert different <= (0 if compat.IS_TF1 else total // 10000)
    assert accuracy > 0.9


@pytest.mark.slow
def test_export_equals_the_published_graph_on_all_photographs(tmp_path):
    different, total, accuracy = _labels_that_differ(tmp_path, None)
    print('{} of {} labels differ, pixel accuracy {:.4f}'.format(different, total, accuracy))
    assert different <= (0 if compat.IS_TF1 else total // 10000)
    assert accuracy > 0.94
