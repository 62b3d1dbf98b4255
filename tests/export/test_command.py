"""What a user does wrong on the command line of export_model: one line, and nothing is left."""
import os
import tarfile

import pytest

from deeplab import export_model
from deeplab.datasets import records
from tests import tiny_run


@pytest.fixture(scope='module', name='run')
def _run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    tiny_run.write_checkpoint(folder, keep_training_at=10)
    return folder


def _fails(capsys, folder, parts, status=1, **values):
    """Runs the command, which must fail with one line of these parts and leave no file."""
    values = dict(dict(export_path=folder / 'out' / 'a' / 'graph.pb', crop_size='33,33'), **values)
    assert tiny_run.command(export_model, *tiny_run.flag_values(**values)) == status
    tiny_run.check_error(capsys, *parts)
    assert not os.path.exists(str(folder / 'out'))


@pytest.mark.parametrize('values, parts', [
    (dict(num_classes=7), ['logits/semantic/', 'give --num_classes=4']),
    (dict(decoder_output_stride=4, decoder_filters=16),
     ['lacks ', ' variables of this network: decoder/', '--decoder_output_stride']),
    (dict(crop_size='0,33'), ['--crop_size=0,33']),
    (dict(export_formats='tflite', tflite_types='int8'), ['--calibration_data']),
    (dict(export_path=''), ['--export_path=: that is a folder; give the file']),
])
def test_flags_that_do_not_fit(run, tmp_path, capsys, values, parts):
    _fails(capsys, tmp_path, parts, checkpoint_path=run, **values)


def test_a_path_that_cannot_be_written(run, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    _fails(capsys, tmp_path, ['--export_path=', 'cannot write to this folder'],
           checkpoint_path=run, export_path=tmp_path / 'file' / 'graph.pb')


def _empty(folder):
    return folder


def _missing_shard(folder):
    return folder / records.shard_name('train', 1, 4)


def _no_shard(folder):
    path = _missing_shard(folder)
    path.write_bytes(b'these are no records at all')
    return path


def _shard_without_records(folder):
    path = _missing_shard(folder)
    path.write_bytes(b'')
    return path


@pytest.mark.parametrize('make, words', [
    (_empty, 'the folder holds no picture'),
    (_missing_shard, 'there is no such file'),
    (_no_shard, 'train-00001-of-00004.tfrecord'),
    (_shard_without_records, 'it holds no picture'),
])
def test_calibration_data_without_pictures(run, tmp_path, capsys, make, words):
    folder = tmp_path / 'calibration'
    folder.mkdir()
    _fails(capsys, tmp_path, ['calibration', words], checkpoint_path=run, export_formats='tflite',
           tflite_types='int8', calibration_data=make(folder))


def _archive(folder, run, name='{}'):
    path = folder / 'run.tar.gz'
    with tarfile.open(str(path), 'w:gz') as archive:
        for file in sorted(os.listdir(str(run))):
            archive.add(str(run / file), name.format(file))
    return path


def test_an_archive_that_is_half_downloaded(run, tmp_path, capsys):
    path = _archive(tmp_path, run)
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2])
    _fails(capsys, tmp_path, ['run.tar.gz', 'broken or only half downloaded'],
           checkpoint_path=path)


def test_an_archive_that_climbs_out_of_its_folder(run, tmp_path, capsys):
    _fails(capsys, tmp_path, ['run.tar.gz', 'leads out of the folder'],
           checkpoint_path=_archive(tmp_path, run, '../{}'))
