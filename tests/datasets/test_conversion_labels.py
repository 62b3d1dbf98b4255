"""Every kind of label picture becomes the class numbers its author meant, or is refused."""
import io

import numpy as np
import pytest
from PIL import Image

from deeplab import errors
from deeplab.datasets import conversion_labels
from tests.datasets import conversion_files_factory as factory

RULES = conversion_labels.LabelRules(3, 255, None)


def encode(picture, image_format='PNG', **options):
    stream = io.BytesIO()
    picture.save(stream, format=image_format, **options)
    return stream.getvalue()


def decode(content):
    picture = Image.open(io.BytesIO(content))
    assert picture.mode == 'L' and picture.format == 'PNG'
    return np.asarray(picture)


def palette_picture(pixels):
    picture = Image.fromarray(pixels)
    picture.putpalette([level for index in range(256) for level in (index * 7 % 256, 3, 9)])
    return picture


def test_a_grey_png_is_kept_byte_for_byte():
    pixels = factory.label(0)
    content = encode(Image.fromarray(pixels))
    stored, size, histogram = conversion_labels.prepare_label(content, 'a.png', RULES)
    assert stored == content and size == (12, 16)
    np.testing.assert_array_equal(histogram, np.bincount(pixels.ravel(), minlength=256))


@pytest.mark.parametrize('make', [
    palette_picture,
    lambda pixels: Image.fromarray(pixels.astype(np.uint16)),
    lambda pixels: Image.fromarray(np.stack([pixels] * 3, axis=-1)),
    lambda pixels: Image.merge('LA', [Image.fromarray(pixels), Image.new('L', (16, 12), 9)]),
], ids=['palette', '16 bits', 'grey as colour', 'with transparency'])
def test_other_pictures_are_turned_into_grey(make):
    pixels = factory.label(1)
    content = encode(make(pixels))
    stored, _, _ = conversion_labels.prepare_label(content, 'a.png', RULES)
    np.testing.assert_array_equal(decode(stored), pixels)


@pytest.mark.parametrize('image_format', ['BMP', 'TIFF'])
def test_other_formats_become_png(image_format):
    pixels = factory.label(2)
    content = encode(Image.fromarray(pixels), image_format)
    stored, _, _ = conversion_labels.prepare_label(content, 'a', RULES)
    np.testing.assert_array_equal(decode(stored), pixels)


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_palettes_and_grey_of_few_bits_keep_their_numbers(bits):
    pixels = (np.arange(192).reshape(12, 16) % min(3, 2 ** bits)).astype(np.uint8)
    content = encode(palette_picture(pixels), bits=bits)
    stored, _, _ = conversion_labels.prepare_label(content, 'a.png', RULES)
    np.testing.assert_array_equal(decode(stored), pixels)
    stored, _, _ = conversion_labels.prepare_label(grey_png(pixels, bits), 'a.png', RULES)
    np.testing.assert_array_equal(decode(stored), pixels)


def grey_png(pixels, bits):
    """Pillow writes no grey of 2 or 4 bits: built from chunks."""
    import struct
    import zlib

    def chunk(kind, body):
        return (struct.pack('>I', len(body)) + kind + body
                + struct.pack('>I', zlib.crc32(kind + body) & 0xffffffff))

    height, width = pixels.shape
    planes = (pixels[..., np.newaxis] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(planes.reshape(height, width * bits).astype(np.uint8), axis=1)
    body = b''.join(b'\0' + row.tobytes() for row in rows)
    return (b'\x89PNG\r\n\x1a\n'
            + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(body)) + chunk(b'IEND', b''))


def test_labels_out_of_range_name_file_value_count_and_range():
    pixels = np.zeros((4, 4), np.uint8)
    pixels[0, :3] = 7
    with pytest.raises(conversion_labels.PairError,
                       match=r'm.png: label 7 at 3 pixels; allowed are 0..2 and 255 \(ignored\)'):
        conversion_labels.prepare_label(encode(Image.fromarray(pixels)), 'm.png', RULES)
    large = np.zeros((4, 4), np.uint16)
    large[1, 1] = 300
    with pytest.raises(conversion_labels.PairError, match='label 300 at 1 pixels'):
        conversion_labels.prepare_label(encode(Image.fromarray(large)), 'm.png', RULES)


def test_an_ignore_label_among_the_classes_is_allowed():
    rules = conversion_labels.LabelRules(3, 0, None)
    assert rules.allowed() == '0..2'
    pixels = np.full((2, 2), 255, np.uint8)
    with pytest.raises(conversion_labels.PairError, match='label 255'):
        conversion_labels.prepare_label(encode(Image.fromarray(pixels)), 'm.png', rules)


@pytest.mark.parametrize('cut', [20, 60, -14])
def test_labels_cut_short_are_refused(cut):
    noise = np.random.RandomState(0).randint(0, 3, (40, 40)).astype(np.uint8)
    with pytest.raises(conversion_labels.PairError, match='m.png: this label cannot be read'):
        conversion_labels.prepare_label(encode(Image.fromarray(noise))[:cut], 'm.png', RULES)


def test_class_maps_renumber():
    class_map = conversion_labels.parse_class_map({'7': 0, '300': 1, '*': 255}, 'map')
    rules = RULES._replace(class_map=class_map)
    pixels = np.array([[7, 300], [9, 7]], np.uint16)
    stored, _, _ = conversion_labels.prepare_label(encode(Image.fromarray(pixels)), 'm', rules)
    np.testing.assert_array_equal(decode(stored), [[0, 1], [255, 0]])


def test_values_outside_a_class_map_are_refused():
    rules = RULES._replace(class_map=conversion_labels.parse_class_map({'7': 0}, 'map'))
    pixels = np.array([[7, 8, 8]], np.uint8)
    with pytest.raises(conversion_labels.PairError, match='value 8 at 2 pixels is not in the class'):
        conversion_labels.prepare_label(encode(Image.fromarray(pixels)), 'm.png', rules)


def test_colours_are_classes_by_a_class_map():
    colors = np.array([[[128, 0, 0], [0, 128, 0]], [[5, 5, 5], [128, 0, 0]]], np.uint8)
    content = encode(Image.fromarray(colors))
    with pytest.raises(conversion_labels.PairError, match='m.png: this label is a colour picture'):
        conversion_labels.prepare_label(content, 'm.png', RULES)
    named = {'128,0,0': 1, '0, 128, 0': 2}
    strict = RULES._replace(class_map=conversion_labels.parse_class_map(named, 'map'))
    with pytest.raises(conversion_labels.PairError, match='colour 5,5,5 at 1 pixels is not in'):
        conversion_labels.prepare_label(content, 'm.png', strict)
    lenient = RULES._replace(
        class_map=conversion_labels.parse_class_map(dict(named, **{'*': 255}), 'map'))
    stored, _, _ = conversion_labels.prepare_label(content, 'm.png', lenient)
    np.testing.assert_array_equal(decode(stored), [[1, 2], [255, 1]])


def test_a_grey_picture_is_looked_up_among_the_colours_too():
    class_map = conversion_labels.parse_class_map({'0,0,0': 2, '255,255,255': 1}, 'map')
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    stored, _, _ = conversion_labels.prepare_label(
        encode(Image.fromarray(pixels)), 'm.png', RULES._replace(class_map=class_map))
    np.testing.assert_array_equal(decode(stored), [[2, 1]])


@pytest.mark.parametrize('content, message', [
    ({'road': 1}, 'neither a label value nor a colour'), ({'1,2': 1}, 'neither a label value'),
    ({'1': 300}, 'class number in 0..255'), ({'1': 'a'}, 'class number'), ([1], 'JSON object')])
def test_senseless_class_maps_are_errors(content, message):
    with pytest.raises(errors.UserError, match='map.*' + message):
        conversion_labels.parse_class_map(content, 'map')


def test_class_map_files_that_do_not_serve_are_errors(tmp_path):
    with pytest.raises(errors.UserError, match='--class_map=.*absent.json'):
        conversion_labels.read_class_map(str(tmp_path / 'absent.json'))
    (tmp_path / 'bad.json').write_text('{')
    with pytest.raises(errors.UserError, match='not JSON'):
        conversion_labels.read_class_map(str(tmp_path / 'bad.json'))
    (tmp_path / 'good.json').write_text('{"4": 2}')
    assert conversion_labels.read_class_map(str(tmp_path / 'good.json')).numbers == {4: 2}
