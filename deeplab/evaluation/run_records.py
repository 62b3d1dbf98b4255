"""What a run has left about its course: losses, learning rates and scores over its steps.

Read from what lies in its folder: `metrics.jsonl` (or another file of JSON lines),
`eval_curve.json`, an evaluation's `history.json`, or the text a training writes to its log.
"""
import collections
import glob
import json
import os
import re

from deeplab import errors
from deeplab.evaluation import results

METRICS_FILE = 'metrics.jsonl'
LOSS, RATE, SCORE = 'total_loss', 'learning_rate', 'mean_iou'
SERIES = (LOSS, RATE, SCORE)

# series: {one of SERIES: {step: value}}, steps ascending.
Run = collections.namedtuple('Run', ['name', 'series'])

_SCORE_TAG = re.compile(r'eval/miou_.*_overall$')
_NUMBER = r'([-+.\w]+)'
_LOG_LINES = (
    (re.compile(r'\bstep (\d+)/\d+  loss ' + _NUMBER + r' \(.*\)  rate ' + _NUMBER),
     (LOSS, RATE)),
    (re.compile(r'\bstep (\d+)/\d+  mean IoU ' + _NUMBER), (SCORE,)))


def read_json(path: str):
    """Returns the content of a JSON file; UserError naming it where it cannot be read."""
    try:
        with open(path) as stream:
            return json.load(stream)
    except (OSError, ValueError) as error:
        raise errors.UserError('{} cannot be read: {}.'.format(path, error))


class _Series(object):
    """Values by step; a step that was there already means that the run was resumed before it."""

    def __init__(self):
        self.values = collections.OrderedDict()

    def add(self, step, value):
        while self.values and next(reversed(self.values)) >= step:
            self.values.popitem()
        if value is not None:
            self.values[step] = float(value)


def _collect(points):
    """{series: {step: value}} of (series, step, value)."""
    found = collections.defaultdict(_Series)
    for name, step, value in points:
        found[name].add(int(step), value)
    return {name: series.values for name, series in found.items() if series.values}


def _points_of_lines(path):
    with open(path) as stream:
        for line in stream:
            try:
                record = json.loads(line)
                step = record['step']
            except (ValueError, KeyError, TypeError):
                continue  # A run that was killed may leave half a line.
            for tag, value in record.items():
                if tag in (LOSS, RATE):
                    yield tag, step, value
                elif _SCORE_TAG.match(tag):
                    yield SCORE, step, value


def _points_of_history(path):
    entries = results.read_history(path)
    kinds = [str(results.kind_of(entry)) for entry in entries]
    for entry, kind in zip(entries, kinds):
        # One curve of comparable scores: those of which there are most.
        if kind == max(kinds, key=kinds.count):
            yield SCORE, entry['step'], entry['mean_iou']


def _points_of_log(path):
    with open(path, errors='replace') as stream:
        for line in stream:
            for pattern, names in _LOG_LINES:
                match = pattern.search(line)
                if match:
                    for name, value in zip(names, match.groups()[1:]):
                        yield name, match.group(1), value


# Endings of files with the reader of each; where two tell the same, the first one counts.
_READERS = (
    (results.TRAINING_CURVE + '.json', _points_of_history),
    ('.jsonl', _points_of_lines),
    (results.HISTORY_FILE, _points_of_history),
    ('.log', _points_of_log),
    ('.txt', _points_of_log))


def _files_of(folder):
    """Files of the folder itself and of the folders in it, nearest first."""
    inside = sorted(glob.glob(os.path.join(glob.escape(folder), '*')))
    deeper = sorted(glob.glob(os.path.join(glob.escape(folder), '*', '*')))
    for name in (METRICS_FILE, results.TRAINING_CURVE + '.json'):
        of_runs = [os.path.dirname(path) for path in deeper if os.path.basename(path) == name]
        if len(of_runs) > 1:
            raise errors.UserError('{} holds several runs; name those you mean: {}.'.format(
                folder, ','.join(of_runs)))
    return inside + deeper


def read_run(path: str, name: str) -> Run:
    """Reads a run.

    Args:
      path: a folder (what lies in it or in the folders in it), or one file.
      name: of the run.

    Returns:
      Run.

    Raises:
      UserError: there is no such path, or nothing in it about the course of a run.
    """
    if not os.path.exists(path):
        raise errors.UserError('{}: there is no such folder or file.'.format(path))
    files = _files_of(path) if os.path.isdir(path) else [path]
    series = {}
    for ending, read_points in _READERS:
        for found in files:
            if found.endswith(ending) and os.path.isfile(found):
                for key, values in _collect(read_points(found)).items():
                    series.setdefault(key, values)
    if not series:
        raise errors.UserError(
            '{}: nothing about the course of a training is there (looked for {}, '
            '{}.json, {}, and logs *.log, *.txt).'.format(
                path, METRICS_FILE, results.TRAINING_CURVE, results.HISTORY_FILE))
    return Run(name, series)


def names_of(paths) -> list:
    """Returns a short name for each path: the parts in which they differ."""
    split = [os.path.normpath(os.path.abspath(path)).split(os.sep) for path in paths]
    if len(split) == 1:
        plain = [part for part in split[0] if part not in ('train', 'eval')]
        return [plain[-1]]
    shortest = min(len(parts) for parts in split)
    head = next((i for i in range(shortest) if len({parts[i] for parts in split}) > 1), shortest)
    tail = next((i for i in range(shortest - head)
                 if len({parts[-1 - i] for parts in split}) > 1), shortest - head)
    names = ['/'.join(parts[head:len(parts) - tail]) for parts in split]
    return [name or parts[-1] for name, parts in zip(names, split)]
