"""Tests of deeplab.evaluation.confusion."""
import numpy as np
from PIL import Image
import pytest

from deeplab import errors
from deeplab.evaluation import confusion
from tests import shared_data


def brute_force(labels, predictions, classes, ignore):
    matrix = np.zeros((classes, classes), np.int64)
    for label, prediction in zip(labels.ravel().tolist(), predictions.ravel().tolist()):
        if label != ignore:
            matrix[label, prediction] += 1
    return matrix


@pytest.mark.parametrize('label_type', [np.uint8, np.int32, np.int64, np.uint16])
@pytest.mark.parametrize('classes, ignore', [(1, 255), (5, 255), (7, 3), (4, None), (19, 19)])
def test_equal_to_counting_pixel_by_pixel(label_type, classes, ignore):
    random = np.random.RandomState(classes)
    counted = confusion.ConfusionMatrix(classes, ignore)
    expected = np.zeros((classes, classes), np.int64)
    ignored = 0
    for shape in ((3, 4), (2, 5, 7), (1, 1), (300, 301)):
        labels = random.randint(0, classes, shape).astype(label_type)
        if ignore is not None:
            labels[random.uniform(size=shape) < 0.3] = ignore
        predictions = random.randint(0, classes, shape)
        counted.update(labels, predictions)
        expected += brute_force(labels, predictions, classes, ignore)
        ignored += (labels == ignore).sum() if ignore is not None else 0
    np.testing.assert_array_equal(counted.matrix, expected)
    assert counted.matrix.dtype == np.int64
    assert counted.ignored_pixels == ignored


def test_negative_ignore_label():
    counted = confusion.ConfusionMatrix(2, -1)
    counted.update(np.array([-1, 0, 1, 1]), np.array([0, 0, 0, 1]))
    assert counted.matrix.tolist() == [[1, 0], [1, 1]]
    assert counted.ignored_pixels == 1


def test_counts_beyond_float32_stay_exact():
    counted = confusion.ConfusionMatrix(2)
    counted.matrix[0, 0] = 1 << 24
    counted.update(np.zeros(1, np.uint8), np.zeros(1, np.int64))
    assert counted.matrix[0, 0] == (1 << 24) + 1


def test_merge_equals_one_matrix_and_reset_empties():
    random = np.random.RandomState(0)
    batches = [(random.randint(0, 4, 50), random.randint(0, 4, 50)) for _ in range(4)]
    parts = [confusion.ConfusionMatrix(4, 3) for _ in range(2)]
    whole = confusion.ConfusionMatrix(4, 3)
    for number, batch in enumerate(batches):
        parts[number % 2].update(*batch)
        whole.update(*batch)
    parts[0].merge(parts[1])
    np.testing.assert_array_equal(parts[0].matrix, whole.matrix)
    assert parts[0].ignored_pixels == whole.ignored_pixels > 0
    whole.reset()
    assert not whole.matrix.any() and whole.ignored_pixels == 0
    with pytest.raises(ValueError, match=r'\(4, 3\) and \(5, 3\)'):
        whole.merge(confusion.ConfusionMatrix(5, 3))


@pytest.mark.parametrize('labels, predictions, message', [
    ([0, 1, 7, 9, 255], [0] * 5, r'the values 7, 9; allowed are 0\.\.2 and the ignore label 255'),
    ([0, -1], [0, 0], r'the value -1; allowed'),
    ([0, 1 << 40], [0, 0], r'the value 1099511627776'),
    ([0, 1], [0, 3], r'Predictions must be in 0\.\.2\. Received instead 0\.\.3'),
    ([0, 1], [0, -1], r'Received instead -1\.\.0'),
    ([0.5, 1], [0, 1], 'Labels must be of an integer type'),
    ([0, 1], [0., 1.], 'Predictions must be of an integer type'),
    ([0, 1, 2], [0, 1], r'shape \(3,\) and predictions of shape \(2,\)'),
])
def test_bad_values_are_named_and_nothing_is_counted(labels, predictions, message):
    counted = confusion.ConfusionMatrix(3, 255)
    with pytest.raises(errors.UserError, match=message):
        counted.update(np.array(labels), np.array(predictions))
    assert not counted.matrix.any()


def test_bad_uint8_label_and_bad_class_count():
    counted = confusion.ConfusionMatrix(3)
    with pytest.raises(errors.UserError, match=r'the value 255; allowed are 0\.\.2\. Correct'):
        counted.update(np.array([255, 0], np.uint8), np.array([0, 0]))
    with pytest.raises(ValueError, match='at least 1'):
        confusion.ConfusionMatrix(0)


def test_real_label_images_against_a_brute_force_count():
    folder = shared_data.path('data/voc/SegmentationClass')
    with open(shared_data.path('data/voc/lists/val.txt')) as stream:
        names = stream.read().split()[:3]
    counted = confusion.ConfusionMatrix(21, 255)
    expected = np.zeros((21, 21), np.int64)
    for name in names:
        with Image.open('{}/{}.png'.format(folder, name)) as picture:
            labels = np.array(picture)
        # A plausible prediction: the picture's own labels moved by some pixels.
        predictions = np.roll(np.where(labels == 255, 0, labels), 9, axis=1)
        counted.update(labels, predictions)
        for label in range(21):
            for prediction in range(21):
                expected[label, prediction] += np.sum(
                    (labels == label) & (predictions == prediction))
    np.testing.assert_array_equal(counted.matrix, expected)
    assert counted.matrix.sum() > 100000
