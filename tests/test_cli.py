"""Strict flags and one-line errors of the entry points."""
import subprocess
import sys
import textwrap

import pytest
from absl import flags

from deeplab import cli

_PROGRAM = textwrap.dedent('''
    from absl import flags
    from deeplab import cli, errors

    def define_flags():
        flags.DEFINE_string('dataset', 'pascal_voc_seg', 'Data set.')
        flags.DEFINE_string('train_logdir', None, 'Folder.')
        cli.define_list('atrous_rates', None, 'Rates.', item_type=int)
        cli.define_size('crop_size', ['513', '513'], 'Crop.')
        flags.mark_flag_as_required('train_logdir')

    def main(_):
        if flags.FLAGS.dataset == 'bad':
            raise errors.UserError('--dataset=bad: no such data set.')
        print(flags.FLAGS.atrous_rates, flags.FLAGS.crop_size)

    cli.run(main, define_flags)
''')


def _run(*arguments):
    done = subprocess.run([sys.executable, '-c', _PROGRAM] + list(arguments),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert 'Traceback' not in done.stderr
    return done.returncode, done.stdout, lines


@pytest.mark.parametrize('arguments, parts', [
    (['--train_logdir=x', '--datset=y'], ['--datset', '--dataset']),
    (['--train_logdir=x', '--dataset', '=', 'y'], ['stray word', '=', 'y']),
    (['--train_logdir=x', 'extra'], ['stray word', 'extra']),
    (['--train_logdir', '=', 'x'], ['stray word', '=']),
    ([], ['missing flag', '--train_logdir']),
    (['--train_logdir=x', '--atrous_rates=6,a'], ['atrous_rates', 'whole numbers']),
    (['--train_logdir=x', '--crop_size=513'], ['crop_size', '513']),
    (['--train_logdir=x', '--crop_size=0,513'], ['crop_size', 'positive']),
])
def test_mistakes_on_the_command_line_are_one_line_and_status_2(arguments, parts):
    status, _, lines = _run(*arguments)
    assert status == 2
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]


def test_a_users_mistake_is_one_line_and_status_1():
    status, _, lines = _run('--train_logdir=x', '--dataset=bad')
    assert (status, lines) == (1, ['error: --dataset=bad: no such data set.'])


def test_a_good_command_line_runs():
    status, out, lines = _run('--train_logdir=x', '--atrous_rates=6,12', '--atrous_rates=18')
    assert (status, lines) == (0, [])
    assert out.strip() == "[6, 12, 18] ['513', '513']"


def _parse(define, *arguments):
    values = flags.FlagValues()
    define(values)
    values(['program'] + list(arguments))
    return values


@pytest.mark.parametrize('arguments, wanted', [
    ([], None),
    (['--rates=6,12,18'], [6, 12, 18]),
    (['--rates=6', '--rates=12', '--rates=18'], [6, 12, 18]),
    (['--rates=6,12', '--rates', '18'], [6, 12, 18]),
    (['--rates='], []),
    (['--rates= 6, 12 '], [6, 12]),
])
def test_list_flags_take_commas_repetition_and_the_empty_list(arguments, wanted):
    values = _parse(lambda v: cli.define_list('rates', None, 'h', item_type=int, flag_values=v),
                    *arguments)
    assert values.rates == wanted


def test_a_given_list_replaces_the_default():
    def define(values):
        cli.define_list('scales', [1.0], 'h', item_type=float, flag_values=values)

    assert _parse(define).scales == [1.0]
    assert _parse(define, '--scales=0.5,2').scales == [0.5, 2.0]


def test_what_a_list_flag_prints_can_be_given_back():
    values = _parse(lambda v: cli.define_list('rates', [6, 12], 'h', item_type=int, flag_values=v))
    assert values['rates'].serialize() == '--rates=6,12'


def test_sizes_become_numbers():
    assert cli.size_from_flag(['513', '1025']) == [513, 1025]
    assert cli.size_from_flag(None) is None
