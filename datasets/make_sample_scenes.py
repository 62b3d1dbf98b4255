"""Draws the sample data set: a few hundred labelled scenes, so that nothing has to be downloaded.

    python datasets/make_sample_scenes.py --output_dir=/tmp/scenes        # about 6 seconds

makes

    /tmp/scenes/images/train_0000.jpg ...    JPEG
    /tmp/scenes/labels/train_0000.png ...    palette PNG: 0 ground, 1 disc, 2 box, 3 triangle,
                                             4 ring, 5 star, 255 on outlines (to be ignored)
    /tmp/scenes/train.txt, val.txt           one name a line

and

    python datasets/build_folder_data.py --image_folder=/tmp/scenes/images \
        --label_folder=/tmp/scenes/labels --list_folder=/tmp/scenes \
        --dataset=sample_scenes --output_dir=/tmp/scenes/tfrecord

turns them into records. The same seed gives the same files, byte for byte (with the same version of
Pillow); more scenes of a split leave its first ones as they were.
"""
import os

from absl import flags
import numpy as np
import tqdm

from deeplab import cli
from deeplab import errors
from deeplab.datasets import sample_scenes
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files

FLAGS = flags.FLAGS

_SMALLEST_SIDE = 32
_SPLIT_SEEDS = {'train': 0, 'val': 1}
_JPEG_QUALITIES = (85, 96)


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('output_dir', None, 'Folder for images, labels and lists.')
    flags.DEFINE_integer('num_train', 480, 'Number of training scenes.', lower_bound=1)
    flags.DEFINE_integer('num_val', 80, 'Number of validation scenes.', lower_bound=1)
    cli.define_size('image_size', ['96', '128'], 'Height and width of the scenes, as height,width.')
    flags.DEFINE_integer('seed', 0, 'Another seed draws other scenes.', lower_bound=0)
    flags.mark_flag_as_required('output_dir')


def _write_scene(name, seeds, size, folders, palette):
    random = np.random.RandomState(seeds)
    image, label = sample_scenes.draw_scene(random, *size)
    quality = int(random.randint(*_JPEG_QUALITIES))
    jpeg = image_files.encode_image(image, 'JPEG', quality=quality)
    image_files.write_bytes(os.path.join(folders['images'], name + '.jpg'), jpeg)
    image_files.write_png(os.path.join(folders['labels'], name + '.png'), label, palette)


def main(_):
    size = cli.size_from_flag(FLAGS.image_size)
    if min(size) < _SMALLEST_SIDE:
        raise errors.UserError('--image_size={}: both sides must be at least {} pixels.'.format(
            ','.join(FLAGS.image_size), _SMALLEST_SIDE))
    image_files.make_folder(FLAGS.output_dir, '--output_dir')
    folders = {kind: image_files.make_folder(os.path.join(FLAGS.output_dir, kind), '--output_dir')
               for kind in ('images', 'labels')}
    palette = get_dataset_colormap.full_palette(
        get_dataset_colormap.create_pascal_label_colormap())
    for split, count in (('train', FLAGS.num_train), ('val', FLAGS.num_val)):
        names = ['{}_{:04d}'.format(split, index) for index in range(count)]
        for index, name in enumerate(tqdm.tqdm(names, desc=split, unit=' scenes', disable=None)):
            seeds = [FLAGS.seed, _SPLIT_SEEDS[split], index]
            _write_scene(name, seeds, size, folders, palette)
        image_files.write_text(os.path.join(FLAGS.output_dir, split + '.txt'),
                               '\n'.join(names) + '\n')
    print('{} training and {} validation scenes of {}x{} pixels are in {}'.format(
        FLAGS.num_train, FLAGS.num_val, size[0], size[1], FLAGS.output_dir))


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
