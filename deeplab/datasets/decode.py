"""From a serialised record to decoded, checked pixels, inside the graph.

Labels are looked at in full, whatever part of them is used: a data set either has only valid labels
or says so in the first epoch, and not on the day a crop happens to meet the bad corner.
"""
import collections

import tensorflow.compat.v1 as tf

from deeplab.datasets import input_errors

# IHDR of a PNG: bit depth 8 and colour type 0 (grey) at bytes 24 and 25. TensorFlow would read
# palette indices as the grey of their colours, and stretch 1, 2 and 4 bits to the range 0..255.
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_KIND_OFFSET = 24
_EIGHT_BIT_GREY = b'\x08\x00'
_MAX_VALUES_NAMED = 8
_UNNAMED = '(without a name)'

# One parsed record: encoded image and label, and its name; scalar strings.
Parsed = collections.namedtuple('Parsed', ['image', 'label', 'name'])


def parse(serialized, keys) -> Parsed:
    """Parses one serialised record.

    Args:
        serialized: scalar string.
        keys: `records.RecordKeys` of the format.

    Returns:
        A `Parsed`; features the record does not have are empty strings.
    """
    names = Parsed(keys.image, keys.label, keys.name)
    features = tf.io.parse_single_example(
        serialized, {name: tf.FixedLenFeature([], tf.string, '') for name in names})
    parsed = Parsed(*[features[name] for name in names])
    named = tf.greater(tf.strings.length(parsed.name), 0)
    return parsed._replace(name=tf.where(named, parsed.name, tf.constant(_UNNAMED)))


def is_jpeg(encoded):
    """Returns a scalar bool: whether these bytes are a JPEG picture."""
    return tf.equal(tf.strings.substr(encoded, 0, 3), b'\xff\xd8\xff')


def decode_image(encoded):
    """Decodes a JPEG or PNG to uint8 `[height, width, 3]`; grey is repeated, alpha dropped."""
    image = tf.cond(is_jpeg(encoded),
                    lambda: tf.image.decode_jpeg(encoded, channels=3),
                    lambda: tf.image.decode_png(encoded, channels=3))
    image.set_shape([None, None, 3])
    return image


def decode_label(parsed: Parsed):
    """Decodes a label to uint8 `[height, width, 1]`.

    Stops the pipeline, naming the picture, when there is no label or it is not an 8-bit grey PNG.
    """
    size = tf.strings.length(parsed.label)
    present = input_errors.fail_unless(
        size > 0, lambda: ['picture ', parsed.name, ' has no label in its record.'])
    with tf.control_dependencies([present]):
        long_enough = size > _PNG_KIND_OFFSET + len(_EIGHT_BIT_GREY)
        is_png = input_errors.fail_unless(
            tf.logical_and(long_enough, tf.equal(tf.strings.substr(
                parsed.label, 0, tf.minimum(size, len(_PNG_SIGNATURE))), _PNG_SIGNATURE)),
            lambda: ['the label of picture ', parsed.name, ' is not a PNG.'])
    with tf.control_dependencies([is_png]):
        kind = tf.strings.substr(parsed.label, _PNG_KIND_OFFSET, len(_EIGHT_BIT_GREY))
        is_grey = input_errors.fail_unless(
            tf.equal(kind, _EIGHT_BIT_GREY),
            lambda: ['the label of picture ', parsed.name, ' is not an 8-bit grey PNG (a palette, '
                     'colour, 16-bit or 1- to 4-bit one); convert the data set again.'])
    with tf.control_dependencies([is_grey]):
        label = tf.image.decode_png(tf.identity(parsed.label), channels=1)
    label.set_shape([None, None, 1])
    return label


def check_same_size(image_size, label, name):
    """Returns an op that stops the pipeline when image and label differ in size.

    Args:
        image_size: int32 `[2]`, height and width.
        label: `[height, width, 1]`.
        name: scalar string, the picture's name.
    """
    label_size = tf.shape(label)[:2]

    def text(size):
        return [tf.as_string(size[0]), ' x ', tf.as_string(size[1])]

    return input_errors.fail_unless(
        tf.reduce_all(tf.equal(image_size, label_size)),
        lambda: ['picture ', name, ' and its label differ in size: '] + text(image_size) + [
            ' against '] + text(label_size) + [' pixels (height x width).'])


def check_label_values(label, num_classes, ignore_label, name):
    """Returns an op that stops the pipeline when a label is neither a class nor ignored.

    Args:
        label: uint8 `[height, width, 1]`.
        num_classes: number of classes.
        ignore_label: the label that counts as none.
        name: scalar string, the picture's name.
    """
    if num_classes > 255:
        return tf.constant(True)

    def is_bad():
        beyond = label >= tf.constant(num_classes, tf.uint8)
        if ignore_label < num_classes:
            return beyond
        return tf.logical_and(beyond, tf.not_equal(label, tf.constant(ignore_label, tf.uint8)))

    def message():
        values, _, counts = tf.unique_with_counts(
            tf.sort(tf.cast(tf.boolean_mask(label, is_bad()), tf.int32)))
        pairs = tf.strings.join([
            tf.as_string(values[:_MAX_VALUES_NAMED]), ' (',
            tf.as_string(counts[:_MAX_VALUES_NAMED]), ' pixels)'])
        return ['the label of picture ', name, ' holds ',
                tf.strings.reduce_join(pairs, separator=', '),
                '; allowed are 0..{} and the ignore label {}. Correct the labels, num_classes or '
                'ignore_label.'.format(num_classes - 1, ignore_label)]

    return input_errors.fail_unless(tf.logical_not(tf.reduce_any(is_bad())), message)
