"""Converts ADE20K (MIT Scene Parsing Benchmark) to records.

From the archive as it is downloaded, which need not be unpacked:

    python datasets/build_ade20k_data.py --archive=ADEChallengeData2016.zip --output_dir=tfrecord

(a .tar.gz does as well, and is unpacked first)

or from folders:

    python datasets/build_ade20k_data.py \
        --train_image_folder=ADE20K/ADEChallengeData2016/images/training \
        --train_image_label_folder=ADE20K/ADEChallengeData2016/annotations/training \
        --val_image_folder=ADE20K/ADEChallengeData2016/images/validation \
        --val_image_label_folder=ADE20K/ADEChallengeData2016/annotations/validation \
        --output_dir=tfrecord

Labels are 1..150, and 0 for everything else, which is not trained on (ignore label 0). The files
come sorted by kind of scene; they are stored in a random order, the same one each time.
"""
from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab import job_platform
from deeplab.datasets import conversion_files
from deeplab.datasets import conversion_pairs
from deeplab.datasets import descriptions
from deeplab.utils import archives

import recipe_flags

FLAGS = flags.FLAGS

_ROOT = './ADE20K/ADEChallengeData2016/'
# split: (name in flags, folder below images and annotations).
_SPLITS = {'train': 'training', 'val': 'validation'}


def define_flags():
    """Defines the flags of this command."""
    for split, folder in _SPLITS.items():
        flags.DEFINE_string(split + '_image_folder', _ROOT + 'images/' + folder,
                            'Folder of {} images.'.format(folder))
        flags.DEFINE_string(split + '_image_label_folder', _ROOT + 'annotations/' + folder,
                            'Folder of {} labels.'.format(folder))
    flags.DEFINE_string('archive', None, 'The official archive, ADEChallengeData2016.zip, in place '
                        'of the four folders.')
    flags.DEFINE_string('output_dir', './ADE20K/tfrecord', 'Folder for the TFRecords.')
    recipe_flags.define_format_flags()
    recipe_flags.define_conversion_flags(num_shards=4)
    job_platform.input_is_default('archive', 'ade20k')
    job_platform.output_is_default('output_dir', 'tfrecord')


def _flag_names(split):
    return [split + '_image_folder', split + '_image_label_folder']


def _archive():
    """Returns the archive to convert; None where it is folders."""
    given = [name for split in _SPLITS for name in _flag_names(split) if cli.given(name)]
    if given and cli.given('archive'):
        raise errors.UserError('--archive and --{} exclude each other.'.format(given[0]))
    return None if given or not FLAGS.archive else job_platform.archive_of('archive')


def _root(archive):
    """Returns the folder of images and annotations: inside a zip archive, or unpacked."""
    first = 'images/' + _SPLITS['train']
    if archives.is_archive(archive) and not archive.lower().endswith('.zip'):
        holds_images = job_platform.Content('folder ' + first, lambda names: 'images' in names)
        return job_platform.unpacked(archive, 'archive', holds_images)
    return conversion_files.find_folder(archive, first, '--archive')


def _folders(split, root):
    """Returns (flag, folder) of the images and of the labels of a split."""
    if root is None:
        return [('--' + name, FLAGS[name].value) for name in _flag_names(split)]
    return [('--archive', '/'.join([root, kind, _SPLITS[split]]))
            for kind in ('images', 'annotations')]


def _pairs(split, root):
    (image_flag, image_folder), (label_flag, label_folder) = _folders(split, root)
    images = conversion_pairs.find_pictures(
        image_folder, image_flag, preferred=recipe_flags.preferred_extension())
    labels = conversion_pairs.find_pictures(label_folder, label_flag, ('.png',))
    return conversion_pairs.shuffled(conversion_pairs.match(images, labels, label_folder))


def main(_):
    archive = _archive()
    root = _root(archive) if archive else None
    recipe_flags.convert(descriptions.load('ade20k'),
                         {split: _pairs(split, root) for split in _SPLITS})


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
