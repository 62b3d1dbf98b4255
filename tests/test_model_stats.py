"""The statistics of networks, and the published figures."""
import json
import os
import subprocess
import sys

import pytest

from deeplab import common
from deeplab import errors
from deeplab import model_stats
from deeplab import model_zoo
from deeplab import names
from deeplab.core import feature_extractor
from deeplab.datasets import descriptions
from deeplab.evaluation import network_cost
from tests import shared_data

_REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _first_record(name):
    row = model_zoo.find_row(name)
    return model_stats.zoo_records(dict(row, evaluations=row['evaluations'][:1]))[0]


@pytest.mark.parametrize('name, published', [
    ('mobilenetv2_dm05_coco_voc_trainaug', 0.88), ('mobilenetv2_coco_voc_trainaug', 2.75)])
def test_multiply_adds_agree_with_the_published_ones(name, published):
    record = _first_record(name)
    assert record['published_multiply_adds_billion'] == published
    assert record['multiply_adds'] / 1e9 == pytest.approx(published, rel=0.015)
    assert record['counted_as_published'] / 1e9 == pytest.approx(published, rel=0.015)
    assert record['output_stride'] == 16


def test_mobilenet_v3_is_published_in_float_operations_of_an_evaluation():
    record = _first_record('mobilenetv3_small_cityscapes_trainfine')
    assert record['multiply_adds'] / 1e9 == pytest.approx(1.96, rel=0.015)
    assert record['counted_as_published'] / 1e9 == pytest.approx(4.63, rel=0.015)


@pytest.mark.slow
@pytest.mark.parametrize('row', model_zoo.load_rows(), ids=lambda row: row['name'])
def test_every_published_figure_is_reached(row):
    for record in model_stats.zoo_records(row):
        if record['published_multiply_adds_billion'] is not None:
            assert abs(record['deviation_as_published_percent']) < 1.5


def test_scales_and_flips_add_up():
    options = names.ModelOptions({names.OUTPUT_TYPE: 3}, crop_size=[65, 65], depth_multiplier=0.35)
    half, whole = (network_cost.segmentation_cost(options, [scale]) for scale in (0.5, 1.0))
    both = network_cost.multi_scale_cost(options, [0.5, 1.0], flip=True)
    assert both.multiply_adds == 2 * (half.multiply_adds + whole.multiply_adds)
    assert both.float_operations == 2 * (half.float_operations + whole.float_operations)
    assert both.memory.peak == max(half.memory.peak, whole.memory.peak)
    assert both.variables == whole.variables == half.variables
    assert 3 < whole.multiply_adds / half.multiply_adds < 4


def test_a_backbone_row_gives_its_classifier():
    record, = model_stats.zoo_records(model_zoo.find_row('resnet_v1_50_beta_imagenet'))
    # ResNet-50 has 25.6 million parameters and 4 billion multiply-adds with a stem of one 7x7
    # convolution; three 3x3 convolutions are more work.
    assert record['parameters'] == pytest.approx(25.6e6, rel=0.01)
    assert 4e9 < record['multiply_adds'] < 5e9


def test_rows_of_the_zoo_are_networks_that_can_be_built():
    rows = model_zoo.load_rows()
    assert len({row['name'] for row in rows}) == len(rows) == 22
    for row in rows:
        assert row['flags']['model_variant'] in feature_extractor.backbone_names()
        assert bool(row['evaluations']) == (row['dataset'] is not None)
        for evaluation in row['evaluations']:
            assert row['published_counts'] in model_stats._PUBLISHED_COUNTS
            classes = descriptions.load(row['dataset']).num_classes
            common.validate_model_options(model_zoo.model_options(row, evaluation, classes))


def test_the_zoo_holds_the_published_figures():
    with open(shared_data.path('facts/model_zoo.json')) as handle:
        published = {row['name']: row for row in json.load(handle)['rows']}
    rows = {row['name']: row for row in model_zoo.load_rows()}
    assert set(rows) == set(published)
    for name, row in rows.items():
        fact = published[name]
        assert (row['archive'], row['dataset'], row['file_size_mb'], row['frozen_graph']) == (
            fact['archive'], fact['dataset'], fact['file_size_MB'], fact['has_frozen_graph'])
        assert len(row['evaluations']) == len(fact['evaluations'])
        for ours, theirs in zip(row['evaluations'], fact['evaluations']):
            for key in ('output_stride', 'flip', 'split', 'miou_percent'):
                assert ours[key] == theirs[key]
            if 'multiply_adds_billion' in theirs:
                assert ours['multiply_adds_billion'] == theirs['multiply_adds_billion']
            bounds = [float(part) for part in theirs['scales'].split(':')]
            assert (ours['scales'][0], ours['scales'][-1]) == (bounds[0], bounds[-1])


def test_an_unknown_row_names_the_nearest():
    with pytest.raises(errors.UserError, match="Did you mean 'EdgeTPU-DeepLab'"):
        model_zoo.find_row('edgeTPU-DeepLab')


def _run(*arguments):
    done = subprocess.run(
        [sys.executable, '-m', 'deeplab.model_stats'] + list(arguments), cwd=_REPOSITORY,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert 'Traceback' not in done.stderr
    return done


@pytest.mark.parametrize('arguments, part', [
    (['--model_variant=mobilnet_v2'], "Did you mean 'mobilenet_v2'"),
    (['--all', '--output_stride=8'], '--output_stride with --all')])
def test_mistakes_are_one_line(arguments, part):
    done = _run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ''
    line, = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert part in line


def test_the_command_prints_json():
    done = _run('--json', '--depth_multiplier=0.35', '--crop_size=65,65', '--num_classes=3')
    assert done.returncode == 0
    record, = json.loads(done.stdout)
    assert record['crop_size'] == [65, 65]
    assert record['checkpoint_bytes'] == 4 * record['variable_elements']
    assert 0 < record['peak_activation_bytes'] < record['activation_bytes']
