"""The searched architectures against the published ones."""
import json

import pytest

from deeplab.core import nas_genotypes
from tests import shared_data


@pytest.fixture(scope='module')
def published():
    with open(shared_data.path('facts/nas_cells.json')) as handle:
        return json.load(handle)


@pytest.mark.parametrize('key, cell', [('pnasnet_cell', nas_genotypes.PNASCell),
                                       ('hnasnet_cell', nas_genotypes.HNASCell)])
def test_cells_equal_the_published_ones(published, key, cell):
    for field, values in cell.GENOTYPE._asdict().items():
        assert list(values) == published[key][field]


def test_backbones_equal_the_published_ones(published):
    assert list(nas_genotypes.HNAS_BACKBONE) == published['hnasnet_cell']['backbone']
    assert {str(stride): list(levels) for stride, levels in
            nas_genotypes.PNAS_BACKBONES.items()} == published['pnasnet_cell'][
                'backbone_by_output_stride']


def test_neighbouring_cells_are_at_most_one_level_apart():
    for levels in [nas_genotypes.HNAS_BACKBONE] + list(nas_genotypes.PNAS_BACKBONES.values()):
        assert len(levels) == 12
        steps = [after - before for before, after in zip((0,) + tuple(levels), levels)]
        assert set(steps) <= {-1, 0, 1}
