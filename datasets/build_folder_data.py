"""Converts a folder of images and a folder of labels to records: any data set, one command.

With list files (one name a line; train.txt makes the split "train"):

    python datasets/build_folder_data.py --image_folder=photos --label_folder=masks \
        --list_folder=lists --num_classes=3 --class_names=road,field,house --output_dir=tfrecord

Without lists, a tenth is drawn at random for validation, the same one each time:

    python datasets/build_folder_data.py --image_folder=photos --label_folder=masks \
        --num_classes=3 --output_dir=tfrecord

Splits that lie in folders of their own: one run for each, into the same --output_dir.

    python datasets/build_folder_data.py --image_folder=photos/val --label_folder=masks/val \
        --split=val --num_classes=3 --output_dir=tfrecord

An image and its label have the same name (extension aside). Images: JPEG, PNG, TIFF, BMP, WebP;
grey, colour, with transparency, 8 or 16 bits; turned upright as their EXIF data say. Labels: grey
or palette pictures of class numbers; other numbers, or colours, with --class_map. Folders may lie
in a zip archive: --image_folder=set.zip/photos. What was found is printed and written, with the
description of the data set, to dataset.json in --output_dir; --dataset=<output_dir> then tells
training and evaluation all they need.
"""
import os

from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab.datasets import conversion_images
from deeplab.datasets import conversion_pairs
from deeplab.datasets import descriptions
from deeplab.datasets import label_sets

import recipe_flags

FLAGS = flags.FLAGS

_DESCRIBING_FLAGS = ('num_classes', 'ignore_label', 'class_names')
_DEFAULT_VAL_FRACTION = 0.1


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('image_folder', None, 'Folder of images, or archive.zip/folder.')
    flags.DEFINE_string('label_folder', None, 'Folder of labels, or archive.zip/folder; leave it '
                        'out for pictures without labels (a test split).')
    flags.DEFINE_string('image_suffix', '', 'What image names have before the extension: _rgb.')
    flags.DEFINE_string('label_suffix', '', 'What label names have before the extension: _mask.')
    flags.DEFINE_string('list_folder', None, 'Folder of split lists (*.txt).')
    flags.DEFINE_string('split', None, 'Name of the one split all pictures belong to.')
    flags.DEFINE_float('val_fraction', None, 'Share of the pictures to draw for the split val; '
                       '{} where nothing says how to split.'.format(_DEFAULT_VAL_FRACTION),
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float('test_fraction', 0.0, 'Share of the pictures to draw for the split test.',
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer('seed', 0, 'Another seed draws another random split.', lower_bound=0)
    flags.DEFINE_string('dataset', None, 'Known data set, or description file, that gives classes, '
                        'ignore label, class names and colours; or the name of a new data set, '
                        'with --num_classes. Default: the name of the image folder.')
    flags.DEFINE_integer('num_classes', None, 'Number of classes of a new data set.',
                         lower_bound=2, upper_bound=256)
    flags.DEFINE_integer('ignore_label', None, 'Label that does not count; default 255.',
                         lower_bound=0, upper_bound=255)
    cli.define_list('class_names', None, 'Names of the classes in the order of their numbers.')
    flags.DEFINE_string('class_map', None, 'JSON file that renumbers labels: '
                        '{"7": 0, "128,64,128": 1, "*": 255}; keys are label values, colours or * '
                        'for all others. Or a label set with names, as in class_maps/.')
    flags.DEFINE_enum('exif_orientation', 'auto', conversion_images.ORIENTATIONS,
                      'Turn images upright as their EXIF data say: always (apply), never (keep), '
                      'or unless only the picture as stored fits its label (auto).')
    flags.DEFINE_string('output_dir', None, 'Folder for the TFRecords.')
    recipe_flags.define_conversion_flags(num_shards=4)
    flags.mark_flags_as_required(['image_folder', 'output_dir'])


def _description():
    given = [name for name in _DESCRIBING_FLAGS if FLAGS[name].value is not None]
    if FLAGS.dataset and (not given or _is_described(FLAGS.dataset)):
        if given:
            raise errors.UserError('--{} and --dataset={} exclude each other: the description '
                                   'gives it.'.format(given[0], FLAGS.dataset))
        return descriptions.load(FLAGS.dataset)._replace(report={})
    if not FLAGS.num_classes:
        raise errors.UserError('Give --num_classes, or --dataset with a known data set or a '
                               'description file.')
    return descriptions.from_dict({
        'name': FLAGS.dataset or _folder_name(), 'splits': {}, 'num_classes': FLAGS.num_classes,
        'class_names': FLAGS.class_names, 'ignore_label': FLAGS.ignore_label}, 'the flags')


def _is_described(dataset):
    return dataset in descriptions.known_names() or os.path.exists(dataset)


def _folder_name():
    return os.path.basename(os.path.normpath(FLAGS.image_folder)).rsplit('.', 1)[0] or 'own'


def _check_ways_to_split():
    ways = [name for name in ('list_folder', 'split', 'val_fraction', 'test_fraction')
            if FLAGS[name].value]
    if 'val_fraction' in ways and 'test_fraction' in ways:
        ways.remove('test_fraction')
    if len(ways) > 1:
        raise errors.UserError('--{} and --{} exclude each other.'.format(*ways[:2]))
    if not FLAGS.label_folder and not (FLAGS.list_folder or FLAGS.split):
        raise errors.UserError('Pictures without labels cannot be split for training and '
                               'validation: give --label_folder, or --split=test.')


def _pair(images, labels):
    if labels is None:
        return conversion_pairs.without_labels(images)
    return conversion_pairs.match(images, labels, FLAGS.label_folder)


def _splits(images, labels):
    if FLAGS.list_folder:
        splits = {}
        for split, path in conversion_pairs.lists_in(FLAGS.list_folder).items():
            names = conversion_pairs.read_list(path)
            listed = conversion_pairs.pick(names, images, path, 'image', FLAGS.image_folder)
            splits[split] = _pair(listed, labels)
        return splits
    pairs = _pair(images, labels)
    if FLAGS.split:
        return {FLAGS.split: pairs}
    val_fraction = FLAGS.val_fraction
    if val_fraction is None and not FLAGS.test_fraction:
        val_fraction = _DEFAULT_VAL_FRACTION
    shares = {'val': val_fraction, 'test': FLAGS.test_fraction}
    splits = conversion_pairs.random_split(pairs, shares, FLAGS.seed)
    print('Split at random (seed {}): {}.'.format(FLAGS.seed, ', '.join(
        '{} {}'.format(len(part), split) for split, part in splits.items())))
    return splits


def main(_):
    _check_ways_to_split()
    description = _description()
    class_map = FLAGS.class_map and label_sets.read(FLAGS.class_map, description)
    images = conversion_pairs.find_pictures(FLAGS.image_folder, '--image_folder',
                                            suffix=FLAGS.image_suffix)
    labels = FLAGS.label_folder and conversion_pairs.find_pictures(
        FLAGS.label_folder, '--label_folder', conversion_pairs.LABEL_EXTENSIONS,
        suffix=FLAGS.label_suffix)
    recipe_flags.convert(description, _splits(images, labels), FLAGS.exif_orientation,
                         class_map or None)


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
