"""Flags that evaluation, visualisation and prediction share, beside those of `deeplab.common`."""
import itertools

from absl import flags

from deeplab import cli
from deeplab import common
from deeplab import errors
from deeplab import prediction
from deeplab import run_config
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import inference
from deeplab.evaluation import job
from deeplab.evaluation import split_prediction
from deeplab.utils import checkpoints

FLAGS = flags.FLAGS

_RESIZE_FLAGS = ('min_resize_value', 'max_resize_value', 'resize_factor')


def define_network_flags():
    """Defines the flags about the network and the way it is used."""
    flags.DEFINE_string('master', '', 'Address of the TensorFlow server to run on; empty is this '
                        'process.')
    cli.define_list('atrous_rates', None, 'Atrous rates of ASPP, for example 6,12,18 at output '
                    'stride 16 and 12,24,36 at 8.', item_type=int)
    flags.DEFINE_integer('output_stride', 16, 'Ratio of input to feature resolution.')
    cli.define_list('eval_scales', [1.0], 'Scales of the images whose probabilities are averaged.',
                    item_type=float)
    flags.DEFINE_bool('add_flipped_images', False, 'Also average over left-right flips.')
    flags.DEFINE_integer('quantize_delay_step', -1, 'Not negative: the network was trained '
                         'quantised.')
    cli.define_size('tile_size', None, 'Height,width of overlapping tiles that images are '
                    'predicted in: for images larger than memory.')
    flags.DEFINE_float('tile_overlap', 0.25, 'Least share of a tile that it has in common with '
                       'the next one.')


def define_waiting_flags(what, limit_flag):
    """Defines the flags about which checkpoints are worked on.

    Args:
      what: what is done with them, for the help.
      limit_flag: name of the flag that limits how many.
    """
    flags.DEFINE_string('checkpoint_dir', None, 'Folder of checkpoints (the newest is taken), '
                        'prefix of one, or an archive (.tar.gz, .zip) of one.')
    flags.DEFINE_integer('eval_interval_secs', 300, 'While waiting: least seconds from one '
                         'checkpoint to the next.')
    flags.DEFINE_integer(limit_flag, 0, '{} so many checkpoints, waiting for new ones; 0, when '
                         'given, for any number. When not given: what is there, once.'.format(
                             what))
    flags.DEFINE_bool('wait_for_checkpoints', False, '{} new checkpoints as they come, until '
                      'training has finished or --wait_timeout_secs.'.format(what))
    flags.DEFINE_integer('wait_timeout_secs', 3600, 'While waiting: end when no new checkpoint '
                         'came for so many seconds.')


def define_data_flags(prefix):
    """Defines the flags about the records.

    Args:
      prefix: 'eval' or 'vis', what the names of the flags of split, batch and crop start with.
    """
    flags.DEFINE_string('dataset', 'pascal_voc_seg', 'Data set: a name, or the path of a JSON '
                        'file that describes it.')
    flags.DEFINE_string('dataset_dir', None, "Folder of the data set's TFRecords.")
    define_split_flags(prefix)


def define_split_flags(prefix):
    """Defines the flags about the split to predict; `prefix` as for `define_data_flags`."""
    flags.DEFINE_string(prefix + '_split', 'val', 'Split of the data set.')
    flags.DEFINE_integer(prefix + '_batch_size', 1, 'Images a batch.')
    cli.define_size(prefix + '_crop_size', ['513', '513'], 'Height,width all images are padded '
                    'to. When not given and too small: each image at its own size in batches of '
                    '1, the smallest crop that holds all in larger ones. Empty: as if too small.')


def split_to_predict(prefix, options, output_stride=None) -> job.Split:
    """Returns the split the parsed flags name, with its crop chosen and checked.

    Args:
      prefix: as for `define_data_flags`.
      options: `inference.InferenceOptions`.
      output_stride: of the network; None for that of --output_stride.
    """
    split, batch_size, crop_size = [
        getattr(FLAGS, prefix + ending) for ending in ('_split', '_batch_size', '_crop_size')]
    if batch_size < 1:
        raise errors.UserError('--{}_batch_size={}: give 1 or more.'.format(prefix, batch_size))
    if options.tile_size and batch_size != 1:
        raise errors.UserError('--tile_size works on one image at a time: leave '
                               '--{}_batch_size={} out.'.format(prefix, batch_size))
    crop = split_prediction.OWN_SIZES
    if not options.tile_size:
        crop = split_prediction.choose_crop(
            FLAGS.dataset, split, FLAGS.dataset_dir, cli.size_from_flag(crop_size),
            cli.given(prefix + '_crop_size'), batch_size, options.resize_range,
            prefix + '_crop_size', output_stride or FLAGS.output_stride)
    return job.Split(FLAGS.dataset, split, FLAGS.dataset_dir, batch_size, crop)


def follow_training(checkpoint, also=()):
    """Takes flags that were not given from the training's configuration beside a checkpoint.

    Returns:
      The configuration, or None where there is none.
    """
    return run_config.follow(checkpoint, also=_RESIZE_FLAGS + tuple(also))


def inference_options() -> inference.InferenceOptions:
    """Returns the checked `InferenceOptions` the parsed flags describe."""
    return inference.InferenceOptions(
        eval_scales=tuple(FLAGS.eval_scales or ()),
        add_flipped_images=FLAGS.add_flipped_images,
        image_pyramid=FLAGS.image_pyramid or None,
        resize_range=prediction.ResizeRange(*[getattr(FLAGS, name) for name in _RESIZE_FLAGS]),
        tile_size=cli.size_from_flag(FLAGS.tile_size),
        tile_overlap=FLAGS.tile_overlap,
        quantize_delay_step=FLAGS.quantize_delay_step,
        master=FLAGS.master).validate()


def model_options(num_classes, crop_size=None):
    """Returns the checked ModelOptions the parsed flags describe."""
    return common.model_options_from_flags(
        {common.OUTPUT_TYPE: num_classes}, crop_size=crop_size, atrous_rates=FLAGS.atrous_rates,
        output_stride=FLAGS.output_stride)


def _is_last_of_training(prefix):
    """Whether the configuration beside a checkpoint says that training ends with it."""
    config, _ = run_config.load(prefix)
    steps = config and config['flags'].get('training_number_of_steps')
    return bool(steps) and checkpoints.step_of(prefix) >= steps


def prefixes(path, limit_flag, all_checkpoints=False):
    """Returns the checkpoints to work on as the waiting flags say, at least one.

    Args:
      path: value of --checkpoint_dir, unpacked.
      limit_flag: name of the flag that limits how many.
      all_checkpoints: every checkpoint of the folder, once.

    Returns:
      (the first prefix, an iterator of all prefixes including the first).

    Raises:
      UserError: there is none.
    """
    if all_checkpoints:
        found = iter(checkpoint_source.all_checkpoints(path))
    elif FLAGS.wait_for_checkpoints or cli.given(limit_flag):
        found = checkpoint_source.new_checkpoints(
            path, FLAGS.eval_interval_secs, FLAGS.wait_timeout_secs,
            limit=getattr(FLAGS, limit_flag), is_last=_is_last_of_training)
    else:
        found = iter([checkpoints.find_checkpoint(path)])
    first = next(found)
    return first, itertools.chain([first], found)
