"""Turns palette label images into plain grey ones: pixel = class number, no colours.

    python datasets/remove_gt_colormap.py \
        --original_gt_folder=VOCdevkit/VOC2012/SegmentationClass \
        --output_dir=VOCdevkit/VOC2012/SegmentationClassRaw

The converters of this folder read palette images as they are; this is for programs that do not.
"""
import functools
import os

from absl import flags
import tqdm

from deeplab import cli
from deeplab import errors
from deeplab.datasets import conversion_files
from deeplab.datasets import conversion_labels
from deeplab.datasets import conversion_pairs
from deeplab.datasets import conversion_workers
from deeplab.utils import image_files

FLAGS = flags.FLAGS

_ROOT = './VOCdevkit/VOC2012/'
# Any value of 8 bits may stand: this is not the place to know the classes.
_ANY_LABEL = conversion_labels.LabelRules(num_classes=256, ignore_label=255, class_map=None)


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('original_gt_folder', _ROOT + 'SegmentationClass',
                        'Folder of colour-mapped label images.')
    flags.DEFINE_string('segmentation_format', 'png', 'Label image extension.')
    flags.DEFINE_string('output_dir', _ROOT + 'SegmentationClassRaw',
                        'Folder for the raw label images.')
    flags.DEFINE_integer('num_workers', 0, 'Processes at work; 0 takes one for each core.',
                         lower_bound=0)


def _remove_colors(entry, output_dir):
    """Writes one label image; returns what is wrong with it, or None."""
    name, path = entry
    try:
        encoded = conversion_labels.prepare_label(
            conversion_files.read_bytes(path), path, _ANY_LABEL)[0]
    except (OSError, conversion_labels.PairError) as error:
        return str(error)
    target = os.path.join(output_dir, name + '.png')
    os.makedirs(os.path.dirname(target), exist_ok=True)
    image_files.write_bytes(target, encoded)
    return None


def main(_):
    labels = conversion_pairs.find_pictures(
        FLAGS.original_gt_folder, '--original_gt_folder',
        ('.' + FLAGS.segmentation_format.lower().lstrip('.'),))
    image_files.make_folder(FLAGS.output_dir, '--output_dir')
    if os.path.realpath(FLAGS.output_dir) == os.path.realpath(FLAGS.original_gt_folder):
        raise errors.UserError('--output_dir and --original_gt_folder are the same folder; the '
                               'originals would be lost.')
    work = functools.partial(_remove_colors, output_dir=FLAGS.output_dir)
    results = conversion_workers.ordered_map(work, labels.items(), FLAGS.num_workers)
    for problem in tqdm.tqdm(results, total=len(labels), unit=' labels', disable=None):
        if problem:
            raise errors.UserError(problem)
    print('{} label images are in {}'.format(len(labels), FLAGS.output_dir))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
