"""What panoptic quality and parsing covering share: totals by category, averages, tables."""
import abc
import collections

import numpy as np
import tabulate

from deeplab import errors
from deeplab.evaluation import segment_overlaps

_NEAR_ZERO = 1e-10


def realdiv_maybe_zero(x, y) -> np.ndarray:
    """Returns x / y by element, 0 where y is (nearly) 0."""
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    quotient = np.zeros(x.shape)
    np.divide(x, y, out=quotient, where=np.abs(y) >= _NEAR_ZERO)
    return quotient


def _check_positive(**values):
    for name, value in values.items():
        if value < 1:
            raise errors.UserError('{} must be 1 or more, got {}.'.format(name, value))


class SegmentationMetric(abc.ABC):
    """Compares segmentations image by image and keeps sums by category.

    A pixel has a category and an instance; pixels with the same two form a segment. Instances
    count within a category: instance 1 of category 3 and instance 1 of category 5 are different
    segments.

    A subclass names its sums in `_TOTALS` (each becomes an attribute, float64
    `[num_categories]`), adds to them in `compare_and_accumulate`, and says in `_components` what
    they make by category. All else follows from these.
    """

    _TOTALS = ()

    def __init__(self, num_categories: int, ignored_label: int, max_instances_per_category: int,
                 offset: int):
        """Begins with sums of zero.

        Args:
          num_categories: categories are 0 to num_categories - 1.
          ignored_label: category left out; it may lie outside of the categories (255, say), and a
            negative one means that there is none.
          max_instances_per_category: instances are 0 to max_instances_per_category - 1.
          offset: more than any segment id, for programs that encode an intersection as true id *
            offset + predicted id. Intersections are kept apart without it here, so that results
            do not depend on it.

        Raises:
          UserError: num_categories, max_instances_per_category or offset is below 1.
        """
        _check_positive(num_categories=num_categories, offset=offset,
                        max_instances_per_category=max_instances_per_category)
        self.num_categories = num_categories
        self.ignored_label = ignored_label
        self.max_instances_per_category = max_instances_per_category
        self.offset = offset
        self.reset()

    @abc.abstractmethod
    def compare_and_accumulate(self, groundtruth_category_array, groundtruth_instance_array,
                               predicted_category_array, predicted_instance_array):
        """Compares one image with its ground truth and adds to the sums.

        Args:
          groundtruth_category_array: whole numbers `[height, width]`, the category of each pixel.
          groundtruth_instance_array: the same shape, the instance of each pixel.
          predicted_category_array: the same for the prediction.
          predicted_instance_array: the same for the prediction.

        Returns:
          The metric over all images so far, a float.

        Raises:
          UserError: shapes differ, or a value is not a whole number in its range.
        """

    @abc.abstractmethod
    def result_per_category(self) -> np.ndarray:
        """Returns the metric by category: float64 `[num_categories]`, 0 where nothing was seen.

        The entry of the ignored label has no meaning and is part of no average.
        """

    def _components(self) -> dict:
        """Returns an ordered dict of lower-case names to float64 `[num_categories]`."""
        return collections.OrderedDict(result=self.result_per_category())

    def _counts(self) -> dict:
        """Returns further sums to be shown by category, the same kind of dict."""
        return collections.OrderedDict()

    def _occurs(self) -> np.ndarray:
        """Returns bool `[num_categories]`: which categories have been seen."""
        return np.ones(self.num_categories, dtype=bool)

    def _id_scheme(self):
        return segment_overlaps.IdScheme(self.num_categories, self.ignored_label,
                                         self.max_instances_per_category)

    def _valid_categories(self):
        """Returns bool `[num_categories]`: seen, and not the ignored label."""
        return self._occurs() & (np.arange(self.num_categories) != self.ignored_label)

    def result(self) -> float:
        """Returns the mean of `result_per_category` over the categories seen; 0 for none."""
        return _mean(self.result_per_category(), self._valid_categories())

    def detailed_results(self, is_thing=None) -> dict:
        """Returns averages over all categories and, where `is_thing` is given, over each kind.

        Args:
          is_thing: bool `[num_categories]`: countable objects, as opposed to stuff; or None.

        Returns:
          {'All': {...}, 'Things': {...}, 'Stuff': {...}}, each with the averages of the metric and
          of its factors (panoptic quality: 'pq', 'sq', 'rq'; parsing covering: 'pc'), in 0..1,
          and 'n', the number of categories averaged.

        Raises:
          UserError: `is_thing` has another shape.
        """
        valid = self._valid_categories()
        chosen = collections.OrderedDict(All=valid)
        if is_thing is not None:
            is_thing = self._checked_is_thing(is_thing)
            chosen['Things'] = valid & is_thing
            chosen['Stuff'] = valid & ~is_thing
        components = self._components()
        results = collections.OrderedDict()
        for kind, members in chosen.items():
            results[kind] = {name: _mean(values, members) for name, values in components.items()}
            results[kind]['n'] = int(members.sum())
        return results

    def _checked_is_thing(self, is_thing):
        is_thing = np.asarray(is_thing, dtype=bool)
        if is_thing.shape != (self.num_categories,):
            raise errors.UserError('is_thing must have the shape ({},), one entry a category, got '
                                   '{}.'.format(self.num_categories, is_thing.shape))
        return is_thing

    def results_by_category(self) -> list:
        """Returns a dict for each category seen: 'category', the factors in 0..1, the counts."""
        columns = list(self._components().items()) + list(self._counts().items())
        return [collections.OrderedDict([('category', int(category))] + [
            (name, float(values[category])) for name, values in columns])
                for category in np.flatnonzero(self._valid_categories())]

    def print_detailed_results(self, is_thing=None, print_digits=3):
        """Prints `detailed_results` as a table, in per cent with `print_digits` decimals."""
        names = list(self._components())
        rows = [[kind] + [_per_cent(values[name], print_digits) for name in names] + [values['n']]
                for kind, values in self.detailed_results(is_thing).items()]
        print(tabulate.tabulate(rows, headers=[''] + [name.upper() for name in names] + ['N'],
                                disable_numparse=True,
                                colalign=['left'] + ['right'] * (len(names) + 1)))

    def print_results_by_category(self, names=None, print_digits=3):
        """Prints `results_by_category` as a table; `names` is a dict of category to name."""
        names = names or {}
        factors, counts = list(self._components()), list(self._counts())
        rows = [[row['category'], names.get(row['category'], '')] +
                [_per_cent(row[name], print_digits) for name in factors] +
                ['{:.10g}'.format(row[name]) for name in counts]
                for row in self.results_by_category()]
        headers = ['id', 'category'] + [name.upper() for name in factors + counts]
        # tabulate cannot align the columns of a table without rows.
        align = ['right', 'left'] + ['right'] * (len(headers) - 2) if rows else None
        print(tabulate.tabulate(rows, headers=headers, disable_numparse=True, colalign=align))

    def _settings(self):
        return collections.OrderedDict(
            kind=type(self).__name__, num_categories=self.num_categories,
            ignored_label=self.ignored_label,
            max_instances_per_category=self.max_instances_per_category)

    def merge(self, other_instance) -> None:
        """Adds the sums of another instance, as if its images had been compared here.

        Raises:
          UserError: the other one measures something else or with other settings.
        """
        mine, others = self._settings(), other_instance._settings()
        for name, value in mine.items():
            if others.get(name) != value:
                raise errors.UserError('Cannot merge metrics of different {}: {} here, {} in the '
                                       'other.'.format(name, value, others.get(name)))
        for name in self._TOTALS:
            setattr(self, name, getattr(self, name) + getattr(other_instance, name))

    def reset(self) -> None:
        """Sets all sums to zero."""
        for name in self._TOTALS:
            setattr(self, name, np.zeros(self.num_categories, dtype=np.float64))


def _mean(values, members):
    return float(np.mean(values[members])) if members.any() else 0.0


def _per_cent(share, digits):
    return '{:.{}f}'.format(100 * share, digits)
