"""ImageReader and image_seg_to_tfexample."""
import io

import numpy as np
from PIL import Image
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import build_data
from tests.datasets import record_factory

RANDOM = np.random.RandomState(7)
RGB = RANDOM.randint(0, 256, (9, 14, 3)).astype(np.uint8)
GREY = RANDOM.randint(0, 21, (9, 14)).astype(np.uint8)


def test_dims_come_from_the_header_alone():
    encoded = record_factory.encode(RGB)
    header_only = encoded[:64]
    assert build_data.ImageReader('png').read_image_dims(encoded) == (9, 14)
    assert build_data.ImageReader('png').read_image_dims(header_only) == (9, 14)


def test_dims_ignore_exif_orientation_as_the_decoder_does():
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = record_factory.encode(RGB, 'JPEG', exif=exif)
    reader = build_data.ImageReader()
    assert reader.read_image_dims(encoded) == (9, 14)
    assert reader.decode_image(encoded).shape == (9, 14, 3)


def test_decode_png_is_lossless():
    image = build_data.ImageReader('png').decode_image(record_factory.encode(RGB))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB)


def test_decode_label_keeps_values():
    reader = build_data.ImageReader('png', channels=1)
    for label in (GREY, GREY + 200):
        decoded = reader.decode_image(build_data.encode_label(label))
        np.testing.assert_array_equal(decoded, label[..., np.newaxis])


@pytest.mark.parametrize('name', ['jpeg', 'jpg', 'JPG'])
def test_decode_jpeg_equals_the_pipelines_decoder(name):
    encoded = record_factory.encode(RGB.repeat(4, axis=0), 'JPEG', quality=90)
    with tf.Graph().as_default(), tf.Session() as session:
        expected = session.run(tf.image.decode_jpeg(encoded, channels=3))
    np.testing.assert_array_equal(build_data.ImageReader(name).decode_image(encoded), expected)


def test_one_graph_serves_many_pictures():
    reader = build_data.ImageReader('png', channels=1)
    with tf.Graph().as_default() as graph:
        for _ in range(3):
            reader.decode_image(build_data.encode_label(GREY))
        assert not graph.get_operations()


def test_bad_input():
    with pytest.raises(errors.UserError, match="image_format must be one of .*got 'gif'"):
        build_data.ImageReader('gif')
    with pytest.raises(errors.UserError, match='Cannot read the size'):
        build_data.ImageReader().read_image_dims(b'no picture')
    with pytest.raises(ValueError, match='channels not supported'):
        build_data.ImageReader('png', channels=4).decode_image(record_factory.encode(RGB))
    with pytest.raises(errors.UserError, match='Not a JPEG or PNG'):
        build_data.image_seg_to_tfexample(b'GIF89a..', 'x', 1, 1, None)
    with pytest.raises(errors.UserError, match=r'0\.\.255, got 0\.\.256'):
        build_data.encode_label([[0, 256]])


def test_record_holds_what_the_reference_writes():
    image_data = record_factory.encode(RGB, 'JPEG')
    label_data = build_data.encode_label(GREY)
    features = build_data.image_seg_to_tfexample(
        image_data, 'one', 9, 14, label_data).features.feature
    values = {key: list(feature.bytes_list.value) or list(feature.int64_list.value)
              for key, feature in features.items()}
    assert values == {
        'image/encoded': [image_data],
        'image/filename': [b'one'],
        'image/format': [b'jpeg'],
        'image/height': [9],
        'image/width': [14],
        'image/channels': [3],
        'image/segmentation/class/encoded': [label_data],
        'image/segmentation/class/format': [b'png'],
    }


def test_record_without_label_has_no_label_features():
    made = build_data.image_seg_to_tfexample(record_factory.encode(RGB), b'one', 9, 14, None)
    assert not [key for key in made.features.feature if 'segmentation' in key]
    assert made.features.feature['image/format'].bytes_list.value == [b'png']


def test_encoded_label_is_eight_bit_grey():
    with Image.open(io.BytesIO(build_data.encode_label([[0, 1]]))) as image:
        assert image.mode == 'L'
