"""Shared flags: the reference's names and defaults, and their way into ModelOptions."""
import json

import pytest
from absl import flags
from absl.testing import flagsaver

from deeplab import common
from deeplab import errors
from deeplab import names
from tests import shared_data

FLAGS = flags.FLAGS
_CLASSES = {names.OUTPUT_TYPE: 21}


def test_shared_flags_have_the_names_and_defaults_of_the_reference():
    with open(shared_data.path('facts/flags.json')) as handle:
        facts = json.load(handle)['common']['flags']
    assert len(facts) == 33
    for fact in facts:
        assert fact['name'] in FLAGS, fact['name']
        assert FLAGS[fact['name']].default == fact['default'], fact['name']
        if fact['enum_values']:
            assert FLAGS[fact['name']].parser.enum_values == fact['enum_values']


def test_defaults_of_the_flags_are_the_defaults_of_the_options():
    from_flags = common.model_options_from_flags(_CLASSES)
    plain = names.ModelOptions(_CLASSES)
    for field in plain._fields:
        mine, theirs = getattr(plain, field), getattr(from_flags, field)
        assert (list(mine) if isinstance(mine, tuple) else mine) == theirs, field


def test_options_have_the_fields_of_the_reference_in_its_order():
    with open(shared_data.path('facts/public_api.json')) as handle:
        fields = json.load(handle)['deeplab.common']['ModelOptions']['fields']
    assert list(names.ModelOptions._fields) == fields


@flagsaver.flagsaver(decoder_output_stride=['8', '4'], image_pooling_crop_size=['257', '513'],
                     label_weights=[0.5, 2.0], model_variant='mobilenet_v2')
def test_flags_reach_the_options():
    options = common.model_options_from_flags({names.OUTPUT_TYPE: 2}, crop_size=[257, 513],
                                              output_stride=16, atrous_rates=[6, 12, 18])
    assert options.decoder_output_stride == [8, 4]
    assert options.image_pooling_crop_size == [257, 513]
    assert options.label_weights == [0.5, 2.0]
    assert options.atrous_rates == [6, 12, 18]


def test_label_weights_are_numbers_or_one_word():
    flag = common.FLAGS['label_weights']
    with flagsaver.flagsaver():
        for argument, weights in (('0.5,2', [0.5, 2.0]), ('auto', 1.0)):
            flag.present = 0
            flag.parse(argument)
            options = common.model_options_from_flags({names.OUTPUT_TYPE: 2})
            assert options.label_weights == weights
        flag.parse('3')
        with pytest.raises(errors.UserError, match='--label_weights: either auto or one number'):
            common.model_options_from_flags({names.OUTPUT_TYPE: 2})
        with pytest.raises(flags.IllegalFlagValueError, match='numbers or the word auto'):
            flag.parse('autp')


@flagsaver.flagsaver(decoder_output_stride=['four'])
def test_words_for_strides_are_a_users_mistake():
    with pytest.raises(errors.UserError, match='decoder_output_stride=four'):
        common.model_options_from_flags(_CLASSES)


@flagsaver.flagsaver(dense_prediction_cell_json='/nowhere/cell.json')
def test_a_missing_cell_file_is_a_users_mistake():
    with pytest.raises(errors.UserError, match='/nowhere/cell.json'):
        common.model_options_from_flags(_CLASSES)
