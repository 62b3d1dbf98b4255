"""Tests of deeplab.evaluation.parsing_covering."""
import numpy as np
import pytest

from tests.evaluation import panoptic_cases


def row(text):
    """Returns the digits of `text` as an image one pixel high."""
    return np.array([[int(letter) for letter in text]])


def compared(true_category, true_instance, predicted_category, predicted_instance,
             normalize=False):
    metric = panoptic_cases.make_covering(normalize=normalize)
    metric.compare_and_accumulate(row(true_category), row(true_instance), row(predicted_category),
                                  row(predicted_instance))
    return metric


@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('settings', [
    panoptic_cases.SETTINGS, (4, 2, 8, 40), (5, -1, 3, 100), (3, 7, 4, 32)])
def test_equal_to_the_definition_on_random_images(settings, normalize):
    random = np.random.RandomState(settings[0])
    accumulated, expected = panoptic_cases.make_covering(settings, normalize), 0
    for _ in range(150):
        image = panoptic_cases.random_image(random, settings)
        if settings[1] >= settings[0]:
            for array in (image[0], image[2]):
                array[random.uniform(size=array.shape) < 0.2] = settings[1]
        result = accumulated.compare_and_accumulate(*image)
        expected = expected + panoptic_cases.covering_sums(image, settings, normalize)
        np.testing.assert_allclose(accumulated.weighted_iou_per_class, expected[0], rtol=1e-11)
        np.testing.assert_allclose(accumulated.gt_area_per_class, expected[1], rtol=1e-11)
        seen = expected[1] > 0
        by_category = np.where(seen, expected[0], 0) / np.where(seen, expected[1], 1)
        np.testing.assert_allclose(accumulated.result_per_category(), by_category, rtol=1e-11)
        assert result == pytest.approx(by_category[seen].mean() if seen.any() else 0)


def test_a_case_worked_by_hand():
    # Category 1: 4 pixels, found as 3: IoU 3/4; 2 pixels, best found as 2 of 3: IoU 2/3.
    # Category 2: 2 pixels, not found. Pixel 8 is ignored: the predicted segment of pixels 3-5 and
    # 8 counts as 3 pixels.
    case = ('111111220', '000011000', '111111331', '000222002')
    metric = compared(*case)
    np.testing.assert_allclose(metric.weighted_iou_per_class, [0, 4 * 3 / 4. + 2 * 2 / 3., 0, 0])
    np.testing.assert_array_equal(metric.gt_area_per_class, [0, 6, 2, 0])
    np.testing.assert_allclose(metric.result_per_category(), [0, 13 / 18., 0, 0])
    assert metric.result() == pytest.approx(13 / 36.)
    assert metric.detailed_results()['All'] == {'pc': pytest.approx(13 / 36.), 'n': 2}
    shares = compared(*case, normalize=True)
    np.testing.assert_allclose(shares.gt_area_per_class, [0, 6 / 9., 2 / 9., 0])
    assert shares.result() == pytest.approx(13 / 36.)


def test_images_of_different_sizes_weigh_alike_when_normalized():
    small = [row('1'), row('0'), row('1'), row('0')]
    large = [row('1111'), row('0000'), row('2222'), row('0000')]
    results = {}
    for normalize in (True, False):
        metric = panoptic_cases.make_covering(normalize=normalize)
        metric.compare_and_accumulate(*small)
        results[normalize] = metric.compare_and_accumulate(*large)
    assert results == {True: pytest.approx(1 / 2.), False: pytest.approx(1 / 5.)}


def test_a_perfect_prediction_is_1():
    metric = panoptic_cases.compare_with_themselves(panoptic_cases.make_covering())
    assert metric.result() == pytest.approx(1, rel=1e-14)


def test_everything_ignored():
    metric = compared('0000', '0011', '1233', '0000')
    assert metric.result() == 0
    assert metric.detailed_results()['All'] == {'pc': 0, 'n': 0}


def test_one_instance_in_two_categories_is_two_segments():
    assert compared('1122', '3333', '1122', '3333').result() == 1
    assert compared('1122', '3333', '2211', '3333').result() == 0


def test_categories_without_truth_are_in_no_average():
    metric = compared('1111', '0000', '1133', '0000')
    assert metric.result() == 0.5 and metric.detailed_results()['All']['n'] == 1
