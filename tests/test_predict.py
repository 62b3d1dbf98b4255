"""Tests of deeplab.predict, and that evaluation, pictures, prediction and export agree."""
import json
import os

import numpy as np
from PIL import Image
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import prediction
from deeplab import predict
from deeplab.evaluation import inference
from deeplab.evaluation import job
from deeplab.evaluation import predictors
from deeplab.evaluation import split_prediction
from deeplab.export import job as export_job
from deeplab.export import network
from tests import tiny_run

CROP = [49, 65]

read = tiny_run.read_picture


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('predict')
    prefix = tiny_run.write_run(folder)
    (folder / 'photos').mkdir()
    for number, size in enumerate(tiny_run.SIZES):
        (folder / 'photos' / 'picture{}.png'.format(number)).write_bytes(
            tiny_run.encode(tiny_run.photograph(*size, seed=number)))
    export_job.export(prefix, network.Recipe(tiny_run.model_options(crop_size=CROP)),
                      str(folder / 'graph.pb'))
    return folder


@pytest.fixture(scope='module', name='evaluated')
def _evaluated(work):
    """{name: labels} as evaluation predicts them from the records."""
    split = job.Split('tiny', 'val', str(work / 'data'), 2,
                      split_prediction.CropChoice(CROP, False))
    options = inference.InferenceOptions()
    predictor = split_prediction.SplitPredictor(
        job.make_dataset(split, tiny_run.model_options(), options), tiny_run.model_options(),
        options)
    return {sample.name: sample.prediction
            for sample in predictor.samples(str(work / 'train' / 'model.ckpt-10'))}


def run(work, out, *arguments):
    return tiny_run.command(predict, '--input={}'.format(work / 'photos'),
                            '--output_dir={}'.format(out), *arguments)


def test_checkpoint_graph_and_evaluation_agree_at_every_pixel(work, evaluated, tmp_path, capsys):
    bad = work / 'photos' / 'picture9.jpg'
    bad.write_text('no picture')
    try:
        assert run(work, tmp_path / 'a', '--checkpoint_dir={}'.format(work / 'train'),
                   '--crop_size=49,65', '--save_probabilities') == 0
        streams = capsys.readouterr()
        assert '3 of 4 pictures predicted' in streams.out and '1 skipped' in streams.out
    finally:
        bad.unlink()
    assert run(work, tmp_path / 'b', '--frozen_graph={}'.format(work / 'graph.pb'),
               '--nosave_overlays') == 0
    assert len(evaluated) == 3
    for name, labels in evaluated.items():
        for folder in 'ab':
            np.testing.assert_array_equal(read(tmp_path / folder / (name + '_prediction.png')),
                                          labels)
        with np.load(str(tmp_path / 'a' / (name + '_probabilities.npz'))) as content:
            probabilities = content['probabilities'].astype(np.float32)
        assert probabilities.shape == labels.shape + (tiny_run.CLASSES,)
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=0.01)
    assert sorted(os.listdir(str(tmp_path / 'b'))) == sorted(
        ['{}_prediction.png'.format(name) for name in evaluated]
        + ['legend.png', 'predictions.json'])
    index = json.loads((tmp_path / 'a' / 'predictions.json').read_text())
    assert [entry['file'] for entry in index['failed']] == [str(bad)]
    entry = index['images'][1]
    labels = evaluated['picture1']
    assert (entry['height'], entry['width']) == labels.shape
    for label, name in enumerate(tiny_run.CLASS_NAMES):
        assert entry['shares'].get(name, 0) == pytest.approx((labels == label).mean(), abs=1e-5)


def test_prediction_is_a_palette_picture_in_the_colours_trained_with(work, tmp_path, capsys):
    assert run(work, tmp_path, '--checkpoint_dir={}'.format(work / 'train'),
               '--dataset={}'.format(work / 'data'), '--tile_size=33,33') == 0
    capsys.readouterr()
    with Image.open(str(tmp_path / 'picture0_prediction.png')) as picture:
        assert picture.mode == 'P'
        np.testing.assert_array_equal(
            np.array(picture.convert('RGB')), np.array(tiny_run.COLORS)[np.array(picture)])
    assert read(tmp_path / 'picture0_overlay.png').shape == tiny_run.SIZES[0] + (3,)


def test_mistakes_are_told_in_one_line(work, tmp_path, capsys):
    train = '--checkpoint_dir={}'.format(work / 'train')
    (tmp_path / 'file').write_text('')
    for part, arguments in (
            ('Give one of --checkpoint_dir, --frozen_graph, --saved_model', []),
            ('received --checkpoint_dir and --frozen_graph', [train, '--frozen_graph=x']),
            ('absent.pb: No such file', ['--frozen_graph=absent.pb']),
            ('not a frozen graph', ['--frozen_graph={}'.format(
                work / 'photos' / 'picture0.png')]),
            ('holds no saved_model.pb', ['--saved_model={}'.format(work)]),
            ('holds no checkpoint', ['--checkpoint_dir={}'.format(work / 'photos')]),
            ('cannot write', [train, '--output_dir={}'.format(tmp_path / 'file')]),
            ('--tile_overlap=2', [train, '--tile_overlap=2'])):
        assert run(work, tmp_path / 'out', *arguments) == 1
        tiny_run.check_error(capsys, part)


def test_nothing_predicted_is_an_error_and_one_class_a_warning(work, tmp_path, capsys):
    graph = '--frozen_graph={}'.format(work / 'graph.pb')
    assert tiny_run.command(predict, graph, '--input={}'.format(tmp_path / 'absent.png'),
                            '--output_dir={}'.format(tmp_path / 'out')) == 1
    assert 'None of the 1 pictures could be predicted' in capsys.readouterr().err
    with tf.Graph().as_default() as constant:
        image = tf.placeholder(tf.uint8, [1, None, None, 3], name='ImageTensor')
        tf.ones(tf.shape(image)[:3], tf.int32, name='SemanticPredictions')
    tf.train.write_graph(constant.as_graph_def(), str(tmp_path), 'one.pb', as_text=False)
    assert run(work, tmp_path / 'out', '--frozen_graph={}'.format(tmp_path / 'one.pb'),
               '--dataset={}'.format(work / 'data')) == 0
    assert 'warning: 100.00% of all pixels are "house"' in capsys.readouterr().err


def test_pictures_larger_than_the_crop_go_by_tiles(work):
    prefix = str(work / 'train' / 'model.ckpt-10')
    image = tiny_run.photograph(60, 100)
    options = inference.InferenceOptions(tile_overlap=0.5)
    by_checkpoint = predictors.CheckpointPredictor(
        prefix, tiny_run.model_options(crop_size=CROP), options)
    by_graph = predictors.GraphPredictor.from_frozen_graph(str(work / 'graph.pb'), options)
    labels, probabilities = by_checkpoint.predict(image, with_probabilities=True)
    assert labels.shape == (60, 100) and probabilities.shape == (60, 100, tiny_run.CLASSES)
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=-1))
    np.testing.assert_array_equal(by_graph.predict(image)[0], labels)
    by_graph.close()
    by_checkpoint.close()


def test_resized_pictures_must_fit_the_crop(work):
    prefix = str(work / 'train' / 'model.ckpt-10')
    predictor = predictors.CheckpointPredictor(
        prefix, tiny_run.model_options(crop_size=CROP),
        inference.InferenceOptions(resize_range=prediction.ResizeRange(33, 65, 16)))
    assert predictor.predict(tiny_run.photograph(90, 120))[0].shape == (90, 120)
    with pytest.raises(errors.UserError, match='65 x 33 after resizing'):
        predictor.predict(tiny_run.photograph(200, 90))
    predictor.close()


def test_saved_model_by_its_signature(work, tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.placeholder(tf.uint8, [1, None, None, 3])
        found = prediction.build_image_prediction(image, tiny_run.model_options(crop_size=CROP))
        tf.train.Saver().restore(session, str(work / 'train' / 'model.ckpt-10'))
        tf.saved_model.simple_save(session, str(tmp_path / 'model'), {'picture': image},
                                   {'labels': found.labels, 'scores': found.probabilities})
        tf.saved_model.simple_save(session, str(tmp_path / 'other'), {'picture': image},
                                   {'scores': found.probabilities})
    options = inference.InferenceOptions()
    (tmp_path / 'versions' / '2').mkdir(parents=True)
    (tmp_path / 'model').rename(tmp_path / 'versions' / '10')
    by_model = predictors.GraphPredictor.from_saved_model(str(tmp_path / 'versions'), options)
    by_graph = predictors.GraphPredictor.from_frozen_graph(str(work / 'graph.pb'), options)
    picture = tiny_run.photograph(40, 56)
    labels, probabilities = by_model.predict(picture, with_probabilities=True)
    np.testing.assert_array_equal(labels, by_graph.predict(picture)[0])
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=-1))
    with pytest.raises(errors.UserError, match='there are serving_default'):
        predictors.GraphPredictor.from_saved_model(str(tmp_path / 'other'), options)
