"""Figures: the confusion matrix as a heat map, scores over training steps, runs side by side."""
import collections
import io

from matplotlib.backends import backend_agg
from matplotlib import figure as matplotlib_figure
import numpy as np

from deeplab.utils import image_files

# Above this many classes the numbers in the cells would overlap.
_MAX_CLASSES_WITH_NUMBERS = 25
# Above this many points markers would hide the line.
_MAX_STEPS_WITH_MARKERS = 25
# Ten colours in each style.
_LINE_STYLES = ('-', '--', ':', '-.')


def _save(figure, path):
    """Writes a figure through its own Agg canvas: needs no display and touches no global state."""
    backend_agg.FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format='png', dpi=100, bbox_inches='tight')
    image_files.write_bytes(path, stream.getvalue())


def _color_and_text(axes, shares):
    """Fills the cells and, where there is room, writes per cent into all that are not near 0."""
    image = axes.imshow(np.ma.masked_invalid(shares), cmap='Blues', vmin=0, vmax=1)
    if len(shares) <= _MAX_CLASSES_WITH_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                axes.text(column, row, '{:.0f}'.format(100 * share), ha='center', va='center',
                          fontsize=7, color='white' if share > 0.5 else 'black')
    return image


def write_confusion_figure(path: str, matrix, class_names) -> None:
    """Draws a confusion matrix, each row divided by its sum: where the pixels of a class went.

    Args:
      path: PNG file to write.
      matrix: integer array `[num_classes, num_classes]`, rows = labels, columns = predictions.
      class_names: one name a class.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.full_like(matrix, np.nan), where=sums > 0)
    side = min(3 + 0.36 * len(matrix), 24)
    figure = matplotlib_figure.Figure(figsize=(side + 1, side))
    axes = figure.add_subplot(1, 1, 1)
    axes.set_facecolor('0.92')
    image = _color_and_text(axes, shares)
    ticks = np.arange(len(matrix))
    small = 8 if len(matrix) <= _MAX_CLASSES_WITH_NUMBERS else 5
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.set_xticklabels(class_names, rotation=90, fontsize=small)
    axes.set_yticklabels(class_names, fontsize=small)
    axes.set_xlabel('predicted')
    axes.set_ylabel('label')
    axes.set_title('Where the pixels of a class go (%, rows add up to 100)', fontsize=10)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label('share of the labelled pixels', fontsize=8)
    _save(figure, path)


def write_curve_figure(path: str, steps, series: dict, title: str) -> None:
    """Draws scores over training steps.

    Args:
      path: PNG file to write.
      steps: global step of each evaluation, ascending.
      series: name -> values in 0..1, one a step; None leaves a gap.
      title: heading of the figure.
    """
    figure = matplotlib_figure.Figure(figsize=(7, 4.2))
    axes = figure.add_subplot(1, 1, 1)
    for name, values in series.items():
        numbers = [np.nan if value is None else value for value in values]
        axes.plot(steps, numbers, marker='o', markersize=3, label=name)
    axes.set_xlabel('training step')
    axes.set_ylabel('score')
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    _save(figure, path)


# One line of a panel. steps ascending; low and high bound the runs behind it, None for one run.
Curve = collections.namedtuple('Curve', ['name', 'steps', 'values', 'low', 'high'])
# One of several axes side by side. logarithmic: whether values are shown on a logarithmic scale.
Panel = collections.namedtuple('Panel', ['title', 'curves', 'logarithmic'])


def write_panels_figure(path: str, panels) -> None:
    """Draws curves over the training steps, side by side, with one legend.

    Args:
      path: PNG file to write.
      panels: list of Panel. Curves of one name have one colour in all of them.
    """
    names = []
    for panel in panels:
        names += [curve.name for curve in panel.curves if curve.name not in names]
    figure = matplotlib_figure.Figure(figsize=(5.2 * len(panels), 4.2))
    lines = {}
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for curve in panel.curves:
            number_of_name = names.index(curve.name)
            color = 'C{}'.format(number_of_name % 10)
            lines[curve.name] = axes.plot(
                curve.steps, curve.values, color=color, linewidth=1.4,
                linestyle=_LINE_STYLES[number_of_name // 10 % len(_LINE_STYLES)],
                marker='o' if len(curve.steps) <= _MAX_STEPS_WITH_MARKERS else '',
                markersize=3)[0]
            if curve.low is not None:
                axes.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.15,
                                  linewidth=0)
        if panel.logarithmic:
            axes.set_yscale('log')
        axes.set_title(panel.title, fontsize=10)
        axes.set_xlabel('training step')
        axes.grid(alpha=0.3)
    figure.legend([lines[name] for name in names], names, loc='upper center', fontsize=9,
                  bbox_to_anchor=(0.5, 0.02), ncol=min(len(names), 4))
    _save(figure, path)
