"""Images go into the records as they are where the pipeline reads them, and are mended elsewhere."""
import io

import numpy as np
import pytest
from PIL import Image

from deeplab.datasets import build_data
from deeplab.datasets import conversion_images
from deeplab.datasets import conversion_pairs
from tests.datasets import conversion_files_factory as factory


def prepare(folder, name, pixels, label=None, orientation='auto', **options):
    path = factory.save(folder, name, pixels, **options)
    label_path = None if label is None else factory.save(folder, 'label.png', label)
    return conversion_images.prepare(
        conversion_pairs.Pair('name', path, label_path), factory.rules(orientation)), path


def read(path):
    with open(path, 'rb') as stream:
        return stream.read()


def pixels_of(content):
    """What the input pipeline sees."""
    return build_data.ImageReader(build_data.sniff_format(content), channels=3).decode_image(content)


@pytest.mark.parametrize('name', ['a.jpg', 'a.JPEG', 'a.png', 'really_a_png.jpg'])
@pytest.mark.parametrize('grey', [False, True])
def test_stored_byte_for_byte(tmp_path, name, grey):
    pixels = factory.image(0)[..., 0] if grey else factory.image(0)
    options = {'format': 'PNG'} if 'really' in name else {}
    prepared, path = prepare(tmp_path, name, pixels, factory.label(0), **options)
    assert prepared.image == read(path)
    assert (prepared.name, prepared.height, prepared.width) == ('name', 12, 16)
    assert prepared.histogram.sum() == 12 * 16


def test_without_label(tmp_path):
    prepared, _ = prepare(tmp_path, 'a.jpg', factory.image(0))
    assert prepared.label is None and prepared.histogram is None


def with_alpha(pixels):
    return np.concatenate([pixels, np.full(pixels.shape[:2] + (1,), 60, np.uint8)], axis=-1)


@pytest.mark.parametrize('name, pixels, expected', [
    ('a.png', with_alpha(factory.image(0)), factory.image(0)),
    ('a.png', factory.image(0)[..., 0].astype(np.uint16) * 256 + 255,
     np.stack([factory.image(0)[..., 0]] * 3, axis=-1)),
    ('a.bmp', factory.image(0), factory.image(0)),
    ('a.tif', factory.image(0), factory.image(0)),
], ids=['transparency', '16 bits', 'bmp', 'tiff'])
def test_other_images_are_stored_as_png_of_8_bits(tmp_path, name, pixels, expected):
    prepared, _ = prepare(tmp_path, name, pixels)
    assert build_data.sniff_format(prepared.image) == 'png'
    assert prepared.image[24] == 8
    np.testing.assert_array_equal(pixels_of(prepared.image), expected)


def test_a_palette_image_keeps_its_colours(tmp_path):
    path = str(tmp_path / 'a.png')
    Image.fromarray(factory.image(0)).quantize(16).save(path)
    prepared = conversion_images.prepare(conversion_pairs.Pair('a', path, None), factory.rules())
    np.testing.assert_array_equal(pixels_of(prepared.image),
                                  np.asarray(Image.open(path).convert('RGB')))


def test_a_cmyk_jpeg_is_stored_in_rgb(tmp_path):
    path = str(tmp_path / 'a.jpg')
    Image.fromarray(factory.image(0)).convert('CMYK').save(path, quality=100)
    prepared = conversion_images.prepare(conversion_pairs.Pair('a', path, None), factory.rules())
    assert Image.open(io.BytesIO(prepared.image)).mode == 'RGB'
    wrong = pixels_of(prepared.image).astype(int) - factory.image(0)
    assert np.abs(wrong).max() < 12


def turned(tmp_path, tag, orientation, label_size):
    exif = Image.Exif()
    exif[274] = tag
    label = factory.label(0, *label_size) if label_size else None
    return prepare(tmp_path, 'a.jpg', factory.image(0), label, orientation, quality=100,
                   exif=exif.tobytes())


@pytest.mark.parametrize('orientation, label_size', [
    ('auto', (16, 12)), ('apply', (16, 12)), ('auto', None)])
def test_turned_upright_as_the_exif_data_say(tmp_path, orientation, label_size):
    prepared, _ = turned(tmp_path, 6, orientation, label_size)
    assert (prepared.height, prepared.width) == (16, 12)
    expected = np.rot90(factory.image(0), -1)
    assert np.abs(pixels_of(prepared.image).astype(int) - expected).max() < 12
    assert Image.open(io.BytesIO(prepared.image)).getexif().get(274, 1) == 1


@pytest.mark.parametrize('orientation, label_size', [('auto', (12, 16)), ('keep', (12, 16))])
def test_not_turned_where_the_label_fits_the_picture_as_stored(tmp_path, orientation, label_size):
    prepared, path = turned(tmp_path, 6, orientation, label_size)
    assert prepared.image == read(path) and (prepared.height, prepared.width) == (12, 16)


def test_upside_down_is_turned_although_the_size_stays(tmp_path):
    prepared, _ = turned(tmp_path, 3, 'auto', (12, 16))
    expected = factory.image(0)[::-1, ::-1]
    assert np.abs(pixels_of(prepared.image).astype(int) - expected).max() < 12


def test_different_sizes_are_refused_with_both_named(tmp_path):
    rejected, path = prepare(tmp_path, 'a.jpg', factory.image(0), factory.label(0, 16, 12))
    assert rejected.reason == ('{}: image of 12x16 pixels (height x width), but its label is of '
                               '16x12.'.format(path))


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.bmp'])
@pytest.mark.parametrize('keep', [0.97, 0.5, 0.1, 0])
def test_images_cut_short_are_refused(tmp_path, name, keep):
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    path = factory.save(tmp_path, name, noise)
    content = read(path)
    with open(path, 'wb') as stream:
        stream.write(content[:int(keep * len(content))])
    rejected = conversion_images.prepare(conversion_pairs.Pair('n', path, None), factory.rules())
    assert rejected.name == 'n'
    assert path + ': this image cannot be read to its end' in rejected.reason


def test_a_png_with_a_flipped_bit_is_refused(tmp_path):
    path = factory.save(tmp_path, 'a.png', factory.image(0))
    content = bytearray(read(path))
    content[len(content) // 2] ^= 4
    with open(path, 'wb') as stream:
        stream.write(content)
    rejected = conversion_images.prepare(conversion_pairs.Pair('n', path, None), factory.rules())
    assert 'cannot be read to its end' in rejected.reason


def test_absent_files_are_refused(tmp_path):
    rejected = conversion_images.prepare(
        conversion_pairs.Pair('n', str(tmp_path / 'absent.jpg'), None), factory.rules())
    assert 'absent.jpg: this image cannot be read' in rejected.reason


def test_no_image_is_decoded_when_it_is_stored_as_it_is(tmp_path, monkeypatch):
    jpeg = factory.save(tmp_path, 'a.jpg', factory.image(0, 160, 320))
    png = factory.save(tmp_path, 'b.png', factory.image(0, 160, 320))
    decoded = []
    load = Image.Image.load
    monkeypatch.setattr('PIL.ImageFile.ImageFile.load',
                        lambda self: (decoded.append(self.size), load(self))[1])
    for path in (jpeg, png):
        prepared = conversion_images.prepare(conversion_pairs.Pair('n', path, None),
                                             factory.rules())
        assert (prepared.height, prepared.width) == (160, 320)
    assert decoded == [(40, 20)]
