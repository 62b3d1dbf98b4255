"""The confusion matrix of a semantic segmentation, counted exactly."""
import numpy as np

from deeplab import errors

# So many pixels are looked up and counted at a time: their 64-bit indices stay in the cache.
_CHUNK = 1 << 16


class ConfusionMatrix:
    """Counts pixels by (label, prediction); the usual reset / update / merge of an evaluator.

    `matrix` is int64 `[num_classes, num_classes]`, rows = labels, columns = predictions: exact for
    any number of pixels, where float32 sums stop growing at 2^24 a cell.
    """

    def __init__(self, num_classes: int, ignore_label: int = None):
        """Starts with an empty matrix.

        Args:
          num_classes: labels and predictions are in 0..num_classes - 1.
          ignore_label: pixels of this label are left out, whatever is predicted; may itself lie
            inside or outside that range; None when every pixel counts.
        """
        if num_classes < 1:
            raise ValueError('Argument `num_classes` must be at least 1. Received instead '
                             '{}.'.format(num_classes))
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.reset()

    def reset(self) -> None:
        """Forgets everything counted so far."""
        self.matrix = np.zeros((self.num_classes, self.num_classes), dtype=np.int64)
        self.ignored_pixels = 0

    def update(self, labels, predictions) -> None:
        """Adds the pixels of one image or batch.

        Args:
          labels: integer array of any shape, values in 0..num_classes - 1 or `ignore_label`.
          predictions: integer array of the same shape, values in 0..num_classes - 1.

        Raises:
          UserError: the shapes differ or a value is out of range. Nothing is counted then.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape:
            raise errors.UserError('Labels of shape {} and predictions of shape {} cannot be '
                                   'compared: they must be equal.'.format(
                                       labels.shape, predictions.shape))
        if not labels.size:
            return
        for what, values in (('Labels', labels), ('Predictions', predictions)):
            if not np.issubdtype(values.dtype, np.integer):
                raise errors.UserError('{} must be of an integer type. Received instead {}.'.format(
                    what, values.dtype))
        labels, predictions = labels.ravel(), predictions.ravel()
        self._check_predictions(predictions)
        classes = self.num_classes
        # Two rows more than classes: ignored pixels, and labels that should not be there.
        indices, row_starts = self._row_lookup(labels)
        counts = np.zeros((classes + 2) * classes, dtype=np.int64)
        for start in range(0, labels.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            cells = row_starts.take(indices[part])
            cells += predictions[part].astype(np.int64, copy=False)
            counts += np.bincount(cells, minlength=counts.size)
        counts = counts.reshape(classes + 2, classes)
        if counts[-1].any():
            raise errors.UserError(self._bad_label_message(labels))
        self.matrix += counts[:classes]
        self.ignored_pixels += int(counts[classes].sum())

    def merge(self, other: 'ConfusionMatrix') -> None:
        """Adds what `other` has counted; both must be of the same classes and ignore label."""
        mine = (self.num_classes, self.ignore_label)
        theirs = (other.num_classes, other.ignore_label)
        if mine != theirs:
            raise ValueError('Only matrices of the same classes and ignore label can be merged: '
                             '{} and {}.'.format(mine, theirs))
        self.matrix += other.matrix
        self.ignored_pixels += other.ignored_pixels

    def _row_lookup(self, labels):
        """Returns (indices, table): the row of a pixel starts at cell table[its index]."""
        classes = self.num_classes
        if labels.dtype == np.uint8:
            indices, values = labels, np.arange(256)
        else:
            lowest, highest = int(labels.min()), int(labels.max())
            if highest - lowest > 1 << 20:
                raise errors.UserError(self._bad_label_message(labels))
            indices = labels.astype(np.int64) - lowest
            values = np.arange(lowest, highest + 1)
        rows = np.where((values >= 0) & (values < classes), values, classes + 1)
        if self.ignore_label is not None:
            rows[values == self.ignore_label] = classes
        return indices, rows * classes

    def _check_predictions(self, predictions):
        lowest, highest = predictions.min(), predictions.max()
        if lowest < 0 or highest >= self.num_classes:
            raise errors.UserError('Predictions must be in 0..{}. Received instead {}..{}.'.format(
                self.num_classes - 1, lowest, highest))

    def _bad_label_message(self, labels):
        values = np.unique(labels)
        bad = values[((values < 0) | (values >= self.num_classes)) & (values != self.ignore_label)]
        shown = ', '.join(str(value) for value in bad[:8]) + (', ...' if len(bad) > 8 else '')
        allowed = '0..{}'.format(self.num_classes - 1)
        if self.ignore_label is not None:
            allowed += ' and the ignore label {}'.format(self.ignore_label)
        return ('Labels hold the value{} {}; allowed are {}. Correct the labels, or the number of '
                'classes and the ignore label of the data set.'.format(
                    's' if len(bad) > 1 else '', shown, allowed))
