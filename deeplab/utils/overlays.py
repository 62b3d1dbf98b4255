"""Pictures made of an image and its labels: overlay, error map, legend.

Images are uint8 RGB `[height, width, 3]`, labels integers `[height, width]`, palettes uint8
`[256, 3]` (see `get_dataset_colormap.full_palette`).
"""
import functools
import os

import matplotlib
import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

_EDGE_COLOR = (255, 255, 255)
# Red on a picture in grey: readable whatever the classes' colours, and in print.
_WRONG_COLOR = (230, 30, 40)
_IGNORED_COLOR = (70, 90, 130)

_LEGEND_TEXT_COLOR = (20, 20, 20)
_LEGEND_ROW = 22
_LEGEND_SWATCH = (34, 16)
_LEGEND_MARGIN = 8
_LEGEND_MAX_ROWS = 30


def _check_sizes(image, *label_images):
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError('Argument `image` must be uint8 [height, width, 3]. Received instead {} '
                         '{}.'.format(image.dtype, image.shape))
    for labels in label_images:
        if np.shape(labels) != image.shape[:2]:
            raise ValueError('An image of {} and labels of {} do not lie on each other.'.format(
                image.shape[:2], np.shape(labels)))


def label_edges(labels) -> np.ndarray:
    """Returns a bool image, true where the right or the lower neighbour has another label."""
    labels = np.asarray(labels)
    edges = np.zeros(labels.shape, dtype=bool)
    edges[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edges[:-1] |= labels[1:] != labels[:-1]
    return edges


def overlay(image, labels, palette, opacity=0.55, with_edges=True) -> np.ndarray:
    """Lays the colours of the labels over the image.

    Args:
      image: uint8 `[height, width, 3]`.
      labels: integers in 0..255, `[height, width]`.
      palette: uint8 `[256, 3]`.
      opacity: 0 shows the image alone, 1 the colours alone.
      with_edges: draw white lines where the label changes.

    Returns:
      uint8 `[height, width, 3]`.
    """
    _check_sizes(image, labels)
    # One table a label, scaled beforehand, leaves one addition a pixel in 16 bits.
    weight = int(round(256 * opacity))
    colors = (np.asarray(palette, dtype=np.uint16) * weight)[labels]
    mixed = ((np.asarray(image, dtype=np.uint16) * (256 - weight) + colors) >> 8).astype(np.uint8)
    if with_edges:
        mixed[label_edges(labels)] = _EDGE_COLOR
    return mixed


def error_map(image, labels, predictions, ignore_label=None) -> np.ndarray:
    """Shows where a prediction is wrong: red there, blue where ignored, elsewhere the grey image.

    Args:
      image: uint8 `[height, width, 3]`.
      labels: true labels `[height, width]`.
      predictions: predicted labels `[height, width]`.
      ignore_label: label of the pixels that do not count, or None.

    Returns:
      uint8 `[height, width, 3]`.
    """
    _check_sizes(image, labels, predictions)
    grey = np.asarray(Image.fromarray(image).convert('L'), dtype=np.uint16)
    # Lifted towards white, so that a dark photograph does not swallow the red.
    result = np.repeat((110 + grey * 145 // 255).astype(np.uint8)[..., None], 3, axis=2)
    result[np.asarray(labels) != predictions] = _WRONG_COLOR
    if ignore_label is not None:
        result[np.asarray(labels) == ignore_label] = _IGNORED_COLOR
    return result


@functools.lru_cache(maxsize=None)
def _font(size):
    # The font that matplotlib brings along: the same text on every machine.
    return ImageFont.truetype(
        os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size)


def legend(class_names, palette, shares=None) -> np.ndarray:
    """Draws the colours of the classes with their names, in as many columns as needed.

    Args:
      class_names: names in label order, or a dict from label to name.
      palette: uint8 `[256, 3]`.
      shares: optional dict from label to a share in 0..1, written behind the name.

    Returns:
      uint8 `[height, width, 3]`.
    """
    names = dict(class_names) if isinstance(class_names, dict) else dict(enumerate(class_names))
    texts = [(label, name if shares is None else '{}  {:.1%}'.format(name, shares.get(label, 0)))
             for label, name in sorted(names.items())]
    font = _font(13)
    columns = [texts[start:start + _LEGEND_MAX_ROWS]
               for start in range(0, len(texts), _LEGEND_MAX_ROWS)]
    text_left = _LEGEND_MARGIN + _LEGEND_SWATCH[0] + _LEGEND_MARGIN
    widths = [text_left + max(int(font.getlength(text)) for _, text in column) + _LEGEND_MARGIN
              for column in columns]
    rows = max([len(column) for column in columns] or [0])
    picture = Image.new('RGB', (max(sum(widths), 1), rows * _LEGEND_ROW + 2 * _LEGEND_MARGIN),
                        'white')
    draw = ImageDraw.Draw(picture)
    left = 0
    for column, width in zip(columns, widths):
        for row, (label, text) in enumerate(column):
            top = _LEGEND_MARGIN + row * _LEGEND_ROW
            corner = (left + _LEGEND_MARGIN, top + 3)
            draw.rectangle([corner, (corner[0] + _LEGEND_SWATCH[0], corner[1] + _LEGEND_SWATCH[1])],
                           fill=tuple(int(level) for level in palette[label]), outline=(90, 90, 90))
            draw.text((left + text_left, top + 3), text, fill=_LEGEND_TEXT_COLOR, font=font)
        left += width
    return np.array(picture)
