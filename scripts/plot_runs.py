r"""Draws runs side by side: loss, learning rate and mean IoU over the steps; prints a table.

    python scripts/plot_runs.py --runs=runs/a,runs/b --output=runs.png
    python scripts/plot_runs.py --output=runs.png \
        --group=poly:runs/poly1,runs/poly2,runs/poly3 --group=adam:runs/adam1,runs/adam2

A run is a folder (of a training, or one that holds it), a file of metrics (.jsonl), of scores
(eval_curve.json, history.json), or the log of a training. Runs of a group, such as one per seed,
are drawn as their mean within a band from the lowest to the highest.
"""
import collections

from absl import flags
import numpy as np
import tabulate

from deeplab import cli
from deeplab import errors
from deeplab.evaluation import figures
from deeplab.evaluation import run_records

FLAGS = flags.FLAGS
# A group of runs; one alone is a group of one.
Group = collections.namedtuple('Group', ['name', 'runs'])

_TITLES = {run_records.LOSS: 'loss', run_records.RATE: 'learning rate',
           run_records.SCORE: 'mean IoU on the evaluated split'}
# The loss of a single batch says little: it is averaged over about this share of its points.
_SMOOTHED_SHARE = 1 / 20.0


def define_flags():
    """Defines the flags of this command."""
    cli.define_list('runs', None, 'Folders or files of runs, each drawn for itself.')
    flags.DEFINE_multi_string('group', [], 'name:RUN,RUN,...: runs drawn as one, with their '
                              'spread. May be repeated.')
    flags.DEFINE_string('output', None, 'PNG file to write.')
    flags.DEFINE_enum('table_format', 'simple', ['simple', 'github'], 'How the table looks.')
    flags.mark_flag_as_required('output')


def read_groups(runs, groups) -> list:
    """Returns a Group for each of the runs and of the texts 'name:RUN,RUN,...'.

    Raises:
        UserError: a text of another form, a name given twice, a run that cannot be read.
    """
    found = [Group(name, [run_records.read_run(path, name)])
             for name, path in zip(run_records.names_of(runs), runs)] if runs else []
    for text in groups:
        name, colon, members = text.partition(':')
        paths = [path for path in members.split(',') if path]
        if not (name and colon and paths):
            raise errors.UserError('--group={}: write name:RUN,RUN,...'.format(text))
        found.append(Group(name, [run_records.read_run(path, path) for path in paths]))
    names = [group.name for group in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.UserError('Two runs or groups are called {!r}; each needs a name of its '
                               'own.'.format(twice[0]))
    if not found:
        raise errors.UserError('Nothing to draw: give --runs or --group.')
    return found


def _smoothed(values):
    """Means over a window around each value, which gets narrower at both ends."""
    half = int(len(values) * _SMOOTHED_SHARE / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    indices = np.arange(len(values))
    reach = np.minimum(half, np.minimum(indices, len(values) - 1 - indices))
    return (sums[indices + reach + 1] - sums[indices - reach]) / (2 * reach + 1)


def curve_of(group: Group, series: str):
    """Returns the `figures.Curve` of a group, None where no run has this series.

    Each step is averaged over the runs that have it.
    """
    rows = []
    for run in group.runs:
        steps = np.array(list(run.series.get(series, {})), np.int64)
        values = np.array(list(run.series.get(series, {}).values()))
        rows.append(dict(zip(steps, _smoothed(values) if series == run_records.LOSS else values)))
    steps = sorted(set().union(*rows))
    if not steps:
        return None
    at_steps = [[row[step] for row in rows if step in row] for step in steps]
    several = len(group.runs) > 1
    return figures.Curve(
        group.name, steps, [np.mean(values) for values in at_steps],
        [min(values) for values in at_steps] if several else None,
        [max(values) for values in at_steps] if several else None)


def panels_of(groups) -> list:
    """Returns a `figures.Panel` for each series that any of the groups has."""
    panels = []
    for series in run_records.SERIES:
        curves = [curve for curve in (curve_of(group, series) for group in groups) if curve]
        if curves:
            panels.append(figures.Panel(_TITLES[series], curves, False))
    return panels


def _mean_and_spread(values, digits=4):
    if not values:
        return '-'
    text = '{:.{}f}'.format(np.mean(values), digits)
    if len(values) > 1:
        text += ' +/- {:.{}f}'.format(np.std(values, ddof=1), digits)
    return text


def _best(scores):
    return max(scores, key=lambda step: (scores[step], -step))


def table_of(groups, table_format='simple') -> str:
    """A row a group: final loss, final and best mean IoU, as mean +/- standard deviation."""
    rows = []
    for group in groups:
        losses = [list(run.series[run_records.LOSS].values())[-1] for run in group.runs
                  if run_records.LOSS in run.series]
        scores = [run.series[run_records.SCORE] for run in group.runs
                  if run_records.SCORE in run.series]
        best_steps = [_best(of_run) for of_run in scores]
        rows.append([
            group.name, len(group.runs),
            max(step for run in group.runs for series in run.series.values() for step in series),
            _mean_and_spread(losses),
            _mean_and_spread([list(of_run.values())[-1] for of_run in scores]),
            _mean_and_spread([of_run[step] for of_run, step in zip(scores, best_steps)]),
            ', '.join(str(step) for step in best_steps) or '-'])
    return tabulate.tabulate(
        rows, headers=['run', 'runs', 'steps', 'final loss', 'final mIoU', 'best mIoU', 'at step'],
        tablefmt=table_format, disable_numparse=True,
        colalign=('left',) + ('right',) * 6)


def main(_):
    groups = read_groups(FLAGS.runs, FLAGS.group)
    figures.write_panels_figure(FLAGS.output, panels_of(groups))
    print(table_of(groups, FLAGS.table_format))
    if any(len(group.runs) > 1 for group in groups):
        print('\nMean +/- standard deviation over the runs of a group.')
    print('Written: {}'.format(FLAGS.output))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
