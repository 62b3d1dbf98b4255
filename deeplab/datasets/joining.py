"""Joined data sets: the shards of several data sets side by side, renumbered, their sums checked.

Shards are not written again: they become hard links, or copies where the file system has no links
across folders. A join that was stopped goes on when it is started again.
"""
import collections
import json
import os
import shutil

from deeplab import errors
from deeplab.datasets import conversion_shards
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file
from deeplab.utils import image_files


class Part(collections.namedtuple('Part', ['name', 'folder'])):
    """One data set to join: its name and the folder of its records."""

    __slots__ = ()


def join(description, parts: list, output_dir: str, expected: dict = None,
         overwrite: bool = False) -> descriptions.Description:
    """Puts the shards of several data sets into one folder that describes itself.

    Args:
        description: descriptions.Description of the joined data set.
        parts: list of Part, in order.
        output_dir: folder for the shards; created where missing.
        expected: split name -> number of images there have to be; None does not check.
        overwrite: remove shards of an earlier, different join first.

    Returns:
        The description as written to `dataset.json`, with the sums of the parts as split sizes.

    Raises:
        UserError: a part is missing or of other classes, its shards hold another number of images
            than its description says, or the sums are not as expected.
    """
    shards = collections.OrderedDict((split, []) for split in description.splits_to_sizes)
    for part in parts:
        if os.path.abspath(part.folder) == os.path.abspath(output_dir):
            raise errors.UserError('{} is the folder of {}: join into another one.'.format(
                output_dir, part.name))
        for split, paths in _shards_of(part, description).items():
            shards.setdefault(split, []).extend(paths)
    sizes = {split: records.count_records(paths) for split, paths in shards.items()}
    check_sizes(description.name, sizes, expected)
    image_files.make_folder(output_dir, '--output_dir')
    _check_earlier(description, output_dir, overwrite)
    plans = {split: _plan(split, paths, output_dir) for split, paths in shards.items()}
    for split, plan in plans.items():
        conversion_shards.clear_stale(output_dir, split, plan, overwrite)
    for split, paths in shards.items():
        for source, target in zip(paths, plans[split]):
            _place(source, target.path)
            _pass_on_note(source, target.path)
        _check_sum(description.name, split, sizes[split], plans[split])
    report = {'splits': {split: summary for split, summary in (
        (split, _summary(plan, description)) for split, plan in plans.items()) if summary}}
    joined = description._replace(splits_to_sizes=sizes, report=report)
    descriptions.save(joined, os.path.join(output_dir, descriptions.FILE_NAME))
    return joined


def check_sizes(name: str, sizes: dict, expected: dict) -> None:
    """Compares sizes of splits.

    Raises:
        UserError: naming the data set, each split that differs and both numbers.
    """
    differing = ['{} has {} images, expected {}'.format(split, sizes.get(split, 0), size)
                 for split, size in (expected or {}).items() if sizes.get(split, 0) != size]
    if differing:
        raise errors.UserError('{}: {}.'.format(name, '; '.join(differing)))


def _shards_of(part, description):
    """Returns split -> shards of a part, checked against what the part says of itself."""
    own = os.path.join(part.folder, descriptions.FILE_NAME)
    stated = {}
    if os.path.exists(own):
        described = descriptions.read(own)
        stated = described.splits_to_sizes
        for field in ('num_classes', 'ignore_label'):
            theirs, ours = getattr(described, field), getattr(description, field)
            if theirs != ours:
                raise errors.UserError('{} has {} {}, {} has {}: they cannot be joined.'.format(
                    own, field, theirs, description.name, ours))
    there = {split: records.list_shards(part.folder, split)
             for split in records.splits_found(part.folder)}
    for split, size in stated.items():
        found = records.count_records(there.get(split, []))
        if size is not None and size != found:
            raise errors.UserError(
                '{}: split {} of {} has {} images by {}, but its shards hold {}. Convert it again.'
                .format(part.folder, split, part.name, size, descriptions.FILE_NAME, found))
    return there


def _check_earlier(description, output_dir, overwrite):
    path = os.path.join(output_dir, descriptions.FILE_NAME)
    if os.path.exists(path) and not overwrite:
        name = descriptions.read(path).name
        if name != description.name:
            raise errors.UserError('{} describes {}, not {}. Choose another --output_dir or give '
                                   '--overwrite.'.format(path, name, description.name))


def _plan(split, sources, output_dir):
    return [conversion_shards.ShardPlan(path, split, [], '')
            for path in records.shard_paths(output_dir, split, len(sources))]


def _place(source, target):
    """Makes `target` a link to `source` or a copy of it, unless it is that already."""
    if os.path.exists(target) and _is_same(source, target):
        return
    with image_files.replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)


def _is_same(source, target):
    if os.path.samefile(source, target):
        return True
    ours, theirs = os.stat(target), os.stat(source)
    return ours.st_size == theirs.st_size and ours.st_mtime_ns == theirs.st_mtime_ns


def _pass_on_note(source, target):
    """Keeps beside a joined shard what the conversion noted of it; no note where there is none."""
    note, own = [conversion_shards.note_path(path) for path in (source, target)]
    if os.path.exists(note):
        image_files.make_folder(os.path.dirname(own), '--output_dir')
        with open(note, encoding='utf-8') as stream:
            image_files.write_text(own, stream.read())
    elif os.path.exists(own):
        os.remove(own)


def _check_sum(name, split, size, plan):
    found = sum(tfrecord_file.count(shard.path) for shard in plan)
    if found != size:
        raise errors.UserError('{}: the shards of {} hold {} images, those of its parts {}. Give '
                               '--overwrite to join again.'.format(name, split, found, size))


def _summary(plan, description):
    """Returns the report of a split from the notes of its shards; None where one has no note."""
    total, skipped = dataset_report.SplitStatistics(), []
    for shard in plan:
        try:
            with open(shard.note_path(), encoding='utf-8') as stream:
                note = json.load(stream)
            if note['bytes'] != os.path.getsize(shard.path):
                return None
            total.merge(dataset_report.SplitStatistics.from_dict(note['statistics']))
            skipped += [name for name, _ in note['skipped']]
        except (OSError, ValueError, KeyError, TypeError):
            return None
    if not plan:
        return None
    return dataset_report.summarize(
        total, description.num_classes, description.ignore_label, skipped)
