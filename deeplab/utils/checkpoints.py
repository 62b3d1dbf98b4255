"""Finding, checking and restoring checkpoints."""
import glob
import os
import re

import tensorflow.compat.v1 as tf

from deeplab import errors

_MOST_NAMED = 3


def _step_of(prefix):
    found = re.search(r'-(\d+)$', prefix)
    return int(found.group(1)) if found else -1


def is_checkpoint(prefix: str) -> bool:
    """Whether `prefix` names a checkpoint, in either of TensorFlow's formats."""
    return os.path.exists(prefix + '.index') or os.path.isfile(prefix)


def list_checkpoints(directory: str) -> list:
    """Returns the prefixes of all checkpoints in a directory, lowest step first."""
    found = glob.glob(os.path.join(glob.escape(directory), '*.index'))
    return sorted((path[:-len('.index')] for path in found), key=lambda path: (_step_of(path), path))


def latest_checkpoint(directory: str):
    """Returns the newest checkpoint's prefix, or None.

    TensorFlow's `checkpoint` file decides where it names one that is there; its path may be that
    of the folder this one was copied from, so the same name in this folder comes first. Without
    such a file the highest step is taken.
    """
    state = tf.train.get_checkpoint_state(directory)
    if state and state.model_checkpoint_path:
        for prefix in (os.path.join(directory, os.path.basename(state.model_checkpoint_path)),
                       state.model_checkpoint_path):
            if is_checkpoint(prefix):
                return prefix
    there = list_checkpoints(directory)
    return there[-1] if there else None


def find_checkpoint(path: str, flag: str = 'checkpoint_dir') -> str:
    """Returns the prefix of the checkpoint that `path` means.

    Args:
        path: a directory (its newest checkpoint), or a checkpoint's prefix or one of its files.
        flag: name of the flag it came from, for the message.

    Raises:
        UserError: there is no such path, or no checkpoint in it.
    """
    if os.path.isdir(path):
        prefix = latest_checkpoint(path)
        if prefix is None:
            raise errors.UserError(
                '--{}={}: the folder holds no checkpoint (looked for a `checkpoint` file and '
                '*.index). Train first, or name a folder or prefix that has one.'.format(
                    flag, path))
        return prefix
    prefix = re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', path)
    if is_checkpoint(prefix):
        return prefix
    raise errors.UserError('--{}={}: no such folder or checkpoint.'.format(flag, path))


def read(prefix: str):
    """Returns a reader of the checkpoint (`get_variable_to_shape_map()`, `get_tensor(name)`).

    Raises:
        UserError: the files cannot be read.
    """
    try:
        return tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise errors.UserError('checkpoint {} cannot be read: {}'.format(
            prefix, str(error).splitlines()[0]))


class DoesNotFit(errors.UserError):
    """Raised for a checkpoint of another network; `found` is the message without advice."""

    def __init__(self, found: str, advice: str):
        super(DoesNotFit, self).__init__('{} {}'.format(found, advice))
        self.found = found


def _some(names):
    more = len(names) - _MOST_NAMED
    return ', '.join(names[:_MOST_NAMED]) + (' and {} more'.format(more) if more > 0 else '')


def _advice(name, shape, wanted, class_flag):
    if not name.startswith('logits/') or shape[-1:] == wanted[-1:]:
        return 'Give the flags the checkpoint was trained with.'
    return ('The checkpoint was trained for {classes} classes: give {flag}{value}.'.format(
        classes=shape[-1], flag=class_flag,
        value=' of a data set with that many' if class_flag == '--dataset' else
        '={}'.format(shape[-1])))


def check_checkpoint(prefix: str, variables, class_flag: str = '--dataset'):
    """Checks that a checkpoint holds every variable in its shape.

    Args:
        prefix: of the checkpoint.
        variables: list of variables, or dict from name in the checkpoint to variable.
        class_flag: the flag that decides the number of classes, for the message.

    Raises:
        DoesNotFit: variables are missing (names them), or have another shape (both shapes).
        UserError: the checkpoint cannot be read.
    """
    if not isinstance(variables, dict):
        variables = {variable.op.name: variable for variable in variables}
    saved = read(prefix).get_variable_to_shape_map()
    different = [name for name in sorted(variables)
                 if name in saved and saved[name] != variables[name].shape.as_list()]
    # Of several, the one a flag decides says most: the number of classes.
    different.sort(key=lambda name: not name.startswith('logits/'))
    if different:
        name = different[0]
        raise DoesNotFit(
            'checkpoint {}: variable {} has shape {} there and {} in this network.'.format(
                prefix, name, saved[name], variables[name].shape.as_list()),
            _advice(name, saved[name], variables[name].shape.as_list(), class_flag))
    missing = [name for name in sorted(variables) if name not in saved]
    if missing:
        raise DoesNotFit(
            'checkpoint {} lacks {} of the {} variables of this network: {}.'.format(
                prefix, len(missing), len(variables), _some(missing)),
            'Give the flags (--model_variant, --atrous_rates, --decoder_output_stride, ...) it was '
            'trained with.')


def restore(session, prefix: str, variables, class_flag: str = '--dataset', saver=None):
    """Restores variables from a checkpoint, after `check_checkpoint`.

    Args:
        session: the session to restore into.
        prefix: of the checkpoint.
        variables: list of variables, or dict from name in the checkpoint to variable.
        class_flag: see `check_checkpoint`.
        saver: a tf.train.Saver of these variables. Without one the graph grows by one with each
            call.

    Raises:
        UserError: see `check_checkpoint`; or the checkpoint's data are damaged.
    """
    check_checkpoint(prefix, variables, class_flag)
    try:
        (saver or tf.train.Saver(variables)).restore(session, prefix)
    except (tf.errors.OpError, ValueError) as error:
        # Where it says more than one thing, the first line is a heading.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise errors.UserError('checkpoint {} cannot be restored: {}'.format(
            prefix, next((line for line in lines if not line.endswith(':')), lines[0])))


def step_of(prefix: str) -> int:
    """Returns the training step of a checkpoint: its global_step, else its name's, else 0."""
    reader = read(prefix)
    if reader.has_tensor('global_step'):
        return int(reader.get_tensor('global_step'))
    return max(_step_of(prefix), 0)
