"""valohai.yaml as the platform runs it: folders of inputs and outputs, parameters, edges."""
import collections
import fnmatch
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import yaml

from deeplab import compat
from deeplab import errors
from deeplab import job_platform
from tests import python36
from tests import tiny_run

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_IMAGE = 'tensorflow/tensorflow:1.15.4-gpu-py3'
_PIP = 'python -m pip install '
_STEPS = ('Load data and convert', 'Train DeepLab model', 'Export trained model')
_TRAINING = collections.OrderedDict([
    ('logtostderr', 'True'), ('training_number_of_steps', 150000), ('train_split', 'train'),
    ('model_variant', 'xception_65'), ('output_stride', 16), ('decoder_output_stride', 4),
    ('train_crop_size', '513,513'), ('train_batch_size', 4), ('min_resize_value', 513),
    ('max_resize_value', 513), ('resize_factor', 16), ('dataset', 'ade20k'),
    ('train_logdir', '/valohai/outputs')])
_SMALL = {
    _STEPS[1]: dict(training_number_of_steps=2, model_variant='mobilenet_v2', train_batch_size=1,
                    train_crop_size='65,65', min_resize_value=49, max_resize_value=65),
    _STEPS[2]: dict(crop_size='65,65')}
_PICTURE = (45, 60)

Execution = collections.namedtuple('Execution', ['step', 'folder', 'stdout', 'stderr', 'status'])


def _read():
    with open(os.path.join(_ROOT, 'valohai.yaml')) as stream:
        return yaml.safe_load(stream)


def _steps():
    return {entry['step']['name']: entry['step'] for entry in _read() if 'step' in entry}


def _pipeline():
    return [entry['pipeline'] for entry in _read() if 'pipeline' in entry][0]


def ade20k_files(count=2):
    """{name in the archive: bytes} of a small ADE20K: 151 labels, images and annotations."""
    files = {}
    for split in ('training', 'validation'):
        for number in range(count):
            name = 'ADE_{}_{:08d}'.format(split[:3], number)
            labels = tiny_run.blocks(*_PICTURE, values=np.arange(0, 151, 30), seed=number)
            root = 'ADEChallengeData2016/{}/' + split + '/' + name
            files[root.format('images') + '.jpg'] = tiny_run.encode(
                tiny_run.photograph(*_PICTURE, seed=number), 'JPEG')
            files[root.format('annotations') + '.png'] = tiny_run.encode(labels)
    return files


def write_zip(path, files):
    with zipfile.ZipFile(str(path), 'w') as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return str(path)


def write_tar(path, files):
    with tarfile.open(str(path), 'w:gz') as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return str(path)


class Platform(object):
    """Runs steps as the platform does, but for pip and the image: with an interpreter of ours."""

    def __init__(self, folder, python):
        self._folder = str(folder)
        self._python = python

    def run(self, step, inputs, **parameters):
        """Runs the commands of a step until one fails.

        Args:
            step: name of the step.
            inputs: {name of an input: list of paths of files}.
            **parameters: values other than the defaults.
        """
        folder = os.path.join(self._folder, step.split()[0].lower())
        places = {kind: os.path.join(folder, kind) for kind in ('inputs', 'outputs')}
        os.makedirs(places['outputs'])
        for name, paths in inputs.items():
            os.makedirs(os.path.join(places['inputs'], name))
            for path in paths:
                shutil.copy(path, os.path.join(places['inputs'], name))
        environment = dict(
            os.environ, VH_INPUTS_DIR=places['inputs'], VH_OUTPUTS_DIR=places['outputs'],
            PYTHONPATH=_ROOT, TF_CPP_MIN_LOG_LEVEL='3', OMP_NUM_THREADS='1')
        stdout, stderr, status = [], [], 0
        for command in self.commands(step, **parameters):
            if command.startswith(_PIP) or status:
                continue
            done = subprocess.run(
                ['bash', '-c', re.sub('^python ', shlex.quote(self._python) + ' ', command)],
                cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                universal_newlines=True)
            stdout.append(done.stdout)
            stderr.append(done.stderr)
            status = done.returncode
        return Execution(step, places['outputs'], stdout, ''.join(stderr), status)

    @staticmethod
    def commands(step, **parameters):
        """Returns the command lines of a step with its parameters filled in."""
        described = _steps()[step]
        values, passed = {}, []
        for parameter in described.get('parameters', ()):
            name = parameter['name']
            values[name] = str(parameters.pop(name, parameter['default']))
            passed.append(shlex.quote(parameter['pass-as'].replace('{v}', values[name])))
        assert not parameters, 'no such parameters'
        filled = []
        for command in described['command']:
            command = command.replace('{parameters}', ' '.join(passed))
            filled.append(re.sub(r'\{parameter-value:(\w+)\}',
                                 lambda match: shlex.quote(values[match.group(1)]), command))
        return filled


def _follow_edges(node, done):
    """{input: files} that the pipeline's edges bring to a node from the executions done."""
    steps = {entry['name']: entry['step'] for entry in _pipeline()['nodes']}
    inputs = {}
    for source, target in _pipeline()['edges']:
        from_node, kind, pattern = source.split('.', 2)
        to_node, to_kind, name = target.split('.', 2)
        assert (kind, to_kind) == ('output', 'input')
        assert name in [each['name'] for each in _steps()[steps[to_node]]['inputs']]
        if to_node == node:
            folder = done[from_node].folder
            inputs[name] = [os.path.join(folder, file)
                            for file in fnmatch.filter(sorted(os.listdir(folder)), pattern)]
            assert inputs[name], 'no output {} of {}'.format(pattern, from_node)
    return inputs


def _run_pipeline(folder, python):
    platform = Platform(folder, python)
    archive = write_zip(folder / 'ADEChallengeData2016.zip', ade20k_files())
    done = {}
    for node in _pipeline()['nodes']:
        inputs = _follow_edges(node['name'], done) or {'ade20k': [archive]}
        parameters = dict(_SMALL.get(node['step'], {}))
        if node['step'] == _STEPS[1]:
            parameters['train_logdir'] = str(folder / 'train' / 'outputs')
        done[node['name']] = platform.run(node['step'], inputs, **parameters)
        assert done[node['name']].status == 0, done[node['name']].stderr
    return done


def _check_pipeline(done):
    convert, train, export = [done[name] for name in ('convert', 'train', 'export')]
    # Only the archive is kept, with records and what describes them.
    assert os.listdir(convert.folder) == ['tfrecords.zip']
    with zipfile.ZipFile(os.path.join(convert.folder, 'tfrecords.zip')) as packed:
        names = packed.namelist()
        assert json.loads(packed.read('dataset.json').decode())['splits'] == {
            'train': 2, 'val': 2}
    assert sum(name.startswith(('train-', 'val-')) for name in names) == 4

    # One JSON object of numbers a line, nothing else; checkpoints and their archive.
    lines = [json.loads(line) for line in train.stdout[0].splitlines()]
    assert [line['step'] for line in lines][-1] == 2
    assert all(isinstance(value, (int, float)) and np.isfinite(value)
               for line in lines for value in line.values()), lines
    assert {'total_loss', 'learning_rate'} <= set(lines[0])
    kept = set(os.listdir(train.folder))
    assert {'checkpoint', 'model.ckpt-2.index', 'train_config.json', 'checkpoints.zip'} <= kept
    with zipfile.ZipFile(os.path.join(train.folder, 'checkpoints.zip')) as packed:
        assert {'checkpoint', 'model.ckpt-2.index', 'train_config.json'} <= set(packed.namelist())
    with open(os.path.join(train.folder, 'train_config.json')) as stream:
        config = json.load(stream)
    assert config['flags']['atrous_rates'] == [6, 12, 18]
    assert config['flags']['train_crop_size'] == ['65', '65']
    assert config['data']['num_classes'] == 151

    # A graph of the crop, the classes and the network of the training, which no flag has told.
    assert os.listdir(export.folder) == ['frozen_inference_graph.pb']
    graph_def = tf.GraphDef()
    with open(os.path.join(export.folder, 'frozen_inference_graph.pb'), 'rb') as stream:
        graph_def.ParseFromString(stream.read())
    names = {node.name for node in graph_def.node}
    assert {'ImageTensor', 'SemanticPredictions'} <= names
    assert any(name.startswith('decoder/') for name in names)


def test_pipeline(tmp_path):
    _check_pipeline(_run_pipeline(tmp_path, sys.executable))


@pytest.mark.skipif(not compat.IS_TF1, reason='once is enough: the runs on TensorFlow 1.15 do it')
@pytest.mark.skipif(sys.version_info[:2] == (3, 6), reason='test_pipeline runs on 3.6 here')
def test_pipeline_on_the_python_of_the_image(tmp_path):
    _check_pipeline(_run_pipeline(tmp_path, python36.find()))


def test_steps_are_what_they_are_known_as():
    steps = _steps()
    assert sorted(steps) == sorted(_STEPS)
    assert {step['image'] for step in steps.values()} == {_IMAGE}
    parameters = steps[_STEPS[1]]['parameters']
    assert collections.OrderedDict(
        (each['name'], each['default']) for each in parameters) == _TRAINING
    assert [node['step'] for node in _pipeline()['nodes']] == list(_STEPS)


def test_every_parameter_is_a_flag_of_its_command():
    for step in _STEPS:
        for command in Platform.commands(step):
            words = shlex.split(command)
            if command.startswith(_PIP):
                continue
            assert words[0] == 'python' and os.path.isfile(os.path.join(_ROOT, words[1]))
            assert all(word.startswith('--') and '=' in word or word == '--remove'
                       for word in words[2:]), command


def test_installation_leaves_the_tensorflow_of_the_image_alone():
    """The commands are not run here: what they would install is read."""
    for step in _steps().values():
        pinned, program = [command[len(_PIP):].split() for command in step['command']
                           if command.startswith(_PIP)]
        assert pinned == ['--quiet', 'pip==21.3.1']   # the last for 3.6
        assert program == ['--quiet', '-e', '.']      # no extra, so no TensorFlow
    with open(os.path.join(_ROOT, 'requirements.txt')) as stream:
        always = stream.read().split('\n# [')[0]
    assert 'tf-slim' in always
    assert not re.search(r'^(tensorflow|protobuf)', always, re.MULTILINE)


@pytest.fixture(name='inputs')
def inputs_folder(tmp_path, monkeypatch):
    folder = tmp_path / 'inputs'
    (folder / 'dataset').mkdir(parents=True)
    monkeypatch.setenv(job_platform.INPUTS_VARIABLE, str(folder))
    monkeypatch.setenv(job_platform.OUTPUTS_VARIABLE, str(tmp_path / 'outputs'))
    return folder


def _folder_of(*arguments, content=job_platform.RECORDS):
    """What --records means with these arguments on the platform."""
    with flagsaver.flagsaver():
        values = flags.FLAGS
        flags.DEFINE_string('records', None, 'Records.')
        flags.DEFINE_string('results', 'here', 'Results.')
        try:
            job_platform.input_is_default('records', 'dataset')
            job_platform.output_is_default('results', 'a', 'b')
            values(['program'] + list(arguments))
            return job_platform.folder_of('records', content), values.results
        finally:
            values.remove_flag_values(['records', 'results'])


_RECORD_FILES = {'deep/er/val-00000-of-00001.tfrecord': b'v', 'deep/er/dataset.json': b'{}'}


@pytest.mark.parametrize('name, write', [('r.zip', write_zip), ('r.tar.gz', write_tar)])
def test_an_archive_among_the_inputs(inputs, tmp_path, name, write):
    write(inputs / 'dataset' / name, _RECORD_FILES)
    folder, results = _folder_of()
    assert sorted(os.listdir(folder)) == ['dataset.json', 'val-00000-of-00001.tfrecord']
    assert results == str(tmp_path / 'outputs' / 'a' / 'b')
    # Other inputs do not matter; without the folder of its name, all are searched.
    write(inputs / name, {'x': b''})
    assert _folder_of()[0] != folder
    os.remove(str(inputs / name))
    os.rename(str(inputs / 'dataset'), str(inputs / 'other'))
    assert os.listdir(_folder_of()[0])


def test_records_that_are_no_archive(inputs):
    (inputs / 'dataset' / 'sub').mkdir()
    (inputs / 'dataset' / 'sub' / 'val-00000-of-00001.tfrecord').write_bytes(b'v')
    write_zip(inputs / 'dataset' / 'other.zip', {'x': b''})
    assert _folder_of()[0] == str(inputs / 'dataset' / 'sub')


def test_a_flag_wins_and_off_the_platform_nothing_changes(inputs, tmp_path, monkeypatch):
    assert _folder_of('--records=' + str(tmp_path), '--results=there') == (str(tmp_path), 'there')
    archive = write_zip(tmp_path / 'mine.zip', _RECORD_FILES)
    assert os.path.basename(_folder_of('--records=' + archive)[0]) == 'er'
    monkeypatch.delenv(job_platform.INPUTS_VARIABLE)
    monkeypatch.delenv(job_platform.OUTPUTS_VARIABLE)
    assert _folder_of('--records=x') == ('x', 'here')
    assert job_platform.output_path('y') == 'y'


@pytest.mark.parametrize('files, message', [
    ({}, 'There is no archive'),
    ({'a.zip': _RECORD_FILES, 'b.zip': _RECORD_FILES}, 'holds 2 archives (a.zip, b.zip)'),
    ({'a.zip': {'readme.txt': b'x'}}, 'holds no records'),
    ({'a.zip': {'../val-00000-of-00001.tfrecord': b'x'}}, 'leads out of the folder'),
    ({'a.zip': {'/tmp/val-00000-of-00001.tfrecord': b'x'}}, 'leads out of the folder')])
def test_bad_inputs(inputs, files, message):
    for name, content in files.items():
        write_zip(inputs / 'dataset' / name, content)
    with pytest.raises(errors.UserError) as raised:
        _folder_of()
    assert message in str(raised.value) and '\n' not in str(raised.value)


def test_a_broken_archive_and_a_climbing_tar(inputs):
    broken = inputs / 'dataset' / 'a.tar.gz'
    write_tar(broken, _RECORD_FILES)
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(errors.UserError, match='broken'):
        _folder_of()
    write_tar(broken, {'a/../../val-00000-of-00001.tfrecord': b'x'})
    with pytest.raises(errors.UserError, match='leads out of the folder'):
        _folder_of()
