"""Tests of deeplab.evaluation.visualize and .gallery, the parts that need no network."""
import json
import re

import numpy as np

from deeplab.evaluation import gallery
from deeplab.evaluation import visualize
from deeplab.utils import get_dataset_colormap
from tests import shared_data


def test_cityscapes_train_ids_become_evaluation_ids():
    with open(shared_data.path('goldens/training/color.json')) as stream:
        expected = json.load(stream)
    assert list(visualize.CITYSCAPES_TRAIN_ID_TO_EVAL_ID) == (
        expected['cityscapes_train_id_to_eval_id'])
    converted = visualize.convert_train_id_to_eval_id(
        np.arange(256, dtype=np.uint8), visualize.CITYSCAPES_TRAIN_ID_TO_EVAL_ID)
    assert converted.tolist() == expected['converted_0_to_255']
    assert str(converted.dtype) == expected['converted_dtype_follows_input']
    names = expected['vis_file_names']
    assert visualize.PICTURE_FOLDER == names['prediction_folder']
    assert visualize.RAW_FOLDER == names['raw_folder']


def test_names_cannot_break_out_of_the_page(tmp_path):
    page = gallery.Gallery(['</script><b>'], get_dataset_colormap.full_palette())
    image = np.zeros((600, 900, 3), np.uint8)
    page.add({'number': 0, 'name': '</script><script>alert(1)</script>', 'classes': [0],
              'width': 900, 'height': 600}, {'image': image, 'prediction': image})
    page.write(str(tmp_path / 'gallery.html'), '<title>')
    text = (tmp_path / 'gallery.html').read_text()
    # The page's own two elements and no more.
    assert text.count('</script>') == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))
    assert data['images'][0]['name'] == '</script><script>alert(1)</script>'
    assert [panel['title'] for panel in data['images'][0]['panels']] == ['image', 'labels']
