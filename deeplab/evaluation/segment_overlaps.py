"""Areas of segments and of their overlaps, found in one pass over two segmentations of an image.

Segmentations consist of runs of equal pixels. The pass looks for the places where any of the four
label arrays changes from one pixel to the next, and everything after that works on the runs: their
number grows with the outlines in the image, not with its pixels, and no segment needs a mask.
"""
import collections

import numpy as np

from deeplab import errors

# Above this, a table of all numbers up to the largest costs more than sorting a few of them.
_SMALL_TABLE = 2 ** 16

# One entry for each true and predicted segment that share pixels, ordered by the true and then by
# the predicted id. All three are int64 arrays of one length.
Overlaps = collections.namedtuple('Overlaps', ['true_id', 'predicted_id', 'area'])

# ids, areas: one entry a segment. position: one entry an overlap, the segment it belongs to.
Segments = collections.namedtuple('Segments', ['ids', 'areas', 'position'])


class IdScheme(collections.namedtuple(
        'IdScheme', ['num_categories', 'ignored_label', 'max_instances_per_category'])):
    """How a category and an instance become the id of a segment.

    id = category * max_instances_per_category + instance
    """

    def check_category(self, values, what):
        """Raises UserError unless all `values` are categories or the ignored label."""
        wrong = (values < 0) | (values >= self.num_categories)
        wrong &= values != self.ignored_label
        if wrong.any():
            raise errors.UserError(
                'Categories of the {} hold {}, expected 0 to {} (num_categories is {}) or the '
                'ignored label {}. Raise num_categories or map the labels first.'.format(
                    what, values[wrong][0], self.num_categories - 1, self.num_categories,
                    self.ignored_label))

    def check_instance(self, values, what):
        """Raises UserError unless all `values` are below max_instances_per_category."""
        wrong = (values < 0) | (values >= self.max_instances_per_category)
        if wrong.any():
            raise errors.UserError(
                'Instances of the {} hold {}, expected 0 to {}. Raise max_instances_per_category '
                '(now {}): two segments would share one id.'.format(
                    what, values[wrong][0], self.max_instances_per_category - 1,
                    self.max_instances_per_category))

    def segment_ids(self, category, instance, what):
        """Returns int64 ids of int64 `category` and `instance`, after checking both."""
        self.check_category(category, what)
        self.check_instance(instance, what)
        return category * self.max_instances_per_category + instance


def run_starts(*arrays) -> np.ndarray:
    """Returns where, in C order, a run of pixels begins in which no array changes.

    Args:
      *arrays: arrays of one size and of any shape.

    Returns:
      int64 `[runs]`, increasing, beginning with 0; empty for empty arrays.
    """
    flat = [np.asarray(array).reshape(-1) for array in arrays]
    begins = np.zeros(flat[0].size, dtype=bool)
    begins[:1] = True
    for array in flat:
        begins[1:] |= array[1:] != array[:-1]
    return np.flatnonzero(begins)


def run_lengths(starts: np.ndarray, size: int) -> np.ndarray:
    """Returns int64 `[runs]`: the pixels of each run; they sum to `size`."""
    return np.diff(np.append(starts, size))


def _whole_numbers(array, starts, what):
    values = np.asarray(array).reshape(-1)[starts]
    if values.dtype.kind not in 'biuf':
        raise errors.UserError('{} have dtype {}, expected whole numbers.'.format(
            what, values.dtype))
    with np.errstate(invalid='ignore'):
        whole = values.astype(np.int64)
    if values.dtype.kind == 'f' and not np.array_equal(whole, values):
        raise errors.UserError('{} hold {}, expected whole numbers.'.format(
            what, values[whole != values][0]))
    return whole


def _check_shapes(arrays):
    shapes = [np.shape(array) for array in arrays]
    if len(set(shapes)) > 1:
        raise errors.UserError(
            'The four arrays of an image must have one shape, got true categories {}, true '
            'instances {}, predicted categories {}, predicted instances {}.'.format(*shapes))


def find_overlaps(scheme: IdScheme, true_category, true_instance, predicted_category,
                  predicted_instance) -> Overlaps:
    """Counts the pixels of every intersection of a true and a predicted segment.

    Args:
      scheme: how labels become ids.
      true_category, true_instance, predicted_category, predicted_instance: whole numbers of any
        dtype, all `[height, width]` or all of any other shape.

    Raises:
      UserError: shapes differ, values are no whole numbers or do not fit `scheme`.
    """
    arrays = (true_category, true_instance, predicted_category, predicted_instance)
    _check_shapes(arrays)
    starts = run_starts(*arrays)
    names = [part + ' of the ' + side for side in ('ground truth', 'prediction')
             for part in ('Categories', 'Instances')]
    labels = [_whole_numbers(array, starts, name) for array, name in zip(arrays, names)]
    true_ids, true = _enumerate(scheme.segment_ids(labels[0], labels[1], 'ground truth'))
    predicted_ids, predicted = _enumerate(scheme.segment_ids(labels[2], labels[3], 'prediction'))
    # Numbering the segments first keeps the numbers of pairs small enough for a table.
    pairs, position = _enumerate(true * predicted_ids.size + predicted)
    areas = total(position, run_lengths(starts, np.size(true_category)), pairs.size)
    return Overlaps(true_ids[pairs // max(predicted_ids.size, 1)],
                    predicted_ids[pairs % max(predicted_ids.size, 1)], areas)


def _enumerate(numbers):
    """Returns (the different numbers in order, for each of `numbers` its place among them).

    The same as `np.unique` with `return_inverse`, without sorting where a table will do.
    """
    if not numbers.size or numbers.max() > max(_SMALL_TABLE, 4 * numbers.size):
        return np.unique(numbers, return_inverse=True)
    occurs = np.zeros(numbers.max() + 1, dtype=bool)
    occurs[numbers] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[numbers]


def group(ids: np.ndarray, areas: np.ndarray) -> Segments:
    """Adds up `areas` by `ids` (both int64 `[n]`)."""
    unique, position = _enumerate(ids)
    return Segments(unique, total(position, areas, unique.size), position)


def total(position: np.ndarray, areas: np.ndarray, count: int) -> np.ndarray:
    """Returns int64 `[count]`: the sum of the `areas` that have each `position`."""
    # bincount adds in float64: exact, as no image has 2^53 pixels.
    return np.bincount(position, weights=areas, minlength=count).astype(np.int64)
