"""Frozen graphs to TFLite, quantised in training or not, and the report of matching pixels."""
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import convert_to_tflite
from deeplab.export import frozen_graph
from deeplab.export import job
from deeplab.export import network
from tests import tiny_run
from tests.export import conftest


def _convert(graph, folder, *arguments):
    (folder / 'photo.png').write_bytes(tiny_run.encode(tiny_run.photograph(90, 70)))
    return tiny_run.command(
        convert_to_tflite, '--quantized_graph_def_path={}'.format(graph),
        '--output_tflite_path={}'.format(folder / 'model.tflite'),
        '--test_image_path={}'.format(folder / 'photo.png'), *arguments)


@pytest.fixture(name='graph')
def _graph(exported):
    return str(exported.folder / 'graph.pb')


@pytest.fixture(name='plain_graph')
def _plain_graph(tmp_path):
    options = conftest.options()
    inference = frozen_graph.from_network(conftest.freeze(options), network.Recipe(options))
    frozen_graph.write_whole(str(tmp_path / 'plain.pb'), inference.SerializeToString())
    return str(tmp_path / 'plain.pb')


@pytest.mark.parametrize('kind', ['graph', 'plain_graph'])
def test_a_graph_that_is_not_quantised_stays_float(request, kind, tmp_path, capsys):
    assert _convert(request.getfixturevalue(kind), tmp_path) == 0
    out = capsys.readouterr().out
    assert 'float32 (the graph is not quantised), input 65 x 65' in out
    assert 'matching pixels: 4225 of 4225 (100.00%)' in out


@pytest.mark.parametrize('arguments, words', [
    (['--input_tensor_name=ImageTensor:0'], 'its shape is (1, '),
    (['--output_tensor_name=ArgMaxx:0'], "no such tensor. Did you mean 'ArgMax:0'?"),
    (['--input_stats=0,0'], 'must be above 0'),
    (['--input_tensor_name=RawSemanticProbabilities:0'],
     'ArgMax:0 does not depend on RawSemanticProbabilities:0'),
])
def test_mistakes_write_nothing(graph, tmp_path, capsys, arguments, words):
    assert _convert(graph, tmp_path, *arguments) == 1
    assert words in capsys.readouterr().err
    assert not os.path.exists(str(tmp_path / 'model.tflite'))


def _value(variable):
    """Returns a seeded value; ranges learnt in training are -6..6."""
    for end, value in (('min', -6.0), ('max', 6.0)):
        if variable.op.name.endswith(('/' + end, '_' + end)):
            return np.full(variable.shape.as_list(), value, np.float32)
    return tiny_run.value_of(variable)


@pytest.mark.skipif(not compat.IS_TF1, reason='only TensorFlow 1.15 has the quantisation rewriter')
def test_a_network_trained_quantised(tmp_path, capsys):
    recipe = network.Recipe(conftest.options(), quantize=True)
    with tf.Graph().as_default(), tf.Session() as session:
        network.build(tf.placeholder(tf.float32, [1] + conftest.CROP + [3]), recipe)
        values = {variable.initializer: _value(variable) for variable in tf.global_variables()}
        # One call: each further one would make TensorFlow look through the whole graph again.
        session.run(list(values), {initializer.inputs[1]: value
                                   for initializer, value in values.items()})
        prefix = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
    path = str(tmp_path / 'out' / 'graph.pb')
    results = job.export(prefix, recipe, path, job.Options(
        formats=('frozen', 'tflite'), tflite_types=('int8',), repeats=1))
    assert results[1].different == 0
    assert results[2].bytes < 0.5 * results[1].bytes
    assert results[2].different < 0.2 * results[2].pixels
    assert _convert(path, tmp_path) == 0
    assert '8 bits, input 65 x 65' in capsys.readouterr().out
