"""Prediction on images larger than the network's input, or memory, allows: overlapping tiles.

Every pixel gets the weighted mean of the probabilities of all tiles that cover it. The weights fall
off linearly towards a tile's border, where the network sees little context, so no seams show.
Only a strip of one tile's height is held in memory, whatever the size of the image.
"""
import numpy as np

from deeplab import errors


def tile_starts(length: int, tile: int, overlap: float) -> list:
    """Returns where tiles start so that they cover 0..length evenly.

    Args:
      length: side of the image, at least `tile`.
      tile: side of a tile.
      overlap: least share of a tile that it has in common with the next one, in 0..1.
    """
    step = max(1, int(tile * (1 - overlap)))
    count = 1 + -(-(length - tile) // step)
    return [int(round(start)) for start in np.linspace(0, length - tile, count)]


def tile_weights(height: int, width: int) -> np.ndarray:
    """Returns the weights of a tile's pixels, float32 `[height, width, 1]`: a pyramid, never 0."""
    slopes = [np.minimum(np.arange(side) + 1, side - np.arange(side)) / ((side + 1) / 2)
              for side in (height, width)]
    return np.outer(*slopes).astype(np.float32)[..., None]


def _pad(image, height, width, fill):
    rows, columns = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    if not rows and not columns:
        return image
    padded = np.empty((image.shape[0] + rows, image.shape[1] + columns, 3), image.dtype)
    padded[:] = fill
    padded[:image.shape[0], :image.shape[1]] = image
    return padded


class _Strip:
    """Weighted sums over the rows that tiles still to come may add to."""

    def __init__(self, height, width, weights):
        self._shape = (height, width)
        self._weights = weights
        self._sums = None

    def add(self, left, probabilities):
        """Adds one tile's probabilities `[height, tile width, classes]` at column `left`."""
        if self._sums is None:
            # One channel more than classes: the sum of the weights.
            self._sums = np.zeros(self._shape + (probabilities.shape[-1] + 1,), np.float32)
        part = self._sums[:, left:left + probabilities.shape[1]]
        part[..., :-1] += probabilities * self._weights
        part[..., -1:] += self._weights

    def pop(self, rows):
        """Takes the finished upper rows away; returns their probabilities `[rows, width, n]`."""
        done, rest = self._sums[:rows], self._sums[rows:]
        self._sums = np.concatenate([rest, np.zeros_like(done)])
        return done[..., :-1] / done[..., -1:]


def predict_in_tiles(image, tile_size, overlap, predict_tiles, batch_size=1, fill=0,
                     keep_probabilities=False):
    """Predicts the labels of one image tile by tile.

    Args:
      image: array `[height, width, 3]`.
      tile_size: (height, width) of a tile; smaller images are filled up to it.
      overlap: least share of a tile that neighbours have in common, 0 <= overlap < 1.
      predict_tiles: function from tiles `[n, tile height, tile width, 3]` (dtype of the image) to
        probabilities float32 `[n, tile height, tile width, classes]`.
      batch_size: how many tiles are given to it at a time.
      fill: value or RGB colour of the pixels added to small images.
      keep_probabilities: whether to return the probabilities of the whole image as well.

    Returns:
      (labels int64 `[height, width]`, probabilities float32 `[height, width, classes]` or None).

    Raises:
      UserError: the overlap is out of range.
    """
    if not 0 <= overlap < 1:
        raise errors.UserError('The overlap of tiles must be at least 0 and below 1. Received '
                               'instead {}.'.format(overlap))
    height, width = image.shape[:2]
    tile_height, tile_width = tile_size
    image = _pad(image, tile_height, tile_width, fill)
    tops = tile_starts(image.shape[0], tile_height, overlap)
    lefts = tile_starts(image.shape[1], tile_width, overlap)
    strip = _Strip(tile_height, image.shape[1], tile_weights(tile_height, tile_width))
    labels = np.empty(image.shape[:2], np.int64)
    kept = []
    for top, next_top in zip(tops, tops[1:] + [image.shape[0]]):
        for first in range(0, len(lefts), batch_size):
            group = lefts[first:first + batch_size]
            tiles = np.stack([image[top:top + tile_height, left:left + tile_width]
                              for left in group])
            for left, probabilities in zip(group, predict_tiles(tiles)):
                strip.add(left, probabilities)
        finished = strip.pop(next_top - top)
        labels[top:next_top] = finished.argmax(axis=-1)
        if keep_probabilities:
            kept.append(finished)
    probabilities = np.concatenate(kept)[:height, :width] if keep_probabilities else None
    return labels[:height, :width], probabilities
