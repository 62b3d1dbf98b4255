"""Each format is written, loaded again and compared with the checkpoint; failing leaves nothing."""
import importlib.util
import os

import numpy as np
import pytest

from deeplab import errors
from deeplab.export import calibration
from deeplab.export import job
from deeplab.export import network
from deeplab.export import optional_packages
from tests.export import conftest

_HAS_ONNX = all(importlib.util.find_spec(name) for name in ('onnx', 'onnxruntime', 'tf2onnx'))


def _pictures():
    return [conftest.picture(50, 60, 1), conftest.picture(65, 40, 2)]


def _export(prefix, folder, **options):
    return job.export(prefix, network.Recipe(conftest.options()), str(folder / 'out' / 'graph.pb'),
                      job.Options(images=_pictures(), repeats=1, **options))


def test_frozen_graph_and_saved_model_agree(prefix, tmp_path):
    results = _export(prefix, tmp_path, formats=('frozen', 'saved_model'))
    assert [result.different for result in results] == [0, 0, 0]
    assert all(result.pixels == 50 * 60 + 65 * 40 for result in results)
    assert max(result.logit_difference for result in results) < 1e-3
    assert sorted(os.listdir(str(tmp_path / 'out'))) == ['graph.pb', 'graph_saved_model']
    assert os.listdir(str(tmp_path / 'out' / 'graph_saved_model')) == ['1']


def test_tflite_in_every_type(prefix, tmp_path):
    results = _export(prefix, tmp_path, formats=('tflite',), calibration=_pictures,
                      tflite_types=('float32', 'float16', 'int8'))
    assert results[1].different == 0
    assert results[3].logit_difference is None
    assert results[3].different < 0.5 * results[3].pixels
    assert results[1].bytes > 1.5 * results[2].bytes > 1.2 * results[3].bytes
    assert sorted(os.listdir(str(tmp_path / 'out'))) == [
        'graph_float16.tflite', 'graph_float32.tflite', 'graph_int8.tflite']


@pytest.mark.skipif(not _HAS_ONNX, reason='the packages of the extra `export` are not installed')
def test_onnx_takes_any_size_up_to_the_crop(prefix, tmp_path):
    results = _export(prefix, tmp_path, formats=('onnx',))
    assert results[1].different == 0
    from deeplab.export import runners
    runner = runners.OnnxRunner(results[1].path)
    with pytest.raises(Exception, match='larger_than_65_x_65'):
        runner.run(conftest.picture(66, 20))


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
    assert os.listdir(str(tmp_path / 'out')) == []


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
        _export(prefix, tmp_path)
    assert os.listdir(str(tmp_path / 'out')) == []


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
