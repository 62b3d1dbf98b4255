"""Runs a recipe of datasets/ as its command line does, without the seconds a fresh process takes."""
import collections
import multiprocessing
import os
import runpy
import sys
import traceback

from absl import flags

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       'datasets')
Result = collections.namedtuple('Result', ['status', 'stdout', 'stderr'])


def path(name: str) -> str:
    return os.path.join(_FOLDER, name)


def _forget_flags():
    """Other entry points that tests have imported define flags of the same names."""
    for module, defined in list(flags.FLAGS.flags_by_module_dict().items()):
        if not module.startswith('absl'):
            flags.FLAGS.remove_flag_values(
                [flag.name for flag in defined if flag.name in flags.FLAGS])
    flags.FLAGS.unparse_flags()


def _run(name, arguments, files):
    for descriptor, file in zip((1, 2), files):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, 'w'), os.fdopen(2, 'w')
    _forget_flags()
    sys.argv = [path(name)] + arguments
    sys.path.insert(0, _FOLDER)
    status = 0
    try:
        runpy.run_path(path(name), run_name='__main__')
    except SystemExit as leave:
        status = leave.code or 0
    except BaseException:
        traceback.print_exc()
        status = 'traceback'
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 70)


def run(folder, name: str, *arguments: str) -> Result:
    """Runs datasets/`name` in a fork of this process; `folder` takes its output."""
    files = [os.path.join(str(folder), ending) for ending in ('stdout.txt', 'stderr.txt')]
    child = multiprocessing.get_context('fork').Process(
        target=_run, args=(name, list(arguments), files))
    child.start()
    child.join()
    texts = []
    for file in files:
        with open(file) as stream:
            texts.append(stream.read())
    return Result(child.exitcode, *texts)
