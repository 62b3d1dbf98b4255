"""Finds a Python 3.6 that holds TensorFlow 1.15: what the job platform's image has."""
import glob
import os
import subprocess
import sys

import pytest

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ENVIRONMENT = os.path.join(_ROOT, '.venv36')
# Names such an interpreter; and, set to 1, allows to make an environment (minutes, once).
_PATH_VARIABLE = 'DEEPLAB_PYTHON36'
_MAKE_VARIABLE = 'DEEPLAB_MAKE_PYTHON36'


def _prints(python, code):
    """What a program prints in an interpreter; None where that does not run."""
    try:
        done = subprocess.run([python, '-c', code], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, universal_newlines=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _is_36(python):
    return _prints(python, 'import sys; print(sys.version_info[:2] == (3, 6))') == 'True'


def _is_complete(python):
    return _prints(python, 'import importlib.util as u; print(all(u.find_spec(name) for name in ('
                   '"tensorflow", "tf_slim", "PIL", "matplotlib", "tqdm", "tabulate")))') == 'True'


def _bare():
    pyenv = os.environ.get('PYENV_ROOT', os.path.expanduser('~/.pyenv'))
    candidates = sorted(glob.glob(os.path.join(pyenv, 'versions', '3.6*', 'bin', 'python')))
    return [python for python in candidates + ['python3.6'] if _is_36(python)]


def find() -> str:
    """Returns the path of the interpreter, or skips the test, saying so."""
    if sys.version_info[:2] == (3, 6):
        return sys.executable
    bare = _bare()
    here = [os.environ.get(_PATH_VARIABLE), os.path.join(_ENVIRONMENT, 'bin', 'python')]
    for python in filter(None, here + bare):
        if _is_36(python) and _is_complete(python):
            return python
    if bare and os.environ.get(_MAKE_VARIABLE) == '1':
        subprocess.run([os.path.join(_ROOT, 'scripts', 'setup.sh'), '--venv=' + _ENVIRONMENT],
                       env=dict(os.environ, PYTHON=bare[0]), check=True)
        return os.path.join(_ENVIRONMENT, 'bin', 'python')
    return pytest.skip('no Python 3.6 with TensorFlow 1.15 here ({}=1 makes one of an interpreter '
                       'on the PATH or under pyenv; {} names one)'.format(
                           _MAKE_VARIABLE, _PATH_VARIABLE))
