r"""Draws what a network predicts on a split: pictures, overlays, error maps, a gallery page.

    python deeplab/vis.py --dataset=sample_scenes --dataset_dir=data/scenes \
        --checkpoint_dir=runs/a --vis_logdir=runs/a/vis --gallery

The network's flags are taken from the training's saved configuration where the checkpoint's folder
has one; otherwise give them as for training. Written to --vis_logdir:

    segmentation_results/000000_image.png, _prediction.png, _overlay.png and, where the split has
        labels, _error.png (red: wrong, blue: ignored)
    raw_segmentation_results/<name of the image>.png: the labels themselves, with
        --also_save_raw_predictions (Cityscapes: ids as its evaluation server expects them)
    legend.png, images.json (scores of every image), gallery.html (with --gallery)
"""
from absl import flags

from deeplab import cli
from deeplab import common  # noqa: F401  (defines the shared flags)
from deeplab import inference_flags
from deeplab.datasets import descriptions
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import visualize
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files

FLAGS = flags.FLAGS
_LIMIT = 'max_number_of_iterations'


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('vis_logdir', None, 'Folder for the pictures.')
    inference_flags.define_waiting_flags('Draw', _LIMIT)
    inference_flags.define_data_flags('vis')
    flags.DEFINE_enum('colormap_type', get_dataset_colormap.get_pascal_name(),
                      get_dataset_colormap.colormap_names(),
                      'Colours of the classes. When not given: those of the data set.')
    flags.DEFINE_boolean('also_save_raw_predictions', False, 'Also write the labels themselves.')
    flags.DEFINE_boolean('save_overlays', True, 'Also write overlays and error maps.')
    flags.DEFINE_boolean('gallery', False, 'Also write gallery.html, one page to sort and filter '
                         'all pictures, which needs no other file.')
    flags.DEFINE_integer('max_number_of_images', 0, 'Draw so many images only; 0 draws all.')
    inference_flags.define_network_flags()
    flags.mark_flags_as_required(['vis_logdir', 'checkpoint_dir', 'dataset_dir'])


def main(_):
    image_files.make_folder(FLAGS.vis_logdir, '--vis_logdir')
    with checkpoint_source.unpacked(FLAGS.checkpoint_dir) as path:
        first, prefixes = inference_flags.prefixes(path, _LIMIT)
        inference_flags.follow_training(first, also=['dataset'])
        options = inference_flags.inference_options()
        split = inference_flags.split_to_predict('vis', options)
        description = descriptions.load(FLAGS.dataset, FLAGS.dataset_dir)
        vis_options = visualize.VisOptions(
            vis_logdir=FLAGS.vis_logdir,
            colormap=FLAGS.colormap_type if cli.given('colormap_type') else None,
            raw=FLAGS.also_save_raw_predictions, overlays=FLAGS.save_overlays,
            gallery=FLAGS.gallery, limit=FLAGS.max_number_of_images)
        visualizer = visualize.Visualizer(
            split, inference_flags.model_options(description.num_classes, split.crop.crop_size),
            options, vis_options)
        visualize.run(visualizer, prefixes, FLAGS.vis_logdir)


def entry():
    """Runs the command (console script deeplab-vis)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
