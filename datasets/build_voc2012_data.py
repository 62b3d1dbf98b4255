"""Converts PASCAL VOC 2012 to records.

    python datasets/build_voc2012_data.py \
        --image_folder=VOCdevkit/VOC2012/JPEGImages \
        --semantic_segmentation_folder=VOCdevkit/VOC2012/SegmentationClassRaw \
        --list_folder=VOCdevkit/VOC2012/ImageSets/Segmentation --output_dir=tfrecord

Every list of --list_folder becomes a split: train, val, trainval, and train_aug where its list is
there (its labels, SegmentationClassAug, then have to be in --semantic_segmentation_folder). The
palette PNG files of the original SegmentationClass do as well as those that remove_gt_colormap.py
makes. datasets/download_and_convert_voc2012.sh downloads and converts in one go.
"""
from absl import flags

from deeplab import cli
from deeplab.datasets import conversion_pairs
from deeplab.datasets import descriptions
from deeplab.names import TEST_SET

import recipe_flags

FLAGS = flags.FLAGS

_ROOT = './VOCdevkit/VOC2012/'
_LABEL_FLAG = '--semantic_segmentation_folder'


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('image_folder', _ROOT + 'JPEGImages', 'Folder of images.')
    flags.DEFINE_string('semantic_segmentation_folder', _ROOT + 'SegmentationClassRaw',
                        'Folder of label images, with or without palette.')
    flags.DEFINE_string('list_folder', _ROOT + 'ImageSets/Segmentation',
                        'Folder of split lists (*.txt).')
    flags.DEFINE_string('output_dir', './tfrecord', 'Folder for the TFRecords.')
    recipe_flags.define_format_flags()
    recipe_flags.define_conversion_flags(num_shards=4)


def _pairs(list_path, images, labels, is_test):
    names = conversion_pairs.read_list(list_path)
    listed = conversion_pairs.pick(names, images, list_path, 'image', FLAGS.image_folder)
    if is_test:
        return conversion_pairs.without_labels(listed)
    return conversion_pairs.match(listed, labels, FLAGS.semantic_segmentation_folder)


def main(_):
    lists = conversion_pairs.lists_in(FLAGS.list_folder)
    images = conversion_pairs.find_pictures(
        FLAGS.image_folder, '--image_folder', preferred=recipe_flags.preferred_extension())
    labels = conversion_pairs.find_pictures(
        FLAGS.semantic_segmentation_folder, _LABEL_FLAG, ('.' + FLAGS.label_format,))
    splits = {split: _pairs(path, images, labels, split == TEST_SET)
              for split, path in lists.items()}
    recipe_flags.convert(descriptions.load('pascal_voc_seg'), splits)


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
