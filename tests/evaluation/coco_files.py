"""Writes small panoptic data sets in COCO's format, and scores them by COCO's own rules."""
import collections
import json

import numpy as np
from PIL import Image

CATEGORIES = [{'id': 1, 'name': 'person', 'isthing': 1}, {'id': 2, 'name': 'car', 'isthing': 1},
              {'id': 4, 'name': 'sky', 'isthing': 0}]


def annotation(image_id, segments):
    """Returns an entry of the JSON; `segments` is {id: category} or {id: (category, iscrowd)}."""
    listed = []
    for key, value in sorted(segments.items()):
        category, crowd = value if isinstance(value, tuple) else (value, 0)
        listed.append({'id': key, 'category_id': category, 'iscrowd': crowd})
    return {'image_id': image_id, 'file_name': '{:04d}.png'.format(image_id),
            'segments_info': listed}


def write_ids(path, ids):
    """Writes segment ids `[height, width]` as COCO does: red + 256 green + 256^2 blue."""
    ids = np.asarray(ids)
    Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1)
                    .astype(np.uint8)).save(str(path))


def write(folder, name, images, categories=CATEGORIES):
    """Writes <name>.json and the folder <name>; `images` is {image_id: (ids, segments)}."""
    (folder / name).mkdir(parents=True)
    for image_id, (ids, _) in images.items():
        write_ids(folder / name / '{:04d}.png'.format(image_id), ids)
    content = {'annotations': [annotation(image_id, segments)
                               for image_id, (_, segments) in sorted(images.items())]}
    if categories is not None:
        content['categories'] = categories
    (folder / (name + '.json')).write_text(json.dumps(content))
    return str(folder / (name + '.json'))


def random_segments(random, crowds, side=12):
    """Returns (ids, {id: (category, iscrowd)}) of a random image."""
    blocks = random.randint(0, 7, (4, 4)).repeat(3, axis=0).repeat(3, axis=1)[:side, :side]
    noisy = random.uniform(size=blocks.shape) < 0.1
    blocks[noisy] = random.randint(0, 7, noisy.sum())
    names = np.append(0, 7 * random.randint(1, 2 ** 24 // 7 - 6, 6) + np.arange(6))
    ids = names[blocks]
    # Of each category one segment at most is a crowd, as COCO prescribes.
    left = {1, 2} if crowds else set()
    segments = {}
    for key in np.unique(ids[ids > 0]).tolist():
        category = int(random.choice([1, 2, 4]))
        crowd = category in left and random.uniform() < 0.6
        left -= {category} if crowd else set()
        segments[key] = (category, int(crowd))
    return ids, segments


def perturbed(random, ids, segments):
    """Returns a prediction that resembles the ground truth, without crowds."""
    ids = ids.copy()
    wrong = random.uniform(size=ids.shape) < random.choice([0, 0.1, 0.3])
    ids[wrong] = random.choice([0] + sorted(segments), wrong.sum())
    if random.uniform() < 0.3:
        ids = np.roll(ids, 1, axis=0)
    return ids, {key: int(random.choice([1, 2, 4])) if random.uniform() < 0.2
                 else segments[key][0] for key in np.unique(ids[ids > 0]).tolist()}


def coco_quality(pairs):
    """Returns {category: [sum of IoU, TP, FP, FN]} by the rules of COCO's evaluation.

    Void is id 0. A crowd is matched with nothing and missed by nobody. A prediction without a match
    is no error when more than half of it lies in void or in a crowd of its category.
    """
    sums = collections.defaultdict(lambda: [0., 0, 0, 0])
    for (true_ids, true_segments), (predicted_ids, predicted_segments) in pairs:
        area = collections.Counter(zip(true_ids.ravel().tolist(), predicted_ids.ravel().tolist()))
        true_area = collections.Counter(true_ids.ravel().tolist())
        predicted_area = collections.Counter(predicted_ids.ravel().tolist())
        matched = set()
        for true, (category, crowd) in true_segments.items():
            for predicted, predicted_category in predicted_segments.items():
                shared = area[true, predicted]
                union = (true_area[true] + predicted_area[predicted] - shared
                         - area[0, predicted])
                if not crowd and category == predicted_category and shared > 0.5 * union:
                    sums[category][0] += shared / float(union)
                    sums[category][1] += 1
                    matched |= {(0, true), (1, predicted)}
            if not crowd and (0, true) not in matched:
                sums[category][3] += 1
        for predicted, category in predicted_segments.items():
            excused = area[0, predicted] + sum(
                area[true, predicted] for true, (other, crowd) in true_segments.items()
                if crowd and other == category)
            if (1, predicted) not in matched and excused <= 0.5 * predicted_area[predicted]:
                sums[category][2] += 1
    return sums
