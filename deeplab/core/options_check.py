"""Checks `ModelOptions` before any graph is built."""
from deeplab import errors
from deeplab.core import decoder
from deeplab.core import dense_prediction_cell
from deeplab.core import feature_extractor

# ASPP's rates at output stride 16 (arXiv 1706.05587, section 3.3); they look equally far at
# another stride when scaled by 16 / stride.
_PUBLISHED_RATES_AT_16 = (6, 12, 18)
_NUM_RATES = len(_PUBLISHED_RATES_AT_16)


def published_rates(output_stride):
    """Returns ASPP's published rates for an output stride as a list, or None where they break."""
    if any(rate * 16 % output_stride for rate in _PUBLISHED_RATES_AT_16):
        return None
    return [rate * 16 // output_stride for rate in _PUBLISHED_RATES_AT_16]


def _comma(values):
    return ','.join(str(value) for value in values)


def _check_output_stride(options, record):
    if options.output_stride not in record.output_strides:
        raise errors.UserError('--output_stride={}: {} can run at {}.'.format(
            options.output_stride, record.name, _comma(record.output_strides)))


def _check_atrous_rates(options, allow_unusual):
    rates = options.atrous_rates
    if not rates or not options.aspp_with_batch_norm or options.dense_prediction_cell_config:
        return
    if len(rates) != _NUM_RATES:
        raise errors.UserError(
            '--atrous_rates={}: ASPP needs exactly {} atrous rates, got {}, for example {} at '
            'output stride {}.'.format(_comma(rates), _NUM_RATES, len(rates),
                                       _comma(published_rates(16)), 16))
    if any(rate < 1 for rate in rates):
        raise errors.UserError('--atrous_rates={}: rates must be 1 or more.'.format(_comma(rates)))
    fitting = published_rates(options.output_stride)
    if allow_unusual or list(rates) == fitting:
        return
    for stride in (8, 16, 32):
        if list(rates) == published_rates(stride) and fitting:
            raise errors.UserError(
                '--atrous_rates={} are made for --output_stride={}; at --output_stride={} they '
                'would be {}. Change one of the two, or give --allow_unusual_atrous_rates.'.format(
                    _comma(rates), stride, options.output_stride, _comma(fitting)))


def _check_multi_grid(options, record):
    if not options.multi_grid:
        return []
    if record.multi_grid_length is None:
        return ['--multi_grid={} has no effect on {}.'.format(_comma(options.multi_grid),
                                                              record.name)]
    if len(options.multi_grid) != record.multi_grid_length:
        raise errors.UserError('--multi_grid={}: {} needs {} rates, got {}.'.format(
            _comma(options.multi_grid), record.name, record.multi_grid_length,
            len(options.multi_grid)))
    return []


def _check_decoder(options, record):
    strides = options.decoder_output_stride
    if not strides:
        if options.decoder_output_is_logits:
            raise errors.UserError('--decoder_output_is_logits needs a decoder: give '
                                   '--decoder_output_stride as well.')
        return
    for stride in strides:
        decoder.low_level_end_point(record.name, stride)
    if sorted(strides, reverse=True) != list(strides) or len(set(strides)) != len(strides):
        raise errors.UserError('--decoder_output_stride={}: strides must go from the highest to '
                               'the lowest, each once.'.format(_comma(strides)))
    if strides[0] > options.output_stride:
        raise errors.UserError(
            '--decoder_output_stride={}: no stride may be above --output_stride={}.'.format(
                _comma(strides), options.output_stride))
    classes = set(options.outputs_to_num_classes.values())
    if options.decoder_output_is_logits and classes != {options.decoder_filters}:
        raise errors.UserError(
            '--decoder_output_is_logits needs --decoder_filters equal to the number of classes, '
            '{}. Received instead: {}.'.format(_comma(sorted(classes)), options.decoder_filters))


def _check_cell(options):
    if options.dense_prediction_cell_config is not None:
        dense_prediction_cell.conv_rate_multiplier(options.output_stride)
        dense_prediction_cell.DensePredictionCell(options.dense_prediction_cell_config)


def _check_logits(options):
    several_rates = options.atrous_rates and not options.aspp_with_batch_norm
    if options.logits_kernel_size != 1 and not several_rates:
        raise errors.UserError(
            '--logits_kernel_size={}: must be 1, unless --aspp_with_batch_norm=false sums one '
            'logits layer for each of --atrous_rates.'.format(options.logits_kernel_size))


def _check_label_weights(options):
    weights = options.label_weights
    classes = set(options.outputs_to_num_classes.values())
    if isinstance(weights, list) and classes != {len(weights)}:
        raise errors.UserError('--label_weights={}: {} classes need as many weights, got {}.'.format(
            _comma(weights), _comma(sorted(classes)), len(weights)))


def _check_crop(options):
    warnings = []
    stride = options.output_stride
    for side in options.crop_size or ():
        if (side - 1) % stride:
            below = (side - 1) // stride * stride + 1
            warnings.append(
                'crop size {}: {} is not a multiple of output stride {} plus one; features will '
                'not lie on the pixel grid. The nearest that fit are {} and {}.'.format(
                    _comma(options.crop_size), side, stride, below, below + stride))
    return warnings


def check(options, allow_unusual_atrous_rates=False):
    """Checks options against each other and against what the backbone can do.

    Args:
        options: a ModelOptions.
        allow_unusual_atrous_rates: accept rates published for another output stride.

    Returns:
        List of warnings, each one line.

    Raises:
        UserError: options no network can be built from; names the flag and what would do.
    """
    record = feature_extractor.get_backbone(options.model_variant)
    _check_output_stride(options, record)
    _check_atrous_rates(options, allow_unusual_atrous_rates)
    _check_decoder(options, record)
    _check_cell(options)
    _check_logits(options)
    _check_label_weights(options)
    return _check_multi_grid(options, record) + _check_crop(options)
