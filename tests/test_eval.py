"""Tests of deeplab.eval: the command as a user runs it."""
import functools
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import eval as eval_command
from deeplab.datasets import build_data
from tests import tiny_run

run = functools.partial(tiny_run.command_on_run, eval_command, 'eval')


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('eval')
    tiny_run.write_run(folder)
    return folder


def metrics_in(folder):
    return json.loads((folder / 'metrics.json').read_text())


@pytest.fixture(scope='module', name='plain')
def _plain(work):
    """The folder a plain evaluation has filled."""
    # The data set comes from the configuration beside the checkpoint, which also says that
    # training has finished: waiting ends at once.
    assert run(work, work / 'plain', '--wait_for_checkpoints', dataset=None) == 0
    return work / 'plain'


def test_every_labelled_pixel_is_counted_once(plain):
    report = metrics_in(plain)
    counts = np.array(report['confusion_matrix'])
    labelled = sum(np.bincount(tiny_run.label_image(*size, seed=number).ravel(), minlength=256)
                   for number, size in enumerate(tiny_run.SIZES))
    np.testing.assert_array_equal(counts.sum(axis=1), labelled[:tiny_run.CLASSES])
    assert report['ignored_pixels'] == labelled[tiny_run.IGNORE]
    union = counts.sum(axis=0) + counts.sum(axis=1) - counts.diagonal()
    iou = counts.diagonal()[union > 0] / union[union > 0]
    assert report['mean_iou'] == pytest.approx(iou.mean())
    assert [row['name'] for row in report['classes']] == tiny_run.CLASS_NAMES
    assert (report['step'], report['dataset'], report['split'], report['images']) == (
        10, 'tiny', 'val', 3)
    assert report['crop_size'] == [49, 65]


def test_files_and_summaries(plain):
    names = sorted(os.listdir(str(plain)))
    assert [name for name in names if not name.startswith('events')] == [
        'classes.csv', 'confusion.csv', 'confusion.png', 'history.json', 'metrics.json']
    events = [name for name in names if name.startswith('events')]
    found = {(value.tag, event.step): value.simple_value
             for event in tf.train.summary_iterator(str(plain / events[0]))
             for value in event.summary.value}
    report = metrics_in(plain)
    assert found['eval/miou_1.0_overall', 10] == pytest.approx(report['mean_iou'])
    assert found['eval/pixel_accuracy_1.0', 10] == pytest.approx(report['pixel_accuracy'])
    for row in report['classes']:
        value = found['eval/miou_1.0_class_{}'.format(row['label']), 10]
        assert np.isnan(value) if row['iou'] is None else value == pytest.approx(row['iou'])


def test_batches_of_several_agree(work, plain, tmp_path, capsys):
    assert run(work, tmp_path, '--eval_batch_size=2') == 0
    report = metrics_in(tmp_path)
    assert report['confusion_matrix'] == metrics_in(plain)['confusion_matrix']
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['mean', 'IoU', '{:.4f}'.format(report['mean_iou'])] in lines
    assert ['eval/miou_1.0_overall[{:.6g}]'.format(report['mean_iou'])] in lines
    assert [line[:2] for line in lines].count(['Baseline,', 'predicting']) == 1


def test_own_sizes_and_tiles(work, plain, tmp_path, capsys):
    assert run(work, tmp_path / 'own', eval_crop_size='') == 0
    assert run(work, tmp_path / 'tiles', '--tile_size=33,33', '--tile_overlap=0.5',
               eval_crop_size=None) == 0
    for name, tile_size in (('own', None), ('tiles', [33, 33])):
        report = metrics_in(tmp_path / name)
        assert report['crop_size'] is None and report['tile_size'] == tile_size
        assert report['pixels'] == metrics_in(plain)['pixels']
    capsys.readouterr()


def test_scales_and_flips(work, tmp_path, capsys):
    assert run(work, tmp_path, '--eval_scales=0.5', '--add_flipped_images') == 0
    assert metrics_in(tmp_path)['tag'] == 'miou_0.5_flipped'
    assert 'eval/miou_0.5_flipped_overall[' in capsys.readouterr().out


def test_all_checkpoints_of_an_archive_make_a_curve(work, plain, tmp_path, capsys):
    folder = tmp_path / 'train'
    shutil.copytree(str(work / 'train'), str(folder))
    tiny_run.write_checkpoint(folder, step=20, seed=1)
    archive = str(tmp_path / 'model.tar.gz')
    with tarfile.open(archive, 'w:gz') as stream:
        stream.add(str(folder), 'some_model')
    assert run(work, tmp_path / 'log', '--all_checkpoints', checkpoint_dir=archive) == 0
    assert capsys.readouterr().out.count('best') == 1
    history = json.loads((tmp_path / 'log' / 'history.json').read_text())
    assert [entry['step'] for entry in history] == [10, 20]
    assert history[0]['mean_iou'] == metrics_in(plain)['mean_iou'] != history[1]['mean_iou']
    assert metrics_in(tmp_path / 'log')['step'] == 20
    assert (tmp_path / 'log' / 'curve.png').stat().st_size > 5000


def fails(capsys, status, *parts):
    assert status == 1
    tiny_run.check_error(capsys, *parts)


def test_mistakes_are_told_in_one_line(work, tmp_path, capsys):
    empty = tmp_path / 'empty'
    empty.mkdir()
    fails(capsys, run(work, tmp_path / 'log', checkpoint_dir=empty),
          '--checkpoint_dir=' + str(empty), 'holds no checkpoint')
    fails(capsys, run(work, tmp_path / 'log', eval_crop_size='33,49'),
          '--eval_crop_size=33,49 is smaller', '--eval_crop_size=49,65')
    fails(capsys, run(work, tmp_path / 'log', eval_split='train'), "'train'")
    fails(capsys, run(work, tmp_path / 'log', dataset='tinny'), "'tinny'")
    (tmp_path / 'file').write_text('')
    fails(capsys, run(work, tmp_path / 'file' / 'log'), '--eval_logdir=', 'cannot write')
    fails(capsys, run(work, tmp_path / 'log', '--depth_multiplier=0.5'),
          '--depth_multiplier=0.5 contradicts', 'train_config.json', '0.1')
    fails(capsys, run(work, tmp_path / 'log', '--eval_scales=1,0'), '--eval_scales')
    fails(capsys, run(work, tmp_path / 'log', '--tile_size=33,33', '--eval_batch_size=2'),
          '--tile_size', '--eval_batch_size=2')
    assert not (tmp_path / 'log' / 'metrics.json').exists()


def test_another_class_count_names_variable_and_shapes(work, tmp_path, capsys):
    tiny_run.write_records(tmp_path / 'data', name='more', class_names=list('abcdefg'))
    fails(capsys, run(work, tmp_path / 'log', dataset='more', dataset_dir=tmp_path / 'data'),
          'logits/semantic', '7', '4', '--dataset')


def test_label_of_another_size_names_the_picture(work, tmp_path, capsys):
    example = build_data.image_seg_to_tfexample(
        tiny_run.encode(tiny_run.photograph(20, 30)), 'odd one', 20, 30,
        tiny_run.encode(tiny_run.label_image(20, 31)))
    tiny_run.write_records(tmp_path / 'data', examples=[example])
    fails(capsys, run(work, tmp_path / 'log', dataset_dir=tmp_path / 'data'), 'odd one', '20 x 30',
          '20 x 31')


def test_missing_labels_are_told(work, tmp_path, capsys):
    tiny_run.write_records(tmp_path / 'bare', with_labels=False)
    fails(capsys, run(work, tmp_path / 'log', dataset_dir=tmp_path / 'bare'), 'no labels')
