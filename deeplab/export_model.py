r"""Exports a checkpoint: frozen graph, SavedModel, TFLite, ONNX; each loaded again and compared.

    python deeplab/export_model.py --checkpoint_path=runs/train \
        --export_path=runs/frozen_inference_graph.pb
    python deeplab/export_model.py --checkpoint_path=runs/train --export_path=out/street.pb \
        --export_formats=frozen,saved_model,tflite,onnx --tflite_types=float32,int8 \
        --calibration_data=photos --check_images=photos/1.jpg

The network's flags are taken from the training's saved configuration where the checkpoint's folder
has one; otherwise give them as for training.
"""
import os

from absl import flags

from deeplab import cli
from deeplab import common
from deeplab import errors
from deeplab import job_platform
from deeplab import prediction
from deeplab import run_config
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import inputs
from deeplab.export import calibration
from deeplab.export import check
from deeplab.export import job
from deeplab.export import network
from deeplab.export import tflite_model
from deeplab.utils import checkpoints

FLAGS = flags.FLAGS
_RESIZE_FLAGS = ('min_resize_value', 'max_resize_value', 'resize_factor')


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('checkpoint_path', None, 'Checkpoint to export: its prefix, a folder for '
                        'the newest in it, or an archive (.tar.gz, .zip) of one.')
    flags.DEFINE_string('export_path', None, 'Frozen graph file to write. Other formats get names '
                        'made of it.')
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
    cli.define_list('export_formats', [job.FROZEN], 'What to write, of: {}.'.format(
        ', '.join(job.FORMATS)))
    flags.DEFINE_bool('optimize', True, 'Make the graph faster without changing what it says; '
                      'false leaves the plain graph.')
    flags.DEFINE_enum('large_pictures', network.REFUSE, network.LARGE_PICTURES,
                      'Pictures larger than the crop: refused with the size to use, or resized '
                      'down, and the results back.')
    flags.DEFINE_integer('saved_model_version', 1, 'Name of the folder inside the one of the '
                         'SavedModel, as TensorFlow Serving wants it.', lower_bound=0)
    cli.define_list('tflite_types', [tflite_model.FLOAT32], 'Numbers of the TFLite models, of: '
                    '{}.'.format(', '.join(tflite_model.TYPES)))
    cli.define_list('calibration_data', None, 'For int8: pictures, folders, globs, lists, or '
                    'TFRecord shards, such as those trained on.')
    flags.DEFINE_integer('calibration_size', 100, 'For int8: how many of them to take at most.',
                         lower_bound=1)
    cli.define_list('check_images', None, 'Pictures, folders, globs or lists to compare what was '
                    'written with the checkpoint on. When not given: a made-up one.')
    flags.mark_flags_as_required(['checkpoint_path', 'export_path'])
    job_platform.input_is_default('checkpoint_path', 'checkpoints')
    job_platform.output_is_default('export_path', 'frozen_inference_graph.pb')


def recipe_from_flags(checkpoint):
    """Returns the Recipe that the parsed flags and the configuration beside the checkpoint say."""
    config = run_config.follow(checkpoint, also=_RESIZE_FLAGS + ('quantize_delay_step',))
    num_classes = FLAGS.num_classes
    if config and not cli.given('num_classes'):
        num_classes = config['data']['num_classes']
    options = common.model_options_from_flags(
        {common.OUTPUT_TYPE: num_classes}, crop_size=FLAGS.crop_size or [513, 513],
        atrous_rates=FLAGS.atrous_rates, output_stride=FLAGS.output_stride)
    return network.Recipe(
        options, resize_range=prediction.ResizeRange(
            *[getattr(FLAGS, name) for name in _RESIZE_FLAGS]),
        inference_scales=FLAGS.inference_scales or [1.0],
        add_flipped_images=FLAGS.add_flipped_images, image_pyramid=FLAGS.image_pyramid,
        quantize=FLAGS.quantize_delay_step >= 0, large_pictures=FLAGS.large_pictures).validate()


def _pictures(flag, items):
    """Returns the pictures a flag means, as `inputs.find` does."""
    try:
        return inputs.find(items) if items else []
    except errors.UserError as error:
        raise errors.UserError(str(error).replace('--input', '--' + flag))


def _calibration():
    """Returns where the pictures for int8 are, or None where that is not said."""
    if FLAGS.calibration_data is None:
        return None
    shards = [path for item in FLAGS.calibration_data for path in calibration.shards_of(item)]
    others = [item for item in FLAGS.calibration_data if not calibration.shards_of(item)]
    pictures = _pictures('calibration_data', others)
    return calibration.Pictures([picture.source for picture in pictures], shards,
                                FLAGS.calibration_size)


def _check_images(recipe):
    """Returns the pictures of --check_images, uint8; those too large are a user's mistake."""
    crop = recipe.model_options.crop_size
    images = []
    for picture in _pictures('check_images', FLAGS.check_images):
        image = inputs.read(picture)
        size = prediction.size_in_network(image.shape[0], image.shape[1], recipe.resize_range)
        if recipe.large_pictures == network.REFUSE and (size[0] > crop[0] or size[1] > crop[1]):
            raise errors.UserError(
                '--check_images: {} has {} x {} pixels, more than --crop_size={},{}. Give a larger '
                'crop, smaller pictures, or --large_pictures=resize.'.format(
                    picture.title, size[0], size[1], *crop))
        images.append(image)
    return images


def options_from_flags(recipe):
    """Returns the `job.Options` that the parsed flags say."""
    formats = list(dict.fromkeys(FLAGS.export_formats or ()))
    return job.Options(
        formats=formats, optimize=FLAGS.optimize, save_inference_graph=FLAGS.save_inference_graph,
        saved_model_version=FLAGS.saved_model_version,
        tflite_types=list(dict.fromkeys(FLAGS.tflite_types or ())),
        calibration=_calibration(),
        images=_check_images(recipe))


def main(_):
    given = job_platform.folder_of('checkpoint_path', job_platform.CHECKPOINTS)
    with checkpoint_source.unpacked(given, 'checkpoint_path') as folder:
        checkpoint = checkpoints.find_checkpoint(folder, flag='checkpoint_path')
        recipe = recipe_from_flags(checkpoint)
        results = job.export(checkpoint, recipe, FLAGS.export_path, options_from_flags(recipe))
    print('exported {} at output stride {}, crop {} x {}:'.format(
        os.path.join(given, os.path.basename(checkpoint)) if folder != given else checkpoint,
        FLAGS.output_stride, *recipe.model_options.crop_size))
    for result in results[1:]:
        print('  {}: {}'.format(result.format, result.path))
    print(check.table(results))


def entry():
    """Runs the command (console script deeplab-export)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
