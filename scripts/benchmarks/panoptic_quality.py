r"""Times panoptic quality against a transcription that makes a mask of every segment.

    python scripts/benchmarks/panoptic_quality.py           # 4 images of 512 x 1024, seconds
    python scripts/benchmarks/panoptic_quality.py --full    # 200 images of 1024 x 2048, minutes

Both get the same synthetic images one after the other, and must find the same number. Times are of
the CPU; both use one core. The ratio is what counts: seconds depend on the machine.
"""
import time

from absl import flags
import numpy as np
from tqdm import tqdm

from deeplab import cli
from deeplab.evaluation import panoptic_quality

FLAGS = flags.FLAGS

_CATEGORIES = 20
_IGNORED = 0
_MAX_INSTANCES = 256
_SCENES = 4


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_bool('full', False, '200 images of 1024 x 2048, whatever the other flags say.')
    flags.DEFINE_integer('images', 4, 'Number of images.', lower_bound=1)
    flags.DEFINE_integer('height', 512, 'Height of the images.', lower_bound=8)
    flags.DEFINE_integer('width', 1024, 'Width of the images.', lower_bound=8)
    flags.DEFINE_integer('segments', 60, 'Segments in each image.', lower_bound=1)
    flags.DEFINE_float('noise', 0.0, 'Share of predicted pixels that get another segment at '
                       'random. 0 is what networks give; much noise is the worst case, as it '
                       'leaves no runs of equal pixels.', lower_bound=0, upper_bound=1)


def _cells(random, height, width, segments):
    """Returns int32 `[height, width]`: for each pixel the nearest of `segments` random points."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    nearest = np.full((height, width), np.inf, np.float32)
    cells = np.zeros((height, width), np.int32)
    for segment in range(segments):
        row, column = random.uniform(size=2) * (height, width)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        closer = distance < nearest
        cells[closer] = segment
        nearest[closer] = distance[closer]
    return cells


def _make_image(random, cells, segments, noise):
    """Returns the four arrays of an image: cells, and the same moved and partly renamed."""
    category = random.randint(0, _CATEGORIES, segments)
    predicted_category = np.where(random.uniform(size=segments) < 0.1,
                                  random.randint(0, _CATEGORIES, segments), category)
    instance = np.arange(segments)
    cells = np.roll(cells, random.randint(cells.shape[1]), axis=1)
    predicted = np.roll(cells, random.randint(1, 9), axis=random.randint(2))
    noisy = random.uniform(size=cells.shape) < noise
    predicted[noisy] = random.randint(0, segments, noisy.sum())
    return (category[cells], instance[cells], predicted_category[predicted], instance[predicted])


def _union(mask, other, void):
    return np.count_nonzero((mask | other) & ~(other & void))


def _count_with_masks(sums, true_category, true_instance, predicted_category, predicted_instance):
    """Adds [sum of IoU, TP, FN, FP] by category, with a boolean mask for each segment."""
    true = true_category * _MAX_INSTANCES + true_instance
    predicted = predicted_category * _MAX_INSTANCES + predicted_instance
    void = true == _IGNORED * _MAX_INSTANCES
    ignored = true_category == _IGNORED
    matched = set()
    for true_id in np.unique(true):
        category = true_id // _MAX_INSTANCES
        if category == _IGNORED:
            continue
        mask = true == true_id
        found = False
        # Only segments that it meets are looked at: all pairs would be slower still.
        for predicted_id in np.unique(predicted[mask]):
            if predicted_id // _MAX_INSTANCES != category:
                continue
            other = predicted == predicted_id
            iou = np.count_nonzero(mask & other) / float(_union(mask, other, void))
            if iou > 0.5:
                sums[:2, category] += iou, 1
                matched.add(predicted_id)
                found = True
        sums[2, category] += not found
    for predicted_id in np.unique(predicted):
        other = predicted == predicted_id
        if predicted_id not in matched and 2 * np.count_nonzero(other & ignored) <= other.sum():
            sums[3, predicted_id // _MAX_INSTANCES] += 1


def _mean_quality(sums):
    iou, found, missed, false = np.delete(sums, _IGNORED, axis=1)
    seen = found + missed + false > 0
    return np.mean(iou[seen] / (found + 0.5 * (missed + false))[seen])


def compare(images, height, width, segments, noise):
    """Returns (seconds with masks, seconds here, result with masks, result here)."""
    random = np.random.RandomState(0)
    scenes = [_cells(random, height, width, segments) for _ in range(min(images, _SCENES))]
    metric = panoptic_quality.PanopticQuality(_CATEGORIES, _IGNORED, _MAX_INSTANCES,
                                              _CATEGORIES * _MAX_INSTANCES)
    sums = np.zeros((4, _CATEGORIES))
    seconds = [0.0, 0.0]
    for number in tqdm(range(images), unit='image', disable=None):
        image = _make_image(random, scenes[number % len(scenes)], segments, noise)
        for position, function in enumerate((
                lambda *arrays: _count_with_masks(sums, *arrays), metric.compare_and_accumulate)):
            begin = time.process_time()
            function(*image)
            seconds[position] += time.process_time() - begin
    return seconds[0], seconds[1], _mean_quality(sums), metric.result()


def main(_):
    images, height, width, segments = FLAGS.images, FLAGS.height, FLAGS.width, FLAGS.segments
    if FLAGS.full:
        images, height, width, segments = 200, 1024, 2048, 60
    masks, ours, expected, result = compare(images, height, width, segments, FLAGS.noise)
    print('{} images of {} x {} with {} segments, {:.0%} noise'.format(
        images, height, width, segments, FLAGS.noise))
    print('  a mask a segment  {:9.2f} s {:10.1f} ms/image  PQ {:.6f}'.format(
        masks, 1e3 * masks / images, expected))
    print('  PanopticQuality   {:9.2f} s {:10.1f} ms/image  PQ {:.6f}'.format(
        ours, 1e3 * ours / images, result))
    print('  ratio             {:9.1f}'.format(masks / ours))
    if abs(expected - result) > 1e-9:
        print('the two differ')
        return 1
    return 0


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
