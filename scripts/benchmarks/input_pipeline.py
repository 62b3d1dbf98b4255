r"""Times the input pipeline against a plain transcription of the usual order of operations.

    python scripts/benchmarks/input_pipeline.py --dataset=camvid --dataset_dir=data/camvid

The transcription reads shards in order, decodes and scales every picture whole, pads it, cuts the
crop out, flips it, and shuffles 100 finished crops. The program's own pipeline shuffles encoded
records and decodes and scales only what a crop shows. Both run one after the other, at batch 4,
crop 321, scales 0.5 to 2.0 and 2 readers unless flags say otherwise, and give crops of the same
kind (the same pixels for the same draws, which the tests show).

Augmentation flags act on the program's pipeline only and show what they cost.

Images a second depend on what else the machine does, so CPU time an image is printed as well.
"""
import collections
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

FLAGS = flags.FLAGS

_VARIANT = 'mobilenet_v2'
_SHUFFLED_CROPS = 100
_MEBIBYTE = 2.0 ** 20

_Result = collections.namedtuple('_Result', ['images', 'seconds', 'cpu_seconds'])


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


def time_batches(pipeline: tf.data.Dataset, warmup: int, batches: int, title: str) -> _Result:
    """Draws batches as fast as they come; the first `warmup` are not timed."""
    fetches = tf.data.make_one_shot_iterator(pipeline).get_next()
    with tf.Session(config=tf.ConfigProto(device_count={'GPU': 0})) as session:
        images = 0
        for number in tqdm(range(warmup + batches), desc=title, unit='batch', disable=None):
            if number == warmup:
                begin, cpu_begin = time.perf_counter(), time.process_time()
            size = len(session.run([fetches[names.IMAGE], fetches[names.LABEL]])[0])
            images += size if number >= warmup else 0
        return _Result(images, time.perf_counter() - begin, time.process_time() - cpu_begin)


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


def main(_):
    dataset = _make_dataset()
    results = [time_batches(make(), FLAGS.warmup_batches, FLAGS.batches, title)
               for title, make in (('transcription', lambda: transcription(dataset)),
                                   ('this program', dataset.as_dataset))]
    memory = shuffle_bytes(dataset)
    kept = _SHUFFLED_CROPS, record_stream.default_shuffle_buffer(dataset.shards)
    print('TensorFlow {}, {} pictures of {}, batch {}, crop {} x {}'.format(
        tf.__version__, dataset.num_samples, dataset.dataset_name, dataset.batch_size,
        *dataset.crop_size))
    for title, result, held, what, count in zip(
            ('transcription', 'this program'), results, memory, ('crops', 'records'), kept):
        print('  {:13}  {:8.1f} images/s  {:7.2f} ms CPU/image  shuffles {} {} in {:.1f} MiB'
              .format(title, result.images / result.seconds,
                      1e3 * result.cpu_seconds / result.images, count, what, held / _MEBIBYTE))
    theirs, ours = results
    print('  ratio          {:8.2f}           {:7.2f}                        {:7.2f}'.format(
        ours.images / ours.seconds * theirs.seconds / theirs.images,
        theirs.cpu_seconds / theirs.images * ours.images / ours.cpu_seconds,
        memory[0] / float(memory[1])))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
