r"""Exports a checkpoint as a frozen graph: ImageTensor:0 in, SemanticPredictions:0 out.

    python deeplab/export_model.py --checkpoint_path=runs/train \
        --export_path=runs/frozen_inference_graph.pb

The network's flags are taken from the training's saved configuration where the checkpoint's folder
has one; otherwise give them as for training.
"""
from absl import flags

from deeplab import cli
from deeplab import common
from deeplab import job_platform
from deeplab import prediction
from deeplab import run_config
from deeplab.export import frozen_graph
from deeplab.utils import checkpoints

FLAGS = flags.FLAGS
_RESIZE_FLAGS = ('min_resize_value', 'max_resize_value', 'resize_factor')


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('checkpoint_path', None,
                        'Checkpoint to export: its prefix, a folder for the newest in it, or an '
                        'archive of one.')
    flags.DEFINE_string('export_path', None, 'Frozen graph file to write.')
    flags.DEFINE_integer('num_classes', 21, 'Number of classes.')
    cli.define_list('crop_size', [513, 513], 'Crop height and width: the largest picture the graph '
                    'takes.', item_type=int, length=2)
    cli.define_list('atrous_rates', None, 'Atrous rates of ASPP.', item_type=int)
    flags.DEFINE_integer('output_stride', 8, 'Ratio of input to feature resolution.')
    cli.define_list('inference_scales', [1.0], 'Scales whose probabilities are averaged.',
                    item_type=float)
    flags.DEFINE_bool('add_flipped_images', False, 'Also average over left-right flips.')
    flags.DEFINE_integer('quantize_delay_step', -1,
                         'Not negative: the weights come from quantisation-aware training.')
    flags.DEFINE_bool('save_inference_graph', False,
                      'Also write the graph as text, inference_graph.pbtxt.')
    flags.mark_flags_as_required(['checkpoint_path', 'export_path'])
    job_platform.input_is_default('checkpoint_path', 'checkpoints')
    job_platform.output_is_default('export_path', 'frozen_inference_graph.pb')


def main(_):
    checkpoint = checkpoints.find_checkpoint(
        job_platform.folder_of('checkpoint_path', job_platform.CHECKPOINTS), flag='checkpoint_path')
    config = run_config.follow(checkpoint, also=_RESIZE_FLAGS)
    num_classes = FLAGS.num_classes
    if config and not cli.given('num_classes'):
        num_classes = config['data']['num_classes']
    options = common.model_options_from_flags(
        {common.OUTPUT_TYPE: num_classes}, crop_size=FLAGS.crop_size or [513, 513],
        atrous_rates=FLAGS.atrous_rates, output_stride=FLAGS.output_stride)
    result = frozen_graph.export(
        checkpoint, FLAGS.export_path, options,
        save_inference_graph=FLAGS.save_inference_graph,
        resize_range=prediction.ResizeRange(FLAGS.min_resize_value, FLAGS.max_resize_value,
                                            FLAGS.resize_factor),
        inference_scales=FLAGS.inference_scales or [1.0],
        add_flipped_images=FLAGS.add_flipped_images, image_pyramid=FLAGS.image_pyramid,
        quantize=FLAGS.quantize_delay_step >= 0)
    print('exported {} at output stride {}\n      to {}: {:.1f} MB, {} nodes\n checked: loaded '
          'again, {} of {} labels differ from the checkpoint'.format(
              checkpoint, FLAGS.output_stride, result['path'], result['bytes'] / 1e6,
              result['nodes'], result['labels_different'], result['labels_compared']))


def entry():
    """Runs the command (console script deeplab-export)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
