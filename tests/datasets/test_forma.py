"""The forma data sets: what is stated of them, their recipes, and what these refuse."""
import glob
import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

from deeplab import errors
from deeplab.core import augmentation
from deeplab.datasets import conversion_labels
from deeplab.datasets import descriptions
from deeplab.datasets import joining
from deeplab.datasets import label_sets
from deeplab.datasets import records
from deeplab.datasets import split_lists
from deeplab.datasets import tfrecord_file
from tests.datasets import forma_factory
from tests.datasets import recipe_runner
from tests.datasets import test_recipes

SCALE = 0.01
# name: train, trainval, val, evaluation crop, parts.
TABLE = {
    'imaterialist37k': (29606, 3701, 3701, (1601, 3783), ()),
    'humanparsing17k': (14164, 1771, 1771, (1601, 1137), ()),
    'nsfw1k': (1000, 100, 1, (4001, 4001), ()),
    'tryon1k': (1000, 100, 72, (1001, 1335), ()),
    'tryon10k': (10000, 0, 0, (1001, 801), ()),
    'forma54k': (43770, 5472, 5472, (1601, 3783), ('imaterialist37k', 'humanparsing17k')),
    'forma54k_nsfw1k': (44770, 5572, 5473, (4001, 4001), ('forma54k', 'nsfw1k')),
    'forma54k_tryon1k': (44770, 5572, 5544, (1601, 3783), ('forma54k', 'tryon1k')),
    'forma54k_nsfw1k_tryon1k': (45770, 5672, 5545, (4001, 4001), ('forma54k_nsfw1k', 'tryon1k')),
    'forma54k_tryon10k': (53770, 5472, 5472, (1601, 3783), ('forma54k', 'tryon10k')),
}
LEAVES = [name for name, row in TABLE.items() if not row[-1]]
SPLITS = ('train', 'trainval', 'val')
CLASSES = ('background', 'other', 'garment', 'skin', 'hair', 'arms', 'shoe', 'sleeves', 'pants')
NAMED_RECIPES = ('imaterialist37k', 'humanparsing17k', 'nsfw1k', 'tryon1k', 'forma54k',
                 'forma54k_nsfw1k', 'forma54k_tryon1k')


def scaled_sizes(name):
    """Sizes of the splits at SCALE, from the table alone."""
    parts = TABLE[name][-1]
    if parts:
        return [sum(sizes) for sizes in zip(*[scaled_sizes(part) for part in parts])]
    return [forma_factory.scaled(size, SCALE) for size in TABLE[name][:3]]


def run(folder, root, name, recipe=None, **given):
    recipe = recipe or 'build_{}_data.py'.format(name)
    if name not in NAMED_RECIPES:
        recipe, given = 'build_forma_data.py', dict(given, dataset=name)
    if name in LEAVES:
        given.setdefault('num_workers', 1)
    given.setdefault('expected_scale', SCALE)
    return recipe_runner.run(folder, recipe, '--root={}'.format(root), *[
        '--{}={}'.format(flag, value) for flag, value in given.items()])


def fail(folder, root, name, **given):
    """Runs a recipe that has to end with one line on stderr; returns that line."""
    result = run(folder, root, name, **given)
    lines = [line for line in result.stderr.splitlines() if line]
    assert result.status == 1 and len(lines) == 1 and lines[0].startswith('error: '), result
    return lines[0]


def tfrecord(root, name):
    return os.path.join(str(root), 'datasets', name, 'tfrecord')


def contents(folder):
    return {os.path.basename(path): open(path, 'rb').read()
            for path in glob.glob(os.path.join(folder, '*.tfrecord'))}


@pytest.fixture(scope='module')
def storage(tmp_path_factory):
    """All ten data sets made by their recipes from folders a hundredth of the size."""
    root = tmp_path_factory.mktemp('storage')
    outputs = {}
    for name in TABLE:
        if name in LEAVES:
            forma_factory.make_sources(root, name, SCALE)
        result = run(root, root, name)
        assert result.status == 0, result.stderr
        outputs[name] = result.stdout
    return root, outputs


# --- What is stated -------------------------------------------------------------------------------


@pytest.mark.parametrize('name', list(TABLE))
def test_descriptions(name):
    description = descriptions.load(name)
    row = TABLE[name]
    assert description.splits_to_sizes == dict(zip(SPLITS, row))
    assert description.eval_crop == row[3] and description.parts == row[4]
    assert description.class_names == CLASSES and description.ignore_label == 255
    assert description.colormap == 'forma'
    parts = [TABLE[part] for part in row[4]]
    if parts:
        assert row[:3] == tuple(sum(sizes) for sizes in zip(*[part[:3] for part in parts]))
        assert row[3] == tuple(max(sides) for sides in zip(*[part[3] for part in parts]))


def test_the_other_name():
    assert descriptions.load('forma55k') == descriptions.load('forma54k_nsfw1k')
    with pytest.raises(errors.UserError, match="forma55k.*Did you mean 'forma5"):
        descriptions.load('forma56k')


def test_the_preset_has_the_figures_of_the_workflow():
    assert augmentation.PRESETS['forma']._asdict() == {
        'shear_stddev': 0.05, 'affine_scale_stddev': 0.05, 'translation_stddev': 0.05,
        'max_hue_delta': 0.08, 'min_saturation_factor': 0.5, 'max_saturation_factor': 1.5,
        'max_brightness_delta': 0.2, 'min_contrast_factor': 0.7, 'max_contrast_factor': 1.3,
        'blur_probability': 0.1, 'max_blur_stddev': 1.5, 'noise_stddev': 0.01}


# --- Label sets -----------------------------------------------------------------------------------


def label_set(name):
    return label_sets.read(recipe_runner.path('datasets/class_maps/' + name),
                           descriptions.load('forma54k'))


def test_human_parsing_labels():
    numbers = label_set('atr_human_parsing.json').numbers
    names = {target: sorted(value for value, to in numbers.items() if to == index)
             for index, target in enumerate(CLASSES)}
    assert names == {
        'background': [0], 'other': [1, 3, 16], 'garment': [4, 5, 6, 7, 8, 17],
        'skin': [11, 12, 13], 'hair': [2], 'arms': [14, 15], 'shoe': [9, 10], 'sleeves': [],
        'pants': []}


def test_fashion_bits_every_combination_has_a_class():
    numbers = label_set('fashion_parsing_bits.json').numbers
    assert sorted(numbers) == list(range(256)) and numbers[0] == 0
    for label in range(1, 9):
        assert numbers[1 << (label - 1)] == label
    garment, skin, arms, shoe, sleeves, pants = 2, 4, 16, 32, 64, 128
    for bits, name in ((garment | sleeves, 'sleeves'), (garment | pants, 'pants'),
                       (skin | garment, 'garment'), (arms | sleeves | garment, 'sleeves'),
                       (pants | shoe, 'shoe')):
        assert CLASSES[numbers[bits]] == name


@pytest.mark.parametrize('content, message', [
    ({'labels': []}, 'must be a list of labels'),
    ({'labels': [{'value': 1}]}, 'each label needs "class"'),
    ({'labels': [{'value': 1, 'bit': 2, 'class': 'skin'}]}, 'one of value, color, bit'),
    ({'labels': [{'value': 1, 'class': 'skinn'}]}, "no class 'skinn'.*Did you mean 'skin'"),
    ({'labels': [{'value': 1, 'class': 'skin'}] * 2}, 'value 1 is listed twice'),
    ({'labels': [{'value': -1, 'class': 'skin'}]}, 'a number from 0 to 65535, got -1'),
    ({'labels': [{'color': [0, 256, 0], 'class': 'skin'}]}, r'\[red, green, blue\]'),
    ({'labels': [{'bit': 16, 'class': 'skin'}]}, 'from 0 to 15'),
    ({'labels': [{'bit': 1, 'class': 'skin'}]}, '"no_bit"'),
    ({'labels': [{'bit': 1, 'class': 'skin'}, {'value': 1, 'class': 'skin'}]}, 'bits exclude'),
    ({'labels': [3]}, 'expected a JSON object, got 3'),
    ({'labels': [], 'lables': 1}, "unknown key 'lables'.*Did you mean 'labels'"),
])
def test_what_label_sets_refuse(content, message):
    with pytest.raises(errors.UserError, match=message):
        label_sets.to_class_map(content, descriptions.load('nsfw1k'), 'set.json')


def test_label_sets_of_colours_and_ignored_labels_and_plain_maps(tmp_path):
    description = descriptions.load('nsfw1k')
    path = tmp_path / 'set.json'
    path.write_text(json.dumps({'labels': [{'color': [9, 8, 7], 'class': 'pants'},
                                           {'value': 300, 'class': 'ignore'}]}))
    assert label_sets.read(str(path), description) == conversion_labels.ClassMap(
        {300: 255}, {(9, 8, 7): 8}, None)
    path.write_text('{"3": 1, "*": 255}')
    assert label_sets.read(str(path), description).otherwise == 255
    for text, message in (('{', 'not JSON'), ('[]', 'expected a JSON object')):
        path.write_text(text)
        with pytest.raises(errors.UserError, match=message):
            label_sets.read(str(path), description)
    with pytest.raises(errors.UserError, match='No such file'):
        label_sets.read(str(tmp_path / 'none.json'), description)


# --- Recipes --------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', list(TABLE))
def test_the_sums_are_those_of_the_table(storage, name):
    root, outputs = storage
    folder = tfrecord(root, name)
    sizes = [records.count_records(records.list_shards(folder, split))
             if split in records.splits_found(folder) else 0 for split in SPLITS]
    assert sizes == scaled_sizes(name)
    for size, full in zip(sizes, TABLE[name]):
        assert abs(size - full * SCALE) <= max(1, len(TABLE[name][-1]))
    description = descriptions.load(name, folder)
    assert [description.splits_to_sizes.get(split, 0) for split in SPLITS] == sizes
    lines = outputs[name].splitlines()
    for kind in ('expected', 'records'):
        assert [kind] + [str(size) for size in sizes] in [line.split() for line in lines]


def test_no_picture_is_in_two_splits_and_all_are_used(storage):
    found = [name for split in SPLITS
             for name, _ in test_recipes.read_split(tfrecord(storage[0], 'humanparsing17k'), split)]
    assert len(found) == len(set(found)) == forma_factory.count('humanparsing17k', SCALE)


def test_labels_become_classes(storage):
    for name in ('humanparsing17k', 'imaterialist37k'):
        source = os.path.join(str(storage[0]), 'datasets', name, 'labels', '{}.png')
        picture, label = test_recipes.read_split(tfrecord(storage[0], name), 'val')[0]
        values = np.asarray(Image.open(source.format(picture)))
        numbers = label_set(
            'atr_human_parsing.json' if name[0] == 'h' else 'fashion_parsing_bits.json').numbers
        np.testing.assert_array_equal(label, np.vectorize(numbers.get)(values))
        assert len(np.unique(label)) > 2


def test_joined_sets_hold_the_pictures_of_their_parts_in_order(storage):
    names = {name: [picture for picture, _ in test_recipes.read_split(
        tfrecord(storage[0], name), 'train')] for name in ('imaterialist37k', 'nsfw1k',
                                                           'humanparsing17k', 'forma54k_nsfw1k')}
    assert names['forma54k_nsfw1k'] == (
        names['imaterialist37k'] + names['humanparsing17k'] + names['nsfw1k'])


def test_the_report_of_a_joined_set_adds_up(storage):
    reports = {name: descriptions.load(name, tfrecord(storage[0], name)).report['splits']['train']
               for name in ('forma54k', 'nsfw1k', 'forma54k_nsfw1k')}
    for key in ('pixels_per_class', 'images_per_class'):
        np.testing.assert_array_equal(
            reports['forma54k_nsfw1k'][key],
            np.add(reports['forma54k'][key], reports['nsfw1k'][key]))


def test_500_images_a_shard(storage):
    folder = tfrecord(storage[0], 'imaterialist37k')
    assert len(records.list_shards(folder, 'train')) == 1
    result = run(storage[0], storage[0], 'imaterialist37k', images_per_shard=100,
                 output_dir=str(storage[0] / 'smaller'))
    assert result.status == 0, result.stderr
    shards = records.list_shards(str(storage[0] / 'smaller'), 'train')
    assert [tfrecord_file.count(path) for path in shards] == [100, 100, 96]


def test_a_set_joined_from_the_parts_of_its_parts(storage, tmp_path):
    for name in ('imaterialist37k', 'humanparsing17k', 'nsfw1k'):
        os.makedirs(os.path.dirname(tfrecord(tmp_path, name)))
        os.symlink(tfrecord(storage[0], name), tfrecord(tmp_path, name))
    result = run(tmp_path, tmp_path, 'forma54k_nsfw1k')
    assert result.status == 0, result.stderr
    assert 'Joining imaterialist37k, humanparsing17k, nsfw1k' in result.stdout
    assert contents(tfrecord(tmp_path, 'forma54k_nsfw1k')) == contents(
        tfrecord(storage[0], 'forma54k_nsfw1k'))


def kill_at(monkeypatch, module, name, calls):
    """Makes the recipe die, as of a power cut, in the middle of its n-th call of a function."""
    original, count = getattr(module, name), []

    def mortal(*args, **kwargs):
        count.append(1)
        if len(count) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, mortal)


def test_a_killed_conversion_goes_on_to_the_same_shards(storage, tmp_path, monkeypatch):
    images = os.path.join(str(storage[0]), 'datasets', 'humanparsing17k')
    given = {kind + '_folder': os.path.join(images, folder) for kind, folder in (
        ('image', 'images'), ('label', 'labels'), ('list', 'dataset_split'))}
    given['images_per_shard'] = 50
    whole = run(tmp_path, tmp_path / 'whole', 'humanparsing17k', **given)
    assert whole.status == 0, whole.stderr
    with monkeypatch.context() as patch:
        kill_at(patch, tfrecord_file, 'write', 3)
        assert run(tmp_path, tmp_path / 'killed', 'humanparsing17k', **given).status == -9
    folder = tfrecord(tmp_path / 'killed', 'humanparsing17k')
    before = {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in contents(folder)}
    assert len(before) == 2
    again = run(tmp_path, tmp_path / 'killed', 'humanparsing17k', **given)
    assert again.status == 0, again.stderr
    assert contents(folder) == contents(tfrecord(tmp_path / 'whole', 'humanparsing17k'))
    assert before == {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in before}


def test_a_killed_join_goes_on_to_the_same_shards(storage, tmp_path, monkeypatch):
    output = str(tmp_path / 'joined')
    with monkeypatch.context() as patch:
        kill_at(patch, joining, '_place', 4)
        assert run(tmp_path, storage[0], 'forma54k', output_dir=output).status == -9
    assert 0 < len(contents(output)) < 6
    assert not os.path.exists(os.path.join(output, 'dataset.json'))
    for _ in range(2):
        result = run(tmp_path, storage[0], 'forma54k', output_dir=output)
        assert result.status == 0, result.stderr
        assert contents(output) == contents(tfrecord(storage[0], 'forma54k'))


def test_copies_where_there_are_no_links(storage, tmp_path, monkeypatch):
    def no_link(*_):
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr(os, 'link', no_link)
    output = str(tmp_path / 'joined')
    for _ in range(2):
        assert run(tmp_path, storage[0], 'forma54k', output_dir=output).status == 0
        assert contents(output) == contents(tfrecord(storage[0], 'forma54k'))
    assert {os.stat(path).st_nlink for path in glob.glob(output + '/*.tfrecord')} == {1}


def test_the_sums_at_full_size(tmp_path):
    for name in LEAVES:
        os.makedirs(tfrecord(tmp_path, name))
        for split, size in zip(SPLITS, TABLE[name]):
            shards = -(-size // 500)
            for index in range(shards):
                path = os.path.join(tfrecord(tmp_path, name),
                                    records.shard_name(split, index, shards))
                tfrecord_file.write(path, [b'x'] * min(500, size - 500 * index))
    for name in TABLE:
        if name not in LEAVES:
            result = run(tmp_path, tmp_path, name, expected_scale=1)
            assert result.status == 0, result.stderr
            assert ['records'] + [str(size) for size in TABLE[name][:3]] in [
                line.split() for line in result.stdout.splitlines()]


# --- What recipes refuse --------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """Sources of nsfw1k: twelve pictures."""
    forma_factory.make_sources(tmp_path, 'nsfw1k', SCALE)
    return tmp_path


def test_a_label_outside_the_mapping(tmp_path):
    folder = forma_factory.make_sources(tmp_path, 'humanparsing17k', 0.0005)
    path = os.path.join(folder, 'labels', 'p00001.png')
    Image.fromarray(np.full((25, 16), 18, np.uint8)).save(path)
    line = fail(tmp_path, tmp_path, 'humanparsing17k', expected_scale=0)
    assert path + ': value 18 at 400 pixels is not in the class map.' in line


def test_a_label_outside_the_classes(small):
    path = os.path.join(str(small), 'datasets/nsfw1k/labels/p00001.png')
    Image.fromarray(np.full((25, 16), 9, np.uint8)).save(path)
    line = fail(small, small, 'nsfw1k')
    assert path + ': label 9 at 400 pixels; allowed are 0..8 and 255 (ignored)' in line


def write_lists(root, **lists):
    folder = os.path.join(str(root), 'datasets', 'nsfw1k', 'dataset_split')
    os.makedirs(folder, exist_ok=True)
    for split, names in lists.items():
        with open(os.path.join(folder, split + '.txt'), 'w') as stream:
            stream.write('\n'.join(names))
    return folder


NAMES = ['p{:05d}'.format(number) for number in range(12)]


def test_lists_that_are_there_are_used(small):
    write_lists(small, train=NAMES[1:11], trainval=NAMES[11:], val=[NAMES[0] + '.jpg'])
    result = run(small, small, 'nsfw1k')
    assert result.status == 0 and 'Drew' not in result.stdout
    names = [name for name, _ in test_recipes.read_split(tfrecord(small, 'nsfw1k'), 'train')]
    assert names == NAMES[1:11]


def test_a_picture_in_two_splits_is_told(small):
    write_lists(small, train=NAMES[1:11], trainval=NAMES[10:11], val=NAMES[:1])
    result = run(small, small, 'nsfw1k')
    assert result.status == 0
    assert 'note: 1 picture(s) are in train and in trainval, such as p00010.' in result.stdout


def test_lists_that_are_wrong(small):
    folder = write_lists(small, train=NAMES[:10] + ['nobody'], trainval=NAMES[10:11])
    assert 'there is no val.txt beside train.txt, trainval.txt' in fail(small, small, 'nsfw1k')
    write_lists(small, val=NAMES[11:])
    line = fail(small, small, 'nsfw1k')
    assert folder + '/train.txt names 1 image(s) that are not in' in line and 'nobody' in line
    write_lists(small, train=NAMES[:9])
    assert 'dataset_split: train has 9 images, expected 10.' in fail(small, small, 'nsfw1k')
    assert not os.path.exists(tfrecord(small, 'nsfw1k'))


def test_another_number_of_pictures(small):
    line = fail(small, small, 'nsfw1k', expected_scale=1)
    assert 'There are 12 pictures; the splits need 1101 (1000 train, 100 trainval, 1 val).' in line
    assert '--expected_scale' in line
    result = run(small, small, 'nsfw1k', expected_scale=0)
    assert result.status == 0 and 'any' in result.stdout


def test_a_part_that_is_not_there(small):
    line = fail(small, small, 'forma54k')
    assert 'forma54k needs imaterialist37k, but there are no records' in line
    assert '--dataset=imaterialist37k' in line


def test_flags_of_conversions_do_not_act_on_joined_sets(small):
    result = recipe_runner.run(small, 'build_forma_data.py', '--dataset=forma55k', '--seed=1')
    assert result.status == 1 and '--seed acts on conversions; forma54k_nsfw1k' in result.stderr
    result = recipe_runner.run(small, 'build_forma54k_data.py', '--seed=1')
    assert result.status == 2 and 'unknown flag --seed' in result.stderr


def test_help_tells_shared_flags_too(tmp_path):
    text = recipe_runner.run(tmp_path, 'build_forma_data.py', '--help').stdout
    for name in ('dataset', 'expected_scale', 'num_workers', '[no]skip_bad'):
        assert '\n  --' + name + ':' in text
    assert 'op_conversion' not in text


def two_parts(root):
    """Writes the records, not of pictures, of two parts; returns the Parts."""
    parts = []
    for name in ('forma54k', 'tryon10k'):
        folder = str(root / name)
        os.makedirs(folder)
        tfrecord_file.write(os.path.join(folder, records.shard_name('train', 0, 1)), [b'x'] * 4)
        descriptions.save(descriptions.load(name)._replace(splits_to_sizes={'train': 4}),
                          os.path.join(folder, 'dataset.json'))
        parts.append(joining.Part(name, folder))
    return parts


def test_shards_whose_sums_do_not_match(tmp_path):
    parts, description = two_parts(tmp_path), descriptions.load('forma54k_tryon10k')
    output = str(tmp_path / 'joined')
    with pytest.raises(errors.UserError, match='train has 8 images, expected 53770; trainval has'):
        joining.join(description, parts, output, description.splits_to_sizes)
    tfrecord_file.write(os.path.join(parts[1].folder, records.shard_name('train', 0, 1)),
                        [b'x'] * 3)
    with pytest.raises(errors.UserError, match='tryon10k has 4 images by dataset.json, but its '
                                               'shards hold 3. Convert it again'):
        joining.join(description, parts, output)
    assert not os.path.exists(output)


def test_joins_that_are_refused(tmp_path):
    parts, description = two_parts(tmp_path), descriptions.load('forma54k_tryon10k')
    output = str(tmp_path / 'joined')
    with pytest.raises(errors.UserError, match='is the folder of forma54k'):
        joining.join(description, parts, parts[0].folder)
    with pytest.raises(errors.UserError, match='has num_classes 9, other has 8'):
        joining.join(description._replace(name='other', num_classes=8, class_names=()), parts,
                     output)
    joined = joining.join(description, parts, output)
    assert joined.splits_to_sizes == {'train': 8, 'trainval': 0, 'val': 0}
    assert joined.report == {'splits': {}}
    with pytest.raises(errors.UserError, match='describes forma54k_tryon10k, not forma54k'):
        joining.join(descriptions.load('forma54k'), parts, output)
    with pytest.raises(errors.UserError, match='from another conversion.*--overwrite'):
        joining.join(description, parts[:1], output)
    assert joining.join(description, parts[:1], output, overwrite=True).splits_to_sizes[
        'train'] == 4


def test_shares():
    sizes = TABLE['tryon1k'][:3]
    assert list(split_lists.shares(117, dict(zip(SPLITS, sizes))).values()) == [100, 10, 7]
    assert list(split_lists.shares(3, {'train': 10, 'val': 0}).values()) == [3, 0]
    with pytest.raises(errors.UserError, match='2 pictures are too few'):
        split_lists.shares(2, dict(zip(SPLITS, sizes)))
