"""Predictions on all pictures of a data set's split, one after the other, ready to be compared."""
import collections
from concurrent import futures
import contextlib

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab import input_preprocess
from deeplab import names
from deeplab import prediction
from deeplab.datasets import data_generator
from deeplab.datasets import descriptions
from deeplab.datasets import eval_crop
from deeplab.datasets import input_errors
from deeplab.datasets import records
from deeplab.evaluation import inference

# One picture. label: integers [height, width], None where the split has none; prediction: the same
# size and type; image: uint8 [height, width, 3], None where not asked for. All as the network got
# the picture, resized where that is asked for, without padding. loss: cross entropy over the pixels
# that count, added up, and their number; None where not asked for.
Sample = collections.namedtuple('Sample', ['name', 'label', 'prediction', 'image', 'loss'])
Sample.__new__.__defaults__ = (None,)
_LOSS = 'loss'
# Probabilities of 0 occur in float32; this one costs 46.
_LEAST_PROBABILITY = 1e-20

# crop_size: [height, width] all pictures are padded to, None for the smallest that holds all;
# own_sizes: each picture is predicted at its own size instead.
CropChoice = collections.namedtuple('CropChoice', ['crop_size', 'own_sizes'])
OWN_SIZES = CropChoice(None, True)


def choose_crop(dataset, split, dataset_dir, crop_size, is_given, batch_size, resize_range, flag,
                output_stride=16) -> CropChoice:
    """Decides what pictures are padded to, and checks a crop that was asked for.

    Args:
      dataset, split, dataset_dir: see `data_generator.Dataset`.
      crop_size: [height, width], None or empty for no common crop.
      is_given: whether the user asked for that crop; where not, it is taken if it holds every
        picture, and otherwise as if there were none.
      batch_size: pictures a batch; of more than one all need a common size.
      resize_range: a `prediction.ResizeRange`.
      flag: name of the crop's flag, for messages.
      output_stride: of the network.

    Raises:
      UserError: the crop asked for is smaller than a picture; unknown data set or split.
    """
    shards = descriptions.load(dataset, dataset_dir).shards(split, dataset_dir)
    records.first_record(shards)
    options = input_preprocess.Options(1, 1, *resize_range, 1.0, 1.0, 0, 255, False, None)
    options.check()
    sizes = records.image_sizes(shards)
    in_network = {options.size_before_crop(*size) for size in sizes}
    largest = eval_crop.largest_before_crop(sizes, options)
    if crop_size and is_given:
        eval_crop.check(crop_size, sizes, options, output_stride, flag)
        return CropChoice(list(crop_size), False)
    if crop_size and all(side <= crop for side, crop in zip(largest, crop_size)):
        return CropChoice(list(crop_size), False)
    if batch_size == 1 and len(in_network) > 1:
        logging.info('No --%s: every picture at its own size, up to %d x %d.', flag, *largest)
        return OWN_SIZES
    fitting = eval_crop.fitting_crop(*largest, output_stride)
    logging.info('No --%s: all pictures at %d,%d, which holds the largest.', flag, *fitting)
    return CropChoice(None, False)


def _cross_entropy(probabilities, labels, ignore_label):
    """Returns float32 [batch, 2]: cross entropy added up over the pixels that count, their number.

    Args:
      probabilities: float32 [batch, height, width, classes].
      labels: int32 [batch, height or more, width or more, 1].
      ignore_label: label that does not count.
    """
    height, width, classes = tf.unstack(tf.shape(probabilities)[1:])
    labels = labels[:, :height, :width, 0]
    counts = tf.cast(tf.not_equal(labels, ignore_label), tf.float32)
    chosen = tf.one_hot(labels, classes)
    logarithms = tf.log(tf.maximum(probabilities, _LEAST_PROBABILITY))
    losses = -tf.reduce_sum(chosen * logarithms, axis=3)
    return tf.stack([tf.reduce_sum(losses * counts, axis=[1, 2]),
                     tf.reduce_sum(counts, axis=[1, 2])], axis=1)


def _one_ahead(run):
    """Yields the results of `run` until the input ends; works on the next while one is used.

    The device would be idle while pictures are counted or drawn.
    """
    with futures.ThreadPoolExecutor(max_workers=1) as worker:
        coming = worker.submit(run)
        while True:
            try:
                values = coming.result()
            except tf.errors.OutOfRangeError:
                return
            coming = worker.submit(run)
            yield values


class SplitPredictor:
    """The graph from records to labels; `samples` runs it with the weights of a checkpoint."""

    def __init__(self, dataset: data_generator.Dataset, model_options, options, own_sizes=False,
                 with_images=False, with_loss=False):
        """Builds the graph.

        Args:
          dataset: the split, not for training.
          model_options: a ModelOptions; its crop size is taken from the data set.
          options: `inference.InferenceOptions`.
          own_sizes: predict every picture at its own size, not at the crop's (batch size 1).
          with_images: whether samples are to hold the pictures themselves.
          with_loss: whether samples are to hold their loss; not by tiles.
        """
        if (own_sizes or options.tile_size) and dataset.batch_size != 1:
            raise ValueError('Pictures of their own sizes and tiles need batch_size 1. Received '
                             'instead {}.'.format(dataset.batch_size))
        self.dataset = dataset
        self._options = options
        self._with_loss = with_loss
        self._tile_network = None
        self._graph = tf.Graph()
        with self._graph.as_default():
            batch = dataset.get_one_shot_iterator().get_next()
            self._fetches = self._build(batch, model_options, own_sizes, with_images)
            options.finish_graph()
            # One for all checkpoints; another one each time would be added to the graph.
            self._saver = tf.train.Saver()

    def _build(self, batch, model_options, own_sizes, with_images):
        """Returns {name: tensor} of what is fetched for every batch."""
        fetches = {key: batch[key] for key in (names.IMAGE_NAME, names.HEIGHT, names.WIDTH)}
        if names.LABEL in batch:
            # All labels were 8 bits in the records: a quarter of the bytes to hand over.
            fetches[names.LABEL] = tf.cast(tf.squeeze(batch[names.LABEL], 3), tf.uint8)
        if with_images:
            fetches[names.ORIGINAL_IMAGE] = batch[names.ORIGINAL_IMAGE]
        images = batch[names.IMAGE]
        if own_sizes or self._options.tile_size:
            height, width = tf.unstack(tf.shape(batch[names.ORIGINAL_IMAGE])[1:3])
            images = images[:, :height, :width]
        if self._options.tile_size:
            self._tile_network = inference.TileNetwork(model_options, self._options)
            fetches[names.IMAGE] = images
            return fetches
        if own_sizes:
            predicted = self._options.build_for_image(
                images, model_options._replace(crop_size=None), prediction.NO_RESIZE)
        else:
            predicted = self._options.build(
                images, model_options._replace(crop_size=list(self.dataset.crop_size)))
        fetches[names.OUTPUT_TYPE] = tf.cast(predicted.labels, tf.uint8)
        if self._with_loss:
            fetches[_LOSS] = _cross_entropy(predicted.probabilities, batch[names.LABEL],
                                            self.dataset.ignore_label)
        return fetches

    def samples(self, prefix: str):
        """Yields the `Sample` of every picture, in the order of the records.

        Args:
          prefix: of the checkpoint.

        Raises:
          UserError: the checkpoint does not fit, or a record is bad.
        """
        session = inference.open_restored(
            self._graph, prefix, self._options, saver=self._saver)
        with contextlib.closing(session), inference.memory_errors_explained():
            with input_errors.translated(self.dataset.shards):
                for values in _one_ahead(lambda: session.run(self._fetches)):
                    for sample in self._split(values, session):
                        yield sample

    def _split(self, values, session):
        """Yields the samples of one batch, their padding cut off."""
        if self._tile_network is not None:
            labels, _ = self._tile_network.predict(session, values[names.IMAGE][0])
            values[names.OUTPUT_TYPE] = labels[None].astype('uint8')
        for index, name in enumerate(values[names.IMAGE_NAME]):
            height, width = prediction.size_in_network(
                int(values[names.HEIGHT][index]), int(values[names.WIDTH][index]),
                self._options.resize_range)

            def cut(key, index=index, height=height, width=width):
                return values[key][index, :height, :width] if key in values else None

            yield Sample(name.decode('utf-8', 'replace'), cut(names.LABEL),
                         cut(names.OUTPUT_TYPE), cut(names.ORIGINAL_IMAGE),
                         tuple(values[_LOSS][index]) if _LOSS in values else None)
