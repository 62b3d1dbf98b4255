"""Reads panoptic segmentations in COCO's format: a JSON file and a folder of PNG files.

The JSON lists categories and, for each image, its segments; the PNG gives each pixel the id of its
segment as red + 256 * green + 256^2 * blue. Id 0 is void. See "Panoptic Segmentation" at
https://cocodataset.org/#format-data.
"""
import collections
import json
import os

import numpy as np
from PIL import Image

from deeplab import errors
from deeplab.evaluation import segment_overlaps

VOID_ID = 0

# One side of the comparison of one image.
Annotation = collections.namedtuple('Annotation', ['png', 'segments', 'side'])
Pair = collections.namedtuple('Pair', ['image_id', 'truth', 'prediction'])

# category, instance: int64 [height, width]. crowds: {instance: category} of the crowd segments,
# which have the ignored label as their category.
Labels = collections.namedtuple('Labels', ['category', 'instance', 'crowds'])


class Source(collections.namedtuple('Source', ['json_file', 'folder', 'side'])):
    """Where the ground truth (side 'gt') or the predictions (side 'pred') are."""

    @property
    def json_flag(self):
        """The flag and its value, for messages."""
        return '--{}_json_file={}'.format(self.side, self.json_file)

    def read_json(self) -> dict:
        """Returns the content of the JSON file.

        Raises:
          UserError: it is missing, cannot be read, or has no list of annotations by image.
        """
        try:
            with open(self.json_file, encoding='utf-8') as stream:
                content = json.load(stream)
        except FileNotFoundError:
            raise errors.UserError('{}: there is no such file.'.format(self.json_flag))
        except (OSError, ValueError) as error:
            raise errors.UserError('{}: not readable as JSON ({}).'.format(self.json_flag, error))
        self._check_layout(content)
        return content

    def _check_layout(self, content):
        annotations = content.get('annotations') if isinstance(content, dict) else None
        if not isinstance(annotations, list) or not annotations:
            raise errors.UserError('{}: expected an object with a non-empty list "annotations".'
                                   .format(self.json_flag))
        for annotation in annotations:
            absent = [key for key in ('image_id', 'file_name', 'segments_info')
                      if key not in annotation]
            if absent:
                raise errors.UserError(
                    '{}: an annotation has no "{}". COCO\'s panoptic format is expected, one entry '
                    'an image with its segments_info; the detection format has one an object.'
                    .format(self.json_flag, absent[0]))
        repeated = _repeated(annotation['image_id'] for annotation in annotations)
        if repeated:
            raise errors.UserError('{}: image_id {} has more than one annotation.'.format(
                self.json_flag, repeated[0]))

    def check_folder(self) -> None:
        """Raises UserError unless the folder of PNG files exists."""
        if not os.path.isdir(self.folder):
            raise errors.UserError('--{}_folder={}: there is no such folder; it should hold the '
                                   'PNG files that {} names.'.format(self.side, self.folder,
                                                                     self.json_file))

    def annotation(self, entry: dict) -> Annotation:
        """Returns where one image's segments are found."""
        return Annotation(os.path.join(self.folder, entry['file_name']), entry['segments_info'],
                          self.side)


def _repeated(values):
    return [value for value, count in collections.Counter(values).items() if count > 1]


def _categories_by_id(content, source):
    try:
        return {category['id']: category for category in content['categories']}
    except (KeyError, TypeError):
        raise errors.UserError('{}: expected a list "categories" whose entries have an "id".'
                               .format(source.json_flag))


def read_categories(truth: dict, prediction: dict, truth_source: Source,
                    prediction_source: Source) -> dict:
    """Returns {id: category entry} of the ground truth, checked against the predictions'.

    Predictions may come without a list of categories, as COCO's own tools accept.

    Raises:
      UserError: the ground truth has no categories, or the two files differ in ids or names.
    """
    categories = _categories_by_id(truth, truth_source)
    if not prediction.get('categories'):
        return categories
    others = _categories_by_id(prediction, prediction_source)
    differences = ['{} is {} in the ground truth and {} in the predictions'.format(
        key, *(_title(side.get(key)) for side in (categories, others)))
                   for key in sorted(set(categories) | set(others))
                   if _title(categories.get(key)) != _title(others.get(key))]
    if differences:
        raise errors.UserError(
            'The categories of {} and {} differ: {}{}. Both must mean the same by an id.'.format(
                truth_source.json_flag, prediction_source.json_flag, '; '.join(differences[:3]),
                ' (and {} more)'.format(len(differences) - 3) if len(differences) > 3 else ''))
    return categories


def _title(category):
    return 'absent' if category is None else repr(category.get('name', ''))


def check_segments(content: dict, source: Source, categories: dict, num_categories: int) -> None:
    """Raises UserError for a segment whose category is unknown or beyond `num_categories`."""
    for annotation in content['annotations']:
        for segment in annotation['segments_info']:
            category = segment.get('category_id')
            if category not in categories:
                raise errors.UserError('{}: a segment of image {} has the category_id {}, which '
                                       'the ground truth\'s categories do not list.'.format(
                                           source.json_flag, annotation['image_id'], category))
            if not 0 <= category < num_categories:
                raise errors.UserError('{}: a segment of image {} has the category_id {}; '
                                       '--num_categories={} allows 0 to {}. Raise it.'.format(
                                           source.json_flag, annotation['image_id'], category,
                                           num_categories, num_categories - 1))


def match_images(truth: dict, prediction: dict, truth_source: Source,
                 prediction_source: Source) -> list:
    """Returns a `Pair` for every image of the ground truth, in its order.

    Raises:
      UserError: an image has no prediction.
    """
    predicted = {entry['image_id']: entry for entry in prediction['annotations']}
    absent = [entry['image_id'] for entry in truth['annotations']
              if entry['image_id'] not in predicted]
    if absent:
        raise errors.UserError('{}: no prediction for {} of {} images, the first of them image_id '
                               '{}. An image without any segment still needs an entry.'.format(
                                   prediction_source.json_flag, len(absent),
                                   len(truth['annotations']), absent[0]))
    return [Pair(entry['image_id'], truth_source.annotation(entry),
                 prediction_source.annotation(predicted[entry['image_id']]))
            for entry in truth['annotations']]


def read_ids(annotation: Annotation) -> np.ndarray:
    """Returns the segment id of every pixel: int32 `[height, width]`, 0 to 2^24 - 1.

    Raises:
      UserError: the PNG is missing, unreadable, or not in colour.
    """
    try:
        with Image.open(annotation.png) as picture:
            mode, pixels = picture.mode, np.array(picture)
    except FileNotFoundError:
        raise errors.UserError('{}: the PNG that --{}_json_file names does not exist. Check '
                               '--{}_folder.'.format(annotation.png, annotation.side,
                                                     annotation.side))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise errors.UserError('{}: not a readable picture ({}).'.format(annotation.png, error))
    if mode not in ('RGB', 'RGBA'):
        raise errors.UserError('{}: expected an RGB PNG of segment ids, got mode {}.'.format(
            annotation.png, mode))
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    return red + (green << 8) + (blue << 16)


def _number_segments(segments, ignored_label, crowds_are_ignored):
    """Returns ({segment id: (category, instance)}, {instance: category} of crowds)."""
    # Instance 0 of the ignored label is void, and stays so.
    next_instance = collections.Counter({ignored_label: 1})
    labels, crowds = {VOID_ID: (ignored_label, 0)}, {}
    for segment in segments:
        category = segment['category_id']
        if crowds_are_ignored and segment.get('iscrowd'):
            crowds[next_instance[ignored_label]] = category
            category = ignored_label
        labels[segment['id']] = (category, next_instance[category])
        next_instance[category] += 1
    return labels, crowds


def _check_ids(annotation, found):
    """Raises UserError unless the PNG and the JSON hold the same segments, void apart."""
    listed = [segment['id'] for segment in annotation.segments]
    for wrong, complaint in (
            (_repeated(listed), 'segments_info lists the id {} more than once'),
            ([VOID_ID] if VOID_ID in listed else [],
             'segments_info lists the id {}, which is void'),
            (sorted(set(found) - set(listed) - {VOID_ID}),
             'the PNG holds the id {}, which segments_info does not list'),
            (sorted(set(listed) - set(found)),
             'segments_info lists the id {}, which has no pixel in the PNG')):
        if wrong:
            raise errors.UserError('{}: {}. The PNG and --{}_json_file must agree.'.format(
                annotation.png, complaint.format(wrong[0]), annotation.side))


def read_labels(annotation: Annotation, ignored_label: int, crowds_are_ignored: bool) -> Labels:
    """Reads one side of an image as categories and instances.

    Args:
      annotation: which PNG, and what its ids mean.
      ignored_label: category given to void and to crowds.
      crowds_are_ignored: True for the ground truth, whose crowd segments are regions where objects
        could not be told apart. Predictions have none.

    Raises:
      UserError: the PNG cannot be read or does not agree with its segments.
    """
    ids = read_ids(annotation)
    starts = segment_overlaps.run_starts(ids)
    present, position = np.unique(ids.reshape(-1)[starts], return_inverse=True)
    _check_ids(annotation, present.tolist())
    labels, crowds = _number_segments(annotation.segments, ignored_label, crowds_are_ignored)
    of_present = np.array([labels[key] for key in present.tolist()], dtype=np.int64)
    per_run = of_present.reshape(-1, 2)[position]
    pixels = np.repeat(per_run, segment_overlaps.run_lengths(starts, ids.size), axis=0)
    category, instance = pixels.T.reshape((2,) + ids.shape)
    return Labels(category, instance, crowds)
