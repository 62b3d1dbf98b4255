"""Tests of deeplab.evaluation.tiles."""
import numpy as np
import pytest

from deeplab import errors
from deeplab.evaluation import tiles


@pytest.mark.parametrize('length, tile, overlap', [
    (100, 100, 0.5), (101, 100, 0.5), (250, 100, 0.25), (1000, 33, 0.0), (64, 1, 0.9)])
def test_starts_cover_the_side_with_the_overlap_asked_for(length, tile, overlap):
    starts = tiles.tile_starts(length, tile, overlap)
    assert starts[0] == 0 and starts[-1] == length - tile
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= max(1, tile * (1 - overlap)) + 0.5).all()


def test_weights_are_a_pyramid_without_zeros():
    weights = tiles.tile_weights(5, 3)[..., 0]
    np.testing.assert_allclose(weights[:, 1], np.array([1, 2, 3, 2, 1]) / 3, rtol=1e-6)
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])
    assert weights.min() > 0


def one_hot_of_red(batch):
    """A 'network' that looks at single pixels only: class = red value."""
    return np.eye(4, dtype=np.float32)[batch[..., 0]]


@pytest.mark.parametrize('shape', [(40, 50), (16, 16), (7, 60), (60, 9), (5, 6)])
@pytest.mark.parametrize('overlap, batch', [(0.0, 1), (0.5, 3), (0.9, 2)])
def test_a_pixelwise_network_gives_the_same_in_tiles(shape, overlap, batch):
    image = np.random.RandomState(0).randint(0, 4, shape + (3,)).astype(np.uint8)
    labels, probabilities = tiles.predict_in_tiles(
        image, (16, 16), overlap, one_hot_of_red, batch_size=batch, keep_probabilities=True)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, image[..., 0])
    np.testing.assert_allclose(probabilities, np.eye(4)[image[..., 0]], atol=1e-6)


def test_overlapping_tiles_are_averaged_by_their_weights():
    image = np.zeros((4, 6, 3), np.uint8)
    answers = iter([0.9, 0.2])

    def constant_per_tile(batch):
        share = next(answers)
        return np.broadcast_to(np.array([share, 1 - share], np.float32), batch.shape[:3] + (2,))

    labels, probabilities = tiles.predict_in_tiles(
        image, (4, 4), 0.5, constant_per_tile, keep_probabilities=True)
    np.testing.assert_allclose(probabilities[0, :, 0], [
        0.9, 0.9, (0.9 * 2 + 0.2 * 1) / 3, (0.9 * 1 + 0.2 * 2) / 3, 0.2, 0.2], rtol=1e-5)
    np.testing.assert_array_equal(labels[0], [0, 0, 0, 1, 1, 1])


def test_small_images_are_filled_up_with_the_given_colour():
    seen = []

    def remember(batch):
        seen.append(batch)
        return one_hot_of_red(batch)

    image = np.ones((2, 3, 3), np.uint8)
    labels, probabilities = tiles.predict_in_tiles(
        image, (4, 4), 0.5, remember, fill=(3, 2, 1))
    assert labels.shape == (2, 3) and probabilities is None
    assert seen[0].shape == (1, 4, 4, 3)
    assert seen[0][0, 3, 3].tolist() == [3, 2, 1] and seen[0][0, 1, 2].tolist() == [1, 1, 1]


@pytest.mark.parametrize('overlap', [-0.1, 1.0])
def test_overlap_out_of_range(overlap):
    with pytest.raises(errors.UserError, match=str(overlap)):
        tiles.predict_in_tiles(np.zeros((4, 4, 3), np.uint8), (2, 2), overlap, one_hot_of_red)
