"""Descriptions of data sets: the shipped ones, a user's own, and what is refused."""
import json
import os

import pytest

from deeplab import errors
from deeplab.datasets import descriptions
from deeplab.utils import get_dataset_colormap
from tests import shared_data
from tests.datasets import record_factory

OWN = {'name': 'own', 'splits': {'train': 4, 'val': None}, 'num_classes': 3,
       'class_names': ['a', 'b', 'c'], 'colormap': [[0, 0, 0], [255, 0, 0], [0, 0, 255]]}


def _write(folder, **changes):
    path = folder / descriptions.FILE_NAME
    path.write_text(json.dumps(dict(OWN, **changes)))
    return str(path)


def test_known_names():
    assert set(descriptions.known_names()) >= {
        'ade20k', 'camvid', 'cityscapes', 'pascal_voc_seg', 'sample_scenes', 'forma54k'}
    assert descriptions.known_aliases() == {'forma55k': 'forma54k_nsfw1k'}


@pytest.mark.parametrize('name', descriptions.known_names())
def test_shipped_descriptions_are_complete(name):
    description = descriptions.load(name)
    assert description.name == name
    assert len(description.class_names) == description.num_classes
    assert len(set(description.class_names)) == description.num_classes
    colors = get_dataset_colormap.create_label_colormap(description.colormap)
    assert len(colors) >= description.num_classes
    assert description.title


def test_shipped_facts():
    path = shared_data.path('facts/variants.json')
    with open(path) as stream:
        facts = json.load(stream)['tables']['datasets']
    for name, fact in facts.items():
        description = descriptions.load(name)
        assert description.splits_to_sizes == fact['splits_to_sizes']
        assert description.num_classes == fact['num_classes']
        assert description.ignore_label == fact['ignore_label']


def test_sample_scenes_agree_with_their_generator():
    from deeplab.datasets import sample_scenes
    description = descriptions.load('sample_scenes')
    assert description.class_names == tuple(sample_scenes.CLASS_NAMES)
    assert description.ignore_label == sample_scenes.IGNORE_LABEL


def test_own_description_by_path_folder_and_name(tmp_path):
    path = _write(tmp_path)
    by_path = descriptions.load(path)
    assert by_path == descriptions.load(str(tmp_path))
    assert by_path == descriptions.load('own', dataset_dir=str(tmp_path))
    assert by_path.splits_to_sizes == {'train': 4, 'val': None}
    assert by_path.ignore_label == 255
    assert by_path.class_name(1) == 'b'
    assert by_path.colormap == ((0, 0, 0), (255, 0, 0), (0, 0, 255))


def test_splits_may_be_a_list(tmp_path):
    path = _write(tmp_path, splits=['train', 'val'])
    assert descriptions.load(path).splits_to_sizes == {'train': None, 'val': None}


def test_round_trip(tmp_path):
    path = str(tmp_path / 'dataset.json')
    for name in descriptions.known_names():
        description = descriptions.load(name)._replace(report={'images': 3}, shard_pattern='%s_*')
        descriptions.save(description, path)
        assert descriptions.read(path) == description
    assert os.listdir(str(tmp_path)) == ['dataset.json']


def test_save_refuses_what_load_would_refuse(tmp_path):
    description = descriptions.load('camvid')._replace(num_classes=5)
    with pytest.raises(errors.UserError, match='class_names'):
        descriptions.save(description, str(tmp_path / 'dataset.json'))
    assert os.listdir(str(tmp_path)) == []


def test_sizes_of_the_folder_win(tmp_path):
    own = descriptions.load('camvid')._replace(splits_to_sizes={'train': 5, 'mine': 2},
                                               report={'images': 7})
    descriptions.save(own, str(tmp_path / 'dataset.json'))
    merged = descriptions.load('camvid', str(tmp_path))
    assert merged.splits_to_sizes == {'train': 5, 'mine': 2, 'val': 101, 'test': 233}
    assert merged.report == {'images': 7}


def test_contradicting_folder_is_refused(tmp_path):
    descriptions.save(descriptions.load('camvid'), str(tmp_path / 'dataset.json'))
    with pytest.raises(errors.UserError, match='pascal_voc_seg has num_classes 21.*says 11'):
        descriptions.load('pascal_voc_seg', str(tmp_path))


def test_unknown_name_lists_known_and_nearest(tmp_path):
    with pytest.raises(errors.UserError, match=r"(?s)'pascal_voc'.*camvid.*mean 'pascal_voc_seg'"):
        descriptions.load('pascal_voc')
    _write(tmp_path)
    with pytest.raises(errors.UserError, match="known are .*own.*Did you mean 'own'"):
        descriptions.load('owm', str(tmp_path))


@pytest.mark.parametrize('changes, message', [
    ({'num_class': 3}, "unknown key 'num_class'.*Did you mean 'num_classes'"),
    ({'num_classes': None}, "key 'num_classes' is missing"),
    ({'num_classes': 1}, "'num_classes' must be a number from 2 to 256, got 1"),
    ({'num_classes': True}, "'num_classes' must be"),
    ({'class_names': ['a']}, "'class_names' must be 3 names"),
    ({'eval_crop': [0, 33]}, "'eval_crop' must be .height, width., got .0, 33."),
    ({'eval_crop': 513}, "'eval_crop' must be"),
    ({'parts': 'forma54k'}, "'parts' must be a list of names"),
    ({'also_called': ['']}, "'also_called' must be a list of names"),
    ({'ignore_label': 256}, "'ignore_label' must be a number from 0 to 255, got 256"),
    ({'colormap': [[0, 0]]}, "'colormap' must be"),
    ({'colormap': 5}, "'colormap' must be"),
    ({'shard_pattern': 'train-*'}, "'shard_pattern' must be a file name with one %s"),
    ({'splits': {'train': -1}}, "'splits' must map"),
    ({'splits': 'train'}, "'splits' must map"),
    ({'name': ''}, "'name' must be a text"),
])
def test_invalid_descriptions(tmp_path, changes, message):
    path = _write(tmp_path, **changes)
    with pytest.raises(errors.UserError, match=message) as caught:
        descriptions.load(path)
    assert path in str(caught.value)


def test_unreadable_descriptions(tmp_path):
    with pytest.raises(errors.UserError, match='Cannot read .*gone.json'):
        descriptions.load(str(tmp_path / 'gone.json'))
    path = tmp_path / 'bad.json'
    path.write_text('{')
    with pytest.raises(errors.UserError, match='bad.json is not JSON'):
        descriptions.load(str(path))
    path.write_text('[]')
    with pytest.raises(errors.UserError, match='expected a JSON object, got list'):
        descriptions.load(str(path))


def test_split_sizes_given_and_counted(tmp_path):
    record_factory.write_split(tmp_path, split='val', count=5)
    description = descriptions.load(_write(tmp_path))
    assert description.split_size('train', str(tmp_path)) == 4
    assert description.split_size('val', str(tmp_path)) == 5


def test_shards_of_splits(tmp_path):
    paths = record_factory.write_split(tmp_path, split='extra')
    description = descriptions.load('camvid')
    assert description.shards('extra', str(tmp_path)) == paths
    with pytest.raises(errors.UserError, match="no split 'vall'; .*test, train, val.*mean 'val'"):
        description.shards('vall', str(tmp_path))
    with pytest.raises(errors.UserError, match=r'val-\*: the splits there are extra'):
        description.shards('val', str(tmp_path))
