r"""Times the formats of one checkpoint in turns: plain, optimised, SavedModel, TFLite, onnxruntime.

    python scripts/benchmarks/export_formats.py --checkpoint_path=runs/a/train --output_stride=16 \
        --image=photo.jpg

All run on the CPU with --threads threads (TFLite of TensorFlow 1.15 has one), in turns, so that
what else the machine does hits all of them alike. The ratios to the plain frozen graph are what
counts; seconds depend on the machine.
"""
import os
import tempfile
import time

from absl import flags
import numpy as np
import tabulate
import tensorflow.compat.v1 as tf

from deeplab import cli
from deeplab import export_model
from deeplab.evaluation import checkpoint_source
from deeplab.export import check
from deeplab.export import job
from deeplab.export import runners
from deeplab.utils import checkpoints
from deeplab.utils import image_files

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this command: those of export_model, and how to time."""
    export_model.define_flags()
    flags.FLAGS.set_default('export_path', '')
    flags.FLAGS.set_default('export_formats', list(job.FORMATS))
    flags.DEFINE_string('image', None, 'Picture to time on; when not given, a made-up one.')
    flags.DEFINE_integer('rounds', 20, 'How often each format runs.', lower_bound=3)
    flags.DEFINE_integer('threads', os.cpu_count() or 1, 'Threads.', lower_bound=1)


def _limited(threads):
    """Makes every session that is opened from now on keep to so many threads."""
    plain = tf.Session

    def session(target='', graph=None, config=None):
        config = config or tf.ConfigProto()
        config.intra_op_parallelism_threads = threads
        config.inter_op_parallelism_threads = 1
        return plain(target, graph, config)

    tf.Session = session


def _open(folder, recipe, formats):
    """Yields (title, runner) of what was exported."""
    yield 'frozen, plain', runners.of_frozen_graph(os.path.join(folder, 'plain.pb'))
    if job.FROZEN in formats:
        yield 'frozen, optimised', runners.of_frozen_graph(os.path.join(folder, 'graph.pb'))
    if job.SAVED_MODEL in formats:
        yield 'SavedModel', runners.of_saved_model(os.path.join(folder, 'graph_saved_model', '1'))
    if job.TFLITE in formats:
        yield 'TFLite float32', runners.TfliteRunner(os.path.join(folder, 'graph.tflite'), recipe)
    if job.ONNX in formats:
        yield 'onnxruntime', runners.OnnxRunner(os.path.join(folder, 'graph.onnx'), FLAGS.threads)


def main(_):
    _limited(FLAGS.threads)
    with checkpoint_source.unpacked(FLAGS.checkpoint_path, 'checkpoint_path') as path, \
            tempfile.TemporaryDirectory() as folder:
        prefix = checkpoints.find_checkpoint(path, flag='checkpoint_path')
        recipe = export_model.recipe_from_flags(prefix)
        image = (image_files.read_image(FLAGS.image) if FLAGS.image else
                 check.noise_picture(recipe.model_options.crop_size))
        formats = list(FLAGS.export_formats)
        job.export(prefix, recipe, os.path.join(folder, 'plain.pb'),
                   job.Options(optimize=False, repeats=1))
        job.export(prefix, recipe, os.path.join(folder, 'graph.pb'),
                   job.Options(formats=formats, repeats=1))
        opened = list(_open(folder, recipe, formats))
        seconds = {title: [] for title, _ in opened}
        for number in range(FLAGS.rounds + 1):
            for title, runner in opened:
                begin = time.perf_counter()
                runner.labels(image)
                if number:  # The first run also prepares.
                    seconds[title].append(time.perf_counter() - begin)
        first = np.median(seconds[opened[0][0]])
        print('{} x {}, output stride {}, {} threads, {} rounds'.format(
            image.shape[0], image.shape[1], FLAGS.output_stride, FLAGS.threads, FLAGS.rounds))
        print(tabulate.tabulate(
            [[title, '{:.1f} ms'.format(1e3 * np.median(seconds[title])),
              '{:.1f} ms'.format(1e3 * min(seconds[title])),
              '{:.2f}'.format(first / np.median(seconds[title]))] for title, _ in opened],
            headers=['', 'median', 'fastest', 'times faster'], disable_numparse=True))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
