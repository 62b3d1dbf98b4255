"""Frozen graphs to TFLite, quantised in training or not, and the report of matching pixels."""
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import convert_to_tflite
from deeplab.export import job
from deeplab.export import network
from tests import tiny_run
from tests.export import conftest


@pytest.fixture(scope='module', name='graph')
def _graph(prefix, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('graph') / 'graph.pb')
    job.export(prefix, network.Recipe(conftest.options()), path, job.Options(repeats=1))
    return path


def _convert(graph, folder, *arguments):
    (folder / 'photo.png').write_bytes(tiny_run.encode(tiny_run.photograph(90, 70)))
    return tiny_run.command(
        convert_to_tflite, '--quantized_graph_def_path={}'.format(graph),
        '--output_tflite_path={}'.format(folder / 'model.tflite'),
        '--test_image_path={}'.format(folder / 'photo.png'), *arguments)


def test_a_graph_that_is_not_quantised_stays_float(graph, tmp_path, capsys):
    assert _convert(graph, tmp_path) == 0
    out = capsys.readouterr().out
    assert 'float32 (the graph is not quantised), input 65 x 65' in out
    assert 'matching pixels: 4225 of 4225 (100.00%)' in out


@pytest.mark.parametrize('arguments, words', [
    (['--input_tensor_name=ImageTensor:0'], 'its shape is (1, '),
    (['--output_tensor_name=ArgMaxx:0'], "no such tensor. Did you mean 'ArgMax:0'?"),
    (['--input_stats=0,0'], 'must be above 0'),
])
def test_mistakes_write_nothing(graph, tmp_path, capsys, arguments, words):
    assert _convert(graph, tmp_path, *arguments) == 1
    assert words in capsys.readouterr().err
    assert not os.path.exists(str(tmp_path / 'model.tflite'))


def _is_range(name, end):
    return name.endswith(('/' + end, '_' + end))


@pytest.mark.skipif(not compat.IS_TF1, reason='only TensorFlow 1.15 has the quantisation rewriter')
def test_a_network_trained_quantised(tmp_path, capsys):
    recipe = network.Recipe(conftest.options(), quantize=True)
    with tf.Graph().as_default(), tf.Session() as session:
        network.build(tf.placeholder(tf.float32, [1] + conftest.CROP + [3]), recipe)
        session.run(tf.global_variables_initializer())
        random = np.random.RandomState(0)
        for variable in tf.global_variables():
            shape = variable.shape.as_list()
            for end, value in (('min', -6.0), ('max', 6.0)):
                if _is_range(variable.op.name, end):
                    variable.load(np.full(shape, value, np.float32), session)
            if variable.op.name.endswith('weights'):
                variable.load(random.normal(0, 0.4, shape), session)
        prefix = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
    path = str(tmp_path / 'out' / 'graph.pb')
    results = job.export(prefix, recipe, path, job.Options(
        formats=('frozen', 'tflite'), tflite_types=('int8',), repeats=1))
    assert results[1].different == 0
    assert results[2].bytes < 0.5 * results[1].bytes
    assert results[2].different < 0.2 * results[2].pixels
    assert _convert(path, tmp_path) == 0
    assert '8 bits, input 65 x 65' in capsys.readouterr().out
