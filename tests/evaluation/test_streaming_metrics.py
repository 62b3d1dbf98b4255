"""Tests of deeplab.evaluation.streaming_metrics, and of the pictures test_utils reads."""
import numpy as np
from PIL import Image
import pytest
import tensorflow.compat.v1 as tf

from deeplab.evaluation import streaming_metrics
from deeplab.evaluation import test_utils as pictures
from tests.evaluation import panoptic_cases

CATEGORIES, IGNORED, INSTANCES, OFFSET = panoptic_cases.SETTINGS


def build(function, dtype=tf.int32, **options):
    """Returns (placeholders, values, updates)."""
    arrays = [tf.placeholder(dtype, [None, None]) for _ in range(4)]
    values, updates = function(*arrays, num_classes=CATEGORIES, ignored_label=IGNORED,
                               max_instances_per_category=INSTANCES, offset=OFFSET, **options)
    return arrays, values, updates


def run(images, arrays, values, updates):
    with tf.Session() as session:
        session.run(tf.local_variables_initializer())
        yield session.run(values)
        for image in images:
            session.run(updates, dict(zip(arrays, image)))
            yield session.run(values)


def images(count):
    random = np.random.RandomState(7)
    return [panoptic_cases.random_image(random) for _ in range(count)]


@pytest.mark.parametrize('dtype', [tf.uint8, tf.uint16, tf.int32, tf.int64])
def test_panoptic_quality_equals_the_class(dtype):
    graph = build(streaming_metrics.streaming_panoptic_quality, dtype)
    assert graph[1].dtype == tf.float64 and graph[1].shape.as_list() == [6, CATEGORIES]
    metric, pictures_fed = panoptic_cases.make_quality(), images(6)
    streamed = list(run(pictures_fed, *graph))
    assert not streamed[0].any()
    for image, values in zip(pictures_fed, streamed[1:]):
        metric.compare_and_accumulate(*image)
        components = metric._components()
        expected = np.stack([components[name] for name in ('pq', 'sq', 'rq')] + [
            metric.tp_per_class, metric.fn_per_class, metric.fp_per_class])
        np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert metric.tp_per_class[1:].all() and metric.fn_per_class[1:].all()


@pytest.mark.parametrize('normalize', [True, False])
def test_parsing_covering_equals_the_class(normalize):
    graph = build(streaming_metrics.streaming_parsing_covering, normalize_by_image_size=normalize)
    assert graph[1].dtype == tf.float64 and graph[1].shape.as_list() == [3, CATEGORIES]
    metric, pictures_fed = panoptic_cases.make_covering(normalize=normalize), images(6)
    streamed = list(run(pictures_fed, *graph))
    assert not streamed[0].any()
    for image, values in zip(pictures_fed, streamed[1:]):
        metric.compare_and_accumulate(*image)
        np.testing.assert_allclose(values, [metric.result_per_category(),
                                            metric.weighted_iou_per_class,
                                            metric.gt_area_per_class], rtol=1e-12)


def test_sums_are_local_metric_variables_of_their_own_scope():
    build(streaming_metrics.streaming_panoptic_quality)
    build(streaming_metrics.streaming_panoptic_quality)
    build(streaming_metrics.streaming_parsing_covering, name='covering')
    names = [variable.op.name for variable in tf.local_variables()]
    assert names == [variable.op.name for variable in tf.get_collection('metric_variables')]
    assert len(set(names)) == len(names) == 4 + 4 + 2
    assert sorted({name.split('/')[0] for name in names}) == [
        'covering', 'streaming_panoptic_quality', 'streaming_panoptic_quality_1']
    assert not tf.global_variables() and not tf.trainable_variables()


def test_wrong_labels_stop_the_run_with_their_message():
    arrays, _, updates = build(streaming_metrics.streaming_panoptic_quality)
    with tf.Session() as session:
        session.run(tf.local_variables_initializer())
        with pytest.raises(tf.errors.OpError, match='hold 9, expected 0 to 3'):
            session.run(updates, {array: np.full((2, 2), 9) for array in arrays})


def test_plain_arrays_may_be_given():
    image = images(1)[0]
    values, updates = streaming_metrics.streaming_panoptic_quality(
        *image, num_classes=CATEGORIES, max_instances_per_category=INSTANCES,
        ignored_label=IGNORED, offset=OFFSET)
    metric = panoptic_cases.make_quality()
    metric.compare_and_accumulate(*image)
    with tf.Session() as session:
        session.run(tf.local_variables_initializer())
        session.run(updates)
        np.testing.assert_array_equal(session.run(values)[3], metric.tp_per_class)


def save(path, pixels):
    Image.fromarray(np.array(pixels, np.uint8)).save(str(path))
    return str(path)


def test_pictures_of_colours(tmp_path):
    red, blue = [255, 0, 0], [0, 0, 255]
    path = save(tmp_path / 'colours.png', [[red, blue, blue], [blue, red, blue]])
    colors = {(255, 0, 0): 7, (0, 0, 255): 2, (0, 255, 0): 1}
    labels = pictures.read_segmentation_with_rgb_color_map(path, colors, np.uint8)
    np.testing.assert_array_equal(labels, [[7, 2, 2], [2, 7, 2]])
    assert labels.dtype == np.uint8
    assert pictures.read_test_image(path).shape == (2, 3, 3)
    assert pictures.read_test_image(path, 'L').shape == (2, 3)
    with pytest.raises(ValueError, match='values that the map does not'):
        pictures.read_segmentation_with_rgb_color_map(path, {(255, 0, 0): 1})


def test_pictures_of_instances(tmp_path):
    path = save(tmp_path / 'instances.png', [[0, 5, 5], [9, 9, 0]])
    instances, classes = pictures.panoptic_segmentation_with_class_map(path, {0: 0, 5: 1, 9: 1})
    np.testing.assert_array_equal(instances, [[0, 5, 5], [9, 9, 0]])
    np.testing.assert_array_equal(classes, [[0, 1, 1], [1, 1, 0]])
    with pytest.raises(ValueError, match='values that the map does not: 9'):
        pictures.panoptic_segmentation_with_class_map(path, {0: 0, 5: 1})
    with pytest.raises(ValueError, match='instances that the picture does not: 6'):
        pictures.panoptic_segmentation_with_class_map(path, {0: 0, 5: 1, 9: 1, 6: 2})
