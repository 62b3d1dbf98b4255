"""Shards on disk: which pictures go where, what is already there, and starting over cleanly.

For each finished shard a note is kept (in the folder `.conversion`): a fingerprint of what went
into it, its size in bytes and its statistics. A shard whose note matches what would be written is
not written again: that is how a conversion that was stopped goes on.
"""
import collections
import glob
import hashlib
import json
import os

from deeplab import errors
from deeplab.datasets import conversion_files
from deeplab.datasets import dataset_report
from deeplab.datasets import records
from deeplab.utils import image_files

_NOTES_FOLDER = '.conversion'
# To be raised whenever the same input would give other bytes.
_FORMAT_VERSION = 1


def note_path(path: str) -> str:
    """Returns where the note of a shard lies."""
    folder, name = os.path.split(path)
    return os.path.join(folder, _NOTES_FOLDER, name + '.json')


class ShardPlan(collections.namedtuple('ShardPlan', ['path', 'split', 'pairs', 'fingerprint'])):
    """One shard to be: its path, split, list of Pair, and the fingerprint of its input."""

    __slots__ = ()

    def note_path(self):
        return note_path(self.path)


# What is known about a finished shard: SplitStatistics, and (name, reason) of the pairs left out.
ShardResult = collections.namedtuple('ShardResult', ['statistics', 'skipped'])


def boundaries(count: int, num_shards: int, images_per_shard: int = 0) -> list:
    """Returns where shards start and end: one number more than shards, from 0 to count.

    With `images_per_shard`, all shards but the last have so many pictures. Otherwise there are
    `num_shards` that differ by one picture at most, none empty unless there is no picture at all.
    """
    if images_per_shard:
        return list(range(0, max(count, 1), images_per_shard)) + [count]
    num_shards = max(1, min(num_shards, count))
    return [index * count // num_shards for index in range(num_shards + 1)]


def _version(path):
    if path is None:
        return None
    try:
        return conversion_files.version(path)
    except OSError as error:
        raise errors.UserError('{}: cannot be read ({}).'.format(path, error.strerror or error))


def _fingerprint(pairs, settings):
    digest = hashlib.sha256(json.dumps([_FORMAT_VERSION, settings], sort_keys=True).encode())
    for pair in pairs:
        entry = [pair.name, _version(pair.image), _version(pair.label)]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def plan(output_dir: str, split: str, pairs: list, num_shards: int, settings,
         images_per_shard: int = 0, first_number: int = 0) -> list:
    """Returns the ShardPlans of a split.

    Args:
        output_dir: folder of the shards.
        split: name of the split.
        pairs: list of Pair, in the order they are to be stored.
        num_shards: wanted number of shards; fewer when there are fewer pairs.
        settings: plain values that change what is written, part of the fingerprint.
        images_per_shard: see `boundaries`.
        first_number: number of the first shard in its name.

    Raises:
        UserError: a file that is not there.
    """
    edges = boundaries(len(pairs), num_shards, images_per_shard)
    paths = records.shard_paths(output_dir, split, len(edges) - 1, first_number)
    return [ShardPlan(path, split, pairs[start:end], _fingerprint(pairs[start:end], settings))
            for path, start, end in zip(paths, edges, edges[1:])]


def clear_stale(output_dir: str, split: str, planned: list, overwrite: bool) -> None:
    """Deals with what an earlier conversion left of this split.

    Raises:
        UserError: there are shards of another number of shards, and `overwrite` is not given.
    """
    wanted = {shard.path for shard in planned}
    strangers = [path for path in _shards_of(output_dir, split)
                 if overwrite or path not in wanted]
    if strangers and not overwrite:
        raise errors.UserError(
            '{} holds {} shard(s) of {} from another conversion ({}). Give --overwrite to replace '
            'them, the same number of shards as then, or another --output_dir.'.format(
                output_dir, len(strangers), split, os.path.basename(strangers[0])))
    for path in strangers:
        os.remove(path)
    for shard in planned:
        folder, name = os.path.split(shard.path)
        for path in glob.glob(os.path.join(glob.escape(folder), '.{}.tmp-*'.format(name))):
            _remove_abandoned(path)


def _shards_of(output_dir, split):
    """Paths of the files in `output_dir` that are named like shards of this split."""
    start = split + '-'
    return [os.path.join(output_dir, name) for name in sorted(os.listdir(output_dir))
            if name.startswith(start) and '-of-' in name[len(start):]
            and name[len(start):].split('-')[0].isdigit()]


def _remove_abandoned(path):
    """Removes a temporary file unless the process that writes it is still alive."""
    process = path.rpartition('-')[2]
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        os.remove(path)
    except OSError:
        pass   # alive, and another user's


def finished(shard: ShardPlan, skip_bad: bool):
    """Returns the ShardResult of a shard that is there and up to date, else None.

    A shard that lacks bad pairs counts as finished only where bad pairs are to be left out.
    """
    try:
        with open(shard.note_path(), encoding='utf-8') as stream:
            note = json.load(stream)
        if (note['fingerprint'] != shard.fingerprint
                or note['bytes'] != os.path.getsize(shard.path)
                or note['skipped'] and not skip_bad):
            return None
        return ShardResult(dataset_report.SplitStatistics.from_dict(note['statistics']),
                           [tuple(entry) for entry in note['skipped']])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_finished(shard: ShardPlan, result: ShardResult) -> None:
    """Remembers that a shard is complete."""
    path = shard.note_path()
    image_files.make_folder(os.path.dirname(path), '--output_dir')
    image_files.write_text(path, json.dumps({
        'fingerprint': shard.fingerprint,
        'bytes': os.path.getsize(shard.path),
        'statistics': result.statistics.to_dict(),
        'skipped': result.skipped,
    }))
