"""Tests of deeplab.evaluation.figures."""
import numpy as np
from PIL import Image
import pytest

from deeplab.evaluation import figures


def read(path):
    with Image.open(str(path)) as picture:
        return np.array(picture.convert('RGB')).astype(int)


@pytest.mark.parametrize('classes', [1, 5, 60])
def test_confusion_figure_shows_its_colours(tmp_path, classes):
    matrix = np.eye(classes, dtype=np.int64) * 10
    matrix[-1] = 0
    matrix[-1, 0] = 10
    path = tmp_path / 'confusion.png'
    figures.write_confusion_figure(str(path), matrix, ['name {}'.format(i) for i in range(classes)])
    pixels = read(path)
    assert pixels.shape[0] > 250 and pixels.shape[1] > 250
    # Full cells are drawn in the darkest blue of the colour scale.
    assert (np.abs(pixels - [8, 48, 107]).max(axis=2) < 3).sum() > 500


def test_rows_without_pixels_stay_empty(tmp_path):
    path = tmp_path / 'confusion.png'
    figures.write_confusion_figure(str(path), np.zeros((3, 3)), ['a', 'b', 'c'])
    grey = (np.abs(read(path) - 235).max(axis=2) < 3).sum()
    assert grey > 10000


def test_curve_draws_every_series_and_survives_gaps(tmp_path):
    path = tmp_path / 'curve.png'
    figures.write_curve_figure(str(path), [0, 100, 300], {
        'mean IoU': [0.1, 0.5, 0.9], 'rare': [None, 0.2, None]}, 'val')
    pixels = read(path)
    for color in ((31, 119, 180), (255, 127, 14)):
        assert (np.abs(pixels - color).max(axis=2) < 6).sum() > 20
