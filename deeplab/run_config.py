"""The configuration a training run leaves beside its checkpoints, and how other commands follow it.

Training writes `train_config.json` into its --train_logdir. Evaluation, visualisation, prediction
and export read it from the checkpoint's folder: a flag that was not given is taken from it, and a
flag that contradicts it about what the weights are is an error.
"""
import json
import os

from absl import flags
from absl import logging

import deeplab
from deeplab import compat
from deeplab import errors
from deeplab.utils import image_files

FLAGS = flags.FLAGS
FILE_NAME = 'train_config.json'

# Flags that decide which variables there are, or what they mean.
_OF_THE_WEIGHTS = (
    'model_variant', 'depth_multiplier', 'divisible_by', 'logits_kernel_size',
    'add_image_level_feature', 'aspp_with_batch_norm', 'aspp_with_separable_conv',
    'aspp_with_concat_projection', 'aspp_with_squeeze_and_excitation', 'aspp_convs_filters',
    'image_se_uses_qsigmoid', 'dense_prediction_cell_json', 'decoder_output_stride',
    'decoder_use_separable_conv', 'decoder_use_sum_merge', 'decoder_filters',
    'decoder_output_is_logits', 'nas_stem_output_num_conv_filters', 'nas_use_classification_head',
    'nas_remove_os32_stride', 'use_bounded_activation', 'multi_grid')
# Flags that other commands follow too, but may choose differently: the same weights serve.
_OF_THE_COMPUTATION = (
    'output_stride', 'atrous_rates', 'image_pooling_crop_size', 'image_pooling_stride',
    'image_pyramid', 'merge_method', 'prediction_with_upsampled_logits',
    'allow_unusual_atrous_rates')


def _plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value


def describe(flag_names, data) -> dict:
    """Returns the configuration of this run.

    Args:
        flag_names: names of the flags to record.
        data: dict about the data set: name, num_classes, ignore_label, class_names, colormap.
    """
    return describe_values({name: getattr(FLAGS, name) for name in flag_names}, data)


def describe_values(values, data) -> dict:
    """As `describe`, of values by the names of our flags instead of the parsed flags.

    Args:
        values: dict from name of a flag to its value.
        data: as for `describe`.
    """
    return {
        'program': 'deeplab ' + deeplab.__version__,
        'runtime': compat.describe_runtime(),
        'flags': {name: _plain(values[name]) for name in sorted(values)},
        'data': data,
    }


def save(directory: str, config: dict) -> str:
    """Writes a configuration into a folder, all or nothing; returns the file's path."""
    path = os.path.join(directory, FILE_NAME)
    image_files.write_text(path, json.dumps(config, indent=2, sort_keys=True) + '\n')
    return path


def load(checkpoint: str):
    """Returns (configuration, its path) from a checkpoint's folder, or (None, None).

    Args:
        checkpoint: prefix of a checkpoint, or a folder.

    Raises:
        UserError: the file is there and is not a configuration.
    """
    folder = checkpoint if os.path.isdir(checkpoint) else os.path.dirname(checkpoint)
    path = os.path.join(folder, FILE_NAME)
    if not os.path.exists(path):
        return None, None
    try:
        with open(path) as handle:
            config = json.load(handle)
        if not isinstance(config['flags'], dict):
            raise ValueError('"flags" is not an object')
        return config, path
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UserError('{} cannot be read as a training configuration: {}. Delete it to '
                               'go by the flags alone.'.format(path, error))


def _same(mine, theirs):
    if isinstance(mine, list) or isinstance(theirs, list):
        return [str(item) for item in mine or ()] == [str(item) for item in theirs or ()]
    return (mine or None) == (theirs or None) if mine in ('', None) else mine == theirs


def _show(value):
    return ','.join(str(item) for item in value) if isinstance(value, list) else str(value)


def follow(checkpoint: str, also=()):
    """Makes the flags follow the configuration beside a checkpoint.

    Flags given on the command line stay. `--output_stride` given alone brings `--atrous_rates`
    along, scaled, so that the branches look as far as in training.

    Args:
        checkpoint: prefix of a checkpoint, or its folder.
        also: names of further flags to take over when not given, e.g. 'dataset'.

    Returns:
        The configuration, or None where there is none.

    Raises:
        UserError: a flag given contradicts what the weights are.
    """
    config, path = load(checkpoint)
    if config is None:
        return None
    trained = config['flags']
    for name in _OF_THE_WEIGHTS:
        if name in trained and FLAGS[name].present and not _same(
                _plain(getattr(FLAGS, name)), trained[name]):
            raise errors.UserError(
                '--{}={} contradicts the training of these weights: {} says {}. Leave the flag '
                'out.'.format(name, _show(getattr(FLAGS, name)), path, _show(trained[name])))
    rescale = _rate_scale(trained)
    taken = []
    for name in _OF_THE_WEIGHTS + _OF_THE_COMPUTATION + tuple(also):
        if name not in trained or name not in FLAGS or FLAGS[name].present:
            continue
        value = trained[name]
        if name == 'atrous_rates' and value and rescale != 1:
            value = [int(rate * rescale) for rate in value]
        if not _same(_plain(getattr(FLAGS, name)), value):
            taken.append('--{}={}'.format(name, _show(value)))
            FLAGS[name].value = value
    if taken:
        logging.info('From %s: %s', path, ' '.join(taken))
    return config


def _rate_scale(trained):
    """Returns the factor on atrous rates when another output stride than in training is asked."""
    if 'output_stride' not in FLAGS or not FLAGS['output_stride'].present:
        return 1
    return float(trained.get('output_stride') or FLAGS.output_stride) / FLAGS.output_stride
