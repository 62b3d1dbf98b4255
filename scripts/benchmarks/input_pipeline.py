r"""Times the input pipeline against a plain transcription of the usual order of operations.

    python scripts/benchmarks/input_pipeline.py --dataset=camvid --dataset_dir=data/camvid

The transcription reads shards in order, decodes and scales every picture whole, pads it, cuts the
crop out, flips it, and shuffles 100 finished crops. The program's own pipeline shuffles encoded
records and decodes and scales only what a crop shows. Both run one after the other, at batch 4,
crop 321, scales 0.5 to 2.0 and 2 readers unless flags say otherwise, and give crops of the same
kind (the same pixels for the same draws, which the tests show).

Augmentation flags act on the program's pipeline only and show what they cost. --train_steps=N then
trains a MobileNetV2 for N steps on each pipeline and prints the share of the time in which a step
had nothing to do but wait for its batch.

Images a second depend on what else the machine does, so CPU time an image is printed as well.
"""
import collections
import os
import time

from absl import flags
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from deeplab import augmentation_flags
from deeplab import cli
from deeplab import names
from deeplab.core import feature_extractor
from deeplab.datasets import data_generator
from deeplab.datasets import record_stream
from deeplab.datasets import tfrecord_file
from deeplab.training import graph as training_graph
from deeplab.training import options as training_options

FLAGS = flags.FLAGS

_VARIANT = 'mobilenet_v2'
_SHUFFLED_CROPS = 100
_MEBIBYTE = 2.0 ** 20

# kept_bytes: what the process has grown by, measured; None where the system does not tell.
_Result = collections.namedtuple('_Result', ['images', 'seconds', 'cpu_seconds', 'kept_bytes'])


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('dataset', 'camvid', 'Data set: a name, or the path of a description.')
    flags.DEFINE_string('dataset_dir', None, "Folder of the data set's TFRecords.")
    flags.DEFINE_string('split', 'train', 'Split to read.')
    flags.DEFINE_integer('batch_size', 4, 'Images a batch.', lower_bound=1)
    cli.define_size('train_crop_size', ['321', '321'], 'Crop height,width.')
    flags.DEFINE_float('min_scale_factor', 0.5, 'Smallest random scale of an image.')
    flags.DEFINE_float('max_scale_factor', 2.0, 'Largest random scale of an image.')
    flags.DEFINE_float('scale_factor_step_size', 0.25, 'Distance of the scales.')
    flags.DEFINE_integer('num_readers', 2, 'Shards read in turns, or threads of the '
                         'transcription.', lower_bound=1)
    flags.DEFINE_integer('warmup_batches', 30, 'Batches before the clock starts; enough to fill '
                         'the shuffle buffer.', lower_bound=1)
    flags.DEFINE_integer('batches', 100, 'Batches timed.', lower_bound=1)
    flags.DEFINE_integer('train_steps', 0, 'Training steps on each pipeline; 0 is none.',
                         lower_bound=0)
    augmentation_flags.define_augmentation_flags()
    flags.mark_flag_as_required('dataset_dir')


def _scaled(image, label):
    steps = int((FLAGS.max_scale_factor - FLAGS.min_scale_factor) /
                FLAGS.scale_factor_step_size + 1)
    scales = tf.random_shuffle(tf.lin_space(
        float(FLAGS.min_scale_factor), float(FLAGS.max_scale_factor), steps))
    size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * scales[0], tf.int32)
    return (tf.image.resize_bilinear(image[tf.newaxis], size, align_corners=True)[0],
            tf.image.resize_nearest_neighbor(label[tf.newaxis], size, align_corners=True)[0])


def _padded(pixels, crop, fill):
    missing = tf.maximum(tf.constant(crop) - tf.shape(pixels)[:2], 0)
    return tf.pad(pixels - fill, [[0, missing[0]], [0, missing[1]], [0, 0]]) + fill


def _finished_crop(image, label, crop, ignore_label):
    """Scales, pads, crops and flips a whole picture, all in float32 and int32."""
    image, label = _scaled(tf.cast(image, tf.float32), tf.cast(label, tf.int32))
    image = _padded(image, crop, tf.constant(feature_extractor.mean_pixel(_VARIANT)))
    label = _padded(label, crop, ignore_label)
    size = tf.shape(image)
    top, left = [tf.random_uniform([], maxval=size[axis] - crop[axis] + 1, dtype=tf.int32)
                 for axis in (0, 1)]
    both = [pixels[top:top + crop[0], left:left + crop[1]] for pixels in (image, label)]
    both = tf.cond(tf.random_uniform([]) < 0.5, lambda: [tf.reverse(side, [1]) for side in both],
                   lambda: both)
    for pixels, channels in zip(both, (3, 1)):
        pixels.set_shape(crop + [channels])
    return {names.IMAGE: both[0], names.LABEL: both[1]}


def transcription(dataset: data_generator.Dataset) -> tf.data.Dataset:
    """Returns the pipeline in the usual order of operations, over the same records."""
    features = {'image/encoded': tf.FixedLenFeature([], tf.string),
                'image/segmentation/class/encoded': tf.FixedLenFeature([], tf.string)}

    def decoded(serialized):
        parsed = tf.parse_single_example(serialized, features)
        image = tf.image.decode_image(parsed['image/encoded'], channels=3)
        label = tf.image.decode_image(parsed['image/segmentation/class/encoded'], channels=1)
        image.set_shape([None, None, 3])
        label.set_shape([None, None, 1])
        return image, label

    def finished(image, label):
        return _finished_crop(image, label, list(dataset.crop_size), dataset.ignore_label)

    readers = dataset.num_readers
    crops = (tf.data.TFRecordDataset(dataset.shards, num_parallel_reads=readers)
             .map(record_stream.plain(decoded), num_parallel_calls=readers)
             .map(record_stream.plain(finished), num_parallel_calls=readers))
    return (crops.shuffle(_SHUFFLED_CROPS).repeat().batch(dataset.batch_size)
            .prefetch(dataset.batch_size))


def _resident_bytes():
    try:
        with open('/proc/self/statm') as stream:
            return int(stream.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except (OSError, IOError):
        return None


def _session():
    return tf.Session(config=tf.ConfigProto(device_count={'GPU': 0}))


def time_batches(pipeline: tf.data.Dataset, warmup: int, batches: int, title: str) -> _Result:
    """Draws batches as fast as they come; the first `warmup` are not timed."""
    fetches = tf.data.make_one_shot_iterator(pipeline).get_next()
    with _session() as session:
        images = 0
        resident = _resident_bytes()
        for number in tqdm(range(warmup + batches), desc=title, unit='batch', disable=None):
            if number == warmup:
                begin, cpu_begin = time.perf_counter(), time.process_time()
            size = len(session.run([fetches[names.IMAGE], fetches[names.LABEL]])[0])
            images += size if number >= warmup else 0
        return _Result(images, time.perf_counter() - begin, time.process_time() - cpu_begin,
                       resident and _resident_bytes() - resident)


class _FedBatches(object):
    """Stands for a data set whose batches are fed: the wait for them can then be timed alone."""

    def __init__(self, dataset):
        self.ignore_label = dataset.ignore_label
        height, width = dataset.crop_size
        self.batch = {
            names.IMAGE: tf.placeholder(tf.float32, [dataset.batch_size, height, width, 3]),
            names.LABEL: tf.placeholder(tf.int32, [dataset.batch_size, height, width, 1]),
            names.IMAGE_NAME: tf.constant([''] * dataset.batch_size)}

    def get_one_shot_iterator(self):
        """Returns itself."""
        return self

    def get_next(self):
        """Returns the placeholders of a batch."""
        return self.batch


def share_of_waiting(pipeline, dataset, steps: int, title: str) -> float:
    """Trains `steps` steps and returns the share of the time spent waiting for batches."""
    batch = tf.data.make_one_shot_iterator(pipeline).get_next()
    batch = {name: batch[name] for name in (names.IMAGE, names.LABEL)}
    fed = _FedBatches(dataset)
    crop = list(dataset.crop_size)
    tensors = training_graph.build(
        training_options.TrainingOptions(train_batch_size=dataset.batch_size, clone_on_cpu=True,
                                         fine_tune_batch_norm=False),
        names.ModelOptions({names.OUTPUT_TYPE: dataset.num_of_classes}, crop_size=crop,
                           model_variant=_VARIANT, output_stride=16), fed)
    waited = trained = 0.0
    with _session() as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for number in tqdm(range(steps + 1), desc=title, unit='step', disable=None):
            begin = time.perf_counter()
            values = session.run(batch)
            middle = time.perf_counter()
            session.run(tensors.train_op, {fed.batch[name]: values[name] for name in values})
            if number:  # The first step fills buffers and compiles.
                waited += middle - begin
                trained += time.perf_counter() - middle
    return waited / (waited + trained)


def shuffle_bytes(dataset: data_generator.Dataset) -> tuple:
    """Returns the bytes the shuffle buffers hold: (of finished crops, of encoded records)."""
    height, width = dataset.crop_size
    lengths = [span.length for path in dataset.shards for span in tfrecord_file.spans(path)]
    kept = record_stream.default_shuffle_buffer(dataset.shards)
    # Crops: three float32 and one int32 a pixel.
    return (_SHUFFLED_CROPS * height * width * 4 * 4,
            int(kept * sum(lengths) / float(len(lengths))))


def _make_dataset():
    return data_generator.Dataset(
        FLAGS.dataset, FLAGS.split, FLAGS.dataset_dir, FLAGS.batch_size,
        cli.size_from_flag(FLAGS.train_crop_size), min_scale_factor=FLAGS.min_scale_factor,
        max_scale_factor=FLAGS.max_scale_factor,
        scale_factor_step_size=FLAGS.scale_factor_step_size, model_variant=_VARIANT,
        num_readers=FLAGS.num_readers, is_training=True, should_shuffle=True, should_repeat=True,
        augmentation=augmentation_flags.augmentation_from_flags())


def _print_table(dataset, results):
    memory = shuffle_bytes(dataset)
    kept = _SHUFFLED_CROPS, record_stream.default_shuffle_buffer(dataset.shards)
    print('TensorFlow {}, {} pictures of {}, batch {}, crop {} x {}'.format(
        tf.__version__, dataset.num_samples, dataset.dataset_name, dataset.batch_size,
        *dataset.crop_size))
    for title, what, count, held in zip(
            ('this program', 'transcription'), ('records', 'crops'), kept[::-1], memory[::-1]):
        result = results[title]
        grown = ('' if result.kept_bytes is None else
                 ', process grew by {:.1f} MiB'.format(result.kept_bytes / _MEBIBYTE))
        print('  {:13}  {:8.1f} images/s  {:7.2f} ms CPU/image  shuffles {} {} in {:.1f} MiB{}'
              .format(title, result.images / result.seconds,
                      1e3 * result.cpu_seconds / result.images, count, what, held / _MEBIBYTE,
                      grown))
    ours, theirs = results['this program'], results['transcription']
    print('  ratio          {:8.2f}           {:7.2f}                        {:7.2f}'.format(
        ours.images / ours.seconds * theirs.seconds / theirs.images,
        theirs.cpu_seconds / theirs.images * ours.images / ours.cpu_seconds,
        memory[0] / float(memory[1])))


def main(_):
    dataset = _make_dataset()
    # The smaller one first: memory it gives back makes the other one look smaller, not larger.
    makers = {'this program': dataset.as_dataset, 'transcription': lambda: transcription(dataset)}
    results = {}
    with tf.Graph().as_default():
        # What TensorFlow itself takes when it is first used is no pipeline's memory.
        time_batches(dataset.as_dataset().take(2), 1, 1, 'start')
    for title, make in makers.items():
        with tf.Graph().as_default():
            results[title] = time_batches(make(), FLAGS.warmup_batches, FLAGS.batches, title)
    _print_table(dataset, results)
    for title, make in makers.items() if FLAGS.train_steps else ():
        with tf.Graph().as_default():
            share = share_of_waiting(make(), dataset, FLAGS.train_steps, title)
        print('  {:13}  {:.2%} of a training step is waiting for its batch'.format(title, share))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
