"""What is in a data set: sizes, pixels per class, and what follows for its settings.

`SplitStatistics` is filled picture by picture, by the converter or from records, and added up;
`summarize` turns it into the plain dictionary that goes into `dataset.json`, `format_report` turns
that into tables.
"""
import collections

import numpy as np
import tabulate

from deeplab import errors
from deeplab.datasets import eval_crop

_LABELS = 256
_OUTPUT_STRIDES = (8, 16, 32)
_OUTPUT_STRIDE_IN_TABLE = 16
_SIZES_IN_REPORT = 5
_LONGEST_NAME = 30


class SplitStatistics(object):
    """Counts over the pictures of one split.

    Attributes:
        images: number of pictures.
        unlabelled: how many of them have no label.
        sizes: Counter of (height, width).
        pixels: int64 [256], pixels of each label.
        images_with: int64 [256], pictures in which a label occurs.
        pixels_around: int64 [256], all pixels of those pictures.
    """

    def __init__(self):
        self.images = 0
        self.unlabelled = 0
        self.sizes = collections.Counter()
        self.pixels = np.zeros(_LABELS, np.int64)
        self.images_with = np.zeros(_LABELS, np.int64)
        self.pixels_around = np.zeros(_LABELS, np.int64)

    def add(self, height: int, width: int, histogram=None) -> None:
        """Counts one picture.

        Args:
            height, width: its size in pixels.
            histogram: int64 [256], pixels of each label; None without label.
        """
        self.images += 1
        self.sizes[height, width] += 1
        if histogram is None:
            self.unlabelled += 1
            return
        occurs = histogram > 0
        self.pixels += histogram
        self.images_with += occurs
        self.pixels_around += occurs * histogram.sum()

    def merge(self, other) -> None:
        """Adds the counts of another SplitStatistics."""
        self.images += other.images
        self.unlabelled += other.unlabelled
        self.sizes.update(other.sizes)
        self.pixels += other.pixels
        self.images_with += other.images_with
        self.pixels_around += other.pixels_around

    def to_dict(self) -> dict:
        """Returns everything as plain values, for JSON."""
        return {
            'images': self.images,
            'unlabelled': self.unlabelled,
            'sizes': [[height, width, count]
                      for (height, width), count in sorted(self.sizes.items())],
            'pixels': self.pixels.tolist(),
            'images_with': self.images_with.tolist(),
            'pixels_around': self.pixels_around.tolist(),
        }

    @classmethod
    def from_dict(cls, content: dict):
        """Reverses `to_dict`."""
        statistics = cls()
        statistics.images = content['images']
        statistics.unlabelled = content['unlabelled']
        for height, width, count in content['sizes']:
            statistics.sizes[height, width] = count
        for name in ('pixels', 'images_with', 'pixels_around'):
            setattr(statistics, name, np.array(content[name], np.int64))
        return statistics


def balancing_weights(statistics: SplitStatistics, num_classes: int, ignore_label: int) -> list:
    """Returns one loss weight a class by median frequency balancing.

    The frequency of a class is its share of the pixels of the pictures it occurs in; its weight is
    the median of all frequencies divided by its own (Eigen and Fergus, "Predicting Depth, Surface
    Normals and Semantic Labels with a Common Multi-Scale Convolutional Architecture", section 6.3).
    Classes without a pixel get 1, an ignored class 0.
    """
    pixels = statistics.pixels[:num_classes]
    counted = pixels > 0
    if ignore_label < num_classes:
        counted[ignore_label] = False
    frequencies = pixels / np.maximum(statistics.pixels_around[:num_classes], 1)
    weights = np.ones(num_classes)
    if counted.any():
        weights[counted] = np.median(frequencies[counted]) / frequencies[counted]
    if ignore_label < num_classes:
        weights[ignore_label] = 0
    return [float('{:.4g}'.format(weight)) for weight in weights]


def summarize(statistics: SplitStatistics, num_classes: int, ignore_label: int,
              skipped=()) -> dict:
    """Returns what is worth knowing about a split, as plain values.

    Args:
        statistics: SplitStatistics.
        num_classes: number of classes.
        ignore_label: label that does not count.
        skipped: names of pictures that were left out.
    """
    heights, widths = zip(*statistics.sizes) if statistics.sizes else ((0,), (0,))
    summary = collections.OrderedDict([
        ('images', statistics.images),
        ('without_label', statistics.unlabelled),
        ('skipped', list(skipped)),
        ('smallest_size', [min(heights), min(widths)]),
        ('largest_size', [max(heights), max(widths)]),
        ('distinct_sizes', len(statistics.sizes)),
        ('frequent_sizes', [[height, width, count] for (height, width), count
                            in statistics.sizes.most_common(_SIZES_IN_REPORT)]),
        ('eval_crop_size', {
            str(stride): eval_crop.fitting_crop(max(heights), max(widths), stride)
            for stride in _OUTPUT_STRIDES}),
    ])
    if statistics.unlabelled < statistics.images:
        never_seen = [label for label in range(num_classes)
                      if not statistics.pixels[label] and label != ignore_label]
        summary.update([
            ('pixels_per_class', statistics.pixels[:num_classes].tolist()),
            ('ignored_pixels', int(statistics.pixels[ignore_label])),
            ('images_per_class', statistics.images_with[:num_classes].tolist()),
            ('classes_never_seen', never_seen),
            ('label_weights', balancing_weights(statistics, num_classes, ignore_label)),
        ])
    return summary


def label_weights_of(description, split: str, dataset: str, dataset_dir: str) -> list:
    """Returns the loss weights that balance the classes of a split, from its report.

    Args:
        description: descriptions.Description.
        split: name of the split.
        dataset, dataset_dir: as given by the user, for the message.

    Raises:
        UserError: the report does not tell, with the command that makes one that does.
    """
    weights = description.report.get('splits', {}).get(split, {}).get('label_weights')
    if weights is None or len(weights) != description.num_classes:
        raise errors.UserError(
            'The description of data set {} holds no report on the labels of split {}, so there '
            'are no weights to balance its classes. Make one: python scripts/inspect_dataset.py '
            '--dataset={} --dataset_dir={} --splits={} --save_report'.format(
                description.name, split, dataset, dataset_dir, split))
    return [float(weight) for weight in weights]


def format_weights(weights, description) -> str:
    """Returns loss weights as a table with the names of the classes."""
    return tabulate.tabulate(
        [[label, description.class_name(label)[:_LONGEST_NAME], weight]
         for label, weight in enumerate(weights)], headers=['class', 'name', 'weight'])


def _size(size):
    return '{}x{}'.format(*size)


def _split_rows(splits):
    for name, summary in splits.items():
        smallest, largest = summary['smallest_size'], summary['largest_size']
        yield [name, summary['images'], summary['without_label'], len(summary['skipped']),
               _size(smallest) if smallest == largest else
               '{} to {}'.format(_size(smallest), _size(largest)),
               summary['distinct_sizes'],
               '{},{}'.format(*summary['eval_crop_size'][str(_OUTPUT_STRIDE_IN_TABLE)])]


def _share(part, whole):
    return '{:.3f}'.format(100.0 * part / whole) if part else 'never'


def _class_rows(splits, description):
    totals = {name: sum(summary['pixels_per_class']) for name, summary in splits.items()}
    for label in range(description.num_classes):
        row = [label, description.class_name(label)[:_LONGEST_NAME]]
        for name, summary in splits.items():
            pixels = summary['pixels_per_class'][label]
            if label == description.ignore_label:
                row += ['ignored', '', '']
                continue
            row += [_share(pixels, totals[name]), summary['images_per_class'][label],
                    summary['label_weights'][label]]
        yield row


def _never_seen(splits, description):
    for name, summary in splits.items():
        labels = summary['classes_never_seen']
        if labels:
            yield 'No pixel in {} of class {}.'.format(name, ', '.join(
                '{} ({})'.format(label, description.class_name(label)) for label in labels))


def _weight_lines(splits):
    training = [name for name in splits if name.startswith('train')] or list(splits)
    for name in training:
        summary = splits[name]
        yield '--label_weights that balance the classes of {}: {}'.format(
            name, ','.join('{:g}'.format(weight) for weight in summary['label_weights']))


def format_report(report: dict, description) -> str:
    """Returns the report as tables and lines for people.

    Args:
        report: {'splits': {name: what `summarize` returned}}.
        description: descriptions.Description, for the names of the classes.
    """
    splits = report['splits']
    labelled = collections.OrderedDict(
        (name, summary) for name, summary in splits.items() if 'pixels_per_class' in summary)
    parts = [tabulate.tabulate(
        list(_split_rows(splits)),
        headers=['split', 'images', 'without label', 'skipped', 'height x width', 'sizes',
                 'eval crop (stride {})'.format(_OUTPUT_STRIDE_IN_TABLE)])]
    if labelled:
        headers = ['class', 'name']
        for name in labelled:
            headers += [name + ' %', 'images', 'weight']
        parts.append(tabulate.tabulate(list(_class_rows(labelled, description)), headers=headers))
    remarks = list(_never_seen(labelled, description)) + list(_weight_lines(labelled))
    parts.append('\n'.join(remarks))
    return '\n\n'.join(part for part in parts if part)
