"""Runs a command of datasets/ or scripts/ as from the shell, without the seconds Python takes."""
import collections
import multiprocessing
import os
import runpy
import subprocess
import sys
import traceback

from absl import flags

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
Result = collections.namedtuple('Result', ['status', 'stdout', 'stderr'])


def path(name: str) -> str:
    """Returns the path of a command; without a folder, one of datasets/."""
    return os.path.join(_ROOT, name if '/' in name else os.path.join('datasets', name))


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
    sys.path.insert(0, os.path.dirname(path(name)))
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


def run_fresh(name: str, *arguments: str) -> Result:
    """Runs a command in a process of its own: what runs a TensorFlow session needs one."""
    environment = dict(os.environ, PYTHONPATH=_ROOT)
    done = subprocess.run([sys.executable, path(name)] + list(arguments), env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    return Result(done.returncode, done.stdout, done.stderr)


def run(folder, name: str, *arguments: str) -> Result:
    """Runs a command in a fork of this process; `folder` takes its output."""
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
