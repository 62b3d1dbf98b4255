"""Adds the labels of the Semantic Boundaries Dataset to PASCAL VOC 2012: the split train_aug.

    python datasets/merge_sbd_labels.py --voc_folder=VOCdevkit/VOC2012 \
        --sbd_folder=benchmark_RELEASE/dataset

makes VOC2012/SegmentationClassAug (12031 label images: VOC's own where there is one, those of
Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011, for the rest) and the list
VOC2012/ImageSets/Segmentation/train_aug.txt (10582 names: all of both except VOC's val).
Reading MATLAB files needs scipy: pip install scipy.
"""
import functools
import os

from absl import flags
import tqdm

from deeplab import cli
from deeplab import errors
from deeplab.datasets import build_data
from deeplab.datasets import conversion_pairs
from deeplab.datasets import conversion_workers
from deeplab.utils import image_files

FLAGS = flags.FLAGS

_SPLIT = 'train_aug'


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('voc_folder', './VOCdevkit/VOC2012', 'Folder with JPEGImages, '
                        'SegmentationClass and ImageSets; SegmentationClassAug is made in it.')
    flags.DEFINE_string('sbd_folder', './benchmark_RELEASE/dataset',
                        'Folder with cls, train.txt and val.txt.')
    flags.DEFINE_integer('num_workers', 0, 'Processes at work; 0 takes one for each core.',
                         lower_bound=0)


def _loadmat():
    try:
        from scipy.io import loadmat
    except ImportError:
        raise errors.UserError('Reading the labels of SBD needs scipy: pip install scipy.')
    return loadmat


def _write_label(name, sbd_folder, output_dir):
    """Writes one label of SBD as a grey PNG; returns what is wrong, or None."""
    path = os.path.join(sbd_folder, 'cls', name + '.mat')
    loadmat = _loadmat()
    try:
        label = loadmat(path)['GTcls']['Segmentation'][0, 0]
    except Exception as error:  # In a damaged file scipy trips over one thing or another.
        return '{}: cannot be read ({}).'.format(path, error)
    image_files.write_bytes(os.path.join(output_dir, name + '.png'),
                            build_data.encode_label(label))
    return None


def main(_):
    _loadmat()
    lists = os.path.join(FLAGS.voc_folder, 'ImageSets', 'Segmentation')
    voc_train, voc_val = [conversion_pairs.read_list(os.path.join(lists, split + '.txt'))
                          for split in ('train', 'val')]
    sbd = [name for split in ('train', 'val')
           for name in conversion_pairs.read_list(os.path.join(FLAGS.sbd_folder, split + '.txt'))]
    output_dir = image_files.make_folder(
        os.path.join(FLAGS.voc_folder, 'SegmentationClassAug'), '--voc_folder')
    own = set(voc_train) | set(voc_val)
    work = functools.partial(_write_label, sbd_folder=FLAGS.sbd_folder, output_dir=output_dir)
    foreign = sorted(set(sbd) - own)
    results = conversion_workers.ordered_map(work, foreign, FLAGS.num_workers)
    for problem in tqdm.tqdm(results, total=len(foreign), unit=' labels', disable=None):
        if problem:
            raise errors.UserError(problem)
    for name in sorted(own):
        image_files.copy_file(
            os.path.join(FLAGS.voc_folder, 'SegmentationClass', name + '.png'),
            os.path.join(output_dir, name + '.png'))
    names = sorted((set(sbd) | set(voc_train)) - set(voc_val))
    image_files.write_text(os.path.join(lists, _SPLIT + '.txt'), '\n'.join(names) + '\n')
    print('{} labels in {}; {} names in {}.txt'.format(
        len(foreign) + len(own), output_dir, len(names), _SPLIT))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
