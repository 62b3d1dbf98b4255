"""Shows what is in a folder of records: a report, a contact sheet, and what training sees of it.

    python scripts/inspect_dataset.py --dataset_dir=data/camvid/tfrecord --output_dir=inspection

prints the report (images, sizes, pixels of each class, classes never seen, labels out of range,
crop for evaluation, balancing label weights) and writes to --output_dir

    report.json            the report as numbers
    <split>_pictures.png   images and their labels over them, with a legend
    <split>_training.png   the same as training sees it, after scaling, cropping, flipping and
                           what augmentation is asked for

for the split(s) asked for. The second sheet takes the flags of training: give those you train with.
"""
import collections
import json
import os

from absl import flags

from deeplab import augmentation_flags
from deeplab import cli
from deeplab import common  # noqa: F401  (defines the shared flags)
from deeplab import errors
from deeplab.datasets import data_generator
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions
from deeplab.datasets import inspection
from deeplab.datasets import records
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files
from deeplab.utils import overlays

FLAGS = flags.FLAGS

_LARGEST_DEFAULT_CROP = 513


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('dataset_dir', None, "Folder of the data set's TFRecords.")
    flags.DEFINE_string('dataset', None, 'Data set: a name, or the path of a JSON file that '
                        'describes it. Default: the dataset.json in --dataset_dir.')
    cli.define_list('splits', None, 'Splits to look at. Default: all that have shards.')
    flags.DEFINE_string('output_dir', './inspection', 'Folder for report and sheets.')
    flags.DEFINE_boolean('save_report', False, 'Also put the report into the dataset.json of '
                         '--dataset_dir, where --label_weights=auto of training looks for it.')
    flags.DEFINE_integer('num_images', 20, 'Pictures on a sheet.', lower_bound=1)
    flags.DEFINE_integer('num_workers', 0, 'Processes at work; 0 takes one for each core.',
                         lower_bound=0)
    flags.DEFINE_integer('seed', 0, 'Another seed shows other samples of training.')
    cli.define_size('train_crop_size', None, 'Crop height,width of training. Default: the size '
                    'of the largest picture, at most 513,513.')
    flags.DEFINE_float('min_scale_factor', 0.5, 'Smallest random scale of an image.')
    flags.DEFINE_float('max_scale_factor', 2.0, 'Largest random scale of an image.')
    flags.DEFINE_float('scale_factor_step_size', 0.25,
                       'Distance of the scales; 0 draws from the whole range.')
    augmentation_flags.define_augmentation_flags()
    flags.mark_flag_as_required('dataset_dir')


def _training_crop(shards):
    given = cli.size_from_flag(FLAGS.train_crop_size)
    return given or [min(side, _LARGEST_DEFAULT_CROP) for side in records.largest_image(shards)]


def _training_dataset(split, shards):
    return data_generator.Dataset(
        FLAGS.dataset or FLAGS.dataset_dir, split, FLAGS.dataset_dir, batch_size=1,
        crop_size=_training_crop(shards),
        min_resize_value=FLAGS.min_resize_value, max_resize_value=FLAGS.max_resize_value,
        resize_factor=FLAGS.resize_factor, min_scale_factor=FLAGS.min_scale_factor,
        max_scale_factor=FLAGS.max_scale_factor,
        scale_factor_step_size=FLAGS.scale_factor_step_size, model_variant=FLAGS.model_variant,
        is_training=True, should_shuffle=True, should_repeat=True, seed=FLAGS.seed,
        augmentation=augmentation_flags.augmentation_from_flags())


def _legend(description, statistics, palette):
    labels = {label: description.class_name(label) for label in range(description.num_classes)}
    labels[description.ignore_label] = 'ignored'
    total = max(1, int(statistics.pixels.sum()))
    shares = {label: float(statistics.pixels[label]) / total for label in labels}
    return overlays.legend(labels, palette, shares)


def _write_sheets(description, split, shards, statistics):
    palette = get_dataset_colormap.full_palette(description.colormap, description.ignore_label)
    legend = _legend(description, statistics, palette)
    sheets = [('pictures', inspection.pick_records(shards, FLAGS.num_images))]
    if not statistics.unlabelled:
        sheets.append(('training', inspection.pick_training_samples(
            _training_dataset(split, shards), FLAGS.num_images)))
    for kind, pictures in sheets:
        path = os.path.join(FLAGS.output_dir, '{}_{}.png'.format(split, kind))
        title = '{}, {}: {}'.format(description.name, split, {
            'pictures': '{} of {} images as they are'.format(len(pictures), statistics.images),
            'training': 'what training sees'}[kind])
        image_files.write_png(path, inspection.contact_sheet(pictures, palette, legend, title))
        print('wrote ' + path)


def _complain(split, wrong, description):
    if wrong:
        print('WARNING: {} holds labels that are neither a class (0..{}) nor ignored ({}): {}.'
              .format(split, description.num_classes - 1, description.ignore_label, ', '.join(
                  '{} ({} pixels)'.format(label, pixels) for label, pixels in wrong.items())))


def _save_report(description, summaries):
    """Adds the report to the description beside the records, where a converter would put it."""
    splits = dict(description.report.get('splits', {}), **summaries)
    path = os.path.join(FLAGS.dataset_dir, descriptions.FILE_NAME)
    descriptions.save(
        description._replace(report=dict(description.report, splits=splits)), path)
    print('\nreport put into ' + path)


def main(_):
    description = descriptions.load(FLAGS.dataset or FLAGS.dataset_dir, FLAGS.dataset_dir)
    splits = FLAGS.splits or records.splits_found(FLAGS.dataset_dir)
    if not splits:
        raise errors.UserError('--dataset_dir={}: there are no shards in that folder.'.format(
            FLAGS.dataset_dir))
    image_files.make_folder(FLAGS.output_dir, '--output_dir')
    summaries, wrong = collections.OrderedDict(), {}
    for split in splits:
        shards = description.shards(split, FLAGS.dataset_dir)
        statistics = inspection.split_statistics(shards, FLAGS.num_workers)
        settings = description.num_classes, description.ignore_label
        summaries[split] = dataset_report.summarize(statistics, *settings)
        wrong[split] = inspection.labels_out_of_range(statistics, *settings)
        if not wrong[split]:
            _write_sheets(description, split, shards, statistics)
    report = {'splits': summaries, 'labels_out_of_range': wrong}
    image_files.write_text(os.path.join(FLAGS.output_dir, 'report.json'),
                           json.dumps(report, indent=2) + '\n')
    print('\n' + dataset_report.format_report(report, description))
    if FLAGS.save_report:
        _save_report(description, summaries)
    for split in splits:
        _complain(split, wrong[split], description)


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
