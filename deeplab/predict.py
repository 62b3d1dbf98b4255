r"""Predicts the labels of any pictures: files, folders, globs, lists, standard input.

    python deeplab/predict.py --checkpoint_dir=runs/a --input=photos --output_dir=out
    python deeplab/predict.py --frozen_graph=graph.pb --input='photos/*.jpg,more.png' \
        --output_dir=out
    find . -name '*.jpg' | python deeplab/predict.py --saved_model=export/1 --input=- \
        --output_dir=out

With a checkpoint the network's flags are taken from the training's saved configuration where its
folder has one; otherwise give them as for training. Each picture keeps its own size; large ones
are predicted in overlapping tiles. A picture that cannot be read is reported and skipped.

Written to --output_dir, for each picture: <name>_prediction.png (palette PNG: colours to look at,
labels to read), <name>_overlay.png, with --save_probabilities <name>_probabilities.npz; and
predictions.json (class shares, pictures skipped) and legend.png.
"""
import sys

from absl import flags

from deeplab import cli
from deeplab import predictor_flags
from deeplab.evaluation import inputs
from deeplab.evaluation import predict_job
from deeplab.utils import image_files

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this command."""
    predictor_flags.define_flags()
    cli.define_list('input', None, 'Pictures, folders, globs, lists (.txt, a path a line), or - '
                    'for standard input (a list, or one picture).')
    flags.DEFINE_string('output_dir', None, 'Folder for the results.')
    flags.DEFINE_boolean('save_overlays', True, 'Also write overlays.')
    flags.DEFINE_boolean('save_probabilities', False, 'Also write the probabilities, float16.')
    flags.mark_flags_as_required(['input', 'output_dir'])


def main(_):
    predictor_flags.check_sources()
    image_files.make_folder(FLAGS.output_dir, '--output_dir')
    pictures = inputs.find(FLAGS.input, getattr(sys.stdin, 'buffer', None))
    with predictor_flags.opened() as (predictor, look):
        predict_job.run(predictor, pictures, predict_job.PredictOptions(
            output_dir=FLAGS.output_dir, overlays=FLAGS.save_overlays,
            probabilities=FLAGS.save_probabilities, **look))


def entry():
    """Runs the command (console script deeplab-predict)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
