"""The conversion engine: from pairs of image and label files to a folder of records.

    from deeplab.datasets import conversion, conversion_images, conversion_labels

    labels = conversion_labels.LabelRules(num_classes=11, ignore_label=11, class_map=None)
    conversion.convert(description, {'train': pairs, 'val': more_pairs}, output_dir,
                       conversion_images.Rules(labels, orientation='auto'))

Images are read, checked and encoded by several processes, written in order by this one. Each shard
appears complete or not at all, what is finished is kept when the rest fails, and at the end the
folder describes itself (`dataset.json`).
"""
import collections
import functools
import itertools
import os

import tensorflow.compat.v1 as tf
import tqdm

from deeplab import errors
from deeplab.datasets import build_data
from deeplab.datasets import conversion_images
from deeplab.datasets import conversion_shards
from deeplab.datasets import conversion_workers
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file
from deeplab.utils import image_files

# How records and shards look. keys: `records.RecordKeys`; first_number: of the first shard.
Layout = collections.namedtuple('Layout', ['keys', 'first_number'])
REFERENCE_LAYOUT = Layout(records.REFERENCE_KEYS, 0)
TF_DEEPLABV3_LAYOUT = Layout(records.TF_DEEPLABV3_KEYS, 1)

Options = collections.namedtuple('Options', [
    'num_shards', 'num_workers', 'skip_bad', 'overwrite', 'with_progress', 'images_per_shard',
    'layout'])
Options.__new__.__defaults__ = (4, 0, False, False, True, 0, REFERENCE_LAYOUT)
Options.__doc__ = """How a conversion runs.

Fields:
    num_shards: shards a split.
    num_workers: processes; 0 takes one for each core.
    skip_bad: leave bad pairs out and list them, where a bad pair otherwise ends the conversion.
    overwrite: remove what is there of these splits first.
    with_progress: show a progress bar when standard error is a terminal.
    images_per_shard: where not 0, shards of so many pictures, whatever `num_shards` says; the last
        one has what is left.
    layout: `Layout`.
"""


def convert(description, splits: dict, output_dir: str, rules: conversion_images.Rules,
            options: Options = Options()) -> descriptions.Description:
    """Converts pictures to records.

    Args:
        description: descriptions.Description without split sizes and report.
        splits: split name -> list of conversion_pairs.Pair.
        output_dir: folder for the shards; created where missing.
        rules: how images and labels are checked and made ready.
        options: Options.

    Returns:
        The description as written to `dataset.json`: split sizes and report filled in, splits of
        earlier conversions into the same folder kept.

    Raises:
        UserError: nothing to convert; a bad pair (file, what was found, what is expected); the
            folder cannot be written to or holds another data set.
    """
    _check_splits(splits)
    image_files.make_folder(output_dir, '--output_dir')
    earlier = _earlier_description(description, splits, output_dir, options.overwrite)
    shards = _plan_all(splits, output_dir, rules, options)
    results = _convert_shards(shards, rules, options)
    return _describe(description, earlier, splits, results, output_dir)


def _check_splits(splits):
    for split, pairs in splits.items():
        if not pairs:
            raise errors.UserError('Split {!r} has no pictures.'.format(split))
    if not splits:
        raise errors.UserError('There is no split to convert.')


def _earlier_description(description, splits, output_dir, overwrite):
    path = os.path.join(output_dir, descriptions.FILE_NAME)
    if not os.path.exists(path):
        return None
    earlier = descriptions.read(path)
    if overwrite and set(earlier.splits_to_sizes) <= set(splits):
        return None
    for field in ('num_classes', 'ignore_label'):
        before, now = getattr(earlier, field), getattr(description, field)
        if before != now:
            raise errors.UserError(
                '{} describes a data set with {} {}, this conversion has {}. Choose another '
                '--output_dir or remove what is there.'.format(path, field, before, now))
    return earlier


def _plan_all(splits, output_dir, rules, options):
    shards = []
    usual = options.layout == REFERENCE_LAYOUT
    settings = repr(rules) if usual else repr((rules, options.layout))
    for split, pairs in splits.items():
        planned = conversion_shards.plan(
            output_dir, split, pairs, options.num_shards, settings,
            options.images_per_shard, options.layout.first_number)
        conversion_shards.clear_stale(output_dir, split, planned, options.overwrite)
        shards.extend(planned)
    return shards


def _convert_shards(shards, rules, options):
    """Writes the shards that are not there yet; returns (split, ShardResult) of all, in order."""
    results = {shard.path: conversion_shards.finished(shard, options.skip_bad)
               for shard in shards}
    missing = [shard for shard in shards if results[shard.path] is None]
    done = sum(len(shard.pairs) for shard in shards if results[shard.path])
    pairs = itertools.chain.from_iterable(shard.pairs for shard in missing)
    prepared = conversion_workers.ordered_map(
        functools.partial(conversion_images.prepare, rules=rules), pairs, options.num_workers,
        after_death='It goes on with the shards that are missing.')
    bar = tqdm.tqdm(total=sum(len(shard.pairs) for shard in shards), initial=done, unit=' images',
                    disable=None if options.with_progress else True)
    try:
        for shard in missing:
            bar.set_description(shard.split)
            stream = itertools.islice(prepared, len(shard.pairs))
            results[shard.path] = _write_shard(shard, stream, options, bar)
    finally:
        prepared.close()
        bar.close()
    return [(shard.split, results[shard.path]) for shard in shards]


def _write_shard(shard, stream, options, bar):
    result = conversion_shards.ShardResult(dataset_report.SplitStatistics(), [])
    try:
        tfrecord_file.write(shard.path, _serialized(stream, result, options, bar))
    except (OSError, tf.errors.OpError) as error:
        raise errors.UserError('{}: cannot be written ({}).'.format(shard.path, error))
    conversion_shards.note_finished(shard, result)
    return result


def _serialized(stream, result, options, bar):
    for item in stream:
        bar.update()
        if isinstance(item, conversion_images.Rejected):
            if not options.skip_bad:
                raise errors.UserError(item.reason + ' Mend it, or give --skip_bad to leave such '
                                       'pictures out.')
            result.skipped.append(tuple(item))
            continue
        result.statistics.add(item.height, item.width, item.histogram)
        example = build_data.example_of(
            item.image, item.name, item.height, item.width, item.label, options.layout.keys)
        # Without this the order of the features, and so the bytes, changes from run to run.
        yield example.SerializeToString(deterministic=True)


def _describe(description, earlier, splits, results, output_dir):
    sizes = dict(earlier.splits_to_sizes) if earlier else {}
    summaries = dict(earlier.report.get('splits', {})) if earlier else {}
    for split in splits:
        total, skipped = dataset_report.SplitStatistics(), []
        for owner, result in results:
            if owner == split:
                total.merge(result.statistics)
                skipped.extend(result.skipped)
        _list_skipped(output_dir, split, skipped)
        sizes[split] = total.images
        summaries[split] = dataset_report.summarize(
            total, description.num_classes, description.ignore_label,
            [name for name, _ in skipped])
        if not total.images:
            raise errors.UserError('Every picture of split {!r} is bad; see {}.'.format(
                split, _skipped_path(output_dir, split)))
    described = description._replace(splits_to_sizes=sizes, report={'splits': summaries})
    descriptions.save(described, os.path.join(output_dir, descriptions.FILE_NAME))
    return described


def _skipped_path(output_dir, split):
    return os.path.join(output_dir, split + '_skipped.txt')


def _list_skipped(output_dir, split, skipped):
    path = _skipped_path(output_dir, split)
    if skipped:
        image_files.write_text(path, ''.join('{}\t{}\n'.format(*entry) for entry in skipped))
    elif os.path.exists(path):
        os.remove(path)
