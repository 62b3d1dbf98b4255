r"""Evaluates checkpoints on a split: mean IoU, scores of every class, confusion matrix.

    python deeplab/eval.py --dataset=sample_scenes --dataset_dir=data/scenes \
        --checkpoint_dir=runs/a --eval_logdir=runs/a/eval

The network's flags are taken from the training's saved configuration where the checkpoint's folder
has one; otherwise give them as for training. By default the newest checkpoint is evaluated once.
Several scales with flips, every checkpoint of a run as a curve, and beside a running training:

    python deeplab/eval.py ... --eval_scales=0.5,0.75,1.0,1.25,1.5,1.75 --add_flipped_images
    python deeplab/eval.py ... --all_checkpoints
    python deeplab/eval.py ... --wait_for_checkpoints --eval_interval_secs=60

Images larger than memory allows are predicted in overlapping tiles: --tile_size=513,513.

Written to --eval_logdir: metrics.json, classes.csv, confusion.csv, confusion.png, history.json,
curve.png (of several checkpoints) and event files for TensorBoard.
"""
from absl import flags

from deeplab import cli
from deeplab import common  # noqa: F401  (defines the shared flags)
from deeplab import inference_flags
from deeplab.datasets import descriptions
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import job
from deeplab.utils import image_files

FLAGS = flags.FLAGS
_LIMIT = 'max_number_of_evaluations'


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('eval_logdir', None, 'Folder for the results.')
    inference_flags.define_waiting_flags('Evaluate', _LIMIT)
    flags.DEFINE_bool('all_checkpoints', False, 'Evaluate every checkpoint of the folder.')
    inference_flags.define_data_flags('eval')
    inference_flags.define_network_flags()
    flags.mark_flags_as_required(['eval_logdir', 'checkpoint_dir', 'dataset_dir'])


def main(_):
    image_files.make_folder(FLAGS.eval_logdir, '--eval_logdir')
    with checkpoint_source.unpacked(FLAGS.checkpoint_dir) as path:
        first, prefixes = inference_flags.prefixes(path, _LIMIT, FLAGS.all_checkpoints)
        inference_flags.follow_training(first, also=['dataset'])
        options = inference_flags.inference_options()
        split = inference_flags.split_to_predict('eval', options)
        description = descriptions.load(FLAGS.dataset, FLAGS.dataset_dir)
        model_options = inference_flags.model_options(
            description.num_classes, split.crop.crop_size)
        job.run(job.Evaluator(split, model_options, options), prefixes, FLAGS.eval_logdir)


def entry():
    """Runs the command (console script deeplab-eval)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
