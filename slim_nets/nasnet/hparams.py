"""A named set of hyperparameters with fixed names and types.

Stands in for the hyper-parameter class of TensorFlow 1.x's contrib, which 2.x no longer has.
"""
import difflib
import json
from typing import Any, Dict

_BOOL_WORDS = {'true': True, '1': True, 'false': False, '0': False}


def _convert(name: str, value, wanted: type):
    """Returns `value` as type `wanted`; a number may widen, nothing may lose information."""
    accepted = {bool: bool, int: int, float: (int, float)}.get(wanted, wanted)
    if not isinstance(value, accepted) or (wanted is float and isinstance(value, bool)):
        raise ValueError('Hyperparameter {!r} must be {}. Received instead: {!r}.'.format(
            name, wanted.__name__, value))
    return wanted(value)


def _from_text(name: str, text: str, wanted: type):
    """Returns the value that `text` spells for a hyperparameter of type `wanted`."""
    try:
        return _BOOL_WORDS[text.lower()] if wanted is bool else wanted(text)
    except (KeyError, ValueError):
        raise ValueError('Hyperparameter {!r} must be {}. Received instead: {!r}.'.format(
            name, wanted.__name__, text))


class HParams:
    """Hyperparameters, read as attributes.

    Each keeps the type of its first value (None: any type). Setting a name that does not exist is
    an error, so a misspelt name never passes in silence.
    """

    def __init__(self, **values):
        for name, value in values.items():
            self.add_hparam(name, value)

    def add_hparam(self, name: str, value):
        """Adds a new hyperparameter."""
        if hasattr(self, name):
            raise ValueError('Hyperparameter {!r} cannot be added: the name is taken.'.format(name))
        self.__dict__[name] = value

    def set_hparam(self, name: str, value):
        """Changes a hyperparameter that exists."""
        self._check_known(name)
        current = self.__dict__[name]
        self.__dict__[name] = (
            value if current is None or value is None else _convert(name, value, type(current)))

    def __setattr__(self, name, value):
        self.set_hparam(name, value)

    def override_from_dict(self, values: Dict[str, Any]) -> 'HParams':
        """Changes the hyperparameters that `values` names; returns self."""
        for name, value in values.items():
            self.set_hparam(name, value)
        return self

    def parse(self, text: str) -> 'HParams':
        """Changes hyperparameters from text such as 'num_cells=6,use_aux_head=0'; returns self."""
        for item in filter(None, (part.strip() for part in text.split(','))):
            name, equals, value = (piece.strip() for piece in item.partition('='))
            if not equals:
                raise ValueError('Hyperparameters are written name=value, comma separated. '
                                 'Received instead: {!r} in {!r}.'.format(item, text))
            self._check_known(name)
            current = self.__dict__[name]
            self.set_hparam(
                name, value if current is None else _from_text(name, value, type(current)))
        return self

    def get(self, name: str, default=None):
        """Returns the value of `name`, or `default` where there is no such hyperparameter."""
        return self.__dict__.get(name, default)

    def values(self) -> Dict[str, Any]:
        """Returns a copy: name to value."""
        return dict(self.__dict__)

    def to_json(self) -> str:
        """Returns a JSON object, sorted by name."""
        return json.dumps(self.values(), sort_keys=True)

    def _check_known(self, name):
        if name in self.__dict__:
            return
        close = difflib.get_close_matches(name, list(self.__dict__), n=1)
        raise ValueError('Unknown hyperparameter {!r}.{} Known: {}.'.format(
            name, ' Did you mean {!r}?'.format(close[0]) if close else '',
            ', '.join(sorted(self.__dict__))))

    def __contains__(self, name):
        return name in self.__dict__

    def __eq__(self, other):
        return isinstance(other, HParams) and self.values() == other.values()

    def __repr__(self):
        return 'HParams({})'.format(', '.join(
            '{}={!r}'.format(name, value) for name, value in sorted(self.__dict__.items())))
