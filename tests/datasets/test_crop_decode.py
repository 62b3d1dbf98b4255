"""Crops made of their own part of a picture equal those cut out of the whole one, bit by bit."""
import glob
import io

import numpy as np
from PIL import Image
import pytest
import tensorflow.compat.v1 as tf

from deeplab import input_preprocess
from deeplab.datasets import build_data
from deeplab.datasets import crop_decode
from deeplab.datasets import decode
from tests import shared_data
from tests.datasets import record_factory

CROP = (33, 41)


def options(crop=CROP, low=0.5, high=2.0, step=0):
    return input_preprocess.Options(
        crop[0], crop[1], None, None, None, low, high, step, 255, True, 'mobilenet_v2')


class BothWays(object):
    """Runs the short and the long way on encoded pictures, with the same draws."""

    def __init__(self, option):
        with tf.Graph().as_default():
            self.places = [tf.placeholder(tf.string, []), tf.placeholder(tf.string, []),
                           tf.placeholder(tf.float32, [4])]
            encoded, encoded_label, uniform = self.places
            draws = input_preprocess.draws_of(uniform)
            label = decode.decode_label(decode.Parsed(encoded, encoded_label, tf.constant('x')))
            size = crop_decode.image_size(encoded)
            short = crop_decode.training_crop(encoded, size, label, option, draws)
            image = decode.decode_image(encoded)
            long_way = input_preprocess.preprocess(image, label, option, draws)[1:]
            self.outputs = short, long_way, size, tf.shape(image)[:2]
            self.session = tf.Session()

    def check(self, encoded, label, uniform):
        short, long_way, size, true_size = self.session.run(
            self.outputs, dict(zip(self.places, (encoded, label, uniform))))
        np.testing.assert_array_equal(size, true_size)
        for one, other in zip(short, long_way):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)

    def close(self):
        self.session.close()


@pytest.fixture(scope='module')
def both_ways():
    runner = BothWays(options())
    yield runner
    runner.close()


def noise(height, width):
    random = np.random.RandomState(height + 7 * width)
    small = random.randint(0, 256, (height // 6 + 2, width // 6 + 2, 3)).astype(np.uint8)
    smooth = Image.fromarray(small).resize((width, height), Image.BICUBIC)
    grain = random.randint(-40, 40, (height, width, 3))
    return np.clip(np.asarray(smooth).astype(int) + grain, 0, 255).astype(np.uint8)


def label_of(height, width):
    random = np.random.RandomState(height)
    return build_data.encode_label(random.randint(0, 21, (height, width)))


def encode(image, image_format, **kwargs):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format=image_format, **kwargs)
    return stream.getvalue()


@pytest.mark.parametrize('kwargs', [
    dict(image_format='PNG'),
    dict(image_format='JPEG', quality=95, subsampling=0),
    dict(image_format='JPEG', quality=75, subsampling=1),
    dict(image_format='JPEG', quality=60, subsampling=2),
    dict(image_format='JPEG', quality=85, subsampling=2, progressive=True),
], ids=lambda kwargs: '-'.join(str(value) for value in kwargs.values()))
def test_all_kinds_of_pictures(both_ways, kwargs):
    random = np.random.RandomState(1)
    for height, width in ((90, 120), (121, 83), (30, 100), (17, 16), (50, 3)):
        image, label = encode(noise(height, width), **kwargs), label_of(height, width)
        for _ in range(12):
            both_ways.check(image, label, random.uniform(size=4))
        for corner in np.indices((2, 2, 2)).reshape(3, -1).T:
            both_ways.check(image, label, list(corner * np.float32(1 - 2 ** -24)) + [0.2])


def test_grey_pictures(both_ways):
    grey = noise(60, 70)[..., 0]
    for image_format in ('PNG', 'JPEG'):
        both_ways.check(encode(grey, image_format), label_of(60, 70), [0.7, 0.3, 0.9, 0.1])


def test_real_photographs(both_ways):
    paths = sorted(glob.glob(shared_data.path('data/voc/JPEGImages') + '/*.jpg'))[:6]
    random = np.random.RandomState(2)
    for path in paths:
        with open(path, 'rb') as stream:
            encoded = stream.read()
        with Image.open(path) as image:
            label = label_of(image.size[1], image.size[0])
        for _ in range(6):
            both_ways.check(encoded, label, random.uniform(size=4))


@pytest.mark.parametrize('option', [
    options(low=1.0, high=1.0), options(low=0.75, high=0.75), options(step=0.25),
    options(crop=(1, 1)), options(crop=(200, 300)),
], ids=['unscaled', 'fixed scale', 'steps', 'one pixel', 'larger than the picture'])
def test_all_kinds_of_options(option):
    runner = BothWays(option)
    random = np.random.RandomState(3)
    image, label = encode(noise(70, 90), 'JPEG'), label_of(70, 90)
    for _ in range(15):
        runner.check(image, label, random.uniform(size=4))
    runner.close()


def test_when_it_can_be_used():
    assert crop_decode.can_be_used(options())
    assert not crop_decode.can_be_used(options()._replace(min_resize_value=30))
    assert not crop_decode.can_be_used(options()._replace(is_training=False))


def test_sizes_beyond_one_byte():
    for height, width in ((1, 300), (513, 2)):
        for image_format in ('PNG', 'JPEG'):
            encoded = record_factory.encode(np.zeros((height, width, 3), np.uint8), image_format)
            with tf.Session() as session:
                assert list(session.run(crop_decode.image_size(encoded))) == [height, width]
