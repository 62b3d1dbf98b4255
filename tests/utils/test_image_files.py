"""Tests of deeplab.utils.image_files."""
import os

import numpy as np
from PIL import Image
import pytest

from deeplab import errors
from deeplab.utils import image_files


def test_palette_png_reads_back_as_labels_and_as_colours(tmp_path):
    path = str(tmp_path / 'labels.png')
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    palette = np.arange(768).reshape(256, 3).astype(np.uint8)
    image_files.write_png(path, labels, palette)
    with Image.open(path) as picture:
        assert picture.mode == 'P'
        np.testing.assert_array_equal(np.array(picture), labels)
        np.testing.assert_array_equal(np.array(picture.convert('RGB')), palette[labels])


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'P', 'CMYK'])
def test_every_mode_is_read_as_rgb(tmp_path, mode):
    path = str(tmp_path / ('picture.tif' if mode == 'CMYK' else 'picture.png'))
    Image.new(mode, (5, 3)).save(path)
    image = image_files.read_image(path)
    assert image.shape == (3, 5, 3) and image.dtype == np.uint8


def test_16_bit_grey_keeps_its_range(tmp_path):
    path = str(tmp_path / 'deep.png')
    Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)).save(path)
    assert image_files.read_image(path)[0, :, 1].tolist() == [0, 100, 255]


def test_exif_orientation_is_applied(tmp_path):
    path = str(tmp_path / 'turned.jpg')
    picture = Image.new('RGB', (20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # Taken with the camera on its side.
    picture.save(path, exif=exif.tobytes())
    assert image_files.read_image(path).shape == (20, 10, 3)


def test_missing_and_broken_pictures_are_named(tmp_path):
    with pytest.raises(errors.UserError, match='absent.png: there is no such file'):
        image_files.read_image(str(tmp_path / 'absent.png'))
    text = tmp_path / 'text.jpg'
    text.write_text('no picture')
    with pytest.raises(errors.UserError, match='text.jpg: not a readable picture'):
        image_files.read_image(str(text))
    cut = tmp_path / 'cut.png'
    noise = np.random.RandomState(0).randint(0, 256, (40, 40, 3))
    cut.write_bytes(image_files.encode_image(noise)[:900])
    with pytest.raises(errors.UserError, match='cut.png: not a readable picture'):
        image_files.read_image(str(cut))


def test_make_folder_names_flag_and_path(tmp_path):
    target = tmp_path / 'a' / 'b'
    assert image_files.make_folder(str(target), '--out') == str(target)
    assert os.listdir(str(target)) == []
    blocked = tmp_path / 'file'
    blocked.write_text('')
    with pytest.raises(errors.UserError, match=r'--out=.*file/inside: cannot write'):
        image_files.make_folder(str(blocked / 'inside'), '--out')


def test_failed_write_leaves_nothing(tmp_path):
    (tmp_path / 'taken').mkdir()
    with pytest.raises(errors.UserError, match='Cannot write .*taken'):
        image_files.write_text(str(tmp_path / 'taken'), 'x')
    assert os.listdir(str(tmp_path)) == ['taken']
    with pytest.raises(errors.UserError, match='Cannot write .*whole: No space left'):
        with image_files.replacing(str(tmp_path / 'whole')) as temporary:
            with open(temporary, 'w') as stream:
                stream.write('part')
            raise OSError(28, 'No space left')
    assert os.listdir(str(tmp_path)) == ['taken']


def test_what_a_killed_process_of_the_same_number_left_is_not_written_to(tmp_path):
    (tmp_path / 'other').write_text('other')
    with image_files.replacing(str(tmp_path / 'new')) as temporary:
        os.link(str(tmp_path / 'other'), temporary)
    os.link(str(tmp_path / 'other'), temporary)
    image_files.write_text(str(tmp_path / 'new'), 'new')
    assert (tmp_path / 'new').read_text() == 'new'
    assert (tmp_path / 'other').read_text() == 'other'


def test_copies_replace_and_miss_no_source(tmp_path):
    (tmp_path / 'source').write_text('new')
    (tmp_path / 'target').write_text('old')
    image_files.copy_file(str(tmp_path / 'source'), str(tmp_path / 'target'))
    assert (tmp_path / 'target').read_text() == 'new'
    with pytest.raises(errors.UserError, match='absent: there is no such file'):
        image_files.copy_file(str(tmp_path / 'absent'), str(tmp_path / 'target'))
    assert sorted(os.listdir(str(tmp_path))) == ['source', 'target']
