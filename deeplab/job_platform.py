"""Inputs and outputs of a job on a platform that hands them over as folders, as Valohai does.

The platform sets two variables. $VH_INPUTS_DIR holds a folder for each input of the job with the
input's files in it, $VH_OUTPUTS_DIR is the folder whose files are kept. Where a command is given no
flag for what it reads or writes, it takes these; a flag always wins, and without the variables
nothing changes.

    def define_flags():
        flags.DEFINE_string('dataset_dir', None, 'Folder of records, or an archive of one.')
        job_platform.input_is_default('dataset_dir', 'dataset')

    def main(_):
        folder = job_platform.folder_of('dataset_dir', job_platform.RECORDS)
"""
import atexit
import collections
import os
import shutil
import tempfile

from absl import flags
from absl import logging

from deeplab import cli
from deeplab import errors
from deeplab.datasets import records
from deeplab.utils import archives

FLAGS = flags.FLAGS
INPUTS_VARIABLE = 'VH_INPUTS_DIR'
OUTPUTS_VARIABLE = 'VH_OUTPUTS_DIR'

# What a folder is searched for. title: in messages; is_in: function of the names of what is
# directly in a folder.
Content = collections.namedtuple('Content', ['title', 'is_in'])
RECORDS = Content('records (<split>-00000-of-00004.tfrecord)',
                  lambda names: any(records.is_shard(name) for name in names))
CHECKPOINTS = Content('checkpoint (*.index)',
                      lambda names: any(name.endswith('.index') for name in names))


def input_is_default(flag_name: str, input_name: str) -> None:
    """Makes an input of the job the default of a flag; does nothing off the platform.

    Args:
        flag_name: a defined flag.
        input_name: name of the input. Where there is none of that name all inputs are searched.
    """
    inputs = os.environ.get(INPUTS_VARIABLE)
    if inputs:
        named = os.path.join(inputs, input_name)
        FLAGS.set_default(flag_name, named if os.path.isdir(named) else inputs)


def output_is_default(flag_name: str, *names: str) -> None:
    """Makes a path in the folder of outputs the default of a flag; nothing off the platform.

    Args:
        flag_name: a defined flag.
        *names: of folders, and of the file, below the folder of outputs; none for that itself.
    """
    outputs = os.environ.get(OUTPUTS_VARIABLE)
    if outputs:
        FLAGS.set_default(flag_name, os.path.join(outputs, *names))


def output_path(path: str) -> str:
    """Returns a relative path as one in the folder of outputs, where the platform names one."""
    return os.path.join(os.environ.get(OUTPUTS_VARIABLE, ''), path)


def archive_of(flag_name: str) -> str:
    """Returns the archive a flag means: its value or, on the platform, the one among the inputs.

    Raises:
        UserError: the inputs hold no archive, or several.
    """
    value = FLAGS[flag_name].value
    if not _is_from_platform(flag_name) or os.path.isfile(value):
        return value
    return _only_archive(flag_name, value)


def folder_of(flag_name: str, content: Content) -> str:
    """Returns the folder a flag means; archives are unpacked into one that goes when we end.

    Args:
        flag_name: flag whose value is a folder or an archive.
        content: what the folder is to hold, wherever in the archive that lies.

    Returns:
        The flag's value itself where it is no archive. On the platform, where the flag was not
        given: the input's folder or, where that does not hold `content`, the one archive in it.

    Raises:
        UserError: the archive cannot be unpacked safely, or does not hold what it should; the
            inputs hold no archive, or several.
    """
    value = FLAGS[flag_name].value
    if archives.is_archive(value):
        return unpacked(value, flag_name, content)
    if not _is_from_platform(flag_name):
        return value
    found = _folder_with(value, content)
    return found or unpacked(_only_archive(flag_name, value), flag_name, content)


def unpacked(archive: str, flag_name: str, content: Content) -> str:
    """Unpacks an archive into a folder that is removed at the end of the process.

    Args:
        archive: path of the archive.
        flag_name: flag it came from, for messages.
        content: what it is to hold.

    Returns:
        The folder in which `content` lies, the one nearest to the top.

    Raises:
        UserError: see `folder_of`.
    """
    title = '--{}={}'.format(flag_name, archive)
    parent = tempfile.mkdtemp(prefix='deeplab-input-')
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = os.path.join(parent, 'content')
    names = archives.unpack(archive, folder, title=title)
    found = _folder_with(folder, content)
    if not found:
        raise errors.UserError('{}: the archive holds no {}; it has {} file(s){}.'.format(
            title, content.title, len(names), ', such as ' + names[0] if names else ''))
    logging.info('Unpacked %s: %d files.', archive, len(names))
    return found


def _is_from_platform(flag_name):
    return bool(os.environ.get(INPUTS_VARIABLE)) and not cli.given(flag_name) and bool(
        FLAGS[flag_name].value)


def _folder_with(folder, content):
    """Returns the topmost folder that holds `content`, or None."""
    for parent, folders, names in _by_depth(folder):
        if content.is_in(folders + names):
            return parent
    return None


def _by_depth(folder):
    return sorted(os.walk(folder), key=lambda entry: (entry[0].count(os.sep), entry[0]))


def _only_archive(flag_name, folder):
    found = [os.path.join(parent, name) for parent, _, names in _by_depth(folder)
             for name in sorted(names) if archives.is_archive(os.path.join(parent, name))]
    if len(found) == 1:
        return found[0]
    if not found:
        raise errors.UserError(
            'There is no archive ({}) in {}, where ${} says the inputs are. Give the job its '
            'input, or give --{}.'.format(', '.join(archives.ENDINGS), folder, INPUTS_VARIABLE,
                                          flag_name))
    raise errors.UserError('{} holds {} archives ({}), and one is expected. Say which by '
                           '--{}.'.format(folder, len(found), ', '.join(
                               os.path.relpath(path, folder) for path in found), flag_name))
