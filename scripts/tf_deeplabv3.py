"""What run_trainer.py, run_evaluator.py and run_inferencer.py share.

They take the flags of tf-deeplabv3 and hand them on, under this program's names, to the modules
that train.py, eval.py and predict.py run.
"""
import contextlib
import re

from absl import flags
from absl import logging

from deeplab import cli
from deeplab import errors
from deeplab import names
from deeplab import run_config
from deeplab.core import options_check

FLAGS = flags.FLAGS

# Our names of their flags: for messages, which come from modules that know our names.
_THEIR_NAMES = {
    'tf_initial_checkpoint': 'load_ckpt_path', 'checkpoint_dir': 'load_ckpt_path',
    'train_logdir': 'output_path', 'eval_logdir': 'output_path', 'output_dir': 'output_path',
    'dataset_dir': 'filenames', 'input': 'filenames', 'dataset': 'num_classes',
    'training_number_of_steps': 'num_steps', 'train_batch_size': 'batch_size',
    'base_learning_rate': 'init_learning_rate', 'log_steps': 'log_per_steps',
    'save_interval_steps': 'persist_per_steps', 'min_scale_factor': 'min_rescale_factor',
    'max_scale_factor': 'max_rescale_factor', 'initialize_last_layer': 'restore_from_seg_model',
    'add_image_level_feature': 'use_image_level_feature', 'decoder_output_stride': 'use_decoder',
    'decoder_use_separable_conv': 'decoder_with_separable_conv', 'overwrite': 'overwrite'}
# Advice of those modules that their flags cannot follow.
_OF_OURS_ONLY = (' (and --last_layers_contain_logits_only=true to still load the rest of the head)',
                 ', or give --allow_unusual_atrous_rates')

_NETWORK_FLAGS = (
    'model_variant', 'num_classes', 'output_stride', 'atrous_rates', 'use_image_level_feature',
    'aspp_with_separable_conv', 'use_decoder', 'decoder_with_separable_conv',
    'preprocess_images_option', 'pad_imagenet_mean')
# Those the same weights serve whatever they are.
_FREE_FLAGS = ('output_stride', 'atrous_rates')
_CONFIG_KEY = 'tf_deeplabv3'

# Fields of ModelOptions that other commands take over from the saved configuration.
_SAVED_FIELDS = (
    'model_variant', 'output_stride', 'atrous_rates', 'add_image_level_feature',
    'aspp_with_separable_conv', 'decoder_output_stride', 'decoder_use_separable_conv')
_DECODER_STRIDES = [4]


def define_network_flags():
    """Defines the flags that say what network it is."""
    flags.DEFINE_string('model_variant', 'resnet_v2_101', 'The backbone: resnet_v2_101, '
                        'resnet_v2_50, resnet_v1_101, resnet_v1_50, mobilenet_v2, or any other '
                        'that train.py knows.')
    flags.DEFINE_integer('num_classes', 21, 'Number of classes.', lower_bound=2, upper_bound=256)
    flags.DEFINE_integer('ignore_label', 255, 'Label that does not count.', lower_bound=0,
                         upper_bound=255)
    flags.DEFINE_integer('output_stride', 16, 'Ratio of input to feature resolution: 8, 16 or 32.')
    cli.define_list('atrous_rates', None, 'Rates of ASPP. When not given: 6,12,18 at output stride '
                    '16, and what looks as far at another; empty: none.', item_type=int)
    flags.DEFINE_boolean('use_image_level_feature', True, 'Add the pooled whole-image branch.')
    flags.DEFINE_boolean('aspp_with_separable_conv', True,
                         'Depthwise separable convolutions in the atrous branches.')
    flags.DEFINE_boolean('use_decoder', True, 'Refine with low-level features at stride 4.')
    flags.DEFINE_boolean('decoder_with_separable_conv', True,
                         'Depthwise separable convolutions in the decoder.')
    flags.DEFINE_enum('preprocess_images_option', 'auto', ['auto', 'unit', 'mean', 'raw'],
                      "How pixels are scaled: as the backbone's published weights want it (auto), "
                      "to -1..1 (unit), less ImageNet's mean (mean), not at all (raw).")
    flags.DEFINE_boolean('pad_imagenet_mean', True,
                         "Pad pictures with ImageNet's mean colour; otherwise with zeros.")


def model_options(crop_size=None) -> names.ModelOptions:
    """Returns the checked ModelOptions the parsed flags describe.

    Args:
        crop_size: [height, width] of the network's input, or None.

    Raises:
        UserError: flags that contradict each other or that the backbone cannot follow.
    """
    rates = FLAGS.atrous_rates
    if rates is None:
        rates = options_check.published_rates(FLAGS.output_stride)
    changes = ['padding=' + ('mean' if FLAGS.pad_imagenet_mean else 'black')]
    if FLAGS.preprocess_images_option != 'auto':
        changes.append('pixels=' + FLAGS.preprocess_images_option)
    options = names.ModelOptions(
        {names.OUTPUT_TYPE: FLAGS.num_classes}, crop_size=crop_size,
        model_variant=':'.join([FLAGS.model_variant] + changes),
        output_stride=FLAGS.output_stride, atrous_rates=rates or None,
        add_image_level_feature=FLAGS.use_image_level_feature,
        aspp_with_separable_conv=FLAGS.aspp_with_separable_conv,
        decoder_output_stride=_DECODER_STRIDES if FLAGS.use_decoder else None,
        decoder_use_separable_conv=FLAGS.decoder_with_separable_conv)
    for warning in options_check.check(options):
        logging.warning(warning)
    return options


def saved_config(options: names.ModelOptions, description, values: dict) -> dict:
    """Returns the configuration of a training: by our names for our commands, and by theirs.

    Args:
        options: ModelOptions.
        description: descriptions.Description of the data.
        values: further values by our names.
    """
    known = {field: getattr(options, field) for field in _SAVED_FIELDS}
    config = run_config.describe_values(dict(known, **values), {
        'name': description.name, 'num_classes': description.num_classes,
        'ignore_label': description.ignore_label, 'class_names': list(description.class_names),
        'colormap': description.colormap})
    config[_CONFIG_KEY] = {name: FLAGS[name].value for name in _NETWORK_FLAGS}
    return config


def follow(checkpoint: str):
    """Makes network flags that were not given those of the training; returns its configuration.

    Args:
        checkpoint: prefix of a checkpoint.

    Raises:
        UserError: a flag given contradicts what the weights are.
    """
    config, path = run_config.load(checkpoint)
    for name, value in (config or {}).get(_CONFIG_KEY, {}).items():
        if not cli.given(name):
            FLAGS[name].value = value
        elif name not in _FREE_FLAGS and FLAGS[name].value != value:
            raise errors.UserError('--{}={} contradicts the training of these weights: {} says {}. '
                                   'Leave the flag out.'.format(name, FLAGS[name].value, path,
                                                                value))
    if config and cli.given('output_stride') and not cli.given('atrous_rates'):
        FLAGS['atrous_rates'].value = None
    return config


@contextlib.contextmanager
def their_names():
    """Within it, messages name the flags of these scripts."""
    try:
        yield
    except errors.UserError as error:
        text = str(error)
        for advice in _OF_OURS_ONLY:
            text = text.replace(advice, '')
        raise errors.UserError(re.sub(
            r'--(\w+)', lambda found: '--' + _THEIR_NAMES.get(found.group(1), found.group(1)),
            text))
