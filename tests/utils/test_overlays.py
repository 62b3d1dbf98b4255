"""Tests of deeplab.utils.overlays."""
import numpy as np
import pytest

from deeplab.utils import get_dataset_colormap
from deeplab.utils import overlays

PALETTE = get_dataset_colormap.full_palette('pascal')


def test_label_edges_mark_one_side_of_every_change():
    edges = overlays.label_edges(np.array([[0, 0, 1], [0, 0, 1], [2, 2, 2]]))
    assert edges.tolist() == [[False, True, False], [True, True, True], [False, False, False]]


@pytest.mark.parametrize('opacity', [0, 0.25, 0.55, 1])
def test_overlay_mixes_image_and_colours(opacity):
    random = np.random.RandomState(0)
    image = random.randint(0, 256, (20, 30, 3)).astype(np.uint8)
    labels = random.randint(0, 21, (20, 30))
    mixed = overlays.overlay(image, labels, PALETTE, opacity, with_edges=False)
    expected = image * (1 - opacity) + PALETTE[labels] * float(opacity)
    assert mixed.dtype == np.uint8
    assert np.abs(mixed - expected).max() <= 1.6


def test_overlay_draws_white_edges():
    labels = np.array([[0, 1], [0, 1]])
    mixed = overlays.overlay(np.zeros((2, 2, 3), np.uint8), labels, PALETTE)
    assert (mixed[:, 0] == 255).all() and not (mixed[:, 1] == 255).any()


def test_error_map_colours_wrong_ignored_and_right_pixels():
    image = np.full((1, 3, 3), 100, np.uint8)
    result = overlays.error_map(image, np.array([[0, 1, 255]]), np.array([[0, 2, 2]]), 255)
    right, wrong, ignored = result[0].tolist()
    assert len(set(right)) == 1 and right[0] > 110
    assert wrong == [230, 30, 40]
    assert ignored == [70, 90, 130]


def test_sizes_must_agree():
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ValueError, match=r'\(2, 3\) and labels of \(3, 2\)'):
        overlays.overlay(image, np.zeros((3, 2), int), PALETTE)
    with pytest.raises(ValueError, match='float64'):
        overlays.error_map(image.astype(float), np.zeros((2, 3)), np.zeros((2, 3)))


def test_legend_has_a_swatch_a_class_and_wraps_into_columns():
    names = ['class {}'.format(label) for label in range(40)]
    picture = overlays.legend(names, PALETTE)
    for label in (0, 5, 29, 30, 39):
        column, row = divmod(label, 30)
        swatch = (picture.reshape(-1, 3) == PALETTE[label]).all(axis=1).sum()
        assert swatch >= 33 * 15, (label, column, row)
    assert picture.shape[0] == 30 * 22 + 16
    narrow = overlays.legend(names[:3], PALETTE)
    assert narrow.shape[0] == 3 * 22 + 16 and narrow.shape[1] < picture.shape[1]


def test_legend_of_some_classes_with_shares():
    plain = overlays.legend({2: 'car', 7: 'road'}, PALETTE)
    shares = overlays.legend({2: 'car', 7: 'road'}, PALETTE, {2: 0.25})
    assert plain.shape[0] == shares.shape[0] == 2 * 22 + 16
    assert shares.shape[1] > plain.shape[1]
    assert (plain.reshape(-1, 3) == PALETTE[7]).all(axis=1).sum() >= 33 * 15
