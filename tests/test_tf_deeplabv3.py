"""The scripts with tf-deeplabv3's flags: from a folder of pictures to predictions; options."""
import json
import multiprocessing
import os
import re
import sys

import numpy as np
from PIL import Image
import pytest
import tensorflow.compat.v1 as tf

from deeplab import cli
from deeplab import errors
from deeplab import names
from deeplab.core import backbone
from deeplab.core import feature_extractor
from deeplab.datasets import listed_records
from deeplab.datasets import records
from deeplab.evaluation import split_prediction
from tests import tiny_run
from tests.datasets import recipe_runner

_SCRIPTS = os.path.dirname(recipe_runner.path('scripts/run_trainer.py'))
_SIZES = ((50, 70), (66, 40), (45, 45))
_NETWORK = ['--model_variant=mobilenet_v2', '--num_classes=4']


def _write_pictures(folder):
    """Pictures and palette labels as VOC has them, and a list of their names."""
    for name in ('images', 'labels'):
        (folder / name).mkdir()
    for number, size in enumerate(_SIZES):
        Image.fromarray(tiny_run.photograph(*size, seed=number)).save(
            str(folder / 'images' / 'p{}.jpg'.format(number)))
        labels = Image.fromarray(tiny_run.label_image(*size, seed=number), mode='P')
        labels.putpalette([value // 2 for value in range(256)] * 3)
        labels.save(str(folder / 'labels' / 'p{}.png'.format(number)))
    listed = ['p{}'.format(number) for number in range(len(_SIZES))]
    (folder / 'train.txt').write_text('\n'.join(listed))
    (folder / 'pictures.txt').write_text('\n'.join('images/{}.jpg'.format(name) for name in listed))
    return folder


def _convert(folder, *arguments):
    return recipe_runner.run(
        folder, 'scripts/write_tfrecord.py', '--list_path={}/train.txt'.format(folder),
        '--images_dir={}/images'.format(folder), '--labels_dir={}/labels'.format(folder),
        '--output_path={}/records'.format(folder), '--num_workers=1', *arguments)


@pytest.fixture(scope='module', name='data')
def data_folder(tmp_path_factory):
    folder = _write_pictures(tmp_path_factory.mktemp('voc'))
    done = _convert(folder, '--num_classes=4')
    assert done.status == 0, done.stderr
    return folder


def _succeed(script, *arguments):
    done = recipe_runner.run_fresh('scripts/' + script, *arguments)
    assert done.status == 0, done.stderr
    return done


def test_from_folders_to_predictions(data, tmp_path):
    filenames = '--filenames={}/records/train-00001-of-00001.tfrecord'.format(data)
    run = str(tmp_path / 'run')
    done = _succeed('run_trainer.py', filenames, '--output_path=' + run, '--batch_size=2',
                    '--crop_size_height=65', '--crop_size_width=49', '--num_steps=3',
                    '--boundaries=1', '--rates=0.01,0.002', '--log_per_steps=1',
                    '--persist_per_steps=2', '--seed=1', *_NETWORK)
    # Boundaries and rates act when they are given, and checkpoints come by steps.
    assert re.findall(r'rate (\S+)', done.stderr) == ['0.01', '0.01', '0.002']
    assert {'model.ckpt-2.index', 'model.ckpt-3.index'} <= set(os.listdir(run))
    with open(os.path.join(run, 'train_config.json')) as stream:
        config = json.load(stream)
    # Our own commands follow it.
    assert config['flags']['model_variant'] == 'mobilenet_v2:padding=mean'
    assert config['flags']['decoder_output_stride'] == [4]
    assert config['flags']['atrous_rates'] == [6, 12, 18]
    assert config['data']['num_classes'] == 4

    # The network's flags are known from the training.
    done = _succeed('run_evaluator.py', filenames, '--load_ckpt_path=' + run,
                    '--output_path={}/eval'.format(tmp_path))
    loss, mean_iou = re.search(r'loss: (\S+)  mIoU: (\S+)', done.stdout).groups()
    with open(str(tmp_path / 'eval' / 'metrics.json')) as stream:
        report = json.load(stream)
    assert report['images'] == 3 and report['crop_size'] is None
    assert float(mean_iou) == pytest.approx(report['mean_iou'], abs=1e-6)
    assert 0.5 < float(loss) == pytest.approx(report['loss'], abs=1e-6)

    _succeed('run_inferencer.py', '--filenames={}/pictures.txt'.format(data),
             '--load_ckpt_path=' + run, '--output_path={}/out'.format(tmp_path))
    for number, size in enumerate(_SIZES):
        picture = Image.open(str(tmp_path / 'out' / 'p{}_prediction.png'.format(number)))
        assert picture.mode == 'P' and picture.size == size[::-1]
        assert np.asarray(picture).max() < 4


def test_records(data, tmp_path):
    """Features and shard names of tf-deeplabv3, 1024 a shard, read by every command."""
    shards = records.list_shards(str(data / 'records'), 'train')
    assert [os.path.basename(path) for path in shards] == ['train-00001-of-00001.tfrecord']
    example = tf.train.Example.FromString(next(tf.python_io.tf_record_iterator(shards[0])))
    assert {'image', 'label'} <= set(example.features.feature)
    keys, first = records.first_record(shards)
    assert keys is records.TF_DEEPLABV3_KEYS
    assert (first.name, first.height, first.width) == ('p0', 50, 70)

    many = tmp_path / 'many'
    (many / 'images').mkdir(parents=True)
    (many / 'labels').mkdir()
    listed = ['m{:04d}'.format(number) for number in range(1026)]
    for kind, ending, picture in (('images', 'jpg', np.zeros([2, 2, 3], np.uint8)),
                                  ('labels', 'png', np.zeros([2, 2], np.uint8))):
        content = tiny_run.encode(picture, 'JPEG' if ending == 'jpg' else 'PNG')
        for name in listed:
            (many / kind / '{}.{}'.format(name, ending)).write_bytes(content)
    (many / 'train.txt').write_text('\n'.join(listed))
    assert _convert(many, '--split=val').status == 0
    shards = records.list_shards(str(many / 'records'), 'val')
    assert [os.path.basename(path) for path in shards] == [
        'val-00001-of-00002.tfrecord', 'val-00002-of-00002.tfrecord']
    assert [records.count_records([path]) for path in shards] == [1024, 2]


def _in_fork(script, arguments, queue):
    recipe_runner._forget_flags()   # pylint: disable=protected-access
    sys.path.insert(0, _SCRIPTS)
    try:
        module = __import__(script)
        module.define_flags()
        cli.parse_flags([script] + arguments)
        shared = sys.modules['tf_deeplabv3']
        with shared.their_names():
            network = dict(shared.model_options()._asdict())
        queue.put((network, dict(module.options_from_flags()._asdict())))
    except errors.UserError as error:
        queue.put(str(error))
    except BaseException as error:   # pylint: disable=broad-except
        queue.put(repr(error))


def _options(*arguments, script='run_trainer'):
    """(ModelOptions, TrainingOptions) as dicts of a command line; the text of an error."""
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    child = context.Process(target=_in_fork, args=(
        script, ['--filenames=x', '--output_path=y'] + list(arguments), queue))
    child.start()
    result = queue.get()
    child.join()
    return result


def test_defaults():
    network, training = _options()
    assert network['model_variant'] == 'resnet_v2_101:padding=mean'
    assert network['outputs_to_num_classes'] == {names.OUTPUT_TYPE: 21}
    assert network['atrous_rates'] == [6, 12, 18] and network['output_stride'] == 16
    assert network['decoder_output_stride'] == [4] and network['add_image_level_feature']
    expected = dict(
        train_batch_size=12, weight_decay=5e-4, base_learning_rate=7e-3, momentum=0.9,
        training_number_of_steps=30000, learning_power=0.9, learning_policy='poly',
        optimizer='momentum', boundaries=None, rates=None, restore_from_seg_model=False,
        train_logdir='y', tf_initial_checkpoint=None)
    assert {name: training[name] for name in expected} == expected


@pytest.mark.parametrize('variant', [
    'resnet_v2_50', 'resnet_v2_101', 'resnet_v1_50', 'resnet_v1_101', 'mobilenet_v2'])
@pytest.mark.parametrize('stride, rates', [(8, [12, 24, 36]), (32, [3, 6, 9])])
def test_variants_and_strides(variant, stride, rates):
    network, _ = _options('--model_variant=' + variant, '--output_stride={}'.format(stride),
                          '--nouse_decoder')
    assert network['model_variant'] == variant + ':padding=mean'
    assert network['atrous_rates'] == rates
    assert network['decoder_output_stride'] is None


def test_every_flag_acts():
    network, training = _options(
        '--nopad_imagenet_mean', '--preprocess_images_option=mean', '--nouse_image_level_feature',
        '--noaspp_with_separable_conv', '--nodecoder_with_separable_conv', '--atrous_rates=',
        '--restore_from_seg_model', '--load_ckpt_path=z', '--nofine_tune_batch_norm',
        '--boundaries=5', '--boundaries=9', '--rates=1,2,3', '--persist_per_steps=7',
        '--log_per_steps=3')
    assert network['model_variant'] == 'resnet_v2_101:padding=black:pixels=mean'
    assert network['atrous_rates'] is None
    for field in ('add_image_level_feature', 'aspp_with_separable_conv',
                  'decoder_use_separable_conv'):
        assert network[field] is False
    assert training['restore_from_seg_model'] and training['tf_initial_checkpoint'] == 'z'
    assert not training['fine_tune_batch_norm']
    assert (training['boundaries'], training['rates']) == ([5, 9], [1.0, 2.0, 3.0])
    assert (training['save_interval_steps'], training['log_steps']) == (7, 3)


def test_contradictions_name_their_flags():
    assert 'no such network. Did you mean' in _options('--model_variant=resnet_v2_10')
    assert '--output_stride=5' in _options('--output_stride=5', '--atrous_rates=')
    message = _options('--output_stride=8', '--atrous_rates=6,12,18')
    assert 'would be 12,24,36' in message and 'allow_unusual' not in message


def test_pixels_and_padding_of_a_backbone():
    usual = feature_extractor.get_backbone('resnet_v2_50')
    other = feature_extractor.get_backbone('resnet_v2_50:padding=black:pixels=mean')
    assert feature_extractor.mean_pixel('resnet_v2_50:padding=black') == [0, 0, 0]
    assert feature_extractor.mean_pixel('resnet_v2_50') == [127.5] * 3
    assert other.preprocess is backbone.subtract_imagenet_mean
    assert other == usual._replace(preprocess=other.preprocess, padding_pixel=(0.0, 0.0, 0.0))
    with tf.Graph().as_default(), tf.Session() as session:
        pixels = tf.constant([[[[10, 20, 250]]]], tf.uint8)
        raw = feature_extractor.get_backbone('xception_41:pixels=raw').preprocess(pixels)
        assert session.run(raw).tolist() == [[[[10.0, 20.0, 250.0]]]]
    with pytest.raises(errors.UserError, match="'padding=red' is not known"):
        feature_extractor.get_backbone('resnet_v2_50:padding=red')
    with pytest.raises(errors.UserError, match='no such network'):
        feature_extractor.get_backbone('resnet:padding=grey')


def test_loss_is_the_cross_entropy_of_the_pixels_that_count():
    random = np.random.RandomState(3)
    probabilities = random.dirichlet(np.ones(4), size=(2, 5, 6)).astype(np.float32)
    labels = random.randint(0, 4, (2, 7, 8, 1))
    labels[random.rand(*labels.shape) < 0.3] = 255
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(split_prediction._cross_entropy(   # pylint: disable=protected-access
            tf.constant(probabilities), tf.constant(labels, tf.int32), 255))
    for picture in range(2):
        inside = labels[picture, :5, :6, 0]
        counted = inside != 255
        rows, columns = np.nonzero(counted)
        chosen = probabilities[picture][rows, columns, inside[counted]]
        np.testing.assert_allclose(found[picture], [-np.log(chosen).sum(), counted.sum()], 1e-5)


def test_listed_records(data, tmp_path):
    pattern = str(data / 'records' / 'train-*')
    paths = listed_records.find([pattern, pattern], '--filenames')
    assert [os.path.basename(path) for path in paths] == ['train-00001-of-00001.tfrecord']
    described = listed_records.describe(paths, 'any', 4, 255)
    assert described.shards('any', None) == paths and described.split_size('any') == 3
    with pytest.raises(errors.UserError, match='--num_classes=5: .* have 4 classes'):
        listed_records.describe(paths, 'any', 5, 255)
    with pytest.raises(errors.UserError, match='there is no such file'):
        listed_records.find([str(tmp_path / 'absent')], '--filenames')
    with pytest.raises(errors.UserError, match='names no file'):
        listed_records.find([], '--filenames')


def _fails(folder, script, *arguments):
    done = recipe_runner.run(folder, 'scripts/' + script, *arguments)
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.status != 0 and len(lines) == 1 and 'Traceback' not in done.stderr, done.stderr
    return lines[0]


def test_mistakes(data, tmp_path):
    folders = ['--images_dir={}/images'.format(data), '--labels_dir={}/labels'.format(data),
               '--output_path={}/records'.format(tmp_path), '--num_workers=1']
    listed = tmp_path / 'list.txt'
    listed.write_text('p0\nabsent\ngone\n')
    assert 'names 2 image(s) that are not in' in _fails(
        tmp_path, 'write_tfrecord.py', '--list_path={}'.format(listed), *folders)
    assert 'cannot read this list' in _fails(
        tmp_path, 'write_tfrecord.py', '--list_path=none.txt', *folders)
    # Labels are 0..3 and 255.
    message = _fails(tmp_path, 'write_tfrecord.py', '--list_path={}/train.txt'.format(data),
                     '--num_classes=3', *folders)
    assert 'label 3 at' in message and '--num_classes' in message and 'skip_bad' not in message
    assert 'missing flag: --list_path' in _fails(tmp_path, 'write_tfrecord.py', *folders[:2])
    assert 'missing flags: --filenames, --output_path' in _fails(tmp_path, 'run_trainer.py')
    assert 'missing flags: --filenames, --load_ckpt_path' in _fails(tmp_path, 'run_evaluator.py')
    filenames = '--filenames={}/records/train-*'.format(data)
    output = '--output_path={}/run'.format(tmp_path)
    assert '--filenames=absent: there is no such file' in _fails(
        tmp_path, 'run_trainer.py', '--filenames=absent', output, *_NETWORK)
    assert '--num_classes=5' in _fails(
        tmp_path, 'run_trainer.py', filenames, output, '--num_classes=5')
    assert 'needs both boundaries and rates' in _fails(
        tmp_path, 'run_trainer.py', filenames, output, '--boundaries=5', *_NETWORK)
    assert '--load_ckpt_path' in _fails(
        tmp_path, 'run_trainer.py', filenames, output, '--load_ckpt_path=nothing', *_NETWORK)
    assert '--load_ckpt_path' in _fails(
        tmp_path, 'run_evaluator.py', filenames, '--load_ckpt_path=nothing')
    assert not os.path.exists(str(tmp_path / 'run'))
