"""Prints what a run came to: steps trained, and mean IoU beside the most frequent class's.

    python scripts/summarize_run.py --train_logdir=runs/train --eval_logdir=runs/eval
"""
import os

from absl import flags

from deeplab import cli
from deeplab.evaluation import results
from deeplab.evaluation import run_records
from deeplab.utils import checkpoints

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('train_logdir', None, 'Folder of the checkpoints.')
    flags.DEFINE_string('eval_logdir', None, 'Folder of the evaluation.')
    flags.mark_flags_as_required(['train_logdir', 'eval_logdir'])


def main(_):
    result = run_records.read_json(os.path.join(FLAGS.eval_logdir, results.METRICS_FILE))
    checkpoint = checkpoints.find_checkpoint(FLAGS.train_logdir, flag='train_logdir')
    baseline = result['baseline']
    print('checkpoint:   {} (step {})'.format(checkpoint, checkpoints.step_of(checkpoint)))
    print('mIoU:         {:.4f}   pixel accuracy {:.4f}'.format(
        result['mean_iou'], result['pixel_accuracy']))
    print('baseline:     {:.4f}   pixel accuracy {:.4f}   (always {})'.format(
        baseline['mean_iou'], baseline['pixel_accuracy'], baseline['name']))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
