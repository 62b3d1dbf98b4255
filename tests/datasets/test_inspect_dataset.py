"""What scripts/inspect_dataset.py counts and draws."""
import json

import numpy as np
import pytest
from PIL import Image

from deeplab import errors
from deeplab.datasets import data_generator
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions
from deeplab.datasets import inspection
from deeplab.utils import get_dataset_colormap
from tests.datasets import recipe_runner
from tests.datasets import record_factory

PALETTE = get_dataset_colormap.full_palette('pascal', 255)


def write(folder, split='train', **options):
    shards = record_factory.write_split(folder, split, **options)
    described = descriptions.Description('own', {split: None}, 3, class_names=('a', 'b', 'c'))
    descriptions.save(described, str(folder / 'dataset.json'))
    return shards


def inspect(tmp_path, *arguments, **options):
    command = ['scripts/inspect_dataset.py', '--dataset_dir={}'.format(tmp_path / 'data'),
               '--output_dir={}'.format(tmp_path / 'out'), '--num_workers=1'] + list(arguments)
    if options.get('with_session'):
        return recipe_runner.run_fresh(*command)
    return recipe_runner.run(tmp_path, *command)


def test_counts_what_the_records_hold(tmp_path):
    shards = write(tmp_path / 'data', count=5)
    labels = np.stack([record_factory.picture(index, 20, 30)[1] for index in range(5)])
    for num_workers in (1, 2):
        statistics = inspection.split_statistics(shards, num_workers)
        assert statistics.images == 5 and statistics.sizes == {(20, 30): 5}
        np.testing.assert_array_equal(
            statistics.pixels, np.bincount(labels.ravel(), minlength=256))
    assert inspection.labels_out_of_range(statistics, 3, 255) == {}
    assert inspection.labels_out_of_range(statistics, 2, 255) == {2: int((labels == 2).sum())}


@pytest.mark.parametrize('count, expected', [(3, [0, 2, 4]), (6, range(6)), (50, range(6))])
def test_picks_pictures_spread_over_the_split(tmp_path, count, expected):
    shards = write(tmp_path / 'data', count=6)
    order = [0, 2, 4, 1, 3, 5]   # dealt over two shards
    picked = inspection.pick_records(shards, count)
    assert [name for _, _, name in picked] == [
        'picture{}'.format(order[place]) for place in expected]
    image, label = record_factory.picture(0, 20, 30)
    np.testing.assert_array_equal(picked[0][0], image)
    np.testing.assert_array_equal(picked[0][1], label)


def test_training_samples_are_what_training_sees(tmp_path):
    write(tmp_path / 'data', count=4)
    dataset = data_generator.Dataset(
        str(tmp_path / 'data'), 'train', str(tmp_path / 'data'), batch_size=1, crop_size=[33, 41],
        is_training=True, should_shuffle=True, should_repeat=True, seed=1,
        model_variant='mobilenet_v2')
    samples = inspection.pick_training_samples(dataset, 6)
    assert len(samples) == 6
    for image, label, name in samples:
        assert image.shape == (33, 41, 3) and image.dtype == np.uint8
        assert label.shape == (33, 41) and name.startswith('picture')
        assert (label == 255).mean() > 0.4   # padded from 20 x 30


def test_a_label_that_is_no_picture_is_an_error(tmp_path):
    from deeplab.datasets import tfrecord_file
    path = str(tmp_path / 'train-00000-of-00001.tfrecord')
    example = record_factory.example(0)
    tfrecord_file.write(path, [example.replace(b'IDAT', b'IDXT')])
    with pytest.raises(errors.UserError, match='picture0 in .* cannot be decoded'):
        inspection.pick_records([path], 1)


def test_the_sheet_shows_every_picture_and_the_legend():
    image, label = record_factory.picture(0, 100, 150)
    legend = np.full((30, 80, 3), 7, np.uint8)
    sheet = inspection.contact_sheet([(image, label, 'a')] * 5, PALETTE, legend, 'title')
    assert sheet.dtype == np.uint8 and sheet.shape[1] <= 1500
    np.testing.assert_array_equal(sheet[-30:, :80], legend)
    # An image of 100 x 150 is drawn at 200 x 300, its overlay beside it.
    top, left = 28, 6
    np.testing.assert_array_equal(sheet[top:top + 200:2, left:left + 300:2], image)
    alone = inspection.contact_sheet([(image, None, 'naïve')], PALETTE)
    assert alone.shape[1] < sheet.shape[1]


def test_the_command_writes_report_and_sheets(tmp_path):
    write(tmp_path / 'data', 'train', count=5)
    write(tmp_path / 'data', 'test', count=2, with_label=False)
    result = inspect(tmp_path, '--num_images=3', with_session=True)
    assert result.status == 0, result.stderr
    assert '--label_weights that balance the classes of train' in result.stdout
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'report.json', 'test_pictures.png', 'train_pictures.png', 'train_training.png']
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert report['splits']['train']['images'] == 5
    for name in ('train_pictures', 'train_training', 'test_pictures'):
        assert min(Image.open(str(tmp_path / 'out/{}.png'.format(name))).size) > 100


def test_a_saved_report_holds_label_weights(tmp_path):
    write(tmp_path / 'data', count=2)
    result = inspect(tmp_path, '--splits=train', '--save_report', with_session=True)
    assert result.status == 0, result.stderr
    description = descriptions.load(str(tmp_path / 'data'))
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert description.report == {'splits': report['splits']}
    assert description.class_names == ('a', 'b', 'c')
    weights = dataset_report.label_weights_of(description, 'train', 'own', 'data')
    assert '--label_weights that balance the classes of train: {}'.format(
        ','.join('{:g}'.format(weight) for weight in weights)) in result.stdout


def test_labels_out_of_range_are_pointed_out(tmp_path):
    label = np.zeros((20, 30), np.uint8)
    label[:2, :5] = 9
    write(tmp_path / 'data', count=2, label=label)
    result = inspect(tmp_path)
    assert result.status == 0
    assert ('WARNING: train holds labels that are neither a class (0..2) nor ignored (255): '
            '9 (20 pixels).') in result.stdout


@pytest.mark.parametrize('arguments, message', [
    ((), 'there are no shards in that folder'), (('--splits=val',), "has no split 'val'")])
def test_nothing_to_look_at_is_an_error(tmp_path, arguments, message):
    folder = tmp_path / 'data'
    folder.mkdir()
    descriptions.save(descriptions.Description('own', {'train': None}, 3),
                      str(folder / 'dataset.json'))
    result = inspect(tmp_path, *arguments)
    assert result.status == 1 and message in result.stderr and 'Traceback' not in result.stderr
