"""Tests of deeplab.utils.save_annotation."""
import json
import os

import numpy as np
from PIL import Image
import pytest

from deeplab.utils import save_annotation
from tests import shared_data


def test_all_golden_results_come_out(tmp_path):
    with open(shared_data.path('goldens/training/color.json')) as stream:
        cases = json.load(stream)['save_annotation']
    assert len(cases) == 56
    for number, case in enumerate(cases):
        label = np.array(case['values'], dtype=case['dtype'])
        name = 'case{}'.format(number)
        if 'error' in case:
            with pytest.raises((ValueError, IndexError)) as raised:
                save_annotation.save_annotation(label, str(tmp_path), name, **case['arguments'])
            assert '{}: {}'.format(raised.type.__name__, raised.value) == case['error']
            assert not list(tmp_path.glob(name + '*'))
            continue
        save_annotation.save_annotation(label, str(tmp_path), name, **case['arguments'])
        with Image.open(str(tmp_path / (name + '.png'))) as picture:
            assert picture.mode == case['png_mode'], case
            np.testing.assert_array_equal(np.array(picture), case['pixels'], err_msg=str(case))


def test_own_colormap_table(tmp_path):
    save_annotation.save_annotation(
        np.array([[0, 1]]), str(tmp_path), 'own', colormap_type=[[1, 2, 3], [4, 5, 6]])
    with Image.open(str(tmp_path / 'own.png')) as picture:
        assert np.array(picture).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_nothing_half_written_is_left(tmp_path):
    save_annotation.save_annotation(np.zeros((3, 4), np.uint8), str(tmp_path), 'one')
    assert os.listdir(str(tmp_path)) == ['one.png']


def test_missing_folder_names_the_file(tmp_path):
    with pytest.raises(ValueError, match='absent.*one.png'):
        save_annotation.save_annotation(np.zeros((3, 4), np.uint8), str(tmp_path / 'absent'), 'one')
