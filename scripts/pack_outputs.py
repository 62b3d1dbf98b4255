"""Packs files that a job leaves into one archive, for the next job or for a person to download.

    python scripts/pack_outputs.py --folder=tfrecord --archive=tfrecords.zip --remove
    python scripts/pack_outputs.py --folder=runs/a --files='checkpoint,model.ckpt-*' \
        --archive=checkpoints.tar.gz

The ending of --archive says its kind. Where a job platform names a folder of outputs
($VH_OUTPUTS_DIR), relative paths start there.
"""
import fnmatch
import os
import shutil

from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab import job_platform
from deeplab.utils import archives

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('folder', None, 'Folder to pack.')
    flags.DEFINE_string('archive', None, 'Archive to write: {}.'.format(
        ', '.join(archives.ENDINGS)))
    cli.define_list('files', None, 'Names or patterns of files directly in the folder. When not '
                    'given: everything in it.')
    flags.DEFINE_boolean('remove', False, 'Remove what was packed.')
    flags.mark_flags_as_required(['folder', 'archive'])


def sources(folder: str, patterns) -> list:
    """Returns the paths to pack: the folder itself, or the files in it that fit the patterns.

    Raises:
        UserError: no such folder, or a pattern that no file fits.
    """
    if not os.path.isdir(folder):
        raise errors.UserError('--folder={}: there is no such folder.'.format(folder))
    if not patterns:
        return [folder]
    names = sorted(name for name in os.listdir(folder)
                   if os.path.isfile(os.path.join(folder, name)))
    found = []
    for pattern in patterns:
        fitting = fnmatch.filter(names, pattern)
        if not fitting:
            raise errors.UserError('--files={}: no file in {} fits {}.'.format(
                ','.join(patterns), folder, pattern))
        found += [os.path.join(folder, name) for name in fitting]
    return sorted(set(found))


def main(_):
    folder = job_platform.output_path(FLAGS.folder)
    archive = job_platform.output_path(FLAGS.archive)
    packed = sources(folder, FLAGS.files)
    if FLAGS.remove and os.path.abspath(archive).startswith(os.path.abspath(folder) + os.sep):
        raise errors.UserError('--archive={} lies in the --folder={} that --remove removes.'.format(
            archive, folder))
    names = archives.pack(packed, archive)
    if FLAGS.remove:
        for path in packed:
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    print('{}: {} files, {:.1f} MB'.format(archive, len(names), os.path.getsize(archive) / 1e6))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
