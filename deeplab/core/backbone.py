"""The record that describes a backbone, and what belongs to each family of backbones."""
import collections

import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.names import DEFAULT_BATCH_NORM_DECAY

# ImageNet's mean colour in RGB, as the ResNets of the reference were trained with.
IMAGENET_MEAN_RGB = (123.15, 115.90, 103.06)
MID_GREY_RGB = (127.5, 127.5, 127.5)


def scale_to_unit_range(images, dtype=tf.float32):
    """Maps pixels 0..255 to [-1, 1]; [batch, height, width, channels] of any numeric dtype."""
    return tf.cast((2.0 / 255.0) * tf.cast(images, tf.float32) - 1.0, dtype)


def subtract_imagenet_mean(images, dtype=tf.float32):
    """Subtracts ImageNet's mean colour; channels after the third are left as they are."""
    channels = tf.Dimension(images.shape[-1]).value
    mean = list(IMAGENET_MEAN_RGB) + [0.0] * (channels - len(IMAGENET_MEAN_RGB))
    return tf.cast(tf.cast(images, tf.float32) - tf.constant(mean, shape=[1, 1, 1, channels]),
                   dtype)


def keep_pixels(images, dtype=tf.float32):
    """Takes pixels as they are, 0..255."""
    return tf.cast(images, dtype)


class Backbone(collections.namedtuple('Backbone', (
        'name', 'network', 'family', 'scope', 'decoder_end_points', 'preprocess', 'padding_pixel',
        'output_strides', 'multi_grid_length'))):
    """One backbone.

    Fields:
        name: what `--model_variant` says.
        network: function of the images and the arguments its family gives it, returning
            (features, end points).
        family: the `Family` it belongs to.
        scope: variable scope.
        decoder_end_points: dict from output stride to the name of the end point that serves the
            decoder there; empty where the backbone offers none.
        preprocess: function of (images 0..255, dtype) scaling pixels for this network.
        padding_pixel: RGB colour that pads pictures.
        output_strides: those it can run at.
        multi_grid_length: number of rates `multi_grid` must have; None where it is not used.
    """

    __slots__ = ()

    def __new__(cls, name, network, family, scope, decoder_end_points=(),
                preprocess=scale_to_unit_range, padding_pixel=MID_GREY_RGB,
                output_strides=(2, 4, 8, 16, 32), multi_grid_length=None):
        return super(Backbone, cls).__new__(
            cls, name, network, family, scope, dict(decoder_end_points), preprocess,
            padding_pixel, tuple(output_strides), multi_grid_length)

    def end_point_name(self, name):
        """Returns the key among the end points of the decoder feature `name`."""
        return '{}/{}'.format(self.scope, name) if self.family.scoped_end_points else name


# What `changed` can say of a backbone: field -> {word: value}.
_CHANGES = {
    'pixels': ('preprocess', {'unit': scale_to_unit_range, 'mean': subtract_imagenet_mean,
                              'raw': keep_pixels}),
    'padding': ('padding_pixel', {'grey': MID_GREY_RGB, 'mean': IMAGENET_MEAN_RGB,
                                  'black': (0.0, 0.0, 0.0)}),
}


def changed(record: Backbone, changes) -> Backbone:
    """Returns a backbone that treats pixels otherwise, for weights that were trained so.

    Args:
        record: the backbone.
        changes: list of 'pixels=unit' (to [-1, 1]), 'pixels=mean' (less ImageNet's mean),
            'pixels=raw' (0..255), 'padding=grey', 'padding=mean' (ImageNet's), 'padding=black'.

    Raises:
        UserError: anything else.
    """
    for change in changes:
        key, _, word = change.partition('=')
        field, values = _CHANGES.get(key, (None, {}))
        if word not in values:
            raise errors.UserError(
                '--model_variant={}:{}: {!r} is not known; after the name of the network may '
                'follow {}.'.format(record.name, ':'.join(changes), change, ' and '.join(
                    ':{}={}'.format(known, '|'.join(sorted(words)))
                    for known, (_, words) in sorted(_CHANGES.items()))))
        record = record._replace(**{field: values[word]})
    return record


# arg_scope: function of the settings below, giving the family's arg scope.
# arguments: function of (backbone, settings), giving the network's keyword arguments.
# scoped_end_points: whether end points carry the variable scope in front.
Family = collections.namedtuple('Family', ('arg_scope', 'arguments', 'scoped_end_points'))

# What `extract_features` was asked for, handed to the family as one value.
Settings = collections.namedtuple('Settings', (
    'output_stride', 'multi_grid', 'depth_multiplier', 'divisible_by', 'final_endpoint',
    'weight_decay', 'reuse', 'is_training', 'fine_tune_batch_norm', 'regularize_depthwise',
    'num_classes', 'global_pool', 'nas_architecture_options', 'nas_training_hyper_parameters',
    'use_bounded_activation', 'batch_norm_decay', 'sync_batch_norm_method'))


def trains_batch_norm(settings: Settings) -> bool:
    """Whether batch norm uses the batch's statistics: in training, unless it is frozen."""
    return bool(settings.is_training and settings.fine_tune_batch_norm)


def decay_or(settings: Settings, own_decay: float) -> float:
    """Returns the batch norm decay asked for, or the family's own where none was."""
    given = settings.batch_norm_decay
    if given is None or given == DEFAULT_BATCH_NORM_DECAY:
        return own_decay
    return given
