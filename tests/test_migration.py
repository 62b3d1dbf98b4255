"""g3doc/migration.md: every command of its middle column is one this program has and runs."""
import collections
import importlib
import io
import multiprocessing
import os
import re
import runpy
import shlex
import subprocess
import sys
from unittest import mock
import zipfile

import numpy as np
from PIL import Image
import pytest

from deeplab import cli
from deeplab import errors
from deeplab import eval as eval_command
from deeplab import export_model
from deeplab import train
from deeplab import vis
from tests import tiny_run
from tests.datasets import recipe_runner

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PAGE = os.path.join(_ROOT, 'g3doc', 'migration.md')
# Commands of other packages and of the system.
_FOREIGN = ('tensorboard', 'python -m pytest')
_COMMANDS_OF_DEEPLAB = {'train': train, 'eval': eval_command, 'vis': vis,
                        'export_model': export_model}
# What makes a run of days one of seconds; the rest of each command stays.
_SMALL_NETWORK = dict(model_variant='mobilenet_v2', depth_multiplier='0.1',
                      aspp_convs_filters='16')
_SMALL = {
    'train': dict(_SMALL_NETWORK, training_number_of_steps='2', train_batch_size='1',
                  train_crop_size='33,33', tf_initial_checkpoint=None, num_threads='1'),
    'eval': dict(_SMALL_NETWORK, eval_crop_size='65,97'),
    'vis': dict(_SMALL_NETWORK, vis_crop_size='65,97'),
    'export_model': dict(_SMALL_NETWORK, crop_size='33,33'),
}
_RESIZED = dict(min_resize_value='33', max_resize_value='49', resize_factor='16')
_SIZE = (48, 64)

Row = collections.namedtuple('Row', ['section', 'commands'])


def _rows():
    """Yields a Row for each line of the tables, with the commands of its middle column."""
    section = None
    with open(_PAGE, encoding='utf-8') as stream:
        for line in stream:
            if line.startswith('## '):
                section = line[3:].strip()
            cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
            if line.startswith('|') and len(cells) >= 3 and cells[1] not in ('here', '---'):
                yield Row(section, re.findall(r'`([^`]+)`', cells[-2]))


def _commands(start='', section=''):
    return [command for row in _rows() if row.section.startswith(section)
            for command in row.commands if command.startswith(start)]


def _filled(command, folder):
    return [re.sub(r'\$\{(\w+)\}', lambda name: os.path.join(str(folder), name.group(1)), word)
            for word in shlex.split(command)]


def _is_foreign(command):
    return command.startswith(_FOREIGN)


def test_the_page_is_read():
    sections = collections.Counter(row.section for row in _rows() if row.commands)
    assert len(sections) == 4 and min(sections.values()) >= 5
    assert sum(sections.values()) >= 45
    assert all(re.match(r'(python |tensorboard |\./|scripts/|datasets/)', command)
               for command in _commands()), _commands()


def _parse(path, arguments):
    """Has a command define its flags and parse a command line, and stops there."""
    recipe_runner._forget_flags()   # pylint: disable=protected-access
    with open(path) as stream:
        shares_flags = re.search(r'import (common|inference_flags|train_evaluation)\b',
                                 stream.read())
    if shares_flags and 'deeplab.common' in sys.modules:
        # Its flags were defined when it was imported, and have just been forgotten.
        importlib.reload(sys.modules['deeplab.common'])
    sys.path.insert(0, os.path.dirname(path))
    parsed = []

    def run(unused_main, define_flags):
        define_flags()
        parsed.append(cli.parse_flags([path] + arguments))

    with mock.patch.object(cli, 'run', run):
        runpy.run_path(path, run_name='__main__')
    assert parsed, 'it does not run'


def _parse_all(lines, queue):
    failed = []
    for words in lines:
        with mock.patch.object(sys, 'stderr', io.StringIO()) as stderr:
            try:
                _parse(os.path.join(_ROOT, words[1]), words[2:])
            except SystemExit:
                failed.append((words, stderr.getvalue()))
            except BaseException as error:   # pylint: disable=broad-except
                failed.append((words, repr(error)))
    queue.put(failed)


def _parse_in_fork(lines):
    """[(command line, what is wrong with it)] of those whose flags are refused."""
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    child = context.Process(target=_parse_all, args=(lines, queue))
    child.start()
    failed = queue.get()
    child.join()
    return failed


def test_every_flag_is_there_and_takes_its_value(tmp_path):
    lines = [_filled(command, tmp_path) for command in _commands('python ')
             if not _is_foreign(command)]
    assert len(lines) > 35
    for words in lines:
        assert os.path.isfile(os.path.join(_ROOT, words[1])), words
    assert _parse_in_fork(lines) == []
    wrong = [lines[0][:2] + ['--no_such_flag=1'], lines[0][:1] + ['deeplab/train.py']]
    assert [words for words, _ in _parse_in_fork(wrong)] == wrong


def test_shell_commands_take_their_options(tmp_path):
    scripts = [command for command in _commands() if not command.startswith(('python ',
                                                                             'tensorboard '))]
    assert len(scripts) >= 5
    for command in scripts:
        words = _filled(command, tmp_path)
        path = os.path.join(_ROOT, words[0])
        assert os.access(path, os.X_OK), command
        said = subprocess.run([path, '--help'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, cwd=_ROOT)
        assert said.returncode == 0, said.stdout
        for option in words[1:]:
            assert option.split('=')[0] in said.stdout, command


def _picture(path, pixels, palette=False):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image = Image.fromarray(pixels, mode='P')
        image.putpalette([value // 3 for value in range(256)] * 3)
    image.save(path)


def _labels(classes, seed):
    return tiny_run.blocks(*_SIZE, values=np.arange(classes), seed=seed)


def _make_voc(root):
    listed = []
    for number in range(2):
        listed.append('2007_{:06d}'.format(number))
        _picture('{}/JPEGImages/{}.jpg'.format(root, listed[-1]),
                 tiny_run.photograph(*_SIZE, seed=number))
        _picture('{}/SegmentationClass/{}.png'.format(root, listed[-1]), _labels(21, number), True)
    lists = os.path.join(root, 'ImageSets', 'Segmentation')
    os.makedirs(lists)
    for split in ('train', 'val', 'trainval'):
        with open(os.path.join(lists, split + '.txt'), 'w') as stream:
            stream.write('\n'.join(listed) + '\n')


def _make_ade20k(root):
    for split in ('training', 'validation'):
        for number in range(2):
            name = 'ADE_{}_{}'.format(split[:3], number)
            _picture('{}/images/{}/{}.jpg'.format(root, split, name),
                     tiny_run.photograph(*_SIZE, seed=number))
            _picture('{}/annotations/{}/{}.png'.format(root, split, name), _labels(151, number))
    archive = os.path.join(os.path.dirname(root), 'ADE20K_ZIP')
    with zipfile.ZipFile(archive, 'w') as packed:
        for parent, _, names in os.walk(root):
            for name in names:
                path = os.path.join(parent, name)
                packed.write(path, 'ADEChallengeData2016/' + os.path.relpath(path, root))


def _make_cityscapes(root):
    for split in ('train', 'val'):
        name = '{}/{}/aachen/aachen_000000_000019_'.format('{}', split)
        _picture('{}/{}leftImg8bit.png'.format(root, name.format('leftImg8bit')),
                 tiny_run.photograph(*_SIZE))
        _picture('{}/{}gtFine_labelTrainIds.png'.format(root, name.format('gtFine')),
                 _labels(19, 1))


@pytest.fixture(scope='module', name='world')
def folder_of_data(tmp_path_factory):
    """Small data under the names the page gives folders, converted by the page's commands."""
    folder = tmp_path_factory.mktemp('migration')
    _make_voc(str(folder / 'VOC'))
    _make_ade20k(str(folder / 'ADE20K'))
    _make_cityscapes(str(folder / 'CITYSCAPES'))
    (folder / 'JOB').mkdir()
    recipes = [_filled(command, folder) for command in (
        _commands('python datasets/', section='The reference') +
        _commands('python datasets/', section='The job') +
        _commands('python scripts/write_tfrecord.py'))]
    assert len(recipes) == 6
    for words in recipes:
        extra = [] if 'remove_gt' in words[1] else ['--num_workers=1']
        done = recipe_runner.run(folder, words[1], *(words[2:] + extra))
        assert done.status == 0, (words, done.stderr)
    return folder


def test_recipes_write_what_the_next_command_reads(world):
    for name in ('VOC_RECORDS', 'CITYSCAPES_RECORDS', 'ADE20K_RECORDS', 'LISTED', 'JOB/tfrecord'):
        assert (world / name / 'dataset.json').exists(), name
    pack = [_filled(command, world) for command in _commands('python scripts/pack_outputs.py')][0]
    assert recipe_runner.run(world, pack[1], *pack[2:]).status == 0
    with zipfile.ZipFile(str(world / 'JOB' / 'tfrecords.zip')) as packed:
        assert 'dataset.json' in packed.namelist()


def _reduced(words):
    """A command line of train, eval, vis or export with small values in place of its own."""
    name = os.path.basename(words[1])[:-len('.py')]
    changes = dict(_SMALL[name])
    if any(word.startswith('--min_resize_value') for word in words):
        changes.update(_RESIZED)
    kept = [word for word in words[2:] if word.split('=')[0].lstrip('-') not in changes]
    if name == 'export_model':
        kept = [re.sub(r'model\.ckpt-\d+', 'model.ckpt-2', word) for word in kept]
    return _COMMANDS_OF_DEEPLAB[name], kept + tiny_run.flag_values(**changes)


def _run_rows(world, needed):
    for command in _commands('python deeplab/', section='The reference'):
        words = _filled(command, world)
        if os.path.basename(words[1])[:-len('.py')] in _COMMANDS_OF_DEEPLAB and needed(command):
            module, arguments = _reduced(words)
            try:
                assert tiny_run.command(module, *arguments) == 0, command
            except errors.UserError as error:
                raise AssertionError('{}: {}'.format(command, error))


def test_train_evaluate_draw_and_export(world):
    _run_rows(world, lambda command: '/voc/' in command and 'eval8' not in command)
    run = world / 'RUNS' / 'voc'
    assert (run / 'eval' / 'metrics.json').exists() and (run / 'vis').is_dir()
    assert (run / 'frozen_inference_graph.pb').stat().st_size > 10 ** 5


@pytest.mark.slow
def test_train_evaluate_and_draw_on_the_other_data(world):
    _run_rows(world, lambda command: '/ade20k/' in command or '/cityscapes/' in command)
    for name in ('ade20k', 'cityscapes'):
        assert (world / 'RUNS' / name / 'eval' / 'metrics.json').exists()
