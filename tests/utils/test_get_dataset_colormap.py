"""Tests of deeplab.utils.get_dataset_colormap."""
import json
import zlib

import numpy as np
import pytest

from deeplab.utils import get_dataset_colormap as colormaps
from tests import shared_data

GOLDEN_NAMES = ('ade20k', 'cityscapes', 'mapillary_vistas', 'pascal')


def golden():
    with open(shared_data.path('goldens/training/color.json')) as stream:
        return json.load(stream)


@pytest.mark.parametrize('name', GOLDEN_NAMES)
def test_tables_equal_the_reference_values_and_dtypes(name):
    expected = np.load(shared_data.path('goldens/training/color.npz'))['colormap_' + name]
    table = colormaps.create_label_colormap(name)
    np.testing.assert_array_equal(table, expected)
    assert table.dtype == expected.dtype
    record = golden()['colormaps'][name]
    assert zlib.crc32(table.astype(np.uint8).tobytes()) == record['crc32_uint8']
    assert colormaps.get_dataset_colormap_max_entries(name) == record['max_entries']


@pytest.mark.parametrize('name', GOLDEN_NAMES)
def test_single_labels_and_labels_without_a_colour(name):
    record = golden()['colormaps'][name]
    for key, expected in record.items():
        if not key.startswith('label_'):
            continue
        label = np.array([[int(key[len('label_'):])]])
        if isinstance(expected, str):
            with pytest.raises(ValueError) as raised:
                colormaps.label_to_color_image(label, name)
            assert 'ValueError: {}'.format(raised.value) == expected
        else:
            assert colormaps.label_to_color_image(label, name)[0, 0].tolist() == expected


def test_label_to_color_image_corner_cases():
    cases = golden()['label_to_color_image']
    for key, label in (('rank_3', np.zeros((2, 2, 1), int)), ('rank_1', np.zeros(2, int))):
        with pytest.raises(ValueError) as raised:
            colormaps.label_to_color_image(label)
        assert 'ValueError: {}'.format(raised.value) == cases[key]
    with pytest.raises(IndexError):
        colormaps.label_to_color_image(np.zeros((2, 2), np.float32))
    assert colormaps.label_to_color_image(np.array([[-1]])).tolist() == cases['negative_label']
    assert str(colormaps.label_to_color_image(
        np.zeros((1, 1), np.uint8)).dtype) == cases['uint8_label_dtype_out']


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"Unsupported dataset\. .*'citiscapes'; known are ade20k, "
                                         r"camvid, .*Did you mean 'cityscapes'"):
        colormaps.create_label_colormap('citiscapes')


def test_bit_get_works_on_numbers_and_arrays():
    assert [colormaps.bit_get(5, index) for index in range(4)] == [1, 0, 1, 0]
    np.testing.assert_array_equal(colormaps.bit_get(np.arange(4), 1), [0, 0, 1, 1])


def test_names_are_those_of_the_registry():
    names = [colormaps.get_ade20k_name(), colormaps.get_camvid_name(),
             colormaps.get_cityscapes_name(), colormaps.get_forma_name(),
             colormaps.get_mapillary_vistas_name(), colormaps.get_pascal_name()]
    assert names == colormaps.colormap_names()


def test_camvid_has_twelve_different_colours():
    table = colormaps.create_camvid_label_colormap()
    assert table.shape == (12, 3)
    assert len(set(map(tuple, table))) == 12
    assert table[1].tolist() == [128, 0, 0]
    assert table[11].tolist() == [0, 0, 0]


def test_own_table_takes_the_place_of_a_name():
    table = [[0, 0, 0], [10, 20, 30]]
    colored = colormaps.label_to_color_image(np.array([[1, 0]]), table)
    assert colored.tolist() == [[[10, 20, 30], [0, 0, 0]]]
    assert colormaps.get_dataset_colormap_max_entries(table) == 2
    with pytest.raises(ValueError, match='too large: 2 >= 2'):
        colormaps.label_to_color_image(np.array([[2]]), table)


@pytest.mark.parametrize('table, message', [
    ([[0, 0]], r'shape \(1, 2\)'),
    ([[0, 0, 256]], r'0\.\.255'),
    ([[0.5, 0, 1]], 'whole numbers'),
])
def test_malformed_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        colormaps.create_label_colormap(table)


def test_full_palette_draws_every_label():
    palette = colormaps.full_palette('camvid', ignore_label=11)
    assert palette.shape == (256, 3) and palette.dtype == np.uint8
    np.testing.assert_array_equal(palette[:11], colormaps.create_camvid_label_colormap()[:11])
    for label in (11, 12, 255):
        assert palette[label].tolist() == [224, 224, 192]
    # Void of PASCAL VOC keeps the colour its own rule gives it.
    np.testing.assert_array_equal(
        colormaps.full_palette('pascal', 255), colormaps.create_pascal_label_colormap()[:256])
