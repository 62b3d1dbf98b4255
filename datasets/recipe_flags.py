"""Flags and steps that the recipes of this folder share."""
import os
import time

from absl import flags

from deeplab.datasets import conversion
from deeplab.datasets import conversion_images
from deeplab.datasets import conversion_labels
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions
from deeplab.utils import cores

FLAGS = flags.FLAGS


def define_conversion_flags(num_shards: int = None, images_per_shard: int = None) -> None:
    """Defines how a conversion runs.

    Args:
        num_shards: default number of shards a split; or else
        images_per_shard: default number of images a shard.
    """
    if images_per_shard:
        flags.DEFINE_integer('images_per_shard', images_per_shard, 'Images a shard (file); the '
                             'last one of a split has what is left.', lower_bound=1)
    else:
        flags.DEFINE_integer('num_shards', num_shards, 'Shards (files) a split.', lower_bound=1)
    flags.DEFINE_integer('num_workers', 0, 'Processes at work; 0 takes one for each core.',
                         lower_bound=0)
    flags.DEFINE_bool('skip_bad', False, 'Leave bad pictures out and list them in '
                      '<split>_skipped.txt; otherwise the first one stops the conversion.')
    flags.DEFINE_bool('overwrite', False, 'Remove the shards of these splits that are in '
                      '--output_dir already. Without it a stopped conversion goes on.')


def define_format_flags() -> None:
    """Defines the reference's format flags."""
    flags.DEFINE_enum('image_format', 'png', ['jpg', 'jpeg', 'png'],
                      'Which file to take where an image lies there in several formats; otherwise '
                      'the format is recognised by itself.')
    flags.DEFINE_enum('label_format', 'png', ['png'], 'Format of the label images.')


def preferred_extension() -> str:
    """Returns the extension that --image_format asks for."""
    return '.' + FLAGS.image_format


def convert(description, splits, orientation='keep', class_map=None, output_dir=None):
    """Converts with the settings of the flags and prints the report.

    Args:
        description: descriptions.Description of the data set.
        splits: split name -> list of conversion_pairs.Pair.
        orientation: one of conversion_images.ORIENTATIONS.
        class_map: conversion_labels.ClassMap for the label files, or None.
        output_dir: folder for the records; None for --output_dir.

    Returns:
        descriptions.Description of what was converted.
    """
    output_dir = output_dir or FLAGS.output_dir
    labels = conversion_labels.LabelRules(
        description.num_classes, description.ignore_label, class_map)
    shards = {name: getattr(FLAGS, name) for name in ('num_shards', 'images_per_shard')
              if name in FLAGS}
    options = conversion.Options(
        num_workers=FLAGS.num_workers, skip_bad=FLAGS.skip_bad, overwrite=FLAGS.overwrite,
        **shards)
    count = sum(len(pairs) for pairs in splits.values())
    print('Converting {} images with {} worker(s) into {}'.format(
        count, FLAGS.num_workers or cores.cpu_count(), output_dir), flush=True)
    begin = time.perf_counter()
    described = conversion.convert(
        description, splits, output_dir, conversion_images.Rules(labels, orientation), options)
    seconds = time.perf_counter() - begin
    print('{} images in {:.1f} s, {:.0f} images/s'.format(count, seconds, count / seconds))
    print('\n' + dataset_report.format_report(described.report, described))
    print('\nDescription and report as JSON: {}'.format(
        os.path.join(output_dir, descriptions.FILE_NAME)))
    return described
