"""Options are checked before any graph is built: one clear error each."""
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import names
from deeplab.core import options_check


def _options(**changes):
    return names.ModelOptions({names.OUTPUT_TYPE: 21}, output_stride=16)._replace(**changes)


@pytest.mark.parametrize('changes, parts', [
    (dict(model_variant='mobilenet_v22'), ['mobilenet_v22', "'mobilenet_v2'", 'Known']),
    (dict(output_stride=3), ['--output_stride=3', '8,16,32']),
    (dict(atrous_rates=[6, 12]), ['exactly 3', 'got 2']),
    (dict(atrous_rates=[6, 12, 18, 24]), ['exactly 3', 'got 4']),
    (dict(atrous_rates=[0, 12, 18]), ['1 or more']),
    (dict(atrous_rates=[12, 24, 36]), ['--output_stride=8', '6,12,18']),
    (dict(atrous_rates=[6, 12, 18], output_stride=8), ['--output_stride=16', '12,24,36']),
    (dict(decoder_output_stride=[2]), ['--decoder_output_stride=2', '[4, 8, 16]']),
    (dict(decoder_output_stride=[4, 8]), ['highest']),
    (dict(decoder_output_stride=[16], output_stride=8), ['above --output_stride=8']),
    (dict(decoder_output_is_logits=True), ['--decoder_output_stride']),
    (dict(decoder_output_stride=[4], decoder_output_is_logits=True), ['--decoder_filters', '21']),
    (dict(logits_kernel_size=3), ['--logits_kernel_size=3']),
    (dict(label_weights=[1.0, 2.0]), ['--label_weights=1.0,2.0', '21 classes', 'got 2']),
    (dict(multi_grid=[1, 2], model_variant='resnet_v1_50'), ['needs 3 rates', 'got 2']),
    (dict(output_stride=64, model_variant='xception_65'), ['--output_stride=64', '2,4,8,16,32']),
    (dict(decoder_output_stride=[4], model_variant='mobilenet_edgetpu'), ['leave the flag out']),
    (dict(dense_prediction_cell_config=[{'op': 'conv', 'kernel': 3, 'rate': [1, 1], 'input': 0}]),
     ['input']),
])
def test_unfit_options_are_refused(changes, parts):
    with pytest.raises(errors.UserError) as caught:
        options_check.check(_options(**changes))
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert '\n' not in message
    assert not tf.get_default_graph().get_operations()


@pytest.mark.parametrize('changes', [
    dict(),
    dict(atrous_rates=[6, 12, 18]),
    dict(atrous_rates=[12, 24, 36], output_stride=8),
    dict(atrous_rates=[3, 6, 9], output_stride=32),
    dict(atrous_rates=[5, 10, 15]),
    dict(atrous_rates=[6, 12], aspp_with_batch_norm=False, logits_kernel_size=3),
    dict(decoder_output_stride=[8, 4]),
    dict(decoder_output_stride=[4], decoder_output_is_logits=True, decoder_filters=21),
    dict(crop_size=[513, 321]),
])
def test_fit_options_pass_without_a_warning(changes):
    assert options_check.check(_options(**changes)) == []


def test_rates_of_another_stride_can_be_allowed():
    options = _options(atrous_rates=[6, 12, 18], output_stride=8)
    assert options_check.check(options, allow_unusual_atrous_rates=True) == []


def test_a_crop_off_the_grid_is_a_warning_with_the_nearest_fit():
    warnings = options_check.check(_options(crop_size=[513, 500]))
    assert len(warnings) == 1
    for part in ('500', '497', '513'):
        assert part in warnings[0]


def test_a_multi_grid_without_effect_is_a_warning():
    warnings = options_check.check(_options(multi_grid=[1, 2, 4]))
    assert len(warnings) == 1 and 'no effect' in warnings[0]


def test_published_rates_scale_with_the_stride():
    assert options_check.published_rates(8) == [12, 24, 36]
    assert options_check.published_rates(16) == [6, 12, 18]
    assert options_check.published_rates(32) == [3, 6, 9]
    assert options_check.published_rates(64) is None
