"""Flags that all entry points share, and the one way from them to `ModelOptions`."""
from absl import flags
from absl import logging

import tensorflow.compat.v1 as tf

from deeplab import cli
from deeplab import errors
from deeplab.core import dense_prediction_cell
from deeplab.core import options_check
from deeplab.names import (HEIGHT, IMAGE, IMAGE_NAME, LABEL, LABELS_CLASS,  # noqa: F401
                           NAS_CLASSIFICATION_HEAD, NAS_REMOVE_OS32_STRIDE, NAS_STEM_FILTERS,
                           ORIGINAL_IMAGE, OUTPUT_TYPE, TEST_SET, WIDTH, ModelOptions)

FLAGS = flags.FLAGS

# Input.
flags.DEFINE_integer('min_resize_value', None,
                     'Resize images so that the shorter side has this length. Off when not given.')
flags.DEFINE_integer('max_resize_value', None,
                     'Resize images so that the longer side is at most this long. Off when not '
                     'given.')
flags.DEFINE_integer('resize_factor', None,
                     'Round resized sides to a multiple of this, plus one.')
flags.DEFINE_boolean('keep_aspect_ratio', True,
                     'Accepted for commands of the original and, as there, without effect: '
                     'resizing keeps the aspect ratio.')

# Network.
flags.DEFINE_string('model_variant', 'mobilenet_v2', 'The backbone.')
flags.DEFINE_integer('logits_kernel_size', 1, 'Kernel size of the convolution making the logits.')
cli.define_list('image_pyramid', None,
                'Scales of the input whose logits are computed together and merged.',
                item_type=float)
flags.DEFINE_enum('merge_method', 'max', ['max', 'avg'],
                  'How the logits of --image_pyramid are merged.')
flags.DEFINE_boolean('prediction_with_upsampled_logits', True,
                     'Upsample logits, then predict; otherwise predict, then upsample.')
cli.define_list('multi_grid', None, "Rates of the units in the backbone's last block.",
                item_type=int)
flags.DEFINE_float('depth_multiplier', 1.0, 'Channel multiplier of MobileNets.')
flags.DEFINE_integer('divisible_by', None, 'MobileNet channels become multiples of this.')
flags.DEFINE_boolean('use_bounded_activation', False,
                     'ReLU6 in place of ReLU in Xception and the heads: kinder to quantisation.')
flags.DEFINE_float('batch_norm_decay', 0.9997,
                   'Decay of all moving averages of batch norm. At the default, backbones keep '
                   'their own.')

# ASPP and the cell that can replace it.
flags.DEFINE_boolean('add_image_level_feature', True, 'Add the pooled whole-image branch.')
cli.define_size('image_pooling_crop_size', None,
                'height,width deciding the window of the image pooling. The crop size when not '
                'given.')
cli.define_size('image_pooling_stride', ['1', '1'], 'height,width stride of the image pooling.')
flags.DEFINE_boolean('aspp_with_batch_norm', True,
                     'Build the ASPP head; otherwise features go straight to the logits.')
flags.DEFINE_boolean('aspp_with_separable_conv', True,
                     'Depthwise separable convolutions in the atrous branches.')
flags.DEFINE_boolean('aspp_with_concat_projection', True,
                     'Project the concatenated branches by a 1x1 convolution.')
flags.DEFINE_boolean('aspp_with_squeeze_and_excitation', False,
                     'The image-level branch gates the others instead of joining them.')
flags.DEFINE_integer('aspp_convs_filters', 256, 'Filters of each convolution in ASPP.')
flags.DEFINE_boolean('image_se_uses_qsigmoid', False,
                     'Quantisation-friendly sigmoid in that gate.')
flags.DEFINE_string('dense_prediction_cell_json', '',
                    'JSON file of a dense prediction cell to use in place of ASPP.')
flags.DEFINE_boolean('allow_unusual_atrous_rates', False,
                     'Accept --atrous_rates published for another output stride.')

# Decoder.
cli.define_list('decoder_output_stride', None,
                "Output strides of the decoder's low-level features, highest first. No decoder "
                'when not given.')
flags.DEFINE_boolean('decoder_use_separable_conv', True,
                     'Depthwise separable convolutions in the decoder.')
flags.DEFINE_boolean('decoder_use_sum_merge', False,
                     "Add the decoder's inputs instead of concatenating them.")
flags.DEFINE_integer('decoder_filters', 256, 'Filters of the convolutions in the decoder.')
flags.DEFINE_boolean('decoder_output_is_logits', False,
                     "Take the decoder's output as the logits.")

# Searched networks.
flags.DEFINE_integer('nas_stem_output_num_conv_filters', 20, "Filters of the NAS stem's output.")
flags.DEFINE_boolean('nas_use_classification_head', False,
                     'Add the classification head to NAS backbones.')
flags.DEFINE_boolean('nas_remove_os32_stride', False,
                     'Drop the stride of the branch at output stride 32 in NAS backbones.')

# Loss.
BALANCED = 'auto'
cli.define_list('label_weights', None,
                'Loss weight of each class, in class order. All 1.0 when not given. The word auto '
                "takes those that balance the classes, from the data set's report.",
                item_type=float, word=BALANCED)


def _whole_numbers(name, values):
    try:
        return [int(value) for value in values or ()] or None
    except ValueError:
        raise errors.UserError('--{}={}: expected whole numbers with commas between them.'.format(
            name, ','.join(values)))


def _label_weights():
    weights = FLAGS.label_weights
    # Training has put numbers in place of the word; for other commands there is no loss.
    if not weights or weights == [BALANCED]:
        return 1.0
    if BALANCED in weights:
        raise errors.UserError('--label_weights: either {} or one number a class.'.format(BALANCED))
    return weights


def _dense_prediction_cell():
    path = FLAGS.dense_prediction_cell_json
    return dense_prediction_cell.load_config(path) if path else None


def model_options_from_flags(outputs_to_num_classes, crop_size=None, atrous_rates=None,
                             output_stride=8, preprocessed_images_dtype=tf.float32):
    """Returns the `ModelOptions` that the parsed flags describe, checked.

    Args:
        outputs_to_num_classes: dict from output name to number of classes.
        crop_size: [height, width] of the network's input, or None.
        atrous_rates: rates of ASPP, or None.
        output_stride: ratio of input to feature resolution.
        preprocessed_images_dtype: dtype of the scaled images.

    Raises:
        UserError: flags that contradict each other or that the backbone cannot follow.
    """
    options = ModelOptions(
        outputs_to_num_classes=outputs_to_num_classes,
        crop_size=crop_size,
        atrous_rates=list(atrous_rates) if atrous_rates else None,
        output_stride=output_stride,
        preprocessed_images_dtype=preprocessed_images_dtype,
        image_pooling_crop_size=cli.size_from_flag(FLAGS.image_pooling_crop_size),
        image_pooling_stride=cli.size_from_flag(FLAGS.image_pooling_stride) or [1, 1],
        multi_grid=FLAGS.multi_grid or None,
        decoder_output_stride=_whole_numbers('decoder_output_stride',
                                             FLAGS.decoder_output_stride),
        dense_prediction_cell_config=_dense_prediction_cell(),
        nas_architecture_options={
            NAS_STEM_FILTERS: FLAGS.nas_stem_output_num_conv_filters,
            NAS_CLASSIFICATION_HEAD: FLAGS.nas_use_classification_head,
            NAS_REMOVE_OS32_STRIDE: FLAGS.nas_remove_os32_stride},
        label_weights=_label_weights(),
        **{name: getattr(FLAGS, name) for name in _COPIED})
    validate_model_options(options)
    return options


# Flags that are fields of ModelOptions as they stand.
_COPIED = (
    'add_image_level_feature', 'aspp_convs_filters', 'aspp_with_batch_norm',
    'aspp_with_concat_projection', 'aspp_with_separable_conv', 'aspp_with_squeeze_and_excitation',
    'batch_norm_decay', 'decoder_filters', 'decoder_output_is_logits', 'decoder_use_separable_conv',
    'decoder_use_sum_merge', 'depth_multiplier', 'divisible_by', 'image_se_uses_qsigmoid',
    'logits_kernel_size', 'merge_method', 'model_variant', 'prediction_with_upsampled_logits',
    'use_bounded_activation')


def validate_model_options(options):
    """Checks options against each other and the backbone; logs warnings, raises UserError."""
    for warning in options_check.check(options, FLAGS.allow_unusual_atrous_rates):
        logging.warning(warning)
