"""What every entry point shares: list flags, strict parsing, errors in one line.

    from deeplab import cli

    def define_flags():
        cli.define_list('atrous_rates', None, 'Rates.', item_type=int)

    def main(_):
        ...

    def entry():
        cli.run(main, define_flags)
"""
import os
import re
import sys

from absl import app
from absl import flags
from absl import logging

from deeplab import errors

USAGE_ERROR = 2
USER_ERROR = 1
INTERRUPTED = 130

_HOW_TO_WRITE = 'Flags are written --name=value, without spaces around the =.'
_TYPE_NAMES = {int: 'whole numbers', float: 'numbers', str: 'values'}


class _CommaParser(flags.ArgumentParser):
    """Parses '6,12,18' into a list; the empty string is the empty list."""

    def __init__(self, item_type, word=None):
        super(_CommaParser, self).__init__()
        self._item_type = item_type
        self._word = word
        self._expected = 'comma separated ' + _TYPE_NAMES[item_type]
        self.syntactic_help = self._expected + ', or the flag repeated'
        if word:
            self._expected += ' or the word ' + word
            self.syntactic_help += '; or the word ' + word

    def parse(self, argument):
        if self._word and argument in (self._word, [self._word]):
            return [self._word]
        if isinstance(argument, (list, tuple)):
            return [self._item_type(item) for item in argument]
        if not isinstance(argument, str):
            return [self._item_type(argument)]
        items = [item.strip() for item in argument.split(',')]
        if items == ['']:
            return []
        try:
            return [self._item_type(item) for item in items]
        except ValueError:
            raise ValueError('expected ' + self._expected)

    def flag_type(self):
        return 'list of {}'.format(self._item_type.__name__)


class _ListSerializer(flags.ArgumentSerializer):
    """Writes a list with commas, so that what is printed can be given back."""

    def serialize(self, value):
        return ','.join(str(item) for item in value)


class _ListFlag(flags.Flag):
    """A flag whose value is one list, however often and however it is given."""

    def parse(self, argument):
        before = list(self.value or []) if self.present else []
        if argument is None:
            self.value = None
        else:
            self.value = before + self._parse(argument)
        self.present += 1

    def _parse(self, argument):
        return list(super(_ListFlag, self)._parse(argument))


def define_list(name, default, help, item_type=str, length=None, flag_values=flags.FLAGS,
                word=None):
    """Defines a flag that takes commas, repetition and the empty list.

    Args:
        name: of the flag.
        default: list, or None for "not given".
        help: text for --help.
        item_type: str, int or float.
        length: number of items a list that is not empty must have, or None.
        flag_values: where to define it.
        word: a word that may stand in place of all items; the value is then a list of it.
    """
    flags.DEFINE_flag(
        _ListFlag(_CommaParser(item_type, word), _ListSerializer(), name, default, help),
        flag_values)
    if length is not None:
        flags.register_validator(
            name, lambda value: not value or len(value) == length,
            message='expected {} {} with a comma between them'.format(
                length, _TYPE_NAMES[item_type]),
            flag_values=flag_values)


def define_size(name, default, help, flag_values=flags.FLAGS):
    """Defines a 'height,width' flag; its items stay strings, as users of the flag expect."""
    define_list(name, default, help, length=2, flag_values=flag_values)
    flags.register_validator(
        name, lambda value: all(item.strip().isdigit() and int(item) > 0 for item in value or ()),
        message='expected height,width as two positive whole numbers', flag_values=flag_values)


def size_from_flag(value):
    """Returns [height, width] as ints from the value of a `define_size` flag; None stays None."""
    return [int(item) for item in value] if value else None


def given(name: str) -> bool:
    """Whether the user gave the flag `name` on the command line."""
    return bool(flags.FLAGS[name].present)


def program_flags() -> list:
    """Returns the flags this program defines, without those of absl and TensorFlow."""
    return [flag for module, defined in flags.FLAGS.flags_by_module_dict().items()
            if not module.startswith(('absl', 'tensorflow')) for flag in defined]


def _fail(message, status):
    print('error: ' + message, file=sys.stderr)
    sys.exit(status)


def _explain_unknown(name):
    known = [flag for flag in flags.FLAGS]
    return 'unknown flag --{}.{} --help lists the flags.'.format(
        name, errors.nearest(name, known).replace("'", '--', 1).replace("'", ''))


def _explain(error):
    """Returns absl's message in one line; flags that are missing are listed once."""
    missing = re.findall(r'Flag --(\w+) must have a value other than None', str(error))
    if missing:
        return 'missing flag{}: {}. --help tells what {} for.'.format(
            's' if len(missing) > 1 else '', ', '.join('--' + name for name in missing),
            'they are' if len(missing) > 1 else 'it is')
    return ' '.join(str(error).split())


def parse_flags(argv):
    """Parses the command line; a mistake in it ends the program with one line on stderr."""
    if '=' in argv[1:]:
        _fail('stray word on the command line: =. {}'.format(_HOW_TO_WRITE), USAGE_ERROR)
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        _fail(_explain_unknown(error.flagname), USAGE_ERROR)
    except flags.Error as error:
        _fail(_explain(error), USAGE_ERROR)
    if len(rest) > 1:
        _fail('stray word{} on the command line: {}. {}'.format(
            's' if len(rest) > 2 else '', ' '.join(rest[1:]), _HOW_TO_WRITE), USAGE_ERROR)
    return rest


def _guarded(main):
    def run_main(argv):
        try:
            return main(argv)
        except errors.UserError as error:
            logging.flush()
            _fail(' '.join(str(error).split()), USER_ERROR)
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output (head, less) has gone; nobody is left to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(USER_ERROR)
    return run_main


def _let_help_begin_with_docstring(main):
    """Gives --help the docstring of the command where the script, being generated, has none."""
    script = sys.modules['__main__']
    if not script.__doc__:
        script.__doc__ = sys.modules[main.__module__].__doc__


def _let_help_tell_all_flags():
    """Gives --help the flags that commands share; absl leaves out what other modules define."""
    for flag in program_flags():
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def run(main, define_flags=None):
    """Runs an entry point: strict flags, user errors in one line, an exit status that tells.

    Args:
        main: function of the remaining command line ([program]), returning None or a status.
        define_flags: function that defines the command's flags. They are defined here, not when
            the module is imported, so that several commands can be imported side by side.

    Exits with 0, or 1 for a user's mistake in data or files, 2 for one on the command line, 130
    when interrupted. Any other exception is a defect of the program and keeps its traceback.
    """
    # TensorFlow 1.15 repeats deprecations of its own functions that no user can do without.
    import tensorflow.compat.v1 as tf
    tf.logging.set_verbosity(tf.logging.ERROR)
    logging.use_absl_handler()
    if define_flags is not None:
        define_flags()
    _let_help_begin_with_docstring(main)
    _let_help_tell_all_flags()
    app.run(_guarded(main), flags_parser=parse_flags)
