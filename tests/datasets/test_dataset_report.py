"""The report: counts, weights, and what people read."""
import numpy as np
import pytest

from deeplab import errors
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions


def histogram(**pixels):
    counts = np.zeros(256, np.int64)
    for label, count in pixels.items():
        counts[int(label[1:])] = count
    return counts


def statistics():
    counts = dataset_report.SplitStatistics()
    counts.add(10, 20, histogram(_0=150, _1=40, _255=10))
    counts.add(10, 20, histogram(_0=200))
    counts.add(30, 8, histogram(_0=180, _1=60))
    return counts


def test_statistics_add_up_and_survive_json():
    first, second = statistics(), statistics()
    first.merge(dataset_report.SplitStatistics.from_dict(second.to_dict()))
    assert first.images == 6 and first.unlabelled == 0
    assert first.sizes == {(10, 20): 4, (30, 8): 2}
    assert first.pixels[[0, 1, 2, 255]].tolist() == [1060, 200, 0, 20]
    assert first.images_with[[0, 1, 255]].tolist() == [6, 4, 2]
    assert first.pixels_around[[0, 1]].tolist() == [1280, 880]


def test_weights_are_median_frequency():
    weights = dataset_report.balancing_weights(statistics(), 3, 255)
    often, seldom = 530 / 640, 100 / 440
    median = (often + seldom) / 2
    np.testing.assert_allclose(weights, [median / often, median / seldom, 1], rtol=1e-3)
    assert dataset_report.balancing_weights(statistics(), 3, 0)[:2] == [0, 1]


def test_the_summary_names_what_matters():
    summary = dataset_report.summarize(statistics(), 3, 255, ['bad'])
    assert summary['smallest_size'] == [10, 8] and summary['largest_size'] == [30, 20]
    assert summary['eval_crop_size'] == {'8': [33, 25], '16': [33, 33], '32': [33, 33]}
    assert summary['frequent_sizes'] == [[10, 20, 2], [30, 8, 1]]
    assert summary['pixels_per_class'] == [530, 100, 0] and summary['ignored_pixels'] == 10
    assert summary['classes_never_seen'] == [2] and summary['skipped'] == ['bad']


def test_an_ignored_class_is_not_missed():
    assert dataset_report.summarize(statistics(), 3, 2)['classes_never_seen'] == []


def test_the_report_reads_well():
    description = descriptions.Description('own', {}, 3, class_names=('road', 'car', 'x' * 80))
    unlabelled = dataset_report.SplitStatistics()
    unlabelled.add(5, 6)
    text = dataset_report.format_report({'splits': {
        'train': dataset_report.summarize(statistics(), 3, 255),
        'test': dataset_report.summarize(unlabelled, 3, 255)}}, description)
    lines = text.splitlines()
    assert '10x8 to 30x20' in lines[2] and '33,33' in lines[2]
    assert lines[3].split()[:4] == ['test', '1', '1', '0']
    assert any('road' in line and '84.127' in line for line in lines)
    assert any('never' in line for line in lines)
    assert 'No pixel in train of class 2 (' in text
    assert '--label_weights that balance the classes of train: 0.637' in text
    assert max(len(line) for line in lines[:9]) < 100


def test_weights_are_found_in_the_report():
    summary = dataset_report.summarize(statistics(), 3, 255)
    described = descriptions.Description('own', {'train': 3}, 3, class_names=('road', 'car', 'sky'),
                                         report={'splits': {'train': summary}})
    weights = dataset_report.label_weights_of(described, 'train', 'own', 'data/own')
    assert weights == summary['label_weights']
    table = dataset_report.format_weights(weights, described).splitlines()
    assert table[0].split() == ['class', 'name', 'weight']
    assert table[2].split() == ['0', 'road', str(weights[0])]
    with pytest.raises(errors.UserError) as caught:
        dataset_report.label_weights_of(described, 'val', 'own.json', 'data/own')
    assert str(caught.value).endswith('python scripts/inspect_dataset.py --dataset=own.json '
                                      '--dataset_dir=data/own --splits=val --save_report')
