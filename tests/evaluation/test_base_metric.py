"""Tests of deeplab.evaluation.base_metric and of what both metrics inherit from it."""
import numpy as np
import pytest

from deeplab import errors
from deeplab.evaluation import base_metric
from tests.evaluation import panoptic_cases

MAKERS = [panoptic_cases.make_quality, panoptic_cases.make_covering]


def images(count, seed=0):
    random = np.random.RandomState(seed)
    return [panoptic_cases.random_image(random) for _ in range(count)]


def sums(metric):
    return np.array([getattr(metric, name) for name in metric._TOTALS])


@pytest.mark.parametrize('x, y, expected', [
    (3, 2, 1.5), (3, 0, 0), (0, 0, 0), (1, 1e-11, 0), (-1, -4, 0.25),
    ([1, 2, 3], [2, 0, 4], [0.5, 0, 0.75]), ([1., 2.], 4, [0.25, 0.5]),
    (np.array([5], np.int32), np.array([0], np.int32), [0])])
def test_division_gives_zero_for_zero(x, y, expected):
    with np.errstate(all='raise'):
        quotient = base_metric.realdiv_maybe_zero(x, y)
    np.testing.assert_array_equal(quotient, expected)
    assert quotient.dtype == np.float64 and quotient.shape == np.shape(expected)


def test_base_class_is_abstract():
    with pytest.raises(TypeError):
        base_metric.SegmentationMetric(4, 0, 8, 32)


@pytest.mark.parametrize('make', MAKERS)
def test_merging_equals_accumulating(make):
    whole, parts = make(), [make() for _ in range(3)]
    for number, image in enumerate(images(60)):
        assert whole.compare_and_accumulate(*image) == whole.result()
        parts[number % 3].compare_and_accumulate(*image)
    for part in parts[1:]:
        parts[0].merge(part)
    counted = np.arange(whole.num_categories) != whole.ignored_label
    np.testing.assert_allclose(sums(parts[0])[:, counted], sums(whole)[:, counted], rtol=1e-13)
    assert parts[0].result() == pytest.approx(whole.result(), rel=1e-13)
    assert 0 < whole.result() < 1


@pytest.mark.parametrize('make', MAKERS)
def test_merging_leaves_the_other_one_alone(make):
    first, second = make(), make()
    for metric, image in zip((first, second), images(2)):
        metric.compare_and_accumulate(*image)
    before = sums(second).copy()
    first.merge(second)
    first.compare_and_accumulate(*images(1, seed=5)[0])
    np.testing.assert_array_equal(sums(second), before)


@pytest.mark.parametrize('make', MAKERS)
def test_reset_forgets(make):
    metric, fresh = make(), make()
    for image in images(5):
        metric.compare_and_accumulate(*image)
    metric.reset()
    assert metric.result() == 0 and not sums(metric).any()
    image = images(1, seed=3)[0]
    assert metric.compare_and_accumulate(*image) == fresh.compare_and_accumulate(*image)


@pytest.mark.parametrize('other', [
    panoptic_cases.make_covering(normalize=False), panoptic_cases.make_quality(),
    panoptic_cases.make_covering((5, 0, 8, 40)), panoptic_cases.make_covering((4, 1, 8, 32)),
    panoptic_cases.make_covering((4, 0, 9, 36))])
def test_metrics_of_different_settings_do_not_merge(other):
    with pytest.raises(errors.UserError, match='Cannot merge'):
        panoptic_cases.make_covering().merge(other)


@pytest.mark.parametrize('settings, named', [
    ((0, 0, 8, 32), 'num_categories'), ((4, 0, 0, 32), 'max_instances'), ((4, 0, 8, 0), 'offset')])
@pytest.mark.parametrize('make', MAKERS)
def test_settings_are_checked(make, settings, named):
    with pytest.raises(errors.UserError, match=named):
        make(settings)


@pytest.mark.parametrize('position, value, message', [
    (0, 4, 'ground truth hold 4, expected 0 to 3'), (2, 4, 'prediction hold 4, expected 0 to 3'),
    (0, -1, 'hold -1'), (1, 8, 'Raise max_instances_per_category'),
    (3, 8, 'Instances of the prediction'), (3, -2, 'hold -2'), (2, 1.5, 'whole numbers'),
    (1, float('nan'), 'whole numbers')])
@pytest.mark.parametrize('make', MAKERS)
def test_labels_out_of_range_are_named(make, position, value, message):
    arrays = [np.ones((3, 4), type(value)) for _ in range(4)]
    arrays[position][1, 2] = value
    metric = make()
    with pytest.raises(errors.UserError, match=message):
        metric.compare_and_accumulate(*arrays)
    assert not sums(metric).any()


@pytest.mark.parametrize('make', MAKERS)
def test_shapes_must_agree(make):
    arrays = [np.zeros((3, 4), int)] * 3 + [np.zeros((4, 3), int)]
    with pytest.raises(errors.UserError, match=r'predicted instances \(4, 3\)'):
        make().compare_and_accumulate(*arrays)
    with pytest.raises(errors.UserError, match='whole numbers'):
        make().compare_and_accumulate(*[np.full((2, 2), 'a')] * 4)


@pytest.mark.parametrize('make', MAKERS)
@pytest.mark.parametrize('offset', [1, 27, 2 ** 62])
def test_results_do_not_depend_on_the_offset(make, offset):
    metric, other = make(), make((4, 0, 8, offset))
    for image in images(5):
        assert other.compare_and_accumulate(*image) == metric.compare_and_accumulate(*image)
    np.testing.assert_array_equal(sums(other), sums(metric))
    other.merge(metric)


@pytest.mark.parametrize('make', MAKERS)
def test_large_and_small_ids_give_the_same(make):
    # Ids up to 9 million are sorted, ids up to 31 counted in a table.
    metric, large = make(), make((3001, 0, 3000, 3001 * 3000))
    for image in images(20):
        spread = [array * factor for array, factor in zip(image, (1000, 400, 1000, 400))]
        assert large.compare_and_accumulate(*spread) == metric.compare_and_accumulate(*image)
    np.testing.assert_array_equal(sums(large)[:, ::1000], sums(metric))


@pytest.mark.parametrize('make', MAKERS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32, np.int64, np.float32])
def test_dtype_and_layout_of_the_arrays_do_not_matter(make, dtype):
    for image in images(10):
        expected, other = make(), make()
        expected.compare_and_accumulate(*image)
        other.compare_and_accumulate(*[np.asfortranarray(array.astype(dtype)) for array in image])
        np.testing.assert_array_equal(sums(other), sums(expected))
        flat = make()
        flat.compare_and_accumulate(*[array.ravel().tolist() for array in image])
        np.testing.assert_array_equal(sums(flat), sums(expected))


@pytest.mark.parametrize('make', MAKERS)
def test_an_image_without_pixels_changes_nothing(make):
    metric = make()
    image = images(1)[0]
    before = metric.compare_and_accumulate(*image)
    assert metric.compare_and_accumulate(*[np.zeros((0, 5), int)] * 4) == before


@pytest.mark.parametrize('make', MAKERS)
def test_details_average_over_things_and_stuff(make):
    metric = make()
    for image in images(20):
        metric.compare_and_accumulate(*image)
    name = 'pq' if 'tp_per_class' in metric._TOTALS else 'pc'
    by_category = metric.result_per_category()
    details = metric.detailed_results(is_thing=[True, True, False, True])
    assert list(details) == ['All', 'Things', 'Stuff']
    assert details['All'][name] == metric.result() == pytest.approx(by_category[1:].mean())
    assert details['Things'][name] == pytest.approx(by_category[[1, 3]].mean())
    assert details['Stuff'][name] == pytest.approx(by_category[2])
    assert [details[kind]['n'] for kind in details] == [3, 2, 1]
    assert list(metric.detailed_results()) == ['All']
    no_things = metric.detailed_results(is_thing=[False] * 4)
    assert no_things['Things'][name] == 0 and no_things['Things']['n'] == 0
    with pytest.raises(errors.UserError, match='is_thing'):
        metric.detailed_results(is_thing=[True])
    rows = metric.results_by_category()
    assert [row['category'] for row in rows] == [1, 2, 3]
    assert [row[name] for row in rows] == by_category[1:].tolist()


def test_tables(capsys):
    metric = panoptic_cases.make_quality()
    true = np.array([[1, 1, 1, 2]])
    zeros = np.zeros_like(true)
    metric.compare_and_accumulate(true, zeros, np.array([[1, 1, 3, 2]]), zeros)
    metric.print_detailed_results(is_thing=[0, 1, 0, 0], print_digits=1)
    # Category 1: IoU 2/3. Category 2: 1. Category 3: a false positive.
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ['PQ', 'SQ', 'RQ', 'N']
    assert rows[2:] == [
        ['All', '55.6', '55.6', '66.7', '3'],
        ['Things', '66.7', '66.7', '100.0', '1'],
        ['Stuff', '50.0', '50.0', '50.0', '2']]
    metric.print_results_by_category({1: 'road', 2: 'car'}, print_digits=0)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ['id', 'category', 'PQ', 'SQ', 'RQ', 'TP', 'FP', 'FN']
    assert rows[2:] == [['1', 'road', '67', '67', '100', '1', '0', '0'],
                        ['2', 'car', '100', '100', '100', '1', '0', '0'],
                        ['3', '0', '0', '0', '0', '1', '0']]
    metric.reset()
    metric.print_results_by_category()
    assert capsys.readouterr().out.splitlines()[0].split() == rows[0]
