"""Resampling under affine maps, against numpy and Pillow."""
import numpy as np
from PIL import Image
import pytest
import tensorflow.compat.v1 as tf

from deeplab.core import affine

HEIGHT, WIDTH = 11, 16
MATRIX = np.array([[1.1, 0.12], [-0.07, 0.92]], np.float32)
SHIFT = np.array([0.1, -0.15], np.float32)


def picture():
    random = np.random.RandomState(0)
    return (random.uniform(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32),
            random.randint(0, 7, (HEIGHT, WIDTH, 1)).astype(np.int32))


def positions(matrix, shift):
    return affine.source_positions(
        *affine.grid(HEIGHT, WIDTH), tf.constant(matrix, tf.float32),
        tf.constant(shift, tf.float32))


def numpy_positions(matrix, shift):
    """Solves for the source of each pixel in float64."""
    middle = np.array([(HEIGHT - 1) / 2.0, (WIDTH - 1) / 2.0])
    places = np.stack(np.mgrid[:HEIGHT, :WIDTH], -1).reshape(-1, 2) - middle
    source = np.linalg.solve(np.float64(matrix), (places - shift * [HEIGHT, WIDTH]).T).T + middle
    return source.reshape(HEIGHT, WIDTH, 2)


def run(tensors):
    with tf.Session() as session:
        return session.run(tensors)


def pixel(image, row, column, fill):
    inside = 0 <= row < HEIGHT and 0 <= column < WIDTH
    return image[row, column] if inside else fill


def test_source_positions():
    rows, columns = run(positions(MATRIX, SHIFT))
    expected = numpy_positions(MATRIX, SHIFT)
    np.testing.assert_allclose(rows, expected[..., 0], atol=1e-5)
    np.testing.assert_allclose(columns, expected[..., 1], atol=1e-5)


def test_nearest_and_bilinear_against_numpy():
    image, label = picture()
    fill = np.array([120.0, 130.0, 5.0], np.float32)
    places = positions(MATRIX, SHIFT)
    moved, moved_label, rows, columns = run((
        affine.sample_bilinear(tf.constant(image), *places, fill=fill),
        affine.sample_nearest(tf.constant(label), *places, fill=255)) + places)
    outside = 0
    for place in np.ndindex(HEIGHT, WIDTH):
        row, column = rows[place], columns[place]
        near = int(np.floor(row + np.float32(0.5))), int(np.floor(column + np.float32(0.5)))
        assert moved_label[place] == pixel(label, near[0], near[1], 255)
        outside += moved_label[place][0] == 255
        top, left = int(np.floor(row)), int(np.floor(column))
        expected = sum(
            (1 - abs(row - corner_row)) * (1 - abs(column - corner_column)) *
            pixel(image, corner_row, corner_column, fill)
            for corner_row in (top, top + 1) for corner_column in (left, left + 1))
        np.testing.assert_allclose(moved[place], expected, atol=2e-3)
    assert 10 < outside < HEIGHT * WIDTH / 2


def test_label_agrees_with_pillow():
    _, label = picture()
    source = numpy_positions(MATRIX, SHIFT)
    # Pillow takes column and row of pixel centres, half a pixel in.
    inverse = np.linalg.inv(np.float64(MATRIX))
    offset = source[0, 0] - inverse.dot([0.5, 0.5]) + 0.5
    coefficients = (inverse[1, 1], inverse[1, 0], offset[1],
                    inverse[0, 1], inverse[0, 0], offset[0])
    expected = np.asarray(Image.fromarray((label[..., 0] + 1).astype(np.uint8)).transform(
        (WIDTH, HEIGHT), Image.AFFINE, coefficients, Image.NEAREST)).astype(int) - 1
    found = run(affine.sample_nearest(tf.constant(label), *positions(MATRIX, SHIFT), fill=-1))
    assert np.mean(found[..., 0] == expected) > 0.98


def test_identity_changes_nothing():
    image, label = picture()
    places = positions(np.eye(2), [0, 0])
    found = run((affine.sample_bilinear(tf.constant(image), *places, fill=[1.0, 2.0, 3.0]),
                 affine.sample_nearest(tf.constant(label), *places, fill=255)))
    # Framing adds and takes away the fill colour, which may cost the last bit.
    np.testing.assert_allclose(found[0], image, atol=2e-5)
    np.testing.assert_array_equal(found[1], label)


@pytest.mark.parametrize('down, right', [(3, 0), (-2, 5), (0, -4), (20, 0)])
def test_whole_pixels_move_image_and_label_alike(down, right):
    label = picture()[1]
    image = np.tile(label, [1, 1, 3]).astype(np.float32)
    places = positions(np.eye(2), [down / float(HEIGHT), right / float(WIDTH)])
    rows, columns = [tf.round(side) for side in places]
    moved, moved_label = run((affine.sample_bilinear(tf.constant(image), rows, columns, 99.0),
                              affine.sample_nearest(tf.constant(label), *places, fill=99)))
    expected = np.full_like(label, 99)
    for row, column in np.ndindex(HEIGHT, WIDTH):
        if 0 <= row - down < HEIGHT and 0 <= column - right < WIDTH:
            expected[row, column] = label[row - down, column - right]
    np.testing.assert_array_equal(moved_label, expected)
    np.testing.assert_array_equal(moved, np.tile(expected, [1, 1, 3]))
