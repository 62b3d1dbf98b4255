"""Frozen graphs: names, sizes, equality with the checkpoint, and what cannot be written."""
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import names
from deeplab import prediction
from deeplab.export import frozen_graph
from deeplab.export import job
from deeplab.export import network
from deeplab.utils import frozen_graphs

_CROP = [65, 65]


def _options(classes=3):
    return names.ModelOptions({names.OUTPUT_TYPE: classes}, crop_size=_CROP, output_stride=16,
                              depth_multiplier=0.25, aspp_convs_filters=16)


def _checkpoint(folder, classes=3):
    with tf.Graph().as_default(), tf.Session() as session:
        frozen_graph.build(_options(classes))
        rng = np.random.RandomState(0)
        session.run(tf.global_variables_initializer())
        for variable in tf.global_variables():
            if 'variance' not in variable.op.name:
                variable.load(rng.normal(0, 0.4, variable.shape.as_list()), session)
        return tf.train.Saver().save(session, str(folder / 'model.ckpt'), global_step=1)


def _export(folder, path, save_inference_graph=False, classes=3, **recipe):
    return job.export(_checkpoint(folder, classes), network.Recipe(_options(), **recipe), path,
                      job.Options(save_inference_graph=save_inference_graph))[1]


def test_the_graph_has_the_published_names_and_takes_any_size_up_to_the_crop(tmp_path):
    path = str(tmp_path / 'out' / 'graph.pb')
    result = _export(tmp_path, path, save_inference_graph=True)
    assert result.different == 0
    assert result.pixels == 48 * 48
    assert result.bytes == os.path.getsize(path)
    assert sorted(os.listdir(str(tmp_path / 'out'))) == ['graph.pb', 'inference_graph.pbtxt']
    graph = frozen_graph.FrozenGraph(path)
    for height, width in ((65, 65), (30, 64), (1, 7)):
        image = np.random.RandomState(1).randint(0, 256, (height, width, 3)).astype(np.uint8)
        labels, prob, raw_labels, raw_prob = graph.run(image, frozen_graphs.OUTPUTS)
        assert labels.shape == (1, height, width) and labels.dtype == np.int32
        assert prob.shape == (1, height, width, 3)
        assert raw_labels.shape == (1, 65, 65) and raw_labels.dtype == np.float32
        assert raw_prob.shape == (1, 65, 65, 3)
        np.testing.assert_array_equal(labels, raw_labels[:, :height, :width])
        np.testing.assert_array_equal(labels, prob.argmax(axis=3))
    graph.close()


def test_resizing_and_scales_keep_the_pictures_own_size(tmp_path):
    path = str(tmp_path / 'graph.pb')
    _export(tmp_path, path, resize_range=prediction.ResizeRange(33, 65, 16),
            inference_scales=(0.5, 1.0), add_flipped_images=True)
    graph = frozen_graph.FrozenGraph(path)
    image = np.random.RandomState(1).randint(0, 256, (90, 50, 3)).astype(np.uint8)
    labels, prob = graph.run(image, frozen_graphs.OUTPUTS[:2])
    assert labels.shape == (1, 90, 50)
    assert prob.shape == (1, 90, 50, 3)
    np.testing.assert_allclose(prob.sum(axis=3), 1, rtol=1e-4)
    graph.close()


@pytest.mark.parametrize('large_pictures', network.LARGE_PICTURES)
def test_pictures_larger_than_the_crop_are_refused_or_resized_and_back(tmp_path, large_pictures):
    path = str(tmp_path / 'graph.pb')
    _export(tmp_path, path, large_pictures=large_pictures)
    graph = frozen_graph.FrozenGraph(path)
    image = np.random.RandomState(1).randint(0, 256, (130, 90, 3)).astype(np.uint8)
    if large_pictures == network.REFUSE:
        with pytest.raises(tf.errors.InvalidArgumentError, match='at most 65 x 65'):
            graph.run(image)
    else:
        labels, raw = graph.run(image, (frozen_graph.OUTPUT_NAME, frozen_graph.RAW_OUTPUT_NAME))
        # 130 x 90 becomes 65 x 45; rows come back two for one, corners staying corners.
        np.testing.assert_array_equal(labels[0, [0, 129]][:, [0, 89]], raw[0, [0, 64]][:, [0, 44]])
    graph.close()


def test_another_number_of_classes_writes_nothing(tmp_path):
    path = str(tmp_path / 'graph.pb')
    with pytest.raises(errors.UserError, match='--num_classes=5'):
        _export(tmp_path, path, classes=5)
    assert not os.path.exists(path)


def test_a_path_that_cannot_be_written_is_a_users_mistake(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.UserError, match='cannot be written'):
        frozen_graph.write_whole(str(tmp_path / 'file' / 'graph.pb'), b'x')
    assert os.listdir(str(tmp_path)) == ['file']


@pytest.mark.parametrize('content', [None, b'nonsense', b''])
def test_what_is_no_graph_is_refused(tmp_path, content):
    path = tmp_path / 'graph.pb'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.UserError, match='graph.pb'):
        frozen_graph.FrozenGraph(str(path))
