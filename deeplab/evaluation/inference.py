"""What evaluation, visualisation and prediction have in common around the network."""
import collections

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import errors
from deeplab import prediction
from deeplab.core import feature_extractor
from deeplab.evaluation import tiles
from deeplab.utils import checkpoints
from deeplab.utils import memory_errors

_FIELDS = (
    ('eval_scales', (1.0,)),
    ('add_flipped_images', False),
    ('image_pyramid', None),
    ('resize_range', prediction.NO_RESIZE),
    ('tile_size', None),
    ('tile_overlap', 0.25),
    ('quantize_delay_step', -1),
    ('master', ''),
)


class InferenceOptions(collections.namedtuple('InferenceOptions', [name for name, _ in _FIELDS])):
    """How labels are predicted, apart from the network itself; plain values, each with a default.

    Fields:
      eval_scales, add_flipped_images, image_pyramid: see `prediction.build_prediction`.
      resize_range: a `prediction.ResizeRange` all images are brought to first.
      tile_size: (height, width) of overlapping tiles images are predicted in, or None for whole.
      tile_overlap: least share of a tile that neighbours have in common.
      quantize_delay_step: not negative where the network was trained quantised.
      master: address of the TensorFlow server to run on; '' for this process.
    """

    __slots__ = ()

    def __new__(cls, **values):
        return super(InferenceOptions, cls).__new__(cls, **dict(_FIELDS, **values))

    def validate(self) -> 'InferenceOptions':
        """Returns itself.

        Raises:
          UserError: naming the flags, for values out of range or that exclude each other.
        """
        prediction.check_scales(self.eval_scales, self.add_flipped_images, self.image_pyramid)
        if not 0 <= self.tile_overlap < 1:
            raise errors.UserError('--tile_overlap={} must be at least 0 and below 1.'.format(
                self.tile_overlap))
        if self.tile_size and self.resize_range != prediction.NO_RESIZE:
            raise errors.UserError('--tile_size (images as they are, in parts) cannot be combined '
                                   'with --min_resize_value: give one of them.')
        if self.quantize_delay_step >= 0:
            if tuple(self.eval_scales) != (1.0,) or self.add_flipped_images:
                raise errors.UserError('--quantize_delay_step: a quantised network predicts at '
                                       'scale 1.0 without flips only.')
            if compat.quantize_module() is None:
                raise errors.UserError(
                    '--quantize_delay_step: {} has no quantisation rewriter; use TensorFlow 1.15 '
                    'for quantised networks.'.format(compat.describe_runtime()))
        return self

    def build(self, images, model_options) -> prediction.Prediction:
        """Builds the prediction on a batch of the size of the crop."""
        return prediction.build_prediction(
            images, model_options, self.eval_scales, self.add_flipped_images, self.image_pyramid)

    def build_for_image(self, image, model_options, resize_range=None) -> prediction.Prediction:
        """Builds the prediction on one image `[1, height, width, 3]` of any size."""
        return prediction.build_image_prediction(
            image, model_options, resize_range or self.resize_range, self.eval_scales,
            self.add_flipped_images, self.image_pyramid)

    def finish_graph(self) -> None:
        """Rewrites the default graph for a quantised network; call it when the graph is built."""
        if self.quantize_delay_step >= 0:
            compat.quantize_module().create_eval_graph()


class TileNetwork:
    """The network on tiles of one size, in the default graph, for images of any size."""

    def __init__(self, model_options, options: InferenceOptions):
        """Builds the network with `options.tile_size` as its crop."""
        height, width = options.tile_size
        self._options = options
        self._tiles = tf.placeholder(tf.float32, [None, height, width, 3], name='tiles')
        # What pads small images; in float, as the input pipeline pads.
        self._fill = feature_extractor.mean_pixel(model_options.model_variant)
        self._probabilities = options.build(
            self._tiles, model_options._replace(crop_size=[height, width])).probabilities

    def predict(self, session, image, keep_probabilities=False):
        """Predicts one image `[height, width, 3]`, 0..255; see `tiles.predict_in_tiles`."""
        def predict_tiles(batch):
            return session.run(self._probabilities, {self._tiles: batch})

        return tiles.predict_in_tiles(
            np.asarray(image, np.float32), self._options.tile_size, self._options.tile_overlap,
            predict_tiles, fill=self._fill, keep_probabilities=keep_probabilities)


def session_config() -> tf.ConfigProto:
    """Returns the settings of a session: shares a GPU, does without where there is none."""
    return tf.ConfigProto(allow_soft_placement=True, gpu_options=tf.GPUOptions(allow_growth=True))


def open_restored(graph, prefix, options: InferenceOptions, class_flag='--dataset',
                  saver=None) -> tf.Session:
    """Returns a session of a built graph with the weights of a checkpoint.

    Args:
      graph: the graph; all its global variables are restored.
      prefix: of the checkpoint.
      options: InferenceOptions, for the address of the server.
      class_flag: the flag that decides the number of classes, for messages.
      saver: a tf.train.Saver of all global variables of a graph that is restored more than once.

    Raises:
      UserError: the checkpoint does not fit the graph.
    """
    session = tf.Session(options.master, graph, session_config())
    try:
        with graph.as_default():
            checkpoints.restore(session, prefix, tf.global_variables(), class_flag, saver)
    except errors.UserError:
        session.close()
        raise
    return session


def memory_errors_explained():
    """A context in which running out of memory is a `UserError` that says what to do."""
    return memory_errors.explained(
        'Take smaller batches, or predict in tiles: --tile_size=513,513.')
