"""One labelled picture as a record: the reference's `build_data` names.

Formats are recognised by the bytes themselves: no flag has to say them, none can say them wrong.
"""
import io

import numpy as np
from PIL import Image
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.datasets import records

_CHANNELS_OF_IMAGES = 3
_DECODERS = {'jpeg': tf.image.decode_jpeg, 'png': tf.image.decode_png}
_CANONICAL_FORMATS = {'jpg': 'jpeg', 'jpeg': 'jpeg', 'png': 'png'}
_SIGNATURES = ((b'\xff\xd8\xff', 'jpeg'), (b'\x89PNG\r\n\x1a\n', 'png'))


def sniff_format(image_data: bytes) -> str:
    """Returns 'jpeg' or 'png', by the first bytes of an encoded picture.

    Raises:
        UserError: when it is neither.
    """
    for signature, name in _SIGNATURES:
        if image_data[:len(signature)] == signature:
            return name
    raise errors.UserError('Not a JPEG or PNG picture: its first bytes are {!r}.'.format(
        bytes(image_data[:8])))


class ImageReader(object):
    """Decodes encoded pictures exactly as the input pipeline does.

    Pixels come from TensorFlow's own decoders (Pillow's JPEG decoding differs by up to 23 grey
    levels), through one graph and session made on first use. Sizes come from the header alone.
    """

    def __init__(self, image_format='jpeg', channels=3):
        """Args:
            image_format: 'jpeg', 'jpg' or 'png'.
            channels: 3 for images, 1 for labels.

        Raises:
            UserError: for another format.
        """
        key = str(image_format).lower()
        if key not in _CANONICAL_FORMATS:
            raise errors.UserError('image_format must be one of {}, got {!r}.'.format(
                ', '.join(sorted(_CANONICAL_FORMATS)), image_format))
        self._format = _CANONICAL_FORMATS[key]
        self._channels = channels
        self._run_decoder = None

    def read_image_dims(self, image_data):
        """Returns (height, width) of an encoded picture without decoding it.

        Raises:
            UserError: when the bytes are not a picture.
        """
        try:
            width, height = Image.open(io.BytesIO(image_data)).size
        except (IOError, SyntaxError, ValueError) as error:
            raise errors.UserError('Cannot read the size of a picture: {}.'.format(error))
        return height, width

    def decode_image(self, image_data):
        """Returns the pixels of an encoded picture, uint8 `[height, width, channels]`.

        Raises:
            ValueError: when the result has neither 1 nor 3 channels.
        """
        if self._run_decoder is None:
            self._run_decoder = self._make_decoder()
        image = self._run_decoder(image_data)
        if image.ndim != 3 or image.shape[2] not in (1, 3):
            raise ValueError('The image channels not supported.')
        return image

    def _make_decoder(self):
        with tf.Graph().as_default() as graph:
            encoded = tf.placeholder(tf.string, shape=[])
            pixels = _DECODERS[self._format](encoded, channels=self._channels)
        session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={'GPU': 0}))
        return session.make_callable(pixels, feed_list=[encoded])


def _int64(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))


def _bytes(value):
    content = value.encode('utf-8') if isinstance(value, str) else bytes(value)
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))


def image_seg_to_tfexample(image_data, filename, height, width, seg_data):
    """Makes the record of one picture.

    Args:
        image_data: bytes of the encoded image (JPEG or PNG).
        filename: name of the image (str or bytes); it is the image's name in every later message.
        height: image height in pixels.
        width: image width in pixels.
        seg_data: bytes of the encoded label (8-bit grey PNG, pixel = label), or None for a picture
            without label.

    Returns:
        A `tf.train.Example` with the features of `records.REFERENCE_KEYS`.

    Raises:
        UserError: when image or label is neither JPEG nor PNG.
    """
    return example_of(image_data, filename, height, width, seg_data, records.REFERENCE_KEYS)


def example_of(image_data, filename, height, width, seg_data, keys):
    """As `image_seg_to_tfexample`, in the format of these `records.RecordKeys`."""
    features = {
        keys.image: _bytes(image_data),
        keys.image_format: _bytes(sniff_format(image_data)),
        keys.name: _bytes(filename),
        keys.height: _int64(height),
        keys.width: _int64(width),
        keys.channels: _int64(_CHANNELS_OF_IMAGES),
    }
    if seg_data is not None:
        features[keys.label] = _bytes(seg_data)
        features[keys.label_format] = _bytes(sniff_format(seg_data))
    features.pop(None, None)  # What this format has no feature for.
    return tf.train.Example(features=tf.train.Features(feature=features))


def encode_label(label) -> bytes:
    """Encodes labels `[height, width]` (integers 0..255) as the 8-bit grey PNG records hold.

    Raises:
        UserError: when a value does not fit 8 bits.
    """
    label = np.asarray(label)
    if label.size and (label.min() < 0 or label.max() > 255):
        raise errors.UserError('Labels must lie in 0..255, got {}..{}.'.format(
            label.min(), label.max()))
    stream = io.BytesIO()
    Image.fromarray(label.astype(np.uint8), mode='L').save(stream, format='PNG')
    return stream.getvalue()
