"""Tests of deeplab.evaluation.panoptic_quality."""
import os
import runpy

import numpy as np
import pytest

from deeplab import errors
from tests.evaluation import panoptic_cases

NAMES = ('iou_per_class', 'tp_per_class', 'fn_per_class', 'fp_per_class')


def row(text):
    """Returns the digits of `text` as an image one pixel high."""
    return np.array([[int(letter) for letter in text]])


def compared(true_category, true_instance, predicted_category, predicted_instance, **options):
    metric = panoptic_cases.make_quality()
    metric.compare_and_accumulate(row(true_category), row(true_instance), row(predicted_category),
                                  row(predicted_instance), **options)
    return metric


def sums(metric):
    return np.array([getattr(metric, name) for name in NAMES])


@pytest.mark.parametrize('settings', [
    panoptic_cases.SETTINGS, (4, 2, 8, 40), (5, -1, 3, 100), (3, 7, 4, 32)])
def test_equal_to_the_definition_on_random_images(settings):
    random = np.random.RandomState(settings[0])
    ignored = settings[1]
    counted = np.arange(settings[0]) != ignored
    accumulated, expected_sums = panoptic_cases.make_quality(settings), 0
    for _ in range(250):
        image = panoptic_cases.random_image(random, settings)
        if ignored >= settings[0]:
            for array in (image[0], image[2]):
                array[random.uniform(size=array.shape) < 0.2] = ignored
        metric = panoptic_cases.make_quality(settings)
        result = metric.compare_and_accumulate(*image)
        expected = panoptic_cases.quality_sums(image, settings)
        np.testing.assert_allclose(sums(metric)[:, counted], expected[:, counted], rtol=1e-12)
        by_category, mean = panoptic_cases.quality_of(expected, ignored)
        np.testing.assert_allclose(metric.result_per_category()[counted], by_category[counted],
                                   rtol=1e-12)
        assert result == pytest.approx(mean, rel=1e-12)
        accumulated.compare_and_accumulate(*image)
        expected_sums = expected_sums + expected
    assert accumulated.result() == pytest.approx(
        panoptic_cases.quality_of(expected_sums, ignored)[1], rel=1e-12)


def test_a_perfect_prediction_is_1():
    metric = panoptic_cases.compare_with_themselves(panoptic_cases.make_quality())
    assert metric.result() == 1
    assert metric.detailed_results()['All'] == {'pq': 1, 'sq': 1, 'rq': 1, 'n': 3}


def test_numbers_of_instances_do_not_matter():
    metric = compared('111122', '001100', '111122', '557744')
    np.testing.assert_array_equal(metric.tp_per_class, [0, 2, 1, 0])
    assert metric.result() == 1


def test_a_case_worked_by_hand():
    # Category 1: pixels 0-3 are found as 0-2, IoU 3/4; pixels 4-6 as 4-7, IoU 3/4; the segment of
    # pixel 3 is one too many. Category 2 is missed, category 3 is not there.
    metric = compared('1111111222', '0000111000', '1111111133', '0001222200')
    np.testing.assert_array_equal(sums(metric), [
        [0, 1.5, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]])
    np.testing.assert_allclose(metric.result_per_category(), [0, 0.6, 0, 0])
    assert metric.result() == pytest.approx(0.2)
    details = metric.detailed_results()['All']
    assert details == {'pq': pytest.approx(0.6 / 3), 'sq': 0.25, 'rq': pytest.approx(0.8 / 3),
                       'n': 3}


def test_an_iou_of_one_half_is_no_match():
    metric = compared('1133', '0000', '1333', '0000')
    np.testing.assert_array_equal(metric.tp_per_class, [0, 0, 0, 1])
    np.testing.assert_array_equal(metric.fn_per_class, [0, 1, 0, 0])
    np.testing.assert_array_equal(metric.fp_per_class, [0, 1, 0, 0])


@pytest.mark.parametrize('case, expected', [
    # void under the prediction is taken out of the union
    (('0011', '0000', '1111', '0000'), ([0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0])),
    # an ignored segment that is not void is not; half ignored still is a false positive
    (('0011', '1100', '1111', '0000'), ([0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0])),
    # more than half is none
    (('00011', '11100', '11111', '00000'), ([0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0])),
    # void and other ignored segments add up
    (('00011', '01200', '22222', '00000'), ([0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0])),
    # predicting nothing (the ignored label) misses, and is no false positive
    (('1122', '0000', '0022', '0000'), ([0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0])),
])
def test_ignored_pixels(case, expected):
    metric = compared(*case)
    for name, values in zip(NAMES[1:], expected):
        np.testing.assert_array_equal(getattr(metric, name)[1:], values[1:])


def test_everything_ignored():
    metric = compared('0000', '0011', '1233', '0000')
    assert metric.result() == 0
    assert metric.detailed_results()['All'] == {'pq': 0, 'sq': 0, 'rq': 0, 'n': 0}
    assert metric.results_by_category() == []


def test_void_against_itself_is_in_no_average():
    with np.errstate(all='raise', divide='warn'):
        metric = compared('001122', '000000', '001133', '000000')
    # The union is empty, as void is taken out of it.
    assert metric.iou_per_class[0] == np.inf and metric.tp_per_class[0] == 1
    assert metric.result() == pytest.approx(1 / 3.)
    assert metric.detailed_results()['All']['n'] == 3


def test_an_ignored_label_that_is_no_category():
    metric = panoptic_cases.make_quality((2, 255, 8, 256 * 8))
    metric.compare_and_accumulate(row('01') * 255, row('00'), row('00'), row('00'))
    np.testing.assert_array_equal(metric.tp_per_class, [1, 0])
    metric.compare_and_accumulate(row('11'), row('00'), row('10') * 255, row('00'))
    np.testing.assert_array_equal(metric.fn_per_class, [0, 1])
    np.testing.assert_array_equal(metric.fp_per_class, [1, 0])


@pytest.mark.parametrize('crowds, false', [
    (None, [0, 0, 0]), ({}, [0, 0, 0]), ({1: 1}, [0, 1, 0]), ({1: 2}, [1, 0, 0]),
    ({1: 3}, [1, 1, 0]), ({2: 1}, [0, 0, 0])])
def test_a_crowd_excuses_its_own_category(crowds, false):
    metric = compared('000011', '111100', '112211', '000022', crowd_categories=crowds)
    np.testing.assert_array_equal(metric.fp_per_class[1:], false)
    np.testing.assert_array_equal(metric.tp_per_class[1:], [1, 0, 0])


@pytest.mark.parametrize('instance', [0, 8, -1])
def test_a_crowd_is_not_void(instance):
    with pytest.raises(errors.UserError, match='crowd_categories holds the instance'):
        compared('01', '01', '01', '01', crowd_categories={instance: 1})


def test_one_instance_in_two_categories_is_two_segments():
    assert compared('1122', '3333', '1122', '3333').tp_per_class.tolist() == [0, 1, 1, 0]
    swapped = compared('1122', '3333', '2211', '3333')
    assert swapped.fn_per_class.tolist() == swapped.fp_per_class.tolist() == [0, 1, 1, 0]


def test_segments_of_one_pixel():
    metric = compared('111222333', '012012012', '111222330', '210012010')
    np.testing.assert_array_equal(metric.tp_per_class[1:], [3, 3, 2])
    np.testing.assert_array_equal(metric.fn_per_class[1:], [0, 0, 1])
    assert metric.result() == pytest.approx((1 + 1 + 0.8) / 3)


def test_segments_may_be_in_pieces():
    metric = compared('1212121', '0000000', '1313131', '0000000')
    np.testing.assert_array_equal(sums(metric), [
        [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_keys_beyond_32_bits():
    metric = panoptic_cases.make_quality((30000, 0, 60000, 2 ** 31))
    largest, other = np.full((2, 3), 29999), np.full((2, 3), 59999)
    assert metric.compare_and_accumulate(largest, other, largest, other) == 1
    assert np.flatnonzero(metric.tp_per_class).tolist() == [29999]


@pytest.mark.parametrize('noise', [0, 0.2])
def test_the_benchmark_compares_like_with_like(noise):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    script = runpy.run_path(os.path.join(root, 'scripts', 'benchmarks', 'panoptic_quality.py'))
    _, _, with_masks, result = script['compare'](3, 40, 60, 12, noise)
    assert 0 < result < 1 and with_masks == pytest.approx(result, rel=1e-12)
