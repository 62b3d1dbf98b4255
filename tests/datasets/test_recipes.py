"""The recipes: each command from folders to records, and what it says when the folders are wrong."""
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import scipy.io
import tensorflow.compat.v1 as tf
from PIL import Image

from deeplab.datasets import descriptions
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file
from tests import shared_data
from tests.datasets import conversion_files_factory as factory
from tests.datasets import recipe_runner


def run(tmp_path, name, **given):
    arguments = ['--{}={}'.format(flag, value)
                 for flag, value in dict(given, num_workers=1).items()]
    return recipe_runner.run(tmp_path, name, *arguments)


def succeed(tmp_path, name, **given):
    result = run(tmp_path, name, **given)
    assert result.status == 0, result.stderr
    return result.stdout


def fail(tmp_path, name, **given):
    """Runs a recipe that has to end with one line on stderr; returns that line."""
    result = run(tmp_path, name, **given)
    lines = [line for line in result.stderr.splitlines() if line]
    assert result.status == 1 and len(lines) == 1 and lines[0].startswith('error: '), result
    return lines[0]


def read_split(folder, split):
    """Returns [(name, label array or None)] of a split."""
    keys, found = records.REFERENCE_KEYS, []
    for path in records.list_shards(str(folder), split):
        for content in tfrecord_file.read(path):
            features = tf.train.Example.FromString(content).features.feature
            label = None
            if keys.label in features:
                label = np.asarray(Image.open(io.BytesIO(features[keys.label].bytes_list.value[0])))
            found.append((features[keys.name].bytes_list.value[0].decode(), label))
    return found


@pytest.fixture
def pictures(tmp_path):
    factory.make_pairs(tmp_path, 6)
    lists = tmp_path / 'lists'
    lists.mkdir()
    (lists / 'train.txt').write_text('p000\np002\np001\np003\n')
    (lists / 'val.txt').write_text('p004\np005\n')
    return {'image_folder': tmp_path / 'images', 'label_folder': tmp_path / 'labels',
            'list_folder': lists, 'num_classes': 3, 'output_dir': tmp_path / 'out'}


# --- Any folder -----------------------------------------------------------------------------------


def test_folders_with_lists(tmp_path, pictures):
    text = succeed(tmp_path, 'build_folder_data.py', class_names='a,b,c', **pictures)
    assert 'Converting 6 images' in text and '--label_weights that balance' in text
    assert [name for name, _ in read_split(tmp_path / 'out', 'train')] == [
        'p000', 'p002', 'p001', 'p003']
    description = descriptions.load(str(tmp_path / 'out'))
    assert description.name == 'images' and description.ignore_label == 255
    assert description.splits_to_sizes == {'train': 4, 'val': 2}


def test_folders_split_at_random(tmp_path, pictures):
    del pictures['list_folder']
    text = succeed(tmp_path, 'build_folder_data.py', val_fraction=0.3, **pictures)
    assert 'Split at random (seed 0): 4 train, 2 val.' in text
    names = [name for split in ('train', 'val')
             for name, _ in read_split(tmp_path / 'out', split)]
    assert len(names) == 6 and len(set(names)) == 6
    assert descriptions.load(str(tmp_path / 'out')).splits_to_sizes == {'train': 4, 'val': 2}


def test_a_new_name_and_a_tenth_for_validation_where_nothing_is_said(tmp_path, pictures):
    del pictures['list_folder']
    succeed(tmp_path, 'build_folder_data.py', dataset='mine', **pictures)
    description = descriptions.load('mine', str(tmp_path / 'out'))
    assert description.splits_to_sizes == {'train': 5, 'val': 1}


def test_one_run_a_split_and_pictures_without_labels(tmp_path, pictures):
    del pictures['list_folder']
    succeed(tmp_path, 'build_folder_data.py', split='val', **pictures)
    del pictures['label_folder']
    succeed(tmp_path, 'build_folder_data.py', split='test', **pictures)
    assert descriptions.load(str(tmp_path / 'out')).splits_to_sizes == {'val': 6, 'test': 6}
    assert read_split(tmp_path / 'out', 'test')[0] == ('p000', None)


def test_labels_are_renumbered(tmp_path, pictures):
    (tmp_path / 'map.json').write_text('{"0": 2, "1": 0, "2": 1, "255": 255}')
    succeed(tmp_path, 'build_folder_data.py', class_map=tmp_path / 'map.json', **pictures)
    stored = dict(read_split(tmp_path / 'out', 'val'))['p004']
    np.testing.assert_array_equal(
        stored, np.array([2, 0, 1] + [255] * 253)[factory.label(4)])


def test_a_description_gives_classes_and_names(tmp_path, pictures):
    del pictures['num_classes']
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps({'name': 'mine', 'splits': ['train', 'val'], 'num_classes': 3,
                                'class_names': ['x', 'y', 'z'], 'colormap': 'camvid'}))
    succeed(tmp_path, 'build_folder_data.py', dataset=path, **pictures)
    description = descriptions.load(str(tmp_path / 'out'))
    assert (description.name, description.colormap) == ('mine', 'camvid')
    assert description.splits_to_sizes == {'train': 4, 'val': 2}


def test_suffixes(tmp_path, pictures):
    folder = tmp_path / 'mixed'
    folder.mkdir()
    shutil.copy(str(tmp_path / 'images/p000.jpg'), str(folder / 'p000_rgb.JPG'))
    shutil.copy(str(tmp_path / 'labels/p000.png'), str(folder / 'p000_L.png'))
    pictures.update(image_folder=folder, label_folder=folder)
    del pictures['list_folder']
    succeed(tmp_path, 'build_folder_data.py', split='train', image_suffix='_rgb', label_suffix='_L',
            **pictures)
    assert [name for name, _ in read_split(tmp_path / 'out', 'train')] == ['p000']


@pytest.mark.parametrize('change, message', [
    ({'list_folder': None, 'label_folder': None}, 'Pictures without labels cannot be split'),
    ({'split': 'train'}, '--list_folder and --split exclude each other'),
    ({'num_classes': None}, 'Give --num_classes, or --dataset'),
    ({'list_folder': None, 'val_fraction': 0.99}, 'leave none for training'),
    ({'dataset': 'camvid'}, '--num_classes and --dataset=camvid exclude each other'),
    ({'num_classes': None, 'dataset': 'camvit'}, "Unknown data set 'camvit'"),
    ({'num_classes': 2}, 'label 2 at'),
    ({'class_names': 'a,b'}, "'class_names' must be 3 names"),
    ({'image_folder': 'absent'}, '--image_folder=absent: there is no such folder'),
    ({'class_map': 'absent.json'}, '--class_map=absent.json'),
    ({'output_dir': '/proc/nowhere'}, '--output_dir=/proc/nowhere: cannot write'),
])
def test_wrong_flags_of_the_folder_recipe(tmp_path, pictures, change, message):
    pictures.update(change)
    given = {flag: value for flag, value in pictures.items() if value is not None}
    assert message in fail(tmp_path, 'build_folder_data.py', **given)


def test_wrong_folders_of_the_folder_recipe(tmp_path, pictures):
    (pictures['list_folder'] / 'val.txt').write_text('p004\nq1\nq2\n')
    assert 'val.txt names 2 image(s) that are not in' in fail(
        tmp_path, 'build_folder_data.py', **pictures)
    (pictures['list_folder'] / 'val.txt').write_text('p004\n')
    (tmp_path / 'labels/p004.png').unlink()
    assert '1 of 1 images have no label in' in fail(tmp_path, 'build_folder_data.py', **pictures)
    assert not (tmp_path / 'out').exists()


def test_bad_pictures_are_left_out_where_wanted(tmp_path, pictures):
    factory.save(tmp_path, 'labels/p001.png', np.full((12, 16), 77, np.uint8))
    message = fail(tmp_path, 'build_folder_data.py', **pictures)
    assert 'p001.png: label 77 at 192 pixels; allowed are 0..2 and 255 (ignored)' in message
    succeed(tmp_path, 'build_folder_data.py', skip_bad='true', **pictures)
    assert [name for name, _ in read_split(tmp_path / 'out', 'train')] == ['p000', 'p002', 'p003']


# --- PASCAL VOC -----------------------------------------------------------------------------------


def voc(tmp_path, pictures):
    return {'image_folder': pictures['image_folder'], 'list_folder': pictures['list_folder'],
            'semantic_segmentation_folder': pictures['label_folder'],
            'output_dir': tmp_path / 'out', 'image_format': 'jpg'}


def test_voc(tmp_path, pictures):
    (pictures['list_folder'] / 'test.txt').write_text('p000\n')
    succeed(tmp_path, 'build_voc2012_data.py', **voc(tmp_path, pictures))
    assert read_split(tmp_path / 'out', 'test') == [('p000', None)]
    description = descriptions.load('pascal_voc_seg', str(tmp_path / 'out'))
    assert description.splits_to_sizes['train'] == 4
    assert description.shards('val', str(tmp_path / 'out'))


def test_voc_with_its_own_palette_images(tmp_path):
    root = shared_data.path('data/voc')
    succeed(tmp_path, 'build_voc2012_data.py', image_folder=root + '/JPEGImages',
            semantic_segmentation_folder=root + '/SegmentationClass', list_folder=root + '/lists',
            output_dir=tmp_path / 'out')
    for name, label in read_split(tmp_path / 'out', 'val'):
        original = Image.open('{}/SegmentationClass/{}.png'.format(root, name))
        np.testing.assert_array_equal(label, np.asarray(original))
    assert len(read_split(tmp_path / 'out', 'train')) == 22


def test_colours_are_removed(tmp_path):
    palette = Image.fromarray(factory.label(3))
    palette.putpalette(list(range(256)) * 3)
    (tmp_path / 'colours').mkdir()
    palette.save(str(tmp_path / 'colours/a.png'))
    given = {'original_gt_folder': tmp_path / 'colours', 'output_dir': tmp_path / 'raw'}
    succeed(tmp_path, 'remove_gt_colormap.py', **given)
    raw = Image.open(str(tmp_path / 'raw/a.png'))
    assert raw.mode == 'L'
    np.testing.assert_array_equal(np.asarray(raw), factory.label(3))
    given['output_dir'] = tmp_path / 'colours'
    assert 'the originals would be lost' in fail(tmp_path, 'remove_gt_colormap.py', **given)
    (tmp_path / 'colours/b.png').write_bytes(b'no picture')
    given['output_dir'] = tmp_path / 'raw'
    assert 'b.png: this label cannot be read' in fail(tmp_path, 'remove_gt_colormap.py', **given)


def make_sbd(tmp_path, pictures):
    """SBD's labels of p001 (in VOC's train), p004 (in its val), s000 and s001 (new)."""
    voc_folder, sbd = tmp_path / 'VOC2012', tmp_path / 'sbd'
    (voc_folder / 'ImageSets').mkdir(parents=True)
    shutil.move(str(pictures['label_folder']), str(voc_folder / 'SegmentationClass'))
    shutil.move(str(pictures['list_folder']), str(voc_folder / 'ImageSets/Segmentation'))
    (sbd / 'cls').mkdir(parents=True)
    for number, name in enumerate(('p001', 'p004', 's000', 's001')):
        scipy.io.savemat(str(sbd / 'cls' / name) + '.mat', {
            'GTcls': {'Segmentation': np.full((12, 16), number, np.uint8)}})
    (sbd / 'train.txt').write_text('s001\np001\n')
    (sbd / 'val.txt').write_text('s000\np004\n')
    return {'voc_folder': voc_folder, 'sbd_folder': sbd}


def test_train_aug_is_both_data_sets_without_vocs_val(tmp_path, pictures):
    given = make_sbd(tmp_path, pictures)
    text = succeed(tmp_path, 'merge_sbd_labels.py', **given)
    assert '8 labels in' in text and '6 names in train_aug.txt' in text
    listed = (given['voc_folder'] / 'ImageSets/Segmentation/train_aug.txt').read_text().split()
    assert listed == ['p000', 'p001', 'p002', 'p003', 's000', 's001']
    labels = given['voc_folder'] / 'SegmentationClassAug'
    assert len(list(labels.iterdir())) == 8
    np.testing.assert_array_equal(np.asarray(Image.open(str(labels / 'p001.png'))),
                                  factory.label(1))
    np.testing.assert_array_equal(np.asarray(Image.open(str(labels / 's001.png'))), 3)
    (given['sbd_folder'] / 'cls/s000.mat').write_bytes(b'cut')
    assert 's000.mat: cannot be read' in fail(tmp_path, 'merge_sbd_labels.py', **given)


# --- Cityscapes -----------------------------------------------------------------------------------


def make_cityscapes(root, label_ids):
    """One frame in each folder of the official layout; returns the trainIds of its labels."""
    train_ids = np.full((12, 16), 255, np.uint8)
    train_ids[2:5], train_ids[5:9], train_ids[9:] = 0, 13, 18
    labels = np.array({'_labelTrainIds': train_ids, '_labelIds': np.select(
        [train_ids == 0, train_ids == 13, train_ids == 18], [7, 26, 33], 4).astype(np.uint8)}[
            label_ids])
    for annotation, folder in (('gtFine', 'train'), ('gtFine', 'val'), ('gtFine', 'test'),
                               ('gtCoarse', 'train'), ('gtCoarse', 'train_extra')):
        frame = '{0}/rome/rome_{0}'.format(folder)
        factory.save(root, 'leftImg8bit/{}_leftImg8bit.png'.format(frame), factory.image(0))
        factory.save(root, '{0}/{1}_{0}{2}.png'.format(annotation, frame, label_ids), labels)
        factory.save(root, '{0}/{1}_{0}_instanceIds.png'.format(annotation, frame), labels)
    return train_ids


@pytest.mark.parametrize('label_ids', ['_labelIds', '_labelTrainIds'])
def test_cityscapes(tmp_path, label_ids):
    train_ids = make_cityscapes(tmp_path / 'city', label_ids)
    succeed(tmp_path, 'build_cityscapes_data.py', cityscapes_root=tmp_path / 'city',
            splits='train_fine,val_fine,trainval_fine,test_fine,train_coarse',
            output_dir=tmp_path / 'out')
    sizes = descriptions.load('cityscapes', str(tmp_path / 'out')).splits_to_sizes
    assert {split: sizes[split] for split in (
        'train_fine', 'val_fine', 'trainval_fine', 'test_fine', 'train_coarse')} == {
            'train_fine': 1, 'val_fine': 1, 'trainval_fine': 2, 'test_fine': 1, 'train_coarse': 2}
    (name, label), = read_split(tmp_path / 'out', 'val_fine')
    assert name == 'rome_val'
    np.testing.assert_array_equal(label, train_ids)
    assert read_split(tmp_path / 'out', 'test_fine') == [('rome_test', None)]


def test_train_ids_are_those_of_cityscapes_own_script(tmp_path):
    root = tmp_path / 'city'
    shutil.copytree(shared_data.path('data/cityscapes_sample'), str(root))
    for folder, _, _ in os.walk(str(root)):
        os.chmod(folder, 0o755)
    stem = 'gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelTrainIds.png'
    expected = np.asarray(Image.open(str(root / stem)))
    os.remove(str(root / stem))
    succeed(tmp_path, 'build_cityscapes_data.py', cityscapes_root=root, splits='val_fine',
            output_dir=tmp_path / 'out')
    made = read_split(tmp_path / 'out', 'val_fine')[0][1]
    # The sample's pictures were made smaller one by one, which shows along some outlines.
    assert (made == expected).mean() > 0.997
    for label in np.unique(made):
        assert np.bincount(expected[made == label]).argmax() == label


def test_wrong_cityscapes_folders(tmp_path):
    given = {'cityscapes_root': tmp_path / 'city', 'output_dir': tmp_path / 'out'}
    assert "there is no split 'vall_fine'" in fail(
        tmp_path, 'build_cityscapes_data.py', splits='vall_fine', **given)
    assert '--cityscapes_root=' in fail(tmp_path, 'build_cityscapes_data.py', **given)
    make_cityscapes(tmp_path / 'city', '_labelIds')
    factory.save(tmp_path, 'city/leftImg8bit/val/rome/rome_2_leftImg8bit.png', factory.image(0))
    assert '1 of 2 images have no label in' in fail(tmp_path, 'build_cityscapes_data.py', **given)


# --- ADE20K ---------------------------------------------------------------------------------------


def make_ade20k(root):
    for split in ('training', 'validation'):
        for index in range(3):
            name = 'ADE_{}_{}'.format(split, index)
            label = factory.label(index)
            label[label == 255] = 150
            factory.save(root, 'images/{}/{}.jpg'.format(split, name), factory.image(index))
            factory.save(root, 'annotations/{}/{}.png'.format(split, name), label)


def test_ade20k_from_folders_and_from_the_archive(tmp_path):
    root = tmp_path / 'ADEChallengeData2016'
    make_ade20k(root)
    given = {}
    for split, folder in (('train', 'training'), ('val', 'validation')):
        given[split + '_image_folder'] = root / 'images' / folder
        given[split + '_image_label_folder'] = root / 'annotations' / folder
    succeed(tmp_path, 'build_ade20k_data.py', output_dir=tmp_path / 'folders', **given)
    archive = shutil.make_archive(str(tmp_path / 'ade'), 'zip', str(tmp_path), root.name)
    succeed(tmp_path, 'build_ade20k_data.py', output_dir=tmp_path / 'zip', archive=archive)
    for split in ('train', 'val'):
        first, second = [read_split(tmp_path / kind, split) for kind in ('folders', 'zip')]
        assert [name for name, _ in first] == [name for name, _ in second]
        assert sorted(name[-1] for name, _ in first) == ['0', '1', '2']
        for (name, label), (_, other) in zip(first, second):
            expected = factory.label(int(name[-1]))
            np.testing.assert_array_equal(label, np.where(expected == 255, 150, expected))
            np.testing.assert_array_equal(label, other)
    assert descriptions.load('ade20k', str(tmp_path / 'zip')).ignore_label == 0


def test_wrong_ade20k_folders(tmp_path):
    out = tmp_path / 'out'
    assert '--train_image_folder=' in fail(tmp_path, 'build_ade20k_data.py', output_dir=out)
    archive = tmp_path / 'other.zip'
    with zipfile.ZipFile(str(archive), 'w') as packed:
        packed.writestr('readme.txt', 'nothing')
    assert 'there is no folder images/training in this archive' in fail(
        tmp_path, 'build_ade20k_data.py', output_dir=out, archive=archive)
    assert '--archive and --val_image_folder exclude each other' in fail(
        tmp_path, 'build_ade20k_data.py', output_dir=out, archive=archive, val_image_folder='x')


# --- Shell recipes --------------------------------------------------------------------------------


# Stands in for Python: runs modules, and writes down what recipe was to be run with what flags.
NOTING_PYTHON = """#!/bin/sh
case "$1" in
  -m) exec {python} "$@" ;;
  *) printf '%s\\n' "$@" > {note} ;;
esac
"""


def bash(*arguments, **environment):
    return subprocess.run(
        ['bash'] + list(arguments), env=dict(os.environ, **environment), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True)


def lib(function, *arguments):
    return bash('-c', 'set -euo pipefail; . "$0"; ' + function + ' "$@"',
                recipe_runner.path('recipe_lib.sh'), *arguments)


def shell(tmp_path, name, *arguments, **environment):
    """Runs a shell recipe, and the recipe that it calls at its end."""
    python, note = tmp_path / 'noting_python', tmp_path / 'note.txt'
    python.write_text(NOTING_PYTHON.format(python=sys.executable, note=note))
    python.chmod(0o755)
    done = bash(recipe_runner.path(name), *arguments, PYTHON_BIN=str(python), **environment)
    assert done.returncode == 0, done.stderr
    command = note.read_text().splitlines()
    assert os.path.dirname(command[0]) == os.path.dirname(recipe_runner.path('x'))
    result = recipe_runner.run(tmp_path, os.path.basename(command[0]), *command[1:])
    assert result.status == 0, result.stderr
    return done.stdout


needs_curl = pytest.mark.skipif(not shutil.which('curl'), reason='curl is not installed')


@pytest.mark.parametrize('name', ['download_and_convert_voc2012.sh', 'convert_cityscapes.sh',
                                  'download_and_convert_ade20k.sh'])
def test_shell_recipes_explain_themselves(name):
    assert bash(recipe_runner.path(name), '--help').stdout.startswith('usage: datasets/' + name)
    wrong = bash(recipe_runner.path(name), '--ouptut_dir=x')
    assert wrong.returncode == 1 and 'unknown argument --ouptut_dir=x' in wrong.stderr
    with open(recipe_runner.path(name)) as stream:
        assert 'sudo' not in stream.read()


@needs_curl
def test_downloads_go_on_and_are_checked(tmp_path):
    import hashlib
    source, target = tmp_path / 'source.bin', tmp_path / 'target.bin'
    content = bytes(bytearray(range(256))) * 40
    source.write_bytes(content)
    (tmp_path / 'target.bin.part').write_bytes(content[:5000])
    url, digest = 'file://{}'.format(source), hashlib.sha1(content).hexdigest()
    done = lib('download', url, str(target), 'sha1', digest)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == content and 'sha1 matches' in done.stdout
    again = lib('download', url, str(target), 'sha1', digest)
    assert 'already there' in again.stdout
    target.unlink()
    wrong = lib('download', url, str(target), 'sha1', 'feed')
    assert wrong.returncode == 1 and 'expected feed' in wrong.stderr and not target.exists()
    absent = lib('download', 'file:///nowhere/at/all', str(target))
    assert absent.returncode == 1 and 'Run the same command again' in absent.stderr


@needs_curl
def test_ade20k_is_downloaded_and_converted(tmp_path):
    make_ade20k(tmp_path / 'ADEChallengeData2016')
    archive = shutil.make_archive(str(tmp_path / 'ade'), 'zip', str(tmp_path),
                                  'ADEChallengeData2016')
    shell(tmp_path, 'download_and_convert_ade20k.sh', '--output_dir={}'.format(tmp_path / 'work'),
          '--', '--num_workers=1', '--num_shards=2', ADE_URL='file://' + archive, ADE_SHA1='')
    assert len(records.list_shards(str(tmp_path / 'work/tfrecord'), 'train')) == 2


@needs_curl
def test_voc_is_downloaded_and_converted(tmp_path, pictures):
    voc_folder = tmp_path / 'VOCdevkit/VOC2012'
    (voc_folder / 'ImageSets').mkdir(parents=True)
    for source, name in (('images', 'JPEGImages'), ('labels', 'SegmentationClass'),
                         ('lists', 'ImageSets/Segmentation')):
        shutil.move(str(tmp_path / source), str(voc_folder / name))
    archive = shutil.make_archive(str(tmp_path / 'voc'), 'tar', str(tmp_path), 'VOCdevkit')
    command = (tmp_path, 'download_and_convert_voc2012.sh',
               '--output_dir={}'.format(tmp_path / 'work'), '--', '--num_workers=1')
    shell(*command, VOC_URL='file://' + archive, VOC_MD5='')
    again = shell(*command, VOC_URL='file:///nowhere', VOC_MD5='')
    assert 'already there' in again and 'already unpacked' in again
    assert len(read_split(tmp_path / 'work/tfrecord', 'train')) == 4


def test_cityscapes_archives_are_unpacked_and_converted(tmp_path):
    make_cityscapes(tmp_path / 'source', '_labelIds')
    root = tmp_path / 'city'
    root.mkdir()
    for kind, archive in (('leftImg8bit', 'leftImg8bit_trainvaltest'),
                          ('gtFine', 'gtFine_trainvaltest')):
        shutil.make_archive(str(root / archive), 'zip', str(tmp_path / 'source'), kind)
    shell(tmp_path, 'convert_cityscapes.sh', '--cityscapes_root={}'.format(root), '--',
          '--num_workers=1')
    assert len(read_split(root / 'tfrecord', 'train_fine')) == 1


def test_cityscapes_without_data_says_where_to_get_it(tmp_path):
    done = bash(recipe_runner.path('convert_cityscapes.sh'),
                '--cityscapes_root={}'.format(tmp_path))
    assert done.returncode == 1 and 'cityscapes-dataset.com' in done.stderr
