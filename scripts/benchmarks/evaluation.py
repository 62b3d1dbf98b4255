r"""Compares an evaluation with the bare network, and the confusion matrix with plain ways to count.

    python scripts/benchmarks/evaluation.py --dataset=camvid --dataset_dir=data/camvid \
        --checkpoint_dir=runs/camvid --split=val

The bare network predicts one and the same batch again and again: no records, no pictures to decode,
no counting. Evaluation and bare network take turns, batch size by batch size. Printed are images/s
and CPU time an image of both, and what the program around the network costs. Images/s depend on
what else the machine does; CPU time hardly does.

The confusion matrix counts --confusion_images pictures of 1024 x 2048 with 19 classes. Beside it
stand one boolean mask a pair of classes, and a loop over the pixels; these are timed on a part of
the pictures and scaled up, which is said.
"""
import collections
import statistics
import time

from absl import flags
import numpy as np
import tabulate
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from deeplab import cli
from deeplab import common
from deeplab import inference_flags
from deeplab import names
from deeplab.datasets import descriptions
from deeplab.evaluation import confusion
from deeplab.evaluation import inference
from deeplab.evaluation import job
from deeplab.evaluation import split_prediction
from deeplab.utils import checkpoints

FLAGS = flags.FLAGS

_HEIGHT, _WIDTH, _CLASSES = 1024, 2048, 19
_PIXELS_OF_LOOP = 200 * 1000

_Speed = collections.namedtuple('_Speed', ['images_per_second', 'cpu_milliseconds'])


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('checkpoint_dir', None, 'Checkpoint, or a folder of them.')
    flags.DEFINE_string('dataset', 'camvid', 'Data set: a name, or the path of a description.')
    flags.DEFINE_string('dataset_dir', None, "Folder of the data set's TFRecords.")
    flags.DEFINE_string('split', 'val', 'Split to evaluate.')
    cli.define_list('batch_sizes', [1, 8], 'Batch sizes to compare at.', item_type=int)
    flags.DEFINE_integer('rounds', 5, 'Times each side is measured, in turns; the median counts.',
                         lower_bound=1)
    flags.DEFINE_integer('confusion_images', 100, 'Pictures for the confusion matrix; 0 is none.',
                         lower_bound=0)
    inference_flags.define_network_flags()
    flags.mark_flags_as_required(['checkpoint_dir', 'dataset_dir'])


class BareNetwork:
    """The network and nothing around it."""

    def __init__(self, prefix, model_options, options, batch_size):
        """Builds the graph on a batch that lies in the session already."""
        self._batch_size = batch_size
        graph = tf.Graph()
        with graph.as_default():
            noise = np.random.RandomState(0).uniform(
                0, 255, [batch_size] + list(model_options.crop_size) + [3])
            # A placeholder with a default, or all of the network would be folded away.
            images = tf.placeholder_with_default(noise.astype(np.float32), noise.shape)
            self._labels = tf.cast(options.build(images, model_options).labels, tf.uint8)
        self._session = inference.open_restored(graph, prefix, options)

    def speed(self, images):
        """Predicts that many images (rounded up to batches); their _Speed."""
        self._session.run(self._labels)
        batches = -(-images // self._batch_size)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        for _ in range(batches):
            self._session.run(self._labels)
        count = float(batches * self._batch_size)
        return _Speed(count / (time.perf_counter() - begin),
                      1e3 * (time.process_time() - cpu_begin) / count)


def _cpu_seconds(function):
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result


def _speed_of_evaluation(evaluator, prefix, batch_size):
    # What it takes to restore a checkpoint and to begin is no cost of an image.
    start, _ = _cpu_seconds(lambda: evaluator.evaluate(prefix, lambda: True, bar_stays=False))
    whole, report = _cpu_seconds(lambda: evaluator.evaluate(prefix, bar_stays=False))
    return report['images'], _Speed(report['images_per_second'],
                                    1e3 * (whole - start) / (report['images'] - batch_size))


def compare_evaluation(prefix, model_options, options, split) -> list:
    """Returns a row of the table: batch size, speeds of both sides, what the program costs."""
    evaluator = job.Evaluator(split, model_options, options)
    model_options = model_options._replace(crop_size=evaluator.crop_size)
    bare = BareNetwork(prefix, model_options, options, split.batch_size)
    ours, theirs = [], []
    for _ in range(FLAGS.rounds):
        images, speed = _speed_of_evaluation(evaluator, prefix, split.batch_size)
        ours.append(speed)
        theirs.append(bare.speed(images))
    row = [split.batch_size]
    for field, sign in (('images_per_second', -1), ('cpu_milliseconds', 1)):
        sides = [[getattr(speed, field) for speed in side] for side in (theirs, ours)]
        # Neighbours in time are compared: what else the machine does changes slowly.
        ratio = statistics.median((own / bare) ** sign for bare, own in zip(*sides))
        row += [statistics.median(side) for side in sides] + ['{:+.1%}'.format(ratio - 1)]
    return row


def _by_masks(labels, predictions):
    counts = np.zeros((_CLASSES, _CLASSES), np.int64)
    for label in range(_CLASSES):
        for predicted in range(_CLASSES):
            counts[label, predicted] = np.sum((labels == label) & (predictions == predicted))
    return counts


def _by_loop(labels, predictions):
    counts = np.zeros((_CLASSES, _CLASSES), np.int64)
    for label, predicted in zip(labels, predictions):
        counts[label, predicted] += 1
    return counts


def compare_counting(images) -> list:
    """Returns the rows of the table: way of counting, seconds, ratio to ours, how it was timed."""
    random = np.random.RandomState(0)
    labels, predictions = random.randint(0, _CLASSES, (2, _HEIGHT, _WIDTH)).astype(np.uint8)
    seconds = {}

    counted = confusion.ConfusionMatrix(_CLASSES)
    begin = time.perf_counter()
    for _ in tqdm(range(images), desc='count', unit='image', disable=None):
        counted.update(labels, predictions)
    seconds['ConfusionMatrix'] = time.perf_counter() - begin, 'all {} images'.format(images)

    begin = time.perf_counter()
    expected = _by_masks(labels, predictions)
    seconds['a mask a pair of classes'] = (
        images * (time.perf_counter() - begin), '1 image, times {}'.format(images))
    if (counted.matrix != images * expected).any():
        raise AssertionError('The two ways count differently.')

    begin = time.perf_counter()
    _by_loop(labels.ravel()[:_PIXELS_OF_LOOP], predictions.ravel()[:_PIXELS_OF_LOOP])
    share = _HEIGHT * _WIDTH / float(_PIXELS_OF_LOOP)
    seconds['a loop over pixels'] = (
        images * share * (time.perf_counter() - begin),
        '{} pixels, times {:.0f}'.format(_PIXELS_OF_LOOP, images * share))
    ours = seconds['ConfusionMatrix'][0]
    return [[way, taken, taken / ours, how] for way, (taken, how) in seconds.items()]


def main(_):
    prefix = checkpoints.find_checkpoint(FLAGS.checkpoint_dir)
    inference_flags.follow_training(prefix, also=['dataset'])
    description = descriptions.load(FLAGS.dataset, FLAGS.dataset_dir)
    options = inference_flags.inference_options()
    model_options = common.model_options_from_flags(
        {names.OUTPUT_TYPE: description.num_classes}, atrous_rates=FLAGS.atrous_rates,
        output_stride=FLAGS.output_stride)
    rows = [compare_evaluation(prefix, model_options, options, job.Split(
        FLAGS.dataset, FLAGS.split, FLAGS.dataset_dir, batch_size,
        split_prediction.CropChoice(None, False))) for batch_size in FLAGS.batch_sizes]
    print('TensorFlow {}, {} {}\n'.format(tf.__version__, FLAGS.dataset, FLAGS.split))
    print(tabulate.tabulate(rows, headers=[
        'batch', 'bare network, images/s', 'evaluation', 'costs', 'bare network, CPU ms/image',
        'evaluation', 'costs'], floatfmt='.2f'))
    if FLAGS.confusion_images:
        print('\n' + tabulate.tabulate(
            compare_counting(FLAGS.confusion_images),
            headers=['{} x {} x {}, {} classes'.format(
                FLAGS.confusion_images, _HEIGHT, _WIDTH, _CLASSES), 'seconds', 'ratio', 'timed on'],
            floatfmt='.2f'))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
