"""Each format is written, loaded again and compared with the checkpoint; failing leaves nothing."""
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.export import calibration
from deeplab.export import job
from deeplab.export import network
from deeplab.export import onnx_model
from deeplab.export import optional_packages
from deeplab.export import runners
from deeplab.export import tflite_model
from tests.export import conftest

_needs_onnx = pytest.mark.skipif(
    not conftest.HAS_ONNX, reason='the packages of the extra `export` are not installed')


def _export(prefix, folder, **options):
    return job.export(prefix, network.Recipe(conftest.options()), str(folder / 'out' / 'graph.pb'),
                      job.Options(images=[conftest.picture(50, 60)], repeats=1, **options))


def test_every_format_agrees(exported):
    pixels = sum(height * width for height, width in exported.sizes)
    assert all(result.pixels == pixels for result in exported.results.values())
    for name in ('frozen graph', 'SavedModel', 'TFLite float32') + ('ONNX',) * conftest.HAS_ONNX:
        assert exported.results[name].different == 0
        assert exported.results[name].logit_difference < 1e-3


def test_nothing_is_there_but_what_was_to_be_written(exported):
    names = ['graph.onnx'] * conftest.HAS_ONNX + [
        'graph.pb', 'graph_float16.tflite', 'graph_float32.tflite', 'graph_int8.tflite',
        'graph_saved_model']
    assert sorted(os.listdir(str(exported.folder))) == names
    assert os.listdir(str(exported.folder / 'graph_saved_model')) == ['1']


def test_smaller_types_make_smaller_files(exported):
    plain, half, eighth = [exported.results['TFLite ' + kind] for kind in tflite_model.TYPES]
    assert eighth.logit_difference is None
    assert eighth.different < 0.5 * eighth.pixels
    assert plain.bytes > 1.5 * half.bytes > 1.2 * eighth.bytes


@_needs_onnx
def test_onnx_takes_any_size_up_to_the_crop(exported):
    runner = runners.OnnxRunner(exported.results['ONNX'].path)
    assert runner.run(conftest.picture(7, 65))[0].shape == (7, 65)
    with pytest.raises(Exception, match='larger_than_65_x_65'):
        runner.run(conftest.picture(66, 20))


@pytest.mark.parametrize('convert', [
    tflite_model.convert, pytest.param(onnx_model.convert, marks=_needs_onnx)])
def test_an_operator_that_a_format_lacks_is_named(convert):
    with tf.Graph().as_default() as graph:
        canvas = tf.placeholder(tf.float32, [1] + conftest.CROP + [3], name=network.CANVAS)
        strange = tf.math.betainc(canvas / 255 + 1, canvas / 256 + 1, canvas / 512)
        tf.identity(tf.argmax(strange, 3), name=network.LABELS)
        tf.nn.softmax(strange, name=network.PROBABILITIES)
    with pytest.raises(errors.UserError, match=r'lacks operators of this network: Betainc\.'):
        convert(graph.as_graph_def(), network.Recipe(conftest.options()))


def test_a_missing_package_is_named(monkeypatch):
    with pytest.raises(errors.UserError, match=r'needs the package no_such_package.*\.\[export\]'):
        optional_packages.load('no_such_package')


@pytest.mark.parametrize('options, words', [
    (dict(formats=('frozen', 'onxx')), "--export_formats=onxx.*'onnx'"),
    (dict(formats=()), '--export_formats: give'),
    (dict(formats=('tflite',), tflite_types=('int8',)), '--calibration_data'),
    (dict(formats=('tflite',), tflite_types=('int16',)), '--tflite_types=int16'),
])
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(errors.UserError, match=words):
        job.Options(**options).validate()


def test_an_empty_calibration_set_leaves_nothing(prefix, tmp_path):
    with pytest.raises(errors.UserError, match='--calibration_data: it holds no picture'):
        _export(prefix, tmp_path, formats=('frozen', 'tflite'), tflite_types=('int8',),
                calibration=lambda: [])
    assert os.listdir(str(tmp_path)) == []


def test_what_differs_from_the_checkpoint_is_not_written(prefix, tmp_path, monkeypatch):
    plain = network.optimize

    def broken(graph_def, for_tensorflow=True):
        graph_def = plain(graph_def, for_tensorflow)
        for node in graph_def.node:
            if node.op == 'Const' and node.name.endswith('bias'):
                node.attr['value'].tensor.tensor_content = bytes(
                    len(node.attr['value'].tensor.tensor_content))
        return graph_def

    monkeypatch.setattr(network, 'optimize', broken)
    with pytest.raises(errors.UserError, match='labels differ.*Nothing was written'):
        _export(prefix, tmp_path, formats=('saved_model',))
    assert os.listdir(str(tmp_path)) == []


def test_a_path_that_is_a_folder_is_refused(prefix, tmp_path):
    with pytest.raises(errors.UserError, match='--export_path=.*that is a folder'):
        job.export(prefix, network.Recipe(conftest.options()), str(tmp_path))


def test_calibration_pictures_come_from_files_and_shards(tmp_path):
    from tests import tiny_run
    folder = tiny_run.write_records(tmp_path / 'data')
    shards = calibration.shards_of(folder)
    assert len(shards) == 1 and calibration.shards_of(shards[0]) == shards
    (tmp_path / 'a.png').write_bytes(tiny_run.encode(tiny_run.photograph(8, 9)))
    found = calibration.Pictures([str(tmp_path / 'a.png')], shards, 3)
    assert [image.shape for image in found()] == [(8, 9, 3), (40, 56, 3), (33, 49, 3)]
    assert len(list(found())) == 3
    with pytest.raises(errors.UserError, match='no such file'):
        list(calibration.Pictures([], [str(tmp_path / 'b.tfrecord')], 3)())
    np.testing.assert_array_equal(next(found()), tiny_run.photograph(8, 9))
