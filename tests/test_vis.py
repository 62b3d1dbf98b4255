"""Tests of deeplab.vis: the command as a user runs it."""
import functools
import json
import os
import re

import numpy as np
import pytest

from deeplab import vis
from tests import tiny_run

read = tiny_run.read_picture
run = functools.partial(tiny_run.command_on_run, vis, 'vis')


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('vis')
    tiny_run.write_run(folder)
    return folder


@pytest.fixture(scope='module', name='drawn')
def _drawn(work):
    assert run(work, work / 'drawn', '--also_save_raw_predictions', '--gallery',
               '--max_number_of_iterations=1', '--wait_timeout_secs=0') == 0
    return work / 'drawn'


def test_files_have_the_names_of_the_reference(drawn):
    assert sorted(os.listdir(str(drawn))) == [
        'gallery.html', 'images.json', 'legend.png', 'raw_segmentation_results',
        'segmentation_results']
    assert sorted(os.listdir(str(drawn / 'segmentation_results'))) == sorted(
        '{:06d}_{}.png'.format(number, kind) for number in range(3)
        for kind in ('image', 'prediction', 'overlay', 'error'))
    assert sorted(os.listdir(str(drawn / 'raw_segmentation_results'))) == [
        'picture0.png', 'picture1.png', 'picture2.png']


def test_pictures_show_the_labels_in_the_colours_of_the_data_set(drawn):
    for number, size in enumerate(tiny_run.SIZES):
        prefix = str(drawn / 'segmentation_results' / '{:06d}_'.format(number))
        raw = read(drawn / 'raw_segmentation_results' / 'picture{}.png'.format(number))
        assert raw.shape == size and raw.max() < tiny_run.CLASSES
        np.testing.assert_array_equal(read(prefix + 'image.png'),
                                      tiny_run.photograph(*size, seed=number))
        np.testing.assert_array_equal(read(prefix + 'prediction.png'),
                                      np.array(tiny_run.COLORS)[raw])
        label = tiny_run.label_image(*size, seed=number)
        red = (read(prefix + 'error.png') == [230, 30, 40]).all(axis=2)
        np.testing.assert_array_equal(red, (label != raw) & (label != tiny_run.IGNORE))
        assert read(prefix + 'overlay.png').shape == size + (3,)


def test_index_scores_every_picture(drawn):
    index = json.loads((drawn / 'images.json').read_text())
    assert index['class_names'] == tiny_run.CLASS_NAMES
    assert [entry['name'] for entry in index['images']] == ['picture0', 'picture1', 'picture2']
    entry = index['images'][1]
    label = tiny_run.label_image(*tiny_run.SIZES[1], seed=1)
    raw = read(drawn / 'raw_segmentation_results' / 'picture1.png')
    counted = label != tiny_run.IGNORE
    assert entry['pixel_accuracy'] == pytest.approx((label == raw)[counted].mean())
    assert entry['mean_iou'] == pytest.approx(np.mean(list(entry['class_iou'].values())))
    assert entry['classes'] == [int(key) for key in entry['class_iou']]


def test_gallery_is_one_file_with_everything_in_it(drawn):
    page = (drawn / 'gallery.html').read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))
    assert [image['name'] for image in data['images']] == ['picture0', 'picture1', 'picture2']
    assert [panel['title'] for panel in data['images'][0]['panels']] == [
        'image', 'prediction', 'errors']
    assert data['classes'][1] == {'name': 'house', 'color': '#c83c3c'}
    # Nothing is loaded from anywhere else.
    assert not re.search(r'(src|href)\s*=\s*["\']?(http|//|[\w./]+\.(js|css|png|jpg))', page)


def test_other_colours_fewer_pictures_no_labels(work, tmp_path, capsys):
    tiny_run.write_records(tmp_path / 'data', split='test', with_labels=False)
    assert run(work, tmp_path / 'log', '--colormap_type=pascal', '--max_number_of_images=2',
               '--vis_split=test', '--nosave_overlays', '--also_save_raw_predictions', '--gallery',
               dataset_dir=tmp_path / 'data', vis_crop_size='') == 0
    assert sorted(os.listdir(str(tmp_path / 'log' / 'segmentation_results'))) == [
        '000000_image.png', '000000_prediction.png', '000001_image.png', '000001_prediction.png']
    raw = read(tmp_path / 'log' / 'raw_segmentation_results' / 'picture1.png')
    pascal = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]])
    np.testing.assert_array_equal(
        read(tmp_path / 'log' / 'segmentation_results' / '000001_prediction.png'), pascal[raw])
    index = json.loads((tmp_path / 'log' / 'images.json').read_text())
    assert len(index['images']) == 2 and 'mean_iou' not in index['images'][0]
    assert '2 pictures' in capsys.readouterr().out


def test_mistakes_are_told_in_one_line(work, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    for part, replaced in (
            ('--vis_logdir=', dict(logdir=tmp_path / 'file')),
            ('holds no checkpoint', dict(checkpoint_dir=work / 'data')),
            ('--vis_crop_size=33,33 is smaller', dict(vis_crop_size='33,33'))):
        assert run(work, **dict(dict(logdir=tmp_path / 'log'), **replaced)) == 1
        tiny_run.check_error(capsys, part)
