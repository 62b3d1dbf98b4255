"""Looking into records: what they hold, counted, and as pictures one can check by eye."""
import io

import numpy as np
from PIL import Image
from PIL import ImageDraw
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import names
from deeplab.datasets import conversion_workers
from deeplab.datasets import data_generator
from deeplab.datasets import dataset_report
from deeplab.datasets import records
from deeplab.utils import overlays

_CELL_HEIGHT = 200
_CAPTION_HEIGHT = 16
_GAP = 6
_SHEET_WIDTH = 1500
_BACKGROUND = (250, 250, 250)
_INK = (20, 20, 20)


def _decode(encoded, where):
    try:
        picture = Image.open(io.BytesIO(encoded))
        picture.load()
        return picture
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise errors.UserError('{} cannot be decoded ({}).'.format(where, error))


def _decode_label(record, path):
    if not record.label:
        return None
    return np.asarray(_decode(record.label, 'The label of {} in {}'.format(record.name, path)))


def shard_statistics(path: str) -> dataset_report.SplitStatistics:
    """Counts the pictures of one shard; only the labels are decoded.

    Raises:
        UserError: a damaged record or a label that cannot be decoded.
    """
    statistics = dataset_report.SplitStatistics()
    for record in records.read(path):
        label = _decode_label(record, path)
        histogram = None if label is None else np.bincount(label.ravel(), minlength=256)
        statistics.add(record.height, record.width, histogram)
    return statistics


def split_statistics(shards: list, num_workers: int = 0) -> dataset_report.SplitStatistics:
    """Counts the pictures of several shards, each shard in a process of its own."""
    total = dataset_report.SplitStatistics()
    for statistics in conversion_workers.ordered_map(shard_statistics, shards, num_workers):
        total.merge(statistics)
    return total


def labels_out_of_range(statistics, num_classes: int, ignore_label: int) -> dict:
    """Returns label -> pixels for labels that are neither a class nor ignored."""
    return {int(label): int(statistics.pixels[label])
            for label in np.nonzero(statistics.pixels)[0]
            if label >= num_classes and label != ignore_label}


def pick_records(shards: list, count: int) -> list:
    """Returns up to `count` records, evenly spread over the shards.

    Returns:
        list of (image uint8 `[height, width, 3]`, label uint8 `[height, width]` or None, name).
    """
    sizes = [records.count_records([shard]) for shard in shards]
    total = sum(sizes)
    wanted = sorted({index * total // min(count, total) for index in range(min(count, total))})
    picked, first = [], 0
    for shard, size in zip(shards, sizes):
        inside = {number - first for number in wanted if first <= number < first + size}
        if inside:
            picked += [_pixels(record, shard) for index, record in enumerate(records.read(shard))
                       if index in inside]
        first += size
    return picked


def _pixels(record, path):
    image = _decode(record.image, 'The image of {} in {}'.format(record.name, path))
    return np.array(image.convert('RGB')), _decode_label(record, path), record.name


def pick_training_samples(dataset: data_generator.Dataset, count: int) -> list:
    """Returns what training sees: `count` samples of a training Dataset of batch size 1.

    Returns:
        list of (image uint8 `[crop_height, crop_width, 3]`, label uint8 `[crop_height,
        crop_width]`, name).
    """
    with tf.Graph().as_default():
        sample = dataset.get_one_shot_iterator().get_next()
        fetches = [sample[key] for key in (names.IMAGE, names.LABEL, names.IMAGE_NAME)]
        with tf.Session(config=tf.ConfigProto(device_count={'GPU': 0})) as session:
            try:
                batches = [session.run(fetches) for _ in range(count)]
            except tf.errors.OpError as error:
                raise dataset.translate_error(error)
    return [(np.clip(np.rint(image[0]), 0, 255).astype(np.uint8),
             label[0, :, :, 0].astype(np.uint8), name[0].decode('utf-8', 'replace'))
            for image, label, name in batches]


def contact_sheet(pictures: list, palette, legend=None, title: str = '') -> np.ndarray:
    """Lays pictures with their labels over them out in rows.

    Args:
        pictures: list of (image, label or None, name) as the `pick_` functions return it.
        palette: uint8 `[256, 3]`.
        legend: uint8 `[height, width, 3]` to put below, or None.
        title: a line to put above.

    Returns:
        uint8 `[height, width, 3]`.
    """
    cells = [_cell(image, label, name, palette) for image, label, name in pictures]
    rows = _rows(cells)
    width = max([_row_width(row) for row in rows] + ([] if legend is None else [legend.shape[1]]))
    height = _CAPTION_HEIGHT + 2 * _GAP + len(rows) * (_CELL_HEIGHT + _CAPTION_HEIGHT + _GAP)
    legend_top = height
    height += 0 if legend is None else legend.shape[0]
    sheet = Image.new('RGB', (width, height), _BACKGROUND)
    _write(sheet, (_GAP, _GAP), title)
    top = _CAPTION_HEIGHT + 2 * _GAP
    for row in rows:
        left = _GAP
        for cell in row:
            sheet.paste(cell, (left, top))
            left += cell.width + _GAP
        top += _CELL_HEIGHT + _CAPTION_HEIGHT + _GAP
    if legend is not None:
        sheet.paste(Image.fromarray(legend), (0, legend_top))
    return np.array(sheet)


def _cell(image, label, name, palette):
    """A picture and, beside it, the same with its labels, at the height of a row."""
    shown = [image] if label is None else [image, overlays.overlay(image, label, palette)]
    scale = _CELL_HEIGHT / float(image.shape[0])
    size = max(1, int(round(image.shape[1] * scale))), _CELL_HEIGHT
    # Enlarged pixels stay square: one can count them.
    method = Image.NEAREST if scale > 1 else Image.BILINEAR
    cell = Image.new('RGB', (len(shown) * size[0], _CELL_HEIGHT + _CAPTION_HEIGHT), _BACKGROUND)
    for position, pixels in enumerate(shown):
        cell.paste(Image.fromarray(pixels).resize(size, method), (position * size[0], 0))
    _write(cell, (0, _CELL_HEIGHT), '{}  {}x{}'.format(name, *image.shape[:2]))
    return cell


def _write(picture, corner, text):
    # Pillow's own font knows no other letters.
    plain = text.encode('ascii', 'replace').decode('ascii')
    ImageDraw.Draw(picture).text(corner, plain, fill=_INK)


def _row_width(row):
    return sum(cell.width + _GAP for cell in row) + _GAP


def _rows(cells):
    rows = [[]]
    for cell in cells:
        if rows[-1] and _row_width(rows[-1] + [cell]) > _SHEET_WIDTH:
            rows.append([])
        rows[-1].append(cell)
    return rows
