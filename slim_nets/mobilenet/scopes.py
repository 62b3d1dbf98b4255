"""Arg scope helpers: defaults from data, values left out, values already set around us."""
import contextlib

import tensorflow.compat.v1 as tf
import tf_slim as slim


class NoOpScope(object):
    """A `with` block that changes nothing, for where a scope is optional."""

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return False


def safe_arg_scope(funcs, **kwargs):
    """Returns `slim.arg_scope(funcs, ...)` of those arguments that are not None.

    Args:
        funcs: list of functions that take arg scopes.
        **kwargs: defaults to set; None means: leave what is set around as it is.

    Returns:
        A context manager; a `NoOpScope` if nothing is left to set.
    """
    chosen = {name: value for name, value in kwargs.items() if value is not None}
    return slim.arg_scope(funcs, **chosen) if chosen else NoOpScope()


@contextlib.contextmanager
def arg_scopes(*tables):
    """Enters one arg scope for each entry of each table; later entries win over earlier ones.

    Args:
        *tables: dicts from a tuple of functions to a dict of their default arguments.

    Yields:
        The innermost arg scope.
    """
    with contextlib.ExitStack() as stack:
        for table in tables:
            for functions, defaults in table.items():
                stack.enter_context(slim.arg_scope(functions, **defaults))
        yield slim.current_arg_scope()


def surrounding_value(function, argument, otherwise):
    """Returns what the arg scopes around set for an argument of a function.

    Args:
        function: a function that takes arg scopes, e.g. `slim.batch_norm`.
        argument: str, name of the argument.
        otherwise: what to return where no scope sets it.
    """
    settings = slim.current_arg_scope().get(slim.arg_scope_func_key(function), {})
    return settings.get(argument, otherwise)


@contextlib.contextmanager
def layer_scope(scope, default_name):
    """Opens a variable scope, with operation names in the same place as its variables' names.

    A scope that is entered a second time, by its object, keeps the names of operations in the
    place it had the first time, so `<scope>/output` is found where one looks for it.

    Args:
        scope: str or `tf.VariableScope`; None for `default_name` made unique.
        default_name: str.

    Yields:
        The `tf.VariableScope`.
    """
    with tf.variable_scope(scope, default_name) as variable_scope:
        with tf.name_scope(variable_scope.original_name_scope):
            yield variable_scope
