r"""Prints loss and mean IoU of a checkpoint, with the flags of tf-deeplabv3.

    python scripts/run_evaluator.py --filenames='records/val-*' --load_ckpt_path=runs/a

Every picture is evaluated at its own size. Of a checkpoint of run_trainer.py the network's flags
are known; of another give them. deeplab/eval.py has scales, flips, batches and tiles.
"""
from absl import flags

from deeplab import cli
from deeplab.datasets import listed_records
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import inference
from deeplab.evaluation import job
from deeplab.evaluation import results
from deeplab.evaluation import split_prediction
from deeplab.utils import checkpoints
from deeplab.utils import image_files

import tf_deeplabv3

FLAGS = flags.FLAGS
_SPLIT = 'val'


def define_flags():
    """Defines the flags of this command."""
    cli.define_list('filenames', None, 'Record files to evaluate on; patterns do as well.')
    flags.DEFINE_string('load_ckpt_path', None, 'Checkpoint: its prefix, a folder for the newest '
                        'in it, or an archive.')
    flags.DEFINE_string('output_path', None, 'Folder for tables and figures; none when not given.')
    tf_deeplabv3.define_network_flags()
    flags.mark_flags_as_required(['filenames', 'load_ckpt_path'])


def main(_):
    with tf_deeplabv3.their_names(), checkpoint_source.unpacked(
            FLAGS.load_ckpt_path, 'load_ckpt_path') as path:
        prefix = checkpoints.find_checkpoint(path, flag='load_ckpt_path')
        tf_deeplabv3.follow(prefix)
        if FLAGS.output_path:
            image_files.make_folder(FLAGS.output_path, '--output_path')
        description = listed_records.describe(
            listed_records.find(FLAGS.filenames, '--filenames'), _SPLIT, FLAGS.num_classes,
            FLAGS.ignore_label)
        split = job.Split(description, _SPLIT, None, 1, split_prediction.OWN_SIZES)
        evaluator = job.Evaluator(split, tf_deeplabv3.model_options(),
                                  inference.InferenceOptions(), with_loss=True)
        report = evaluator.evaluate(prefix)
        if FLAGS.output_path:
            results.write(FLAGS.output_path, report)
    print(job.format_result(report))
    print('loss: {:.6f}  mIoU: {:.6f}'.format(report['loss'], report['mean_iou']))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
