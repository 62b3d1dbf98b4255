"""The data set as the network sees it: batches of pictures and labels from records."""
import collections
import random

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import errors
from deeplab import input_preprocess
from deeplab import names
from deeplab.core import augmentation as augmenting
from deeplab.datasets import crop_decode
from deeplab.datasets import decode
from deeplab.datasets import descriptions
from deeplab.datasets import eval_crop
from deeplab.datasets import input_errors
from deeplab.datasets import record_stream
from deeplab.datasets import records
from deeplab.utils import cores

_CITYSCAPES = 'cityscapes'
# One being copied to the device, one ready.
_PREFETCHED_BATCHES = 2
_MAX_SEED = 2 ** 31 - 1

# splits_to_sizes: dict from split name to number of images; num_classes: classes, class 0 included;
# ignore_label: label that is neither trained nor evaluated on.
DatasetDescriptor = collections.namedtuple(
    'DatasetDescriptor', ['splits_to_sizes', 'num_classes', 'ignore_label'])


def get_cityscapes_dataset_name():
    """Returns the name of the Cityscapes data set."""
    return _CITYSCAPES


class Dataset(object):
    """Batches of one split, checked before the graph is built and while it runs.

    Attributes beside the arguments of the constructor:
        description: `descriptions.Description` of the data set.
        dataset_name: its name, also where a path was given.
        num_of_classes, ignore_label: as described.
        shards: sorted paths of the records read.
        num_samples: number of pictures in the split (all workers together).
        has_labels: whether the records hold labels.
    """

    def __init__(self, dataset_name, split_name, dataset_dir, batch_size, crop_size,
                 min_resize_value=None, max_resize_value=None, resize_factor=None,
                 min_scale_factor=1., max_scale_factor=1., scale_factor_step_size=0,
                 model_variant=None, num_readers=1, is_training=False, should_shuffle=False,
                 should_repeat=False, seed=None, shuffle_buffer=None, worker_count=1,
                 worker_index=0, start=0, output_stride=16, augmentation=None):
        """Finds the records and checks that they can be used as asked.

        Args:
            dataset_name: a known name, or the path of a description (`descriptions.load`).
            split_name: name of the split.
            dataset_dir: folder of the records.
            batch_size: pictures a batch.
            crop_size: [height, width] of the pictures given to the network; None, for evaluation
                only, is the smallest crop that holds every picture of the split.
            min_resize_value, max_resize_value, resize_factor, min_scale_factor, max_scale_factor,
                scale_factor_step_size, model_variant: see `preprocess_image_and_label`.
            num_readers: shards read in turns, record by record.
            is_training: crop and flip at random; else pad to the crop.
            should_shuffle: mix the order, of shards and of records.
            should_repeat: go on for ever.
            seed: makes order and augmentation repeatable; None takes another one each time (the
                graph's seed, where it has one).
            shuffle_buffer: records to shuffle among; None is as many as fit into 256 MiB.
            worker_count, worker_index: this worker's share of the records.
            start: number of records this worker has used before, to go on from there.
            output_stride: of the network, for the crop derived or advised.
            augmentation: `deeplab.core.augmentation.Options` of what else happens to training
                crops; None is nothing.

        Raises:
            UserError: unknown data set or split, no shards, damaged shards, no labels to train on,
                a crop smaller than a picture to evaluate, contradicting options.
        """
        self.description = descriptions.load(dataset_name, dataset_dir)
        self.dataset_name = self.description.name
        self.split_name = split_name
        self.dataset_dir = dataset_dir
        self.batch_size = batch_size
        self.min_resize_value = min_resize_value
        self.max_resize_value = max_resize_value
        self.resize_factor = resize_factor
        self.min_scale_factor = min_scale_factor
        self.max_scale_factor = max_scale_factor
        self.scale_factor_step_size = scale_factor_step_size
        self.model_variant = model_variant
        self.num_readers = num_readers
        self.is_training = is_training
        self.should_shuffle = should_shuffle
        self.should_repeat = should_repeat
        self.num_of_classes = self.description.num_classes
        self.ignore_label = self.description.ignore_label
        self.seed = _seed_or_graph_seed(seed)
        self.augmentation = augmentation or augmenting.Options()
        self.augmentation.check()

        self.shards = self.description.shards(split_name, dataset_dir)
        self.num_samples = records.check_shards(self.shards)
        self._keys, first = records.first_record(self.shards)
        self.has_labels = bool(first.label)
        self._order = record_stream.Order(
            num_readers, should_shuffle, should_repeat,
            shuffle_buffer or record_stream.default_shuffle_buffer(self.shards),
            _random_seed() if self.seed is None else self.seed, worker_count, worker_index, start)
        record_stream.records_of_worker(self.shards, self._order)
        self.crop_size = self._checked_crop(crop_size, output_stride)
        self._check()

    def _options(self, crop_size):
        return input_preprocess.Options(
            crop_size[0], crop_size[1], self.min_resize_value, self.max_resize_value,
            self.resize_factor, self.min_scale_factor, self.max_scale_factor,
            self.scale_factor_step_size, self.ignore_label, self.is_training, self.model_variant)

    def _checked_crop(self, crop_size, output_stride):
        if self.is_training:
            if crop_size is None:
                raise errors.UserError('Training needs a crop size, height and width.')
            self._options(crop_size).check()
            return crop_size
        options = self._options(crop_size or (1, 1))
        options.check()
        sizes = records.image_sizes(self.shards)
        if crop_size is None:
            return eval_crop.fitting_crop(
                *eval_crop.largest_before_crop(sizes, options), output_stride)
        eval_crop.check(crop_size, sizes, options, output_stride)
        return crop_size

    def _check(self):
        if self.batch_size < 1:
            raise errors.UserError('The batch size must be at least 1, got {}.'.format(
                self.batch_size))
        if self.is_training and not self.has_labels:
            self.require_labels()
        self._warn_of_classes_never_seen()
        described = self.description.splits_to_sizes.get(self.split_name)
        if described is not None and described != self.num_samples:
            logging.warning('%s: split %s should have %d pictures and has %d records.',
                            self.dataset_name, self.split_name, described, self.num_samples)

    def _warn_of_classes_never_seen(self):
        """Says which classes this split cannot teach, where a converter has counted them."""
        report = self.description.report.get('splits', {}).get(self.split_name, {})
        never_seen = report.get('classes_never_seen') if self.is_training else None
        if never_seen:
            logging.warning(
                '%s: split %s has no pixel of class %s; training cannot teach what is never '
                'seen.', self.dataset_name, self.split_name, ', '.join(
                    '{} ({})'.format(label, self.description.class_name(label))
                    for label in never_seen))

    def require_labels(self):
        """Raises UserError when the split has no labels."""
        if not self.has_labels:
            raise errors.UserError(
                'Split {} of {} has no labels in its records ({}); use a split that has.'.format(
                    self.split_name, self.dataset_name, self.dataset_dir))

    def translate_error(self, error):
        """Returns a `UserError` where the input caused `error`; see `input_errors`."""
        return input_errors.translate_error(error, self.shards)

    def as_dataset(self):
        """Returns the `tf.data.Dataset` of batches; see `get_one_shot_iterator`."""
        numbered = record_stream.numbered_records(self.shards, self._order)
        batches = numbered.map(
            record_stream.plain(lambda number, serialized: self._prepare(number, serialized)),
            num_parallel_calls=compat.tuned(cores.cpu_count()))
        batches = self._batch(batches).prefetch(compat.tuned(_PREFETCHED_BATCHES))
        # Without a seed nothing is repeatable, so pictures may overtake each other.
        repeatable = self.seed is not None or not self.should_shuffle
        return batches.with_options(compat.pipeline_options(repeatable))

    def get_one_shot_iterator(self):
        """Returns an iterator whose `get_next()` is a dict of one batch:

            IMAGE: float32 `[batch, crop_height, crop_width, 3]`, in 0..255.
            LABEL: int32 `[batch, crop_height, crop_width, 1]`, where the split has labels.
            IMAGE_NAME: string `[batch]`.
            HEIGHT, WIDTH: int64 `[batch]`, size of the picture in its record.
            ORIGINAL_IMAGE: uint8 `[batch, height, width, 3]`, unless training: the picture before
                it was padded; in a batch of different sizes each is padded with zeros.

        The keys are those of `deeplab.names`.
        """
        return tf.data.make_one_shot_iterator(self.as_dataset())

    def _batch(self, dataset):
        if not self.is_training and self.batch_size > 1:
            shapes = tf.data.get_output_shapes(dataset)
            return dataset.padded_batch(self.batch_size, shapes)
        return dataset.batch(self.batch_size, drop_remainder=self.should_repeat)

    def _prepare(self, number, serialized):
        """Turns a numbered record into a sample; all that is random follows from the number."""
        parsed = decode.parse(serialized, self._keys)
        uniform = tf.random.stateless_uniform(
            [len(input_preprocess.Draws._fields)], seed=tf.stack([
                tf.constant(self._order.seed + self._order.worker_index, tf.int64), number]))
        draws = input_preprocess.draws_of(uniform)
        amounts = self._amounts(number)
        options = self._options(self.crop_size)
        if crop_decode.can_be_used(options):
            size = crop_decode.image_size(parsed.image)
            original = None
            image, label = crop_decode.training_crop(
                parsed.image, size, self._checked_label(parsed, size), options, draws, amounts)
        else:
            whole = decode.decode_image(parsed.image)
            size = tf.shape(whole)[:2]
            label = self._checked_label(parsed, size) if self.has_labels else None
            original, image, label = input_preprocess.preprocess(
                whole, label, options, draws, amounts)
        sample = {
            names.IMAGE: image,
            names.IMAGE_NAME: parsed.name,
            names.HEIGHT: tf.cast(size[0], tf.int64),
            names.WIDTH: tf.cast(size[1], tf.int64),
        }
        if label is not None:
            sample[names.LABEL] = label
        if not self.is_training:
            sample[names.ORIGINAL_IMAGE] = tf.cast(original, tf.uint8)
        return sample

    def _amounts(self, number):
        """What augmentation does to a numbered record; None where it is off."""
        if not (self.is_training and self.augmentation.acts):
            return None
        # Negative, so that it shares no random number with the crop.
        return augmenting.draw(self.augmentation, tf.stack([
            tf.constant(self._order.seed + self._order.worker_index, tf.int64), -1 - number]))

    def _checked_label(self, parsed, image_size):
        label = decode.decode_label(parsed)
        checks = [
            decode.check_same_size(image_size, label, parsed.name),
            decode.check_label_values(label, self.num_of_classes, self.ignore_label, parsed.name)]
        with tf.control_dependencies(checks):
            return tf.identity(label)


def _seed_or_graph_seed(seed):
    return tf.get_default_graph().seed if seed is None else seed


def _random_seed():
    return random.SystemRandom().randrange(_MAX_SEED)
