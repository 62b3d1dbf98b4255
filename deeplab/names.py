"""Plain names and options shared by every floor: dictionary keys and `ModelOptions`."""
import collections

import tensorflow.compat.v1 as tf

# The one kind of output: semantic labels.
OUTPUT_TYPE = 'semantic'

# Feature names of a record, as the data generator hands them on.
LABELS_CLASS = 'labels_class'
IMAGE = 'image'
HEIGHT = 'height'
WIDTH = 'width'
IMAGE_NAME = 'image_name'
LABEL = 'label'
ORIGINAL_IMAGE = 'original_image'

# The split whose records carry no labels.
TEST_SET = 'test'

# The decay every part of a network has unless told otherwise: heads 0.9997, backbones their own.
DEFAULT_BATCH_NORM_DECAY = 0.9997

NAS_STEM_FILTERS = 'nas_stem_output_num_conv_filters'
NAS_CLASSIFICATION_HEAD = 'nas_use_classification_head'
NAS_REMOVE_OS32_STRIDE = 'nas_remove_os32_stride'

# field: default. Equal to the defaults of the flags in `deeplab.common`.
_OPTIONAL_FIELDS = (
    ('crop_size', None),
    ('atrous_rates', None),
    ('output_stride', 8),
    ('preprocessed_images_dtype', tf.float32),
    ('merge_method', 'max'),
    ('add_image_level_feature', True),
    ('image_pooling_crop_size', None),
    ('image_pooling_stride', (1, 1)),
    ('aspp_with_batch_norm', True),
    ('aspp_with_separable_conv', True),
    ('multi_grid', None),
    ('decoder_output_stride', None),
    ('decoder_use_separable_conv', True),
    ('logits_kernel_size', 1),
    ('model_variant', 'mobilenet_v2'),
    ('depth_multiplier', 1.0),
    ('divisible_by', None),
    ('prediction_with_upsampled_logits', True),
    ('dense_prediction_cell_config', None),
    ('nas_architecture_options', None),
    ('use_bounded_activation', False),
    ('aspp_with_concat_projection', True),
    ('aspp_with_squeeze_and_excitation', False),
    ('aspp_convs_filters', 256),
    ('decoder_use_sum_merge', False),
    ('decoder_filters', 256),
    ('decoder_output_is_logits', False),
    ('image_se_uses_qsigmoid', False),
    ('label_weights', 1.0),
    ('sync_batch_norm_method', 'None'),
    ('batch_norm_decay', DEFAULT_BATCH_NORM_DECAY),
)


def default_nas_options() -> dict:
    """Returns the options of the searched (NAS) backbones with their defaults."""
    return {NAS_STEM_FILTERS: 20, NAS_CLASSIFICATION_HEAD: False, NAS_REMOVE_OS32_STRIDE: False}


class ModelOptions(collections.namedtuple(
        'ModelOptions',
        ['outputs_to_num_classes'] + [field for field, _ in _OPTIONAL_FIELDS])):
    """Everything that decides what network is built; immutable, change it by `_replace`.

    Fields, each with the default of the flag of that name:
        outputs_to_num_classes: dict from output name (`OUTPUT_TYPE`) to number of classes.
        crop_size: [height, width] of the network's input in pixels, or None where unknown.
        atrous_rates: three rates of the ASPP branches, or None for no such branches.
        output_stride: ratio of input to feature resolution.
        preprocessed_images_dtype: dtype of the images after their scaling.
        merge_method: 'max' or 'avg', how the logits of an image pyramid are merged.
        add_image_level_feature: whether ASPP has the pooled whole-image branch.
        image_pooling_crop_size: [height, width] deciding the pooling window; None for crop_size.
        image_pooling_stride: [height, width] stride of that pooling.
        aspp_with_batch_norm: whether there is an ASPP head (False: features go to the logits).
        aspp_with_separable_conv: depthwise separable convolutions in the atrous branches.
        multi_grid: rates of the units of the backbone's last block, or None.
        decoder_output_stride: strides of the decoder's low-level features, highest first; None
            for no decoder.
        decoder_use_separable_conv: depthwise separable convolutions in the decoder.
        logits_kernel_size: kernel size of the logits' convolution.
        model_variant: name of the backbone.
        depth_multiplier, divisible_by: channel scale of the MobileNets and its rounding.
        prediction_with_upsampled_logits: upsample logits, then predict (False: the reverse).
        dense_prediction_cell_config: list of branch dictionaries replacing ASPP, or None.
        nas_architecture_options: dict with the keys of `default_nas_options()`.
        use_bounded_activation: ReLU6 in place of ReLU, kinder to quantisation.
        aspp_with_concat_projection: project the concatenated ASPP branches by a 1x1 convolution.
        aspp_with_squeeze_and_excitation: the image-level branch gates instead of being appended.
        aspp_convs_filters: filters of each ASPP convolution.
        decoder_use_sum_merge: add the decoder's inputs instead of concatenating them.
        decoder_filters: filters of the decoder's convolutions.
        decoder_output_is_logits: the decoder's output is the logits.
        image_se_uses_qsigmoid: quantisation-friendly sigmoid as the gate.
        label_weights: 1.0, or one loss weight a class.
        sync_batch_norm_method: 'None', see `deeplab.core.utils.get_batch_norm_fn`.
        batch_norm_decay: decay of every batch norm's moving averages; at its default heads use
            0.9997 and each backbone its own.
    """

    __slots__ = ()

    def __new__(cls, outputs_to_num_classes, *args, **kwargs):
        values = dict(_OPTIONAL_FIELDS)
        values.update(zip((field for field, _ in _OPTIONAL_FIELDS), args))
        values.update(kwargs)
        if values['nas_architecture_options'] is None:
            values['nas_architecture_options'] = default_nas_options()
        return super(ModelOptions, cls).__new__(cls, outputs_to_num_classes, **values)
