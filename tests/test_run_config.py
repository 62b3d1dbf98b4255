"""Commands follow the configuration that training saved, and refuse what contradicts it."""
import json
import os

import pytest
from absl import flags
from absl.testing import flagsaver

from deeplab import cli
from deeplab import common  # noqa: F401  (defines the shared flags)
from deeplab import errors
from deeplab import run_config

FLAGS = flags.FLAGS


@pytest.fixture(autouse=True)
def command_flags():
    """Flags an entry point would define, for the length of a test, as if not given."""
    defined = []
    for name, define in (
            ('output_stride', lambda: flags.DEFINE_integer('output_stride', 8, 'h')),
            ('atrous_rates', lambda: cli.define_list('atrous_rates', None, 'h', item_type=int))):
        if name not in FLAGS:
            define()
            defined.append(name)
    with flagsaver.flagsaver():
        for name in FLAGS:
            FLAGS[name].present = 0
        yield
    for name in defined:
        delattr(FLAGS, name)


def _give(name, value):
    FLAGS[name].value = value
    FLAGS[name].present = 1


def _save(folder, **values):
    config = {'flags': dict({'model_variant': 'mobilenet_v2', 'depth_multiplier': 0.5,
                             'output_stride': 16, 'atrous_rates': [6, 12, 18],
                             'decoder_output_stride': ['4']}, **values),
              'data': {'num_classes': 6}}
    return run_config.save(str(folder), config)


def test_what_was_not_given_is_taken_over(tmp_path):
    _save(tmp_path)
    config = run_config.follow(os.path.join(str(tmp_path), 'model.ckpt-10'))
    assert config['data']['num_classes'] == 6
    assert FLAGS.depth_multiplier == 0.5
    assert FLAGS.decoder_output_stride == ['4']
    assert (FLAGS.output_stride, FLAGS.atrous_rates) == (16, [6, 12, 18])


def test_another_output_stride_scales_the_rates(tmp_path):
    _save(tmp_path)
    _give('output_stride', 8)
    run_config.follow(str(tmp_path))
    assert (FLAGS.output_stride, FLAGS.atrous_rates) == (8, [12, 24, 36])


def test_rates_given_stay(tmp_path):
    _save(tmp_path)
    _give('atrous_rates', [1, 2, 3])
    run_config.follow(str(tmp_path))
    assert FLAGS.atrous_rates == [1, 2, 3]


@pytest.mark.parametrize('name, value', [('depth_multiplier', 1.0),
                                         ('decoder_output_stride', ['8']),
                                         ('model_variant', 'xception_65')])
def test_a_contradiction_about_the_weights_names_both(tmp_path, name, value):
    path = _save(tmp_path)
    _give(name, value)
    with pytest.raises(errors.UserError) as caught:
        run_config.follow(str(tmp_path))
    shown = value[0] if isinstance(value, list) else str(value)
    for part in ('--{}={}'.format(name, shown), path):
        assert part in str(caught.value)


def test_the_same_value_given_is_no_contradiction(tmp_path):
    _save(tmp_path)
    _give('depth_multiplier', 0.5)
    _give('decoder_output_stride', [4])
    run_config.follow(str(tmp_path))
    assert FLAGS.depth_multiplier == 0.5


def test_without_a_configuration_the_flags_stand(tmp_path):
    assert run_config.follow(str(tmp_path)) is None
    assert FLAGS.depth_multiplier == 1.0


def test_a_broken_configuration_is_a_users_mistake(tmp_path):
    (tmp_path / run_config.FILE_NAME).write_text('{')
    with pytest.raises(errors.UserError, match='train_config.json'):
        run_config.follow(str(tmp_path))


def test_what_is_described_can_be_read_again(tmp_path):
    config = run_config.describe(['model_variant', 'multi_grid'], {'num_classes': 3})
    path = run_config.save(str(tmp_path), config)
    with open(path) as handle:
        assert json.load(handle) == config
    assert run_config.load(str(tmp_path)) == (config, path)
    assert os.listdir(str(tmp_path)) == [run_config.FILE_NAME]
