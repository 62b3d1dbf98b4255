"""Prints what a script needs to know of a data set, one name=value a line.

    python scripts/dataset_facts.py --dataset=forma55k --datasets_dir=datasets --split=train

    name=forma54k_nsfw1k
    dataset_dir=datasets/forma54k_nsfw1k/tfrecord
    images=44770
    num_classes=9
    eval_crop=4001,4001

eval_crop is what the data set's description says, empty where it says nothing.
"""
import os

from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab.datasets import descriptions

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('dataset', None, 'Data set: a name, or the path of a description.')
    flags.DEFINE_string('dataset_dir', None, "Folder of the data set's TFRecords.")
    flags.DEFINE_string('datasets_dir', '.', 'Without --dataset_dir: the folder in which '
                        '<name of the data set>/tfrecord lies.')
    flags.DEFINE_string('split', 'train', 'Split to count.')
    flags.mark_flag_as_required('dataset')


def main(_):
    dataset_dir = FLAGS.dataset_dir or os.path.join(
        FLAGS.datasets_dir, descriptions.load(FLAGS.dataset).name, 'tfrecord')
    description = descriptions.load(FLAGS.dataset, dataset_dir)
    description.shards(FLAGS.split, dataset_dir)
    images = description.split_size(FLAGS.split, dataset_dir)
    if not images:
        raise errors.UserError('Split {!r} of {} has no pictures.'.format(
            FLAGS.split, description.name))
    for name, value in (('name', description.name), ('dataset_dir', dataset_dir),
                        ('images', images), ('num_classes', description.num_classes),
                        ('eval_crop', ','.join(str(side) for side in description.eval_crop or ()))):
        print('{}={}'.format(name, value))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
