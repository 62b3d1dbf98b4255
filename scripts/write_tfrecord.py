r"""Converts listed images and labels to records, with the flags and the format of tf-deeplabv3.

    python scripts/write_tfrecord.py --list_path=VOC2012/ImageSets/Segmentation/train.txt \
        --images_dir=VOC2012/JPEGImages --labels_dir=VOC2012/SegmentationClass --split=train \
        --output_path=records

Records have the features `image` and `label`, 1024 a shard, shards are numbered from 1; all
commands read them. Palette pictures are read as they are. Run again, it goes on where it was stopped.
datasets/build_folder_data.py makes records of any folder.
"""
from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab.datasets import conversion
from deeplab.datasets import conversion_images
from deeplab.datasets import conversion_labels
from deeplab.datasets import conversion_pairs
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions

FLAGS = flags.FLAGS
_IMAGES_PER_SHARD = 1024


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('list_path', None, 'List of names, one a line, without folder and '
                        'extension.')
    flags.DEFINE_string('images_dir', None, 'Folder of the images.')
    flags.DEFINE_string('labels_dir', None, 'Folder of the labels.')
    flags.DEFINE_string('images_ext', '.jpg', 'Extension of the images.')
    flags.DEFINE_string('labels_ext', '.png', 'Extension of the labels.')
    flags.DEFINE_string('split', 'train', 'Name of the split, with which shards begin.')
    flags.DEFINE_string('output_path', '.', 'Folder for the records.')
    flags.DEFINE_integer('num_classes', 21, 'Number of classes: labels lie below it.',
                         lower_bound=2, upper_bound=256)
    flags.DEFINE_integer('ignore_label', 255, 'Label that does not count.', lower_bound=0,
                         upper_bound=255)
    flags.DEFINE_integer('num_workers', 0, 'Processes at work; 0 takes one for each core.',
                         lower_bound=0)
    flags.DEFINE_boolean('overwrite', False, 'Remove the shards of this split that are there.')
    flags.mark_flags_as_required(['list_path', 'images_dir', 'labels_dir'])


def _extension(flag_name):
    extension = FLAGS[flag_name].value.lower()
    return extension if extension.startswith('.') else '.' + extension


def _pairs():
    listed = conversion_pairs.read_list(FLAGS.list_path)
    images = conversion_pairs.pick(
        listed, conversion_pairs.find_pictures(
            FLAGS.images_dir, '--images_dir', (_extension('images_ext'),)),
        FLAGS.list_path, 'image', FLAGS.images_dir)
    labels = conversion_pairs.find_pictures(
        FLAGS.labels_dir, '--labels_dir', (_extension('labels_ext'),))
    return conversion_pairs.match(images, labels, FLAGS.labels_dir)


def main(_):
    description = descriptions.Description(
        'listed', {}, FLAGS.num_classes, FLAGS.ignore_label)
    rules = conversion_images.Rules(conversion_labels.LabelRules(
        FLAGS.num_classes, FLAGS.ignore_label, None), 'keep')
    try:
        described = conversion.convert(
            description, {FLAGS.split: _pairs()}, FLAGS.output_path, rules, conversion.Options(
                num_workers=FLAGS.num_workers, overwrite=FLAGS.overwrite,
                images_per_shard=_IMAGES_PER_SHARD, layout=conversion.TF_DEEPLABV3_LAYOUT))
    except errors.UserError as error:
        text = str(error).replace(', or give --skip_bad to leave such pictures out', '')
        if 'allowed are' in text:
            text += ' If there are other classes, say so by --num_classes.'
        raise errors.UserError(text.replace('--output_dir', '--output_path'))
    print(dataset_report.format_report(described.report, described))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
