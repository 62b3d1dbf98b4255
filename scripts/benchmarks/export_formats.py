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
from deeplab import compat
from deeplab import export_model
from deeplab.evaluation import checkpoint_source
from deeplab.export import check
from deeplab.export import job
from deeplab.export import runners
from deeplab.utils import checkpoints
from deeplab.utils import image_files

FLAGS = flags.FLAGS
# Seconds: threads of onnxruntime wait for more work for a moment, and would take from the next.
_PAUSE = 0.05


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
        config.inter_op_parallelism_threads = threads
        return plain(target, graph, config)

    tf.Session = session


def _open(result, recipe):
    """Returns the runner of what was exported, as a `check.Result` tells of it."""
    if result.format.startswith('frozen'):
        return runners.of_frozen_graph(result.path)
    if result.format == 'SavedModel':
        return runners.of_saved_model(result.path)
    if result.format == 'ONNX':
        return runners.OnnxRunner(result.path, FLAGS.threads)
    return runners.TfliteRunner(result.path, recipe)


def main(_):
    _limited(FLAGS.threads)
    with checkpoint_source.unpacked(FLAGS.checkpoint_path, 'checkpoint_path') as path, \
            tempfile.TemporaryDirectory() as folder:
        prefix = checkpoints.find_checkpoint(path, flag='checkpoint_path')
        recipe = export_model.recipe_from_flags(prefix)
        image = (image_files.read_image(FLAGS.image) if FLAGS.image else
                 check.noise_picture(recipe.model_options.crop_size))
        plain = job.export(prefix, recipe, os.path.join(folder, 'plain.pb'),
                           job.Options(optimize=False, repeats=1))[1]
        results = [plain._replace(format='frozen graph, --optimize=false')] + job.export(
            prefix, recipe, os.path.join(folder, 'graph.pb'),
            export_model.options_from_flags(recipe)._replace(images=(), repeats=1))[1:]
        opened = [(result.format, _open(result, recipe)) for result in results]
        seconds = {title: [] for title, _ in opened}
        for number in range(FLAGS.rounds + 1):
            for title, runner in opened:
                time.sleep(_PAUSE)
                begin = time.perf_counter()
                runner.labels(image)
                if number:  # The first run also prepares.
                    seconds[title].append(time.perf_counter() - begin)
        first = np.median(seconds[opened[0][0]])
        print('{}, {} x {}, output stride {}, {} threads, {} rounds'.format(
            compat.describe_runtime(), image.shape[0], image.shape[1], FLAGS.output_stride,
            FLAGS.threads, FLAGS.rounds))
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
