"""local_test_forma.sh: that each option acts, what it refuses, and one experiment from end to end."""
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deeplab.utils import get_dataset_colormap
from tests.datasets import forma_factory
from tests.datasets import recipe_runner

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                      'local_test_forma.sh')
NAMING = ('--date=20300102', '--host=box', '--user=me')
# Stands in for Python: tells facts, writes down what else it is to run.
FAKE_PYTHON = """#!/bin/sh
case "$1" in
  */dataset_facts.py)
    printf 'name=forma54k\\ndataset_dir=/data\\nimages=43770\\nnum_classes=9\\neval_crop=1601,3783\\n'
    echo "$@" >> "$LOG" ;;
  *) echo "$@" >> "$LOG" ;;
esac
"""


def launch(folder, *options, **environment):
    return subprocess.run(
        [SCRIPT] + list(options), env=dict(os.environ, **environment), cwd=str(folder),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)


@pytest.fixture
def plan(tmp_path):
    """A function from options to the commands that would run: name of the script -> its flags."""
    python = tmp_path / 'venv' / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    log = tmp_path / 'log'

    def make(*options):
        log.write_text('')
        done = launch(tmp_path, '--root=' + str(tmp_path / 'root'), *(NAMING + options),
                      VENV=str(tmp_path / 'venv'), LOG=str(log))
        assert done.returncode == 0, done.stderr
        commands = {}
        for line in log.read_text().splitlines():
            script, *flags = line.split()
            commands[os.path.basename(script)] = dict(
                flag[2:].partition('=')[::2] for flag in flags)
        return commands
    return make


def put_checkpoint(folder, step=''):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ('model.ckpt' + step)
    (folder / (path.name + '.index')).write_text('')
    return str(path)


def test_the_whole_job(plan, tmp_path):
    commands = plan('--initial=none')
    assert list(commands) == ['dataset_facts.py', 'train.py', 'eval.py', 'vis.py',
                              'export_model.py', 'plot_runs.py']
    experiment = tmp_path / 'root/experiments/20300102_xception_65-poly_box_me_forma54k'
    assert sorted(folder.name for folder in experiment.iterdir()) == [
        'eval', 'export', 'train', 'vis']
    facts, train, evaluate, vis, export, plot = commands.values()
    assert facts['dataset'] == 'forma54k' and facts['split'] == 'train'
    assert facts['datasets_dir'] == str(tmp_path / 'root/datasets')
    assert train['training_number_of_steps'] == str(-(-43770 * 30 // 8))
    assert train['train_logdir'] == evaluate['checkpoint_dir'] == vis['checkpoint_dir'] == str(
        experiment / 'train')
    assert train['learning_policy'] == 'poly' and train['augmentation'] == 'forma'
    assert train['atrous_rates'] == '6,12,18' and 'seed' not in train
    assert 'tf_initial_checkpoint' not in train
    assert evaluate['eval_split'] == vis['vis_split'] == 'trainval'
    assert evaluate['eval_crop_size'] == vis['vis_crop_size'] == '1601,3783'
    assert export['crop_size'] == '1601,3783'
    assert plot['runs'] == str(experiment)


@pytest.mark.parametrize('clones, batch, steps', [
    (1, '8', 164138), (4, '32', 68391), (8, '64', 34196)])
def test_settings_blocks(plan, clones, batch, steps):
    train = plan('--initial=none', '--clones={}'.format(clones))['train.py']
    assert train['num_clones'] == str(clones) and train['train_batch_size'] == batch
    assert train['training_number_of_steps'] == str(steps)


@pytest.mark.parametrize('option, command, expected', [
    ('--dataset=tryon1k', 'dataset_facts.py', {'dataset': 'tryon1k'}),
    ('--dataset_dir=/else', 'dataset_facts.py', {'dataset_dir': '/else'}),
    ('--train_split=all', 'train.py', {'train_split': 'all'}),
    ('--eval_split=val', 'vis.py', {'vis_split': 'val'}),
    ('--model_variant=mobilenet_v2', 'train.py', {'model_variant': 'mobilenet_v2'}),
    ('--epochs=0.5', 'train.py', {'training_number_of_steps': '2736'}),
    ('--steps=77', 'train.py', {'training_number_of_steps': '77'}),
    ('--batch_size=6', 'train.py', {'train_batch_size': '6', 'training_number_of_steps': '218850'}),
    ('--learning_rate=1e-3', 'train.py', {'base_learning_rate': '1e-3'}),
    ('--schedule=step', 'train.py', {'learning_policy': 'step', 'learning_rate_decay_factor': '0.1',
                                     'learning_rate_decay_step': '54713'}),
    ('--crop_size=65,97', 'train.py', {'train_crop_size': '65,97'}),
    ('--output_stride=8', 'train.py', {'output_stride': '8', 'atrous_rates': '12,24,36'}),
    ('--output_stride=8', 'export_model.py', {'output_stride': '8'}),
    ('--fine_tune_batch_norm=true', 'train.py', {'fine_tune_batch_norm': 'true'}),
    ('--augmentation=none', 'train.py', {'augmentation': 'none'}),
    ('--seed=5', 'train.py', {'seed': '5'}),
    ('--eval_crop_size=99,98', 'eval.py', {'eval_crop_size': '99,98'}),
    ('--eval_crop_size=own', 'eval.py', {'eval_crop_size': ''}),
    ('--eval_crop_size=own', 'export_model.py', {'crop_size': '513,513'}),
    ('--export_crop_size=33,44', 'export_model.py', {'crop_size': '33,44'}),
    ('--vis_images=3', 'vis.py', {'max_number_of_images': '3'}),
])
def test_each_option_acts(plan, option, command, expected):
    flags = plan('--initial=none', option)[command]
    assert {name: flags[name] for name in expected} == expected
    if option == '--model_variant=mobilenet_v2':
        assert 'atrous_rates' not in flags


def test_options_that_act_together(plan, tmp_path):
    flags = plan('--initial=none', '--schedule=step', '--decay_epochs=2', '--decay_factor=0.5',
                 '--description=try+1', '--compare=a,b', '--', '--weight_decay=0.1')
    assert flags['train.py']['learning_rate_decay_step'] == '10943'
    assert flags['train.py']['learning_rate_decay_factor'] == '0.5'
    assert flags['train.py']['weight_decay'] == '0.1'
    experiment = str(tmp_path / 'root/experiments/20300102_try+1_box_me_forma54k')
    assert flags['plot_runs.py'] == {'runs': experiment + ',a,b',
                                     'output': experiment + '/runs.png'}
    assert list(plan('--initial=none', '--stages=eval,plot')) == [
        'dataset_facts.py', 'eval.py', 'plot_runs.py']
    assert list(plan('--initial=none', '--dry_run')) == ['dataset_facts.py']


def test_initial_weights(plan, tmp_path):
    published = put_checkpoint(tmp_path / 'root/init_models/deeplabv3_pascal_train_aug')
    train = plan()['train.py']
    assert train['tf_initial_checkpoint'] == published
    assert train['initialize_last_layer'] == 'false'
    assert train['last_layers_contain_logits_only'] == 'true'
    backbone = put_checkpoint(tmp_path / 'root/init_models/xception_71_imagenet/xception_71')
    train = plan('--model_variant=xception_71')['train.py']
    assert train['tf_initial_checkpoint'] == backbone and 'initialize_last_layer' not in train
    put_checkpoint(tmp_path / 'earlier/train', '-9')
    newest = put_checkpoint(tmp_path / 'earlier/train', '-10')
    for classes, keeps in ((9, True), (21, False)):
        (tmp_path / 'earlier/train/train_config.json').write_text(json.dumps(
            {'data': {'class_names': [], 'num_classes': classes}}, indent=2))
        train = plan('--initial=' + str(tmp_path / 'earlier'))['train.py']
        assert train['tf_initial_checkpoint'] == newest
        assert ('initialize_last_layer' not in train) == keeps


@pytest.mark.parametrize('options, message', [
    (['--epoch=3'], 'unknown argument --epoch=3'),
    (['stray'], 'unknown argument stray'),
    (['--clones=2'], 'there are settings for 1, 4 and 8'),
    (['--schedule=cosine'], 'no such choice'),
    (['--epochs=many'], '--epochs=many: expected a number'),
    (['--batch_size=2.5'], '--batch_size=2.5: expected a whole number'),
    (['--batch_size=0'], '--batch_size=0 is no multiple'),
    (['--crop_size=513'], 'expected height,width'),
    (['--description=a/b'], "a part of a folder's name"),
    (['--decay_epochs=3'], 'act with --schedule=step'),
    (['--clones=4', '--batch_size=6'], '--batch_size=6 is no multiple of --clones=4'),
    (['--stages=train,test'], 'there is no stage test'),
])
def test_what_is_refused(tmp_path, options, message):
    done = launch(tmp_path, '--root=' + str(tmp_path), *options)
    assert done.returncode == 2 and not done.stdout
    assert len(done.stderr.splitlines()) == 1 and message in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_missing(tmp_path, plan):
    venv = {'VENV': str(tmp_path / 'venv'), 'LOG': str(tmp_path / 'log')}
    root = '--root=' + str(tmp_path)
    for options, message in (
            ([], '--initial=pascal: no checkpoint in {}/init_models/xception65_coco'),
            (['--initial=/nowhere'], '--initial=/nowhere: no such checkpoint'),
            (['--initial=ade20k', '--model_variant=resnet_v1_50'], 'no such weights of resnet')):
        done = launch(tmp_path, root, *options, **venv)
        assert done.returncode in (1, 2) and message.format(tmp_path) in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = launch(tmp_path, root, VENV=str(tmp_path / 'none'))
    assert done.returncode == 1 and 'run scripts/setup.sh or set VENV' in done.stderr


def test_help_names_every_option():
    done = subprocess.run([SCRIPT, '--help'], stdout=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0
    with open(SCRIPT) as stream:
        parsing = stream.read().partition('for argument in')[2].partition('\ndone')[0]
    accepted = {name for line in parsing.splitlines() if line.startswith('    --')
                for name in re.findall(r'--[a-z_]+', line.split('"')[0])}
    assert len(accepted) > 25
    assert sorted(name for name in accepted if name not in done.stdout) == []


def documented_commands():
    """The commands in the column "here" of this workflow's table in g3doc/migration.md."""
    with open(os.path.join(os.path.dirname(SCRIPT), 'g3doc', 'migration.md')) as stream:
        section = stream.read().partition("## Forma's")[2].partition('\n## ')[0]
    rows = [line.split(' | ') for line in section.splitlines() if line.startswith('| ')][1:]
    return [row[1].strip('`') for row in rows]


def test_the_documented_commands(tmp_path, plan):
    commands = documented_commands()
    assert len(commands) == 14
    root = tmp_path / 'root'
    put_checkpoint(root / 'init_models/xception65_coco_voc_trainaug')
    for name in ('imaterialist37k', 'humanparsing17k', 'nsfw1k', 'tryon1k', 'tryon10k'):
        forma_factory.make_sources(root, name, 0.002)
    for command in commands:
        program, *flags = command.replace('${ROOT}', str(root)).split()
        if program == 'python' and flags[0].startswith('datasets/'):
            joins = 'forma54k' in command
            result = recipe_runner.run(tmp_path, *(flags + ['--expected_scale=0.002'] + (
                [] if joins else ['--num_workers=1'])))
            assert result.status == 0, result.stderr
        elif program == './local_test_forma.sh':
            assert plan(*flags)['train.py']['num_clones'] == command.partition('clones=')[2][0]
        else:
            run = tmp_path / 'run.jsonl'
            run.write_text(''.join('{{"step": {0}, "total_loss": {0}}}\n'.format(step)
                                   for step in (1, 2)))
            flags = ['--runs={}'.format(run), '--output={}'.format(tmp_path / 'loss.png')]
            result = recipe_runner.run(tmp_path, 'scripts/plot_runs.py', *flags)
            assert result.status == 0, result.stderr
            assert (tmp_path / 'loss.png').stat().st_size > 1000


def test_dataset_facts(tmp_path):
    forma_factory.make_sources(tmp_path, 'nsfw1k')
    recipe_runner.run(tmp_path, 'build_nsfw1k_data.py', '--root={}'.format(tmp_path),
                      '--expected_scale=0.01', '--num_workers=1')
    arguments = ['scripts/dataset_facts.py', '--dataset=nsfw1k',
                 '--datasets_dir={}/datasets'.format(tmp_path)]
    result = recipe_runner.run(tmp_path, *arguments)
    assert result.stdout.splitlines() == [
        'name=nsfw1k', 'dataset_dir={}/datasets/nsfw1k/tfrecord'.format(tmp_path), 'images=10',
        'num_classes=9', 'eval_crop=4001,4001']
    result = recipe_runner.run(tmp_path, *(arguments + ['--split=tset']))
    assert result.status == 1 and "has no split 'tset'" in result.stderr


def test_from_raw_folders_to_a_prediction_picture(tmp_path):
    root = tmp_path / 'root'
    forma_factory.make_sources(root, 'humanparsing17k', 0.002, size=(48, 40))
    made = recipe_runner.run(tmp_path, 'build_humanparsing17k_data.py', '--root={}'.format(root),
                             '--expected_scale=0.002', '--num_workers=1')
    assert made.status == 0, made.stderr
    done = launch(tmp_path, '--root={}'.format(root), '--dataset=humanparsing17k', '--cpu',
                  '--seed=1', '--vis_images=2', *NAMING,
                  VENV=os.path.dirname(os.path.dirname(sys.executable)), OMP_NUM_THREADS='1')
    assert done.returncode == 0, done.stderr
    assert '28 images in train, batches of 2 on 1 clone(s): 4 steps' in done.stdout
    experiment = root / 'experiments/20300102_mobilenet_v2-poly_box_me_humanparsing17k'
    assert (experiment / 'train/model.ckpt-4.index').exists()
    assert json.loads((experiment / 'eval/metrics.json').read_text())['images'] == 4
    assert (experiment / 'export/frozen_inference_graph.pb').stat().st_size > 1e5
    with Image.open(str(experiment / 'runs.png')) as plot:
        assert min(plot.size) > 100
    picture = Image.open(str(experiment / 'vis/segmentation_results/000000_prediction.png'))
    colors = get_dataset_colormap.create_label_colormap('forma').tolist()
    found = np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3), axis=0).tolist()
    assert picture.size[0] == 40 and all(color in colors for color in found)
