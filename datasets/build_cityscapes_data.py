"""Converts Cityscapes to records.

    python datasets/build_cityscapes_data.py --cityscapes_root=cityscapes --output_dir=tfrecord

expects the folders of the official archives below --cityscapes_root:

    leftImg8bit/{train,val,test,train_extra}/<city>/<frame>_leftImg8bit.png
    gtFine/{train,val}/<city>/<frame>_gtFine_labelTrainIds.png       (or _labelIds.png)
    gtCoarse/{train,val,train_extra}/<city>/<frame>_gtCoarse_labelIds.png

The archives hold labelIds; the 19 trainIds are made from them on the way where no labelTrainIds
are there, so that no script has to be run first. Splits: train_fine, val_fine, trainval_fine,
test_fine, train_coarse (train and train_extra), trainval_coarse; by default the first two.
"""
import os

from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab.datasets import conversion_files
from deeplab.datasets import conversion_labels
from deeplab.datasets import conversion_pairs
from deeplab.datasets import descriptions

import recipe_flags

FLAGS = flags.FLAGS

# split: (kind of annotation, folders it is gathered from).
_SPLITS = {
    'train_fine': ('gtFine', ('train',)),
    'val_fine': ('gtFine', ('val',)),
    'trainval_fine': ('gtFine', ('train', 'val')),
    'test_fine': (None, ('test',)),
    'train_coarse': ('gtCoarse', ('train', 'train_extra')),
    'trainval_coarse': ('gtCoarse', ('train', 'train_extra', 'val')),
}
_IMAGE_SUFFIX = '_leftImg8bit'
_TRAIN_IDS, _LABEL_IDS = '_labelTrainIds', '_labelIds'
# labelIds in the order of the trainIds they become; everything else is ignored.
_LABEL_IDS_IN_ORDER = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('cityscapes_root', './cityscapes', 'Cityscapes root folder.')
    flags.DEFINE_string('output_dir', './tfrecord', 'Folder for the TFRecords.')
    cli.define_list('splits', ['train_fine', 'val_fine'], 'Splits to convert.')
    recipe_flags.define_conversion_flags(num_shards=10)


def train_id_map(ignore_label):
    """Returns the ClassMap from labelIds to trainIds."""
    numbers = {label_id: train_id for train_id, label_id in enumerate(_LABEL_IDS_IN_ORDER)}
    return conversion_labels.ClassMap(numbers, {}, ignore_label)


def _frames(kind, folder, suffix):
    """Finds the pictures of one folder, named by their frame."""
    path = '/'.join([FLAGS.cityscapes_root.rstrip('/'), kind, folder])
    found = conversion_pairs.find_pictures(path, '--cityscapes_root', ('.png',), suffix)
    return conversion_pairs.by_basename(found, '--cityscapes_root')


def _label_suffix(annotation, folders):
    """The suffix of the label files: trainIds where every picture has them, else labelIds."""
    names = []
    for folder in folders:
        path = '/'.join([FLAGS.cityscapes_root.rstrip('/'), annotation, folder])
        names += conversion_files.list_files(path, '--cityscapes_root')
    stems = [os.path.splitext(name)[0] for name in names]
    train_ids = [stem for stem in stems if stem.endswith(_TRAIN_IDS)]
    label_ids = [stem for stem in stems if stem.endswith(_LABEL_IDS)]
    return _TRAIN_IDS if train_ids and len(train_ids) >= len(label_ids) else _LABEL_IDS


def _pairs(annotation, folders, suffix):
    pairs = []
    for folder in folders:
        images = _frames('leftImg8bit', folder, _IMAGE_SUFFIX)
        if annotation is None:
            pairs += conversion_pairs.without_labels(images)
            continue
        labels = _frames(annotation, folder, '_' + annotation + suffix)
        pairs += conversion_pairs.match(
            images, labels, os.path.join(FLAGS.cityscapes_root, annotation, folder))
    return pairs


def main(_):
    unknown = [split for split in FLAGS.splits if split not in _SPLITS]
    if unknown:
        raise errors.UserError('--splits: there is no split {!r}; known are {}.{}'.format(
            unknown[0], ', '.join(sorted(_SPLITS)), errors.nearest(unknown[0], _SPLITS)))
    annotated = [_SPLITS[split] for split in FLAGS.splits if _SPLITS[split][0]]
    suffixes = {_label_suffix(annotation, folders) for annotation, folders in annotated}
    # One class map serves the whole conversion: labelIds as soon as one split has nothing else.
    suffix = _LABEL_IDS if _LABEL_IDS in suffixes else _TRAIN_IDS
    splits = {split: _pairs(*_SPLITS[split], suffix=suffix) for split in FLAGS.splits}
    description = descriptions.load('cityscapes')
    class_map = train_id_map(description.ignore_label) if suffix == _LABEL_IDS else None
    if class_map:
        print('Making trainIds from labelIds.')
    recipe_flags.convert(description, splits, class_map=class_map)


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
