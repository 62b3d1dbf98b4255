"""The names and signatures of the original stay importable: downstream code relies on them."""
import importlib
import inspect
import json
import os
import re

import pytest
import tensorflow.compat.v1 as tf

_FACTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'goldens', 'public_api.json')
_PREFIXES = (('nets.', 'slim_nets.'), ('deployment.', 'slim_nets.deployment.'))
_PARAMETER = re.compile(r'(\*{0,2}\w+)(?:=(.*))?$', re.S)


def _entries():
    with open(_FACTS) as handle:
        modules = json.load(handle)
    for module in sorted(modules):
        for name in sorted(modules[module]):
            yield module, name, modules[module][name]


def _module(name):
    for old, new in _PREFIXES:
        if name.startswith(old):
            return new + name[len(old):]
    return name


def _split(text):
    """Splits 'a, b=(1, 2), **c' at its outermost commas."""
    parts, depth, start = [], 0, 0
    # '<<lambda>>' nests as brackets do.
    for position, letter in enumerate(text):
        depth += letter in '(<[{'
        depth -= letter in ')>]}'
        if letter == ',' and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [part.strip() for part in parts + [text[start:]] if part.strip()]


def _wanted(signature):
    """Returns [(name with stars, default as text or None)] of a signature in the facts."""
    text = signature.strip()
    if text.startswith('(') and text.endswith(')'):
        text = text[1:-1]
    return [_PARAMETER.match(part).groups() for part in _split(text)]


def _name_of(parameter):
    stars = {parameter.VAR_POSITIONAL: '*', parameter.VAR_KEYWORD: '**'}.get(parameter.kind, '')
    return stars + parameter.name


def _same_default(wanted, parameter):
    if wanted is None:
        return True
    if parameter.default is inspect.Parameter.empty:
        return False
    if wanted.startswith('<'):
        # A function or an initialiser: any of its kind stands for it.
        return callable(parameter.default)
    if wanted.startswith('tf.'):
        return parameter.default == getattr(tf, wanted[3:])
    return parameter.default == eval(wanted, {})  # literals of our own facts


def _check_signature(function, signature, where):
    found = list(inspect.signature(function).parameters.values())
    wanted = _wanted(signature)
    names = [_name_of(parameter) for parameter in found]
    assert names[:len(wanted)] == [name for name, _ in wanted], where
    # Anything of our own comes after, and need not be given.
    for parameter in found[len(wanted):]:
        assert parameter.default is not inspect.Parameter.empty or names[-1].startswith('*'), where
    for (name, default), parameter in zip(wanted, found):
        assert _same_default(default, parameter), '{}: {}={} here is {!r}'.format(
            where, name, default, parameter.default)


@pytest.mark.parametrize('module, name, fact', list(_entries()),
                         ids=lambda value: value if isinstance(value, str) else '')
def test_public_name(module, name, fact):
    found = getattr(importlib.import_module(_module(module)), name)
    where = '{}.{}'.format(module, name)
    if isinstance(fact, dict):
        assert list(getattr(found, '_fields', [])) == fact.get('fields', list(
            getattr(found, '_fields', []))), where
        for method, signature in fact['class'].items():
            function = inspect.getattr_static(found, method)
            function = getattr(function, 'fget', function)
            _check_signature(function, signature, '{}.{}'.format(where, method))
    elif fact.startswith('('):
        _check_signature(found, fact, where)
    elif fact.startswith("'"):
        assert found == fact.strip("'"), where
    else:
        # A network definition: a dictionary with defaults and a list of layers.
        assert found is not None
        if fact.startswith("{'defaults'"):
            assert sorted(found) >= ['defaults', 'spec'], where
