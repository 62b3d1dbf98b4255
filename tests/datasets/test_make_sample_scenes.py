"""The sample scenes: the same each time, labelled truly, and work enough for a network."""
import os

import numpy as np
import pytest
from PIL import Image

from deeplab.datasets import descriptions
from deeplab.datasets import sample_scenes
from tests.datasets import recipe_runner


def make(tmp_path, folder, *arguments):
    result = recipe_runner.run(
        tmp_path, 'make_sample_scenes.py', '--output_dir={}'.format(tmp_path / folder), *arguments)
    assert result.status == 0, result.stderr
    return tmp_path / folder


def files(folder):
    found = {}
    for parent, _, names in os.walk(str(folder)):
        for name in names:
            with open(os.path.join(parent, name), 'rb') as stream:
                found[os.path.relpath(os.path.join(parent, name), str(folder))] = stream.read()
    return found


def scenes(count, height=96, width=128, seed=0):
    return [sample_scenes.draw_scene(np.random.RandomState([seed, index]), height, width)
            for index in range(count)]


def test_the_same_seed_gives_the_same_files(tmp_path):
    small = ('--num_train=3', '--num_val=2', '--image_size=48,64')
    first = files(make(tmp_path, 'a', *small))
    assert sorted(first) == (
        ['images/train_000{}.jpg'.format(index) for index in range(3)]
        + ['images/val_000{}.jpg'.format(index) for index in range(2)]
        + ['labels/train_000{}.png'.format(index) for index in range(3)]
        + ['labels/val_000{}.png'.format(index) for index in range(2)]
        + ['train.txt', 'val.txt'])
    assert first['train.txt'] == b'train_0000\ntrain_0001\ntrain_0002\n'
    assert files(make(tmp_path, 'b', *small)) == first
    assert files(make(tmp_path, 'c', '--seed=1', *small)) != first
    more = files(make(tmp_path, 'd', '--num_train=5', *small[1:]))
    assert all(more[name] == content for name, content in first.items() if name != 'train.txt')


def test_files_are_jpeg_and_palette_png(tmp_path):
    folder = make(tmp_path, 'a', '--num_train=1', '--num_val=1', '--image_size=40,60')
    image = Image.open(str(folder / 'images/val_0000.jpg'))
    label = Image.open(str(folder / 'labels/val_0000.png'))
    assert (image.format, image.mode, image.size) == ('JPEG', 'RGB', (60, 40))
    assert (label.format, label.mode, label.size) == ('PNG', 'P', (60, 40))
    assert label.getpalette()[3:6] == [128, 0, 0]
    expected = sample_scenes.draw_scene(np.random.RandomState([0, 1, 0]), 40, 60)[1]
    np.testing.assert_array_equal(np.asarray(label), expected)


@pytest.mark.parametrize('arguments, message', [
    (('--image_size=16,64',), '--image_size=16,64: both sides must be at least 32'),
    (('--num_train=0',), 'num_train'), (('--sed=1',), 'unknown flag --sed.*--seed')])
def test_senseless_flags_are_errors(tmp_path, arguments, message):
    result = recipe_runner.run(tmp_path, 'make_sample_scenes.py',
                               '--output_dir={}'.format(tmp_path / 'x'), *arguments)
    assert result.status in (1, 2)
    assert 'Traceback' not in result.stderr and len(result.stderr.splitlines()) == 1
    import re
    assert re.search(message, result.stderr)


def test_the_description_that_ships_fits():
    description = descriptions.load('sample_scenes')
    assert description.class_names == sample_scenes.CLASS_NAMES
    assert description.num_classes == len(sample_scenes.CLASS_NAMES)
    assert description.ignore_label == sample_scenes.IGNORE_LABEL


def test_all_classes_occur_often_and_outlines_are_ignored():
    labels = np.stack([label for _, label in scenes(40)])
    share = np.bincount(labels.ravel(), minlength=256) / float(labels.size)
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 5, 255}
    assert 0.4 < share[0] < 0.8
    assert (share[1:6] > 0.02).all()
    assert 0.01 < share[255] < 0.12


def test_every_shape_has_an_outline_around_it():
    for _, label in scenes(10):
        for axis in (0, 1):
            first = label.take(range(label.shape[axis] - 1), axis)
            second = label.take(range(1, label.shape[axis]), axis)
            jumps = (first != second) & (first != 255) & (second != 255)
            assert jumps.mean() < 0.002


def test_outlines_are_one_or_two_pixels_wide():
    for _, label in scenes(10):
        ignored = label == 255
        thick = ignored[:-3, :-3]
        for down in range(4):
            for right in range(4):
                thick = thick & ignored[down:down + thick.shape[0], right:right + thick.shape[1]]
        # Only where outlines cross is anything wider.
        assert thick.mean() < 0.003


def test_images_have_texture_and_colours_alone_do_not_tell_the_class():
    pictures = scenes(60)
    assert np.mean([np.abs(np.diff(image.astype(int), axis=1)).mean()
                    for image, _ in pictures]) > 3
    # Nearest mean colour of a class, the best that colour alone can do with one prototype each.
    pixels = np.concatenate([image[label < 255] for image, label in pictures]).astype(float)
    classes = np.concatenate([label[label < 255] for _, label in pictures])
    means = np.stack([pixels[classes == number].mean(axis=0) for number in range(6)])
    nearest = ((pixels[::20, np.newaxis] - means) ** 2).sum(axis=-1).argmin(axis=1)
    truth = classes[::20]
    overlap = [((nearest == number) & (truth == number)).sum()
               / float(((nearest == number) | (truth == number)).sum()) for number in range(6)]
    assert np.mean(overlap) < 0.5
