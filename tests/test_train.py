"""train.py from its command line: a run, its configuration, and mistakes in one line."""
import json
import os
import re
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from deeplab import train
from tests.datasets import record_factory
from tests.training import tiny

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _start(*arguments):
    environment = dict(os.environ, PYTHONPATH=_ROOT, TF_CPP_MIN_LOG_LEVEL='3')
    done = subprocess.run(
        [sys.executable, os.path.join(_ROOT, 'deeplab', 'train.py')] + list(arguments),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, env=environment)
    assert 'Traceback' not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    return done.returncode, errors, done


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A data set of three classes that describes itself, and one each that is broken."""
    folder = tmp_path_factory.mktemp('data')
    label_too_high = np.full((20, 30), 7, np.uint8)
    for name, changes in (('good', {}), ('bad_label', {'label': label_too_high}), ('cut', {})):
        shards = record_factory.write_split(folder / name, **changes)
        description = {'name': name, 'splits': ['train'], 'num_classes': 3, 'ignore_label': 255}
        (folder / name / 'dataset.json').write_text(json.dumps(description))
    with open(shards[0], 'r+b') as stream:
        stream.truncate(os.path.getsize(shards[0]) - 20)
    return folder


def _flags(data, logdir, name='good', **changes):
    values = dict(
        dataset=name, dataset_dir=data / name, train_logdir=logdir, train_crop_size='33,33',
        train_batch_size=2, depth_multiplier=0.35, num_threads=1, log_steps=1,
        training_number_of_steps=2, seed=1)
    values.update(changes)
    return ['--{}={}'.format(*item) for item in sorted(values.items()) if item[1] is not None]


def test_a_run_and_its_continuation(data, tmp_path):
    logdir = tmp_path / 'run'
    status, errors, done = _start(*_flags(data, logdir, eval_every_steps=2, eval_split='train'))
    assert (status, errors) == (0, [])
    # Plain lines where there is no terminal, of evaluation as well.
    lines = done.stderr.splitlines()
    assert len([line for line in lines if ' step 2/2  loss ' in line]) == 1
    assert len([line for line in lines if ' step 2/2  mean IoU ' in line]) == 1
    assert '\r' not in done.stderr
    assert (logdir / 'best' / 'model.ckpt-2.index').exists()
    values = tiny.values_of(str(logdir / 'model.ckpt-2'))
    assert values['logits/semantic/weights'].shape[-1] == 3
    assert values['logits/semantic/weights/Momentum'].any()
    with open(str(logdir / 'train_config.json')) as stream:
        config = json.load(stream)
    assert config['data']['num_classes'] == 3
    assert config['flags']['depth_multiplier'] == 0.35
    assert config['flags']['train_crop_size'] == ['33', '33']

    # Goes on, with the loss on stdout; another class count does not.
    status, errors, done = _start(*_flags(data, logdir, training_number_of_steps=3,
                                          metrics_jsonl='-'))
    assert (status, errors) == (0, [])
    assert 'Resuming from' in done.stderr
    assert [json.loads(line)['step'] for line in done.stdout.splitlines()] == [3]

    other = tmp_path / 'other.json'
    other.write_text(json.dumps({'name': 'other', 'splits': ['train'], 'num_classes': 4}))
    (tmp_path / 'records').mkdir()
    for shard in (data / 'good').iterdir():
        if shard.name.startswith('train-'):
            os.link(str(shard), str(tmp_path / 'records' / shard.name))
    status, errors, _ = _start(*_flags(
        data, tmp_path / 'new', dataset=other, dataset_dir=tmp_path / 'records',
        tf_initial_checkpoint=logdir / 'model.ckpt-3'))
    assert status == 1 and len(errors) == 1
    for part in ('logits/semantic/', '[3]', '[4]', '--initialize_last_layer=false'):
        assert part in errors[0]
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('name, changes, status, parts', [
    ('good', {'train_logdir': None}, 2, ['train_logdir']),
    ('good', {'base_learning_rat': 0.1}, 2, ['--base_learning_rat', '--base_learning_rate']),
    ('good', {'learning_policy': 'linear'}, 2, ['learning_policy', 'poly', 'linear']),
    ('good', {'dataset': 'godo'}, 1, ["'godo'", 'pascal_voc_seg', 'good']),
    ('good', {'train_split': 'val'}, 1, ["'val'", 'train']),
    ('good', {'num_clones': 2, 'train_batch_size': 3}, 1, ['--train_batch_size=3']),
    ('good', {'atrous_rates': '12,24,36'}, 1, ['--atrous_rates=12,24,36', '--output_stride']),
    ('good', {'tf_initial_checkpoint': 'nowhere/model.ckpt'}, 1, ['--tf_initial_checkpoint']),
    ('cut', {}, 1, ['train-00000-of-00002.tfrecord', 'record 2']),
    ('bad_label', {}, 1, ['picture', 'holds 7', '0..2']),
])
def test_mistakes_are_one_line_and_leave_nothing(data, tmp_path, name, changes, status, parts):
    logdir = tmp_path / 'run'
    found, errors, _ = _start(*_flags(data, logdir, name, **changes))
    assert found == status
    assert len(errors) == 1, errors
    for part in parts:
        assert part in errors[0]
    assert not [entry for entry in (os.listdir(str(logdir)) if logdir.exists() else [])
                if 'ckpt' in entry]


def test_the_page_tells_of_every_flag_and_of_no_other():
    """Each flag of training is in g3doc/training.md, and each flag in its tables is one."""
    with flagsaver.flagsaver():
        train.define_flags()
        by_module = flags.FLAGS.flags_by_module_dict()
        defined = {flag.name for module, own in by_module.items() if module.startswith('deeplab.')
                   for flag in own}
    with open(os.path.join(_ROOT, 'g3doc', 'training.md')) as stream:
        page = stream.read()
    named = set(re.findall(r'--(\w+)', page))
    in_tables = set()
    for cell in re.findall(r'^\| (`--[^|]*)\|', page, re.MULTILINE):
        in_tables.update(re.findall(r'--(\w+)', cell))
    assert sorted(defined - named) == []
    assert sorted(in_tables - defined) == []
