r"""Panoptic quality or parsing covering of predictions in COCO's panoptic format.

    python deeplab/evaluation/eval_coco_format.py \
        --gt_json_file=panoptic_val2017.json --gt_folder=panoptic_val2017 \
        --pred_json_file=predictions.json --pred_folder=predictions --num_workers=-1

Prints a table of all categories, things and stuff, in per cent. g3doc/panoptic.md has the format,
the definitions, and how to use the metrics from Python.
"""
import functools
import json
import time

from absl import flags
import numpy as np
from tqdm import tqdm

from deeplab import cli
from deeplab import errors
from deeplab.datasets import conversion_workers
from deeplab.evaluation import coco_panoptic
from deeplab.evaluation import panoptic_quality
from deeplab.evaluation import parsing_covering
from deeplab.utils import image_files

FLAGS = flags.FLAGS
METRICS = ('pq', 'pc')


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('gt_json_file', None, 'COCO panoptic JSON of the ground truth.')
    flags.DEFINE_string('pred_json_file', None, 'COCO panoptic JSON of the predictions.')
    flags.DEFINE_string('gt_folder', None, 'Folder of the PNG files of the ground truth.')
    flags.DEFINE_string('pred_folder', None, 'Folder of the PNG files of the predictions.')
    flags.DEFINE_enum('metric', 'pq', METRICS, 'Panoptic quality or parsing covering.')
    flags.DEFINE_integer('num_categories', 201, 'Number of categories, the ignored one included: '
                         'one more than the largest category id.', lower_bound=1)
    flags.DEFINE_integer('ignored_label', 0, 'Category id left out of the metric; void and crowd '
                         'pixels get it.', lower_bound=0)
    flags.DEFINE_integer('max_instances_per_category', 256, 'More than the segments that a '
                         'category has in any one image.', lower_bound=1)
    flags.DEFINE_integer('intersection_offset', None, 'Taken from commands of the original and '
                         'without effect: no bound is needed to keep intersections apart.',
                         lower_bound=1)
    flags.DEFINE_bool('normalize_by_image_size', True, 'Parsing covering: areas are shares of '
                      'their image instead of pixels.')
    flags.DEFINE_integer('num_workers', 0, 'Worker processes: 0 for none, -1 for one a CPU core.',
                         lower_bound=-1)
    flags.DEFINE_integer('print_digits', 3, 'Decimals of the printed percentages.', lower_bound=0)
    flags.DEFINE_bool('per_category', False, 'Also print a row for every category.')
    flags.DEFINE_string('output_json', None, 'File for the results as JSON.')
    flags.mark_flags_as_required(['gt_json_file', 'pred_json_file', 'gt_folder', 'pred_folder'])


def _build_metric(metric, num_categories, ignored_label, max_instances_per_category,
                  intersection_offset, normalize_by_image_size):
    """Returns an empty metric object."""
    common = (num_categories, ignored_label, max_instances_per_category, intersection_offset)
    if metric == 'pq':
        return panoptic_quality.PanopticQuality(*common)
    if metric == 'pc':
        return parsing_covering.ParsingCovering(
            *common, normalize_by_image_size=normalize_by_image_size)
    raise errors.UserError('Unknown metric {!r}, expected one of {}.{}'.format(
        metric, ', '.join(METRICS), errors.nearest(str(metric), METRICS)))


def _compare_image(make_metric, pair):
    """Returns a metric object that has seen the one image of `pair`."""
    metric = make_metric()
    truth = coco_panoptic.read_labels(pair.truth, metric.ignored_label, crowds_are_ignored=True)
    prediction = coco_panoptic.read_labels(pair.prediction, metric.ignored_label,
                                           crowds_are_ignored=False)
    if truth.category.shape != prediction.category.shape:
        raise errors.UserError('Image {}: {} is {} x {} pixels (height x width), {} is {} x {}. A '
                               'prediction must have the size of its ground truth.'.format(
                                   pair.image_id, pair.truth.png, *(truth.category.shape + (
                                       pair.prediction.png,) + prediction.category.shape)))
    options = {}
    if isinstance(metric, panoptic_quality.PanopticQuality):
        options['crowd_categories'] = truth.crowds
    try:
        metric.compare_and_accumulate(truth.category, truth.instance, prediction.category,
                                      prediction.instance, **options)
    except errors.UserError as error:
        raise errors.UserError('Image {}: {}'.format(pair.image_id, error))
    return metric


def _compare_all(pairs, make_metric, num_workers):
    """Returns the metric object of all images: the same to the last bit for any `num_workers`."""
    total = make_metric()
    # 1 stands for no further process there, 0 for one a core.
    processes = {0: 1, -1: 0}.get(num_workers, num_workers)
    found = conversion_workers.ordered_map(functools.partial(_compare_image, make_metric), pairs,
                                           processes)
    for image_metric in tqdm(found, total=len(pairs), unit='image', disable=None):
        total.merge(image_metric)
    return total


def _is_thing(categories, num_categories):
    """Returns bool `[num_categories]`, or None where a category does not say."""
    if any('isthing' not in category for category in categories.values()):
        return None
    is_thing = np.zeros(num_categories, dtype=bool)
    is_thing[[key for key, category in categories.items()
              if category['isthing'] and key < num_categories]] = True
    return is_thing


def _folder_beside(json_file):
    """COCO's convention: panoptic_val2017.json belongs to the folder panoptic_val2017."""
    return json_file[:-len('.json')] if json_file.endswith('.json') else json_file


def eval_coco_format(gt_json_file, pred_json_file, gt_folder=None, pred_folder=None, metric='pq',
                     num_categories=201, ignored_label=0, max_instances_per_category=256,
                     intersection_offset=None, normalize_by_image_size=True, num_workers=0,
                     print_digits=3, per_category=False, output_json=None) -> dict:
    """Compares predictions with their ground truth, prints a table and returns its numbers.

    Args:
      gt_json_file: COCO panoptic JSON of the ground truth; its images are the ones compared.
      pred_json_file: the same of the predictions; further images in it are left aside.
      gt_folder: folder of the PNG files; None for the JSON's path without .json.
      pred_folder: the same for the predictions.
      metric: 'pq' (panoptic quality) or 'pc' (parsing covering).
      num_categories: one more than the largest category id.
      ignored_label: category id left out.
      max_instances_per_category: more than the segments of a category in any one image.
      intersection_offset: without effect on the results.
      normalize_by_image_size: of parsing covering.
      num_workers: worker processes, 0 for none, -1 for one a core. The results do not depend on it.
      print_digits: decimals of the percentages printed.
      per_category: also print a row for every category.
      output_json: file to write the results to, or None.

    Returns:
      `SegmentationMetric.detailed_results`: {'All': {...}, 'Things': {...}, 'Stuff': {...}}.

    Raises:
      UserError: a file or folder is missing or unreadable, or the two sides do not fit together.
    """
    truth_source = coco_panoptic.Source(gt_json_file, gt_folder or _folder_beside(gt_json_file),
                                        'gt')
    prediction_source = coco_panoptic.Source(
        pred_json_file, pred_folder or _folder_beside(pred_json_file), 'pred')
    make_metric = functools.partial(
        _build_metric, metric, num_categories, ignored_label, max_instances_per_category,
        intersection_offset or num_categories * max_instances_per_category,
        normalize_by_image_size)
    make_metric()  # Complains about wrong settings before anything is read.

    truth, prediction = truth_source.read_json(), prediction_source.read_json()
    categories = coco_panoptic.read_categories(truth, prediction, truth_source, prediction_source)
    for content, source in ((truth, truth_source), (prediction, prediction_source)):
        coco_panoptic.check_segments(content, source, categories, num_categories)
        source.check_folder()
    pairs = coco_panoptic.match_images(truth, prediction, truth_source, prediction_source)

    begin = time.time()
    total = _compare_all(pairs, make_metric, num_workers)
    print('{} images compared in {:.1f} s'.format(len(pairs), time.time() - begin))
    is_thing = _is_thing(categories, num_categories)
    total.print_detailed_results(is_thing=is_thing, print_digits=print_digits)
    if per_category:
        print()
        total.print_results_by_category(
            {key: category.get('name', '') for key, category in categories.items()}, print_digits)
    results = total.detailed_results(is_thing=is_thing)
    if output_json:
        image_files.write_text(output_json, json.dumps(
            {'metric': metric, 'images': len(pairs), 'results': results,
             'categories': total.results_by_category()}, indent=2) + '\n')
    return results


def main(_):
    eval_coco_format(
        FLAGS.gt_json_file, FLAGS.pred_json_file, FLAGS.gt_folder, FLAGS.pred_folder,
        metric=FLAGS.metric, num_categories=FLAGS.num_categories,
        ignored_label=FLAGS.ignored_label,
        max_instances_per_category=FLAGS.max_instances_per_category,
        intersection_offset=FLAGS.intersection_offset,
        normalize_by_image_size=FLAGS.normalize_by_image_size, num_workers=FLAGS.num_workers,
        print_digits=FLAGS.print_digits, per_category=FLAGS.per_category,
        output_json=FLAGS.output_json)


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
