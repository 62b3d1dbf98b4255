"""One HTML page of predictions that works from a file, without a network: sort, filter, look."""
import base64
import json
import threading

import numpy as np
from PIL import Image

from deeplab.evaluation import gallery_page
from deeplab.utils import image_files

FILE_NAME = 'gallery.html'
# Three panels of this width lie side by side on a common screen.
_MAX_SIDE = 480
_PANELS = (('image', 'image'), ('overlay', 'prediction'), ('error', 'errors'),
           ('prediction', 'labels'))
_PANELS_SHOWN = 3


def _thumbnail(picture, is_photograph):
    """Returns a data URI of a picture shrunk to the panel."""
    small = Image.fromarray(picture)
    # Nearest neighbour keeps the colours of classes pure.
    small.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.BICUBIC if is_photograph else Image.NEAREST)
    if is_photograph:
        data = image_files.encode_image(np.array(small), 'JPEG', quality=82)
        return 'data:image/jpeg;base64,' + base64.b64encode(data).decode('ascii')
    data = image_files.encode_image(np.array(small), 'PNG')
    return 'data:image/png;base64,' + base64.b64encode(data).decode('ascii')


class Gallery:
    """Collects pictures with their scores and writes the page; `add` may be called by threads."""

    def __init__(self, class_names, palette):
        """Begins an empty page.

        Args:
          class_names: one name a class.
          palette: uint8 `[256, 3]`.
        """
        self._classes = [{'name': name, 'color': '#%02x%02x%02x' % tuple(palette[label])}
                         for label, name in enumerate(class_names)]
        self._lock = threading.Lock()
        self._images = []

    def add(self, entry: dict, panels: dict) -> None:
        """Adds one picture.

        Args:
          entry: number, name, classes, and where there are labels mean_iou, pixel_accuracy and
            class_iou (see `visualize.Visualizer.draw`).
          panels: {'image', 'prediction', 'overlay', 'error': uint8 `[height, width, 3]`}; the first
            three there are of image, overlay, error, prediction are shown.
        """
        shown = [(kind, title) for kind, title in _PANELS if kind in panels][:_PANELS_SHOWN]
        image = dict(entry, panels=[
            {'title': title, 'data': _thumbnail(panels[kind], kind != 'prediction')}
            for kind, title in shown])
        with self._lock:
            self._images.append(image)

    def write(self, path: str, title: str) -> None:
        """Writes the page as a whole or not at all."""
        content = {'title': title, 'classes': self._classes,
                   'images': sorted(self._images, key=lambda image: image['number'])}
        # Inside a script element only the end tag matters; names can hold anything.
        embedded = json.dumps(content, allow_nan=False).replace('<', '\\u003c')
        image_files.write_text(path, gallery_page.TEMPLATE.replace(
            gallery_page.DATA_MARK, embedded))
