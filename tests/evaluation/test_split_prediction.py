"""Tests of deeplab.evaluation.split_prediction."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import prediction
from deeplab.core import feature_extractor
from deeplab.evaluation import inference
from deeplab.evaluation import job
from deeplab.evaluation import split_prediction
from tests import tiny_run


def choose(folder, crop_size, is_given, batch_size, resize_range=prediction.NO_RESIZE):
    return tuple(split_prediction.choose_crop(
        'tiny', 'val', folder, crop_size, is_given, batch_size, resize_range, 'eval_crop_size'))


def test_choice_of_the_crop(tmp_path):
    # 40 x 56, 33 x 49 and 48 x 33 pixels.
    folder = tiny_run.write_records(tmp_path / 'mixed')
    assert choose(folder, [49, 65], True, 1) == ([49, 65], False)
    assert choose(folder, [513, 513], False, 1) == ([513, 513], False)
    assert choose(folder, [33, 33], False, 1) == (None, True)
    assert choose(folder, [33, 33], False, 2) == (None, False)
    assert choose(folder, None, True, 1) == (None, True)
    assert choose(folder, None, True, 4) == (None, False)
    equal = tiny_run.write_records(tmp_path / 'equal', sizes=[(20, 30)] * 2)
    assert choose(equal, [17, 17], False, 1) == (None, False)
    # After resizing the longer sides to 33 everything fits.
    assert choose(folder, [33, 33], True, 1, prediction.ResizeRange(33, 33, None)) == (
        [33, 33], False)


def test_a_crop_too_small_names_flag_picture_and_value(tmp_path):
    folder = tiny_run.write_records(tmp_path)
    with pytest.raises(errors.UserError, match=r'--eval_crop_size=40,40 is smaller than picture '
                                               r'picture1 .*--eval_crop_size=49,65'):
        choose(folder, [40, 40], True, 1)


def predictor_of(folder, crop, batch_size=1, **values):
    options = inference.InferenceOptions(**values)
    split = job.Split('tiny', 'val', folder, batch_size, crop)
    dataset = job.make_dataset(split, tiny_run.model_options(), options)
    return split_prediction.SplitPredictor(
        dataset, tiny_run.model_options(), options, crop.own_sizes, with_images=True)


def expected_labels(image, crop_size, prefix):
    """Pads, predicts and cuts without any of the code under test."""
    padded = np.empty(tuple(crop_size) + (3,), np.float32)
    padded[:] = feature_extractor.mean_pixel('mobilenet_v2')
    padded[:image.shape[0], :image.shape[1]] = image
    with tf.Graph().as_default(), tf.Session() as session:
        labels = prediction.build_prediction(
            tf.constant(padded[None]), tiny_run.model_options(crop_size=list(crop_size))).labels
        tf.train.Saver().restore(session, prefix)
        return session.run(labels)[0, :image.shape[0], :image.shape[1]]


def test_samples_hold_names_images_labels_and_predictions_without_padding(tmp_path):
    folder = tiny_run.write_records(tmp_path / 'data')
    prefix = tiny_run.write_checkpoint(tmp_path / 'train')
    # A batch of two leaves a last batch of one.
    predictor = predictor_of(folder, split_prediction.CropChoice([49, 65], False), 2)
    found = list(predictor.samples(prefix))
    assert [sample.name for sample in found] == ['picture0', 'picture1', 'picture2']
    for number, (sample, size) in enumerate(zip(found, tiny_run.SIZES)):
        np.testing.assert_array_equal(sample.image, tiny_run.photograph(*size, seed=number))
        np.testing.assert_array_equal(sample.label, tiny_run.label_image(*size, seed=number))
        assert sample.prediction.shape == size
    np.testing.assert_array_equal(found[0].prediction,
                                  expected_labels(found[0].image, (49, 65), prefix))
    # A second pass over the same graph starts at the first record again.
    again = next(predictor.samples(prefix))
    np.testing.assert_array_equal(again.prediction, found[0].prediction)


def test_own_sizes_are_those_of_the_image_path(tmp_path):
    folder = tiny_run.write_records(tmp_path / 'data')
    prefix = tiny_run.write_checkpoint(tmp_path / 'train')
    found = list(predictor_of(folder, split_prediction.OWN_SIZES).samples(prefix))
    assert [sample.prediction.shape for sample in found] == list(tiny_run.SIZES)
    np.testing.assert_array_equal(found[2].prediction,
                                  expected_labels(found[2].image, (49, 33), prefix))


def test_resized_pictures_keep_their_labels_beside_them(tmp_path):
    folder = tiny_run.write_records(tmp_path / 'data')
    prefix = tiny_run.write_checkpoint(tmp_path / 'train')
    resize_range = prediction.ResizeRange(17, 33, 16)
    found = list(predictor_of(folder, split_prediction.CropChoice([33, 33], False),
                              resize_range=resize_range).samples(prefix))
    for sample, size in zip(found, tiny_run.SIZES):
        small = prediction.size_in_network(size[0], size[1], resize_range)
        assert sample.label.shape == sample.prediction.shape == sample.image.shape[:2] == small
        assert set(np.unique(sample.label)) <= {0, 1, 2, 3, 255}


@pytest.mark.parametrize('values, message', [
    (dict(tile_overlap=1.0), '--tile_overlap=1.0'),
    (dict(tile_size=(33, 33), resize_range=prediction.ResizeRange(33, None, None)),
     '--tile_size .* --min_resize_value'),
    (dict(quantize_delay_step=0, eval_scales=(0.5,)), '--quantize_delay_step'),
    (dict(eval_scales=()), '--eval_scales'),
])
def test_options_that_exclude_each_other(values, message):
    with pytest.raises(errors.UserError, match=message):
        inference.InferenceOptions(**values).validate()


def test_tiles_and_own_sizes_need_batches_of_one(tmp_path):
    folder = tiny_run.write_records(tmp_path)
    with pytest.raises(ValueError, match='batch_size 1'):
        predictor_of(folder, split_prediction.OWN_SIZES, 2)
