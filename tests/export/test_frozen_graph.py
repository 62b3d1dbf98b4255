"""Frozen graphs: names, sizes, equality with the checkpoint, and what cannot be written."""
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import prediction
from deeplab.export import frozen_graph
from deeplab.export import job
from deeplab.export import network
from deeplab.utils import frozen_graphs
from tests.export import conftest


def _export(prefix, path, save_inference_graph=False, **recipe):
    return job.export(prefix, network.Recipe(conftest.options(output_stride=16), **recipe), path,
                      job.Options(save_inference_graph=save_inference_graph, repeats=1))[1]


def test_the_graph_has_the_published_names_and_takes_any_size_up_to_the_crop(prefix, tmp_path):
    path = str(tmp_path / 'out' / 'graph.pb')
    result = _export(prefix, path, save_inference_graph=True)
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


def test_resizing_and_scales_keep_the_pictures_own_size(prefix, tmp_path):
    path = str(tmp_path / 'graph.pb')
    _export(prefix, path, resize_range=prediction.ResizeRange(33, 65, 16),
            inference_scales=(0.5, 1.0), add_flipped_images=True)
    graph = frozen_graph.FrozenGraph(path)
    image = np.random.RandomState(1).randint(0, 256, (90, 50, 3)).astype(np.uint8)
    labels, prob = graph.run(image, frozen_graphs.OUTPUTS[:2])
    assert labels.shape == (1, 90, 50)
    assert prob.shape == (1, 90, 50, 3)
    np.testing.assert_allclose(prob.sum(axis=3), 1, rtol=1e-4)
    graph.close()


@pytest.mark.parametrize('large_pictures', network.LARGE_PICTURES)
def test_pictures_larger_than_the_crop_are_refused_or_resized_and_back(prefix, tmp_path,
                                                                       large_pictures):
    path = str(tmp_path / 'graph.pb')
    _export(prefix, path, large_pictures=large_pictures)
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
