"""Tests of deeplab.evaluation.eval_coco_format."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deeplab import errors
from deeplab.evaluation import eval_coco_format
from tests import shared_data
from tests.evaluation import coco_files

TRUTH = {1: ([[300, 300, 70000], [5, 5, 0]], {300: 1, 70000: 2, 5: 4}),
         2: ([[9, 9], [9, 9]], {9: 4})}


def evaluate(folder, truth='truth', prediction='prediction', **options):
    return eval_coco_format.eval_coco_format(
        str(folder / (truth + '.json')), str(folder / (prediction + '.json')),
        **dict(dict(num_categories=5), **options))


def random_pairs(count, crowds=True):
    random = np.random.RandomState(count)
    truths = [coco_files.random_segments(random, crowds) for _ in range(count)]
    return [(truth, coco_files.perturbed(random, *truth)) for truth in truths]


def write_pairs(folder, pairs):
    for name, side in (('truth', 0), ('prediction', 1)):
        coco_files.write(folder, name, {number: pair[side] for number, pair in enumerate(pairs)})


@pytest.fixture(name='work')
def _work(tmp_path):
    coco_files.write(tmp_path, 'truth', TRUTH)
    coco_files.write(tmp_path, 'prediction', TRUTH)
    return tmp_path


@pytest.mark.parametrize('crowds', [True, False])
def test_equal_to_the_rules_of_coco_on_random_images(tmp_path, crowds):
    pairs = random_pairs(40, crowds)
    write_pairs(tmp_path, pairs)
    results = evaluate(tmp_path, output_json=str(tmp_path / 'results.json'))
    expected = coco_files.coco_quality(pairs)
    written = json.loads((tmp_path / 'results.json').read_text())
    assert written['images'] == 40 and written['metric'] == 'pq'
    rows = {row['category']: row for row in written['categories']}
    assert sorted(rows) == sorted(expected) == [1, 2, 4]
    qualities = {}
    for category, (iou, found, false, missed) in expected.items():
        assert [rows[category][name] for name in ('tp', 'fp', 'fn')] == [found, false, missed]
        qualities[category] = iou / (found + 0.5 * (false + missed))
        assert rows[category]['pq'] == pytest.approx(qualities[category])
        assert rows[category]['sq'] == pytest.approx(iou / found)
    assert results == written['results']
    assert results['All']['pq'] == pytest.approx(np.mean(list(qualities.values())))
    assert results['Things']['pq'] == pytest.approx(np.mean([qualities[1], qualities[2]]))
    assert results['Stuff'] == {'pq': pytest.approx(qualities[4]), 'n': 1,
                                'sq': rows[4]['sq'], 'rq': rows[4]['rq']}


def test_a_crowd_excuses_predictions_of_its_own_category_only(tmp_path):
    truth = {1: ([[7, 7, 7, 7, 5]], {7: (1, 1), 5: 4})}
    coco_files.write(tmp_path, 'truth', truth)
    for name, category, false in (('same', 1, 0), ('other', 2, 1)):
        coco_files.write(tmp_path, name, {1: ([[8, 8, 0, 0, 5]], {8: category, 5: 4})})
        results = evaluate(tmp_path, prediction=name)
        assert results['All'] == {'pq': 1 / (1. + false), 'sq': 1 / (1. + false),
                                  'rq': 1 / (1. + false), 'n': 1 + false}


@pytest.mark.parametrize('metric', ['pq', 'pc'])
def test_workers_change_nothing(tmp_path, metric):
    write_pairs(tmp_path, random_pairs(11))
    alone = evaluate(tmp_path, metric=metric)
    assert evaluate(tmp_path, metric=metric, num_workers=2) == alone
    assert evaluate(tmp_path, metric=metric, num_workers=1) == alone


def test_parsing_covering(tmp_path):
    # Person: 4 pixels, found as 3 of 3: 3/4. Sky: 2 of 2. The crowd and void are left out.
    coco_files.write(tmp_path, 'truth', {1: (
        [[1, 1, 1, 1], [2, 2, 3, 0]], {1: 1, 2: 4, 3: (1, 1)})})
    coco_files.write(tmp_path, 'prediction', {1: (
        [[6, 6, 6, 0], [8, 8, 6, 8]], {6: 1, 8: 4})})
    results = evaluate(tmp_path, metric='pc')
    assert results == {'All': {'pc': 0.875, 'n': 2}, 'Things': {'pc': 0.75, 'n': 1},
                       'Stuff': {'pc': 1, 'n': 1}}


def test_an_ignored_category_of_the_data_set(work):
    # Sky is ignored: image 2 holds nothing else, image 1 two segments.
    results = evaluate(work, ignored_label=4)
    assert results['All'] == {'pq': 1, 'sq': 1, 'rq': 1, 'n': 2} and results['Stuff']['n'] == 0
    assert evaluate(work, ignored_label=99)['All']['n'] == 3


def test_segments_of_predictions_without_a_list_of_categories(tmp_path, work):
    coco_files.write(tmp_path, 'bare', TRUTH, categories=None)
    assert evaluate(work, prediction='bare')['All']['pq'] == 1
    kinds = [{'id': category['id'], 'name': category['name']}
             for category in coco_files.CATEGORIES]
    coco_files.write(tmp_path, 'plain', TRUTH, categories=kinds)
    assert list(evaluate(work, truth='plain')) == ['All']


def test_further_predictions_are_left_aside(tmp_path, work):
    coco_files.write(tmp_path, 'more', {1: TRUTH[1], 2: TRUTH[2], 3: ([[9]], {9: 1})})
    assert evaluate(work, prediction='more')['All']['pq'] == 1


def changed(folder, name, change):
    path = folder / (name + '.json')
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _set(content, path, value):
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


SEGMENTS = ('annotations', 0, 'segments_info')


@pytest.mark.parametrize('name, path, value, parts', [
    ('prediction', ('categories',), coco_files.CATEGORIES[:2],
     ["categories", "4 is 'sky' in the ground truth and absent in the predictions"]),
    ('prediction', ('categories', 0, 'name'), 'dog', ["1 is 'person'", "'dog'"]),
    ('truth', ('categories',), None, ['--gt_json_file', '"categories"']),
    ('prediction', ('annotations',), [], ['--pred_json_file', 'non-empty list "annotations"']),
    ('prediction', ('annotations', 1, 'image_id'), 8, ['no prediction for 1 of 2', 'image_id 2']),
    ('prediction', ('annotations', 1, 'image_id'), 1, ['image_id 1 has more than one']),
    ('prediction', ('annotations', 0), {'image_id': 1, 'id': 3}, ['no "file_name"', 'detection']),
    ('prediction', SEGMENTS + (0, 'category_id'), 3, ['image 1', 'category_id 3', 'do not list']),
    ('prediction', SEGMENTS + (0, 'id'), 6, ['0001.png', 'the PNG holds the id 5']),
    ('truth', SEGMENTS + (0, 'id'), 300, ['lists the id 300 more than once', '--gt_json_file']),
    ('truth', SEGMENTS + (0, 'id'), 0, ['the id 0, which is void']),
    ('prediction', ('annotations', 1, 'file_name'), 'no.png', ['no.png', '--pred_folder']),
])
def test_a_file_that_does_not_fit_is_one_clear_error(work, name, path, value, parts):
    changed(work, name, lambda content: _set(content, path, value))
    with pytest.raises(errors.UserError) as raised:
        evaluate(work)
    for part in parts:
        assert part in str(raised.value)
    assert '\n' not in str(raised.value)


def test_a_segment_without_pixels_is_an_error(work):
    changed(work, 'prediction', lambda content: content['annotations'][0]['segments_info'].append(
        {'id': 77, 'category_id': 1}))
    with pytest.raises(errors.UserError, match='the id 77, which has no pixel'):
        evaluate(work)


@pytest.mark.parametrize('options, parts', [
    (dict(gt_folder='/no/such'), ['--gt_folder=/no/such', 'no such folder', 'truth.json']),
    (dict(pred_folder='/no/such'), ['--pred_folder=/no/such']),
    (dict(num_categories=4), ['category_id 4', '--num_categories=4', 'Raise it']),
    (dict(num_categories=0), ['num_categories must be 1 or more']),
    (dict(metric='pr'), ["'pr'", 'pq, pc']),
    (dict(prediction='none'), ['none.json', 'no such file']),
])
def test_wrong_settings_are_one_clear_error(work, options, parts):
    with pytest.raises(errors.UserError) as raised:
        evaluate(work, **options)
    for part in parts:
        assert part in str(raised.value)


def test_too_many_instances_are_named(tmp_path):
    ids = np.arange(1, 13).reshape(3, 4)
    images = {5: (ids, {key: 1 for key in ids.ravel().tolist()})}
    coco_files.write(tmp_path, 'truth', images)
    with pytest.raises(errors.UserError, match='Image 5: .*Raise max_instances_per_category'):
        evaluate(tmp_path, prediction='truth', max_instances_per_category=11)
    assert evaluate(tmp_path, prediction='truth', max_instances_per_category=12)['All']['pq'] == 1


def test_unreadable_files_are_named(work):
    png = work / 'prediction' / '0002.png'
    png.write_bytes(b'no picture')
    with pytest.raises(errors.UserError, match='0002.png: not a readable picture'):
        evaluate(work)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(str(png))
    with pytest.raises(errors.UserError, match='0002.png: expected an RGB PNG.*mode L'):
        evaluate(work)
    coco_files.write_ids(png, [[9, 9, 9]])
    with pytest.raises(errors.UserError, match='Image 2: .* is 2 x 2 pixels.*is 1 x 3'):
        evaluate(work)
    png.unlink()
    # The message of a worker is the message of the command.
    for num_workers in (0, 2):
        with pytest.raises(errors.UserError, match='0002.png: the PNG that --pred_json_file names'):
            evaluate(work, num_workers=num_workers)
    (work / 'prediction.json').write_text('{"annotations": [')
    with pytest.raises(errors.UserError, match='prediction.json: not readable as JSON'):
        evaluate(work)


def command(folder, *arguments):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return subprocess.run(
        [sys.executable, 'deeplab/evaluation/eval_coco_format.py',
         '--gt_json_file={}/truth.json'.format(folder), '--gt_folder={}/truth'.format(folder),
         '--pred_folder={}/prediction'.format(folder)] + list(arguments), cwd=root,
        env=dict(os.environ, PYTHONPATH=root), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        universal_newlines=True)


def test_the_command(work):
    done = command(work, '--pred_json_file={}/prediction.json'.format(work), '--num_categories=5',
                   '--print_digits=1', '--per_category', '--num_workers=2')
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:3] == ['2', 'images', 'compared']
    assert ['Things'] + ['100.0'] * 3 + ['2'] in lines
    assert ['4', 'sky'] + ['100.0'] * 3 + ['2', '0', '0'] in lines
    missing = command(work)
    assert missing.returncode == 2 and 'pred_json_file' in missing.stderr
    assert 'Traceback' not in missing.stderr


def sample():
    folder = shared_data.path('data/coco_panoptic_sample')
    return os.path.join(folder, 'panoptic_examples')


@pytest.mark.parametrize('metric', ['pq', 'pc'])
def test_the_sample_against_itself_is_100(metric, capsys):
    json_file = sample() + '.json'
    results = eval_coco_format.eval_coco_format(json_file, json_file, metric=metric)
    assert results['All'][metric] == 1 and results['All']['n'] == 8
    assert results['Things']['n'] == results['Stuff']['n'] == 4
    assert 'All     100.000' in capsys.readouterr().out


def read_ids(path):
    with Image.open(path) as picture:
        return np.array(picture).astype(int).dot([1, 256, 65536])


def test_the_sample_against_a_copy_worked_out_by_hand(tmp_path):
    with open(sample() + '.json') as stream:
        content = json.load(stream)
    (tmp_path / 'copy').mkdir()
    ids = {entry['image_id']: read_ids(os.path.join(sample(), entry['file_name']))
           for entry in content['annotations']}
    first = content['annotations'][0]
    # Of the first image a person is not found, the sky is taken for trees, and the ball for
    # another category.
    person, sky, trees, ball = 3937500, 11829830, 2330219, 16757838
    pixels = ids[first['image_id']]
    pixels[pixels == person] = 0
    pixels[pixels == sky] = trees
    first['segments_info'] = [segment for segment in first['segments_info']
                              if segment['id'] not in (person, sky)]
    next(segment for segment in first['segments_info']
         if segment['id'] == ball)['category_id'] = 38
    for entry in content['annotations']:
        coco_files.write_ids(tmp_path / 'copy' / entry['file_name'], ids[entry['image_id']])
    (tmp_path / 'copy.json').write_text(json.dumps(content))
    results = eval_coco_format.eval_coco_format(sample() + '.json', str(tmp_path / 'copy.json'))

    trees_iou = 130762. / (130762 + 8204)      # areas from the JSON of the ground truth
    things = [25 / 25.5,    # person: 26 in the two images, one missed
              1, 1,         # truck, horse
              0, 0]         # ball missed; its new category is a false positive
    stuff = [1, 1,          # gravel, grass
             (trees_iou + 1) / 2,
             1 / 1.5]       # sky: found in the second image, missed in the first
    assert results['Things']['pq'] == pytest.approx(np.mean(things), rel=1e-12)
    assert results['Stuff']['pq'] == pytest.approx(np.mean(stuff), rel=1e-12)
    assert results['All'] == {
        'pq': pytest.approx(np.mean(things + stuff), rel=1e-12), 'n': 9,
        'sq': pytest.approx((6 + (trees_iou + 1) / 2) / 9, rel=1e-12),
        'rq': pytest.approx((25 / 25.5 + 2 + 2 + 1 + 1 / 1.5) / 9, rel=1e-12)}
