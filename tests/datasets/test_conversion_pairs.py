"""Which image goes with which label."""
import zipfile

import pytest

from deeplab import errors
from deeplab.datasets import conversion_files
from deeplab.datasets import conversion_pairs
from tests.datasets import conversion_files_factory as factory


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')


def zip_folder(folder, archive):
    with zipfile.ZipFile(str(archive), 'w') as packed:
        for path in sorted(folder.rglob('*')):
            if path.is_file():
                packed.write(str(path), 'set/' + str(path.relative_to(folder)))


def test_finds_every_extension_in_any_case_and_in_subfolders(tmp_path):
    touch(tmp_path, 'b.JPG', 'a.jpeg', 'sub/c.Png', 'notes.txt', '.hidden.jpg', '__MACOSX/a.jpg')
    found = conversion_pairs.find_pictures(str(tmp_path), '--image_folder')
    assert list(found) == ['a', 'b', 'sub/c']
    assert found['sub/c'] == str(tmp_path) + '/sub/c.Png'


def test_suffixes_select_and_are_cut_off(tmp_path):
    touch(tmp_path, 'a_rgb.png', 'a_mask.png')
    assert list(conversion_pairs.find_pictures(str(tmp_path), 'f', suffix='_mask')) == ['a']


def test_one_name_in_two_formats_needs_a_preference(tmp_path):
    touch(tmp_path, 'a.jpg', 'a.png')
    with pytest.raises(errors.UserError, match='a.jpg and a.png have the same name'):
        conversion_pairs.find_pictures(str(tmp_path), '--image_folder')
    for extension in ('.jpg', '.png'):
        found = conversion_pairs.find_pictures(str(tmp_path), 'f', preferred=extension)
        assert found['a'].endswith(extension)


def test_absent_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(errors.UserError, match='--image_folder=.*nowhere: there is no such folder'):
        conversion_pairs.find_pictures(str(tmp_path / 'nowhere'), '--image_folder')
    touch(tmp_path, 'readme.txt')
    with pytest.raises(errors.UserError, match='no picture in this folder'):
        conversion_pairs.find_pictures(str(tmp_path), '--image_folder')


def test_a_folder_in_an_archive_is_read_in_place(tmp_path):
    pairs = factory.make_pairs(tmp_path / 'raw', 2)
    archive = tmp_path / 'data.zip'
    zip_folder(tmp_path / 'raw', archive)
    found = conversion_pairs.find_pictures(str(archive) + '/set/images', 'f')
    assert list(found) == ['p000', 'p001']
    with open(pairs[0].image, 'rb') as stream:
        assert conversion_files.read_bytes(found['p000']) == stream.read()
    assert conversion_files.find_folder(str(archive), 'images', 'f') == str(archive) + '/set'
    assert conversion_files.version(found['p000']) != conversion_files.version(found['p001'])


def test_archives_that_do_not_serve_are_errors(tmp_path):
    broken = tmp_path / 'broken.zip'
    broken.write_bytes(b'PK, or so it says')
    with pytest.raises(errors.UserError, match='not a readable zip archive'):
        conversion_pairs.find_pictures(str(broken) + '/images', 'f')
    factory.make_pairs(tmp_path / 'raw', 1)
    zip_folder(tmp_path / 'raw', tmp_path / 'data.zip')
    with pytest.raises(errors.UserError, match='no folder images/training in this archive'):
        conversion_files.find_folder(str(tmp_path / 'data.zip'), 'images/training', '--archive')
    with pytest.raises(errors.UserError, match='--archive=.*absent.zip: there is no such archive'):
        conversion_files.find_folder(str(tmp_path / 'absent.zip'), 'images', '--archive')
    with pytest.raises(OSError, match='no such file'):
        conversion_files.read_bytes(str(tmp_path / 'data.zip') + '/set/images/zz.jpg')


def test_images_without_label_are_counted_and_named():
    images = {'a': 'a.jpg', 'b': 'b.jpg', 'c': 'c.jpg'}
    with pytest.raises(errors.UserError, match='2 of 3 images have no label in masks: a, c'):
        conversion_pairs.match(images, {'b': 'b.png'}, 'masks')
    pairs = conversion_pairs.match(images, {'a': '1', 'b': '2', 'c': '3', 'more': '4'}, 'masks')
    assert [pair.label for pair in pairs] == ['1', '2', '3']


def test_lists_take_names_with_and_without_extension(tmp_path):
    path = tmp_path / 'train.txt'
    path.write_text('b.jpg\n\n  a  \nv1.5\n')
    assert conversion_pairs.read_list(str(path)) == ['b', 'a', 'v1.5']
    assert conversion_pairs.lists_in(str(tmp_path)) == {'train': str(path)}


@pytest.mark.parametrize('content, message', [
    ('\n\n', 'names no pictures'), ('a\nb\na.png\n', 'more than once: a')])
def test_useless_lists_are_errors(tmp_path, content, message):
    path = tmp_path / 'val.txt'
    path.write_text(content)
    with pytest.raises(errors.UserError, match=message):
        conversion_pairs.read_list(str(path))


def test_lists_that_are_not_there_are_errors(tmp_path):
    with pytest.raises(errors.UserError, match='cannot read this list'):
        conversion_pairs.read_list(str(tmp_path / 'absent.txt'))
    with pytest.raises(errors.UserError, match='no list'):
        conversion_pairs.lists_in(str(tmp_path))
    with pytest.raises(errors.UserError, match='no such folder'):
        conversion_pairs.lists_in(str(tmp_path / 'absent'))


def test_listed_pictures_come_in_the_order_of_the_list():
    pictures = {'a': '1', 'b': '2', 'c': '3'}
    picked = conversion_pairs.pick(['c', 'a'], pictures, 'train.txt', 'image', 'photos')
    assert list(picked.items()) == [('c', '3'), ('a', '1')]
    with pytest.raises(errors.UserError,
                       match=r'train.txt names 4 image\(s\) .* not in photos: w, x, y, \.\.\.'):
        conversion_pairs.pick(['w', 'x', 'y', 'z', 'a'], pictures, 'train.txt', 'image', 'photos')


def test_random_splits_share_nothing_and_repeat():
    pairs = [conversion_pairs.Pair(str(number), 'i', 'l') for number in range(20)]
    split = conversion_pairs.random_split(pairs, {'val': 0.2, 'test': 0.1}, seed=3)
    assert {name: len(part) for name, part in split.items()} == {'train': 14, 'val': 4, 'test': 2}
    assert sorted(pair.name for part in split.values() for pair in part) == sorted(
        pair.name for pair in pairs)
    assert conversion_pairs.random_split(pairs[::-1], {'val': 0.2, 'test': 0.1}, seed=3) == split
    assert conversion_pairs.random_split(pairs, {'val': 0.2, 'test': 0.1}, seed=4) != split
    with pytest.raises(errors.UserError, match='leave none for training'):
        conversion_pairs.random_split(pairs[:1], {'val': 0.5}, seed=0)


def test_shuffled_keeps_every_pair():
    assert sorted(conversion_pairs.shuffled(list(range(50)))) == list(range(50))
    assert conversion_pairs.shuffled(list(range(50))) != list(range(50))


def test_pictures_named_by_file_alone_must_differ():
    assert conversion_pairs.by_basename({'x/a': '1', 'y/b': '2'}, 'f') == {'a': '1', 'b': '2'}
    with pytest.raises(errors.UserError, match='have the same name'):
        conversion_pairs.by_basename({'x/a': '1', 'y/a': '2'}, 'f')
