"""Random small segmentations, and the metrics by their definitions: sets of pixels, plain loops."""
import collections

import numpy as np

from deeplab.evaluation import panoptic_quality
from deeplab.evaluation import parsing_covering

# num_categories, ignored_label, max_instances_per_category, offset
SETTINGS = (4, 0, 8, 32)


def make_quality(settings=SETTINGS):
    return panoptic_quality.PanopticQuality(*settings)


def make_covering(settings=SETTINGS, normalize=True):
    return parsing_covering.ParsingCovering(*settings, normalize_by_image_size=normalize)


def random_labels(random, settings=SETTINGS, side=8):
    """Returns category and instance of one random image: blocks, or single pixels."""
    categories, _, instances, _ = settings
    height, width = random.randint(1, side + 1, size=2)
    block = random.choice([1, 3, 4])
    shape = (-(-height // block), -(-width // block))

    def grown(values):
        return values.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]

    return (grown(random.randint(0, categories, shape)),
            grown(random.randint(0, random.randint(1, instances + 1), shape)))


def compare_with_themselves(metric, images=20):
    """Gives a metric random images whose prediction is perfect; returns it."""
    random = np.random.RandomState(1)
    for _ in range(images):
        labels = random_labels(random)
        metric.compare_and_accumulate(*(labels + labels))
    return metric


def random_image(random, settings=SETTINGS, side=8):
    """Returns the four arrays of an image whose prediction resembles its ground truth."""
    category, instance = random_labels(random, settings, side)
    predicted = [category.copy(), instance.copy()]
    wrong = random.uniform(size=category.shape) < random.choice([0, 0.1, 0.4, 1])
    predicted[0][wrong] = random.randint(0, settings[0], wrong.sum())
    predicted[1][wrong] = random.randint(0, settings[2], wrong.sum())
    if random.uniform() < 0.3:
        predicted = [np.roll(values, 1, axis=random.randint(2)) for values in predicted]
    return [category, instance] + predicted


def segments(category, instance):
    """Returns {(category, instance): set of pixels}."""
    found = collections.defaultdict(set)
    pairs = zip(np.ravel(category).tolist(), np.ravel(instance).tolist())
    for pixel, key in enumerate(pairs):
        found[key].add(pixel)
    return found


def quality_sums(image, settings=SETTINGS):
    """Returns float64 [4, num_categories]: sum of IoU, TP, FN, FP; ignored label left at 0."""
    categories, ignored_label = settings[:2]
    true, predicted = segments(*image[:2]), segments(*image[2:])
    void = true.get((ignored_label, 0), set())
    ignored = set().union(*(pixels for key, pixels in true.items() if key[0] == ignored_label))
    sums = np.zeros((4, categories))
    matched = set()
    for key, pixels in true.items():
        if key[0] == ignored_label:
            continue
        for other, other_pixels in predicted.items():
            union = (pixels | other_pixels) - (other_pixels & void)
            if other[0] == key[0] and 2 * len(pixels & other_pixels) > len(union):
                matched.update([('true', key), ('predicted', other)])
                sums[:2, key[0]] += len(pixels & other_pixels) / float(len(union)), 1
        sums[2, key[0]] += ('true', key) not in matched
    for key, pixels in predicted.items():
        mostly_ignored = 2 * len(pixels & ignored) > len(pixels)
        if key[0] != ignored_label and ('predicted', key) not in matched and not mostly_ignored:
            sums[3, key[0]] += 1
    return sums


def covering_sums(image, settings=SETTINGS, normalize=True):
    """Returns float64 [2, num_categories]: sum of area * best IoU, sum of areas."""
    categories, ignored_label = settings[:2]
    counted = np.asarray(image[0]) != ignored_label
    image_size = np.size(image[0]) if normalize else 1
    true, predicted = (segments(category[counted], instance[counted])
                       for category, instance in (image[:2], image[2:]))
    sums = np.zeros((2, categories))
    for key, pixels in true.items():
        best = max([len(pixels & other) / float(len(pixels | other))
                    for other_key, other in predicted.items() if other_key[0] == key[0]] or [0])
        sums[:, key[0]] += len(pixels) * best / image_size, len(pixels) / float(image_size)
    return sums


def quality_of(sums, ignored_label=0):
    """Returns (PQ by category, their mean over the categories seen) by the paper's formula."""
    iou, found, missed, false = sums
    values, seen = np.zeros(len(iou)), []
    for category in range(len(iou)):
        denominator = found[category] + 0.5 * (missed[category] + false[category])
        if denominator and category != ignored_label:
            values[category] = iou[category] / denominator
            seen.append(values[category])
    return values, (float(np.mean(seen)) if seen else 0.0)
