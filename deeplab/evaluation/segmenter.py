"""One picture in, everything there is to show about it out: for demonstrations."""
import collections
import io
import threading
import time

import numpy as np
from PIL import Image

from deeplab import errors
from deeplab.evaluation import report as reports
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files
from deeplab.utils import overlays

# label: class; name; color: (red, green, blue); share: of all pixels, 0..1.
ClassShare = collections.namedtuple('ClassShare', ['label', 'name', 'color', 'share'])


class Segmentation(collections.namedtuple('Segmentation', [
        'image', 'labels', 'classes', 'seconds', 'palette'])):
    """What was seen in one picture.

    Fields:
      image: uint8 `[height, width, 3]`, as it was predicted.
      labels: int64 `[height, width]`.
      classes: list of ClassShare of the classes present, largest share first.
      seconds: time of the prediction.
      palette: uint8 `[256, 3]`.
    """

    __slots__ = ()

    def overlay(self, opacity=0.55) -> np.ndarray:
        """Returns the picture with the colours of the classes over it, uint8."""
        return overlays.overlay(self.image, self.labels, self.palette, opacity)

    def label_colors(self) -> np.ndarray:
        """Returns the map of the classes in colour, uint8 `[height, width, 3]`."""
        return self.palette[self.labels]

    def legend(self) -> np.ndarray:
        """Returns a picture of the colours, names and shares of the classes present, uint8."""
        return overlays.legend({each.label: each.name for each in self.classes}, self.palette,
                               {each.label: each.share for each in self.classes})


class Segmenter:
    """A predictor with the names and colours of its classes; may be called by threads."""

    def __init__(self, predictor, class_names=(), colormap='pascal', max_side=0, max_waiting=None):
        """Takes a predictor; whoever opened it closes it.

        Args:
          predictor: see `predictors`.
          class_names: in label order; those beyond are called "class 7".
          colormap: name of a colormap or a table.
          max_side: pictures with a longer side are shrunk to it first; 0 for none.
          max_waiting: refuse when so many pictures wait already; None for any number.
        """
        self._predictor = predictor
        self._names = reports.class_labels(256, class_names)
        self._palette = get_dataset_colormap.full_palette(colormap)
        self._max_side = max_side
        # One at a time: two at once would take twice the memory, and no less time.
        self._one_at_a_time = threading.Lock()
        self._places = threading.BoundedSemaphore(max_waiting + 1) if max_waiting else None

    def segment(self, image) -> Segmentation:
        """Predicts one picture.

        Args:
          image: uint8 `[height, width, 3]`.

        Raises:
          Busy: too many pictures wait already.
          UserError: the predictor cannot take the picture.
        """
        if self._places and not self._places.acquire(blocking=False):
            raise Busy('Too many pictures wait already; try again in a moment.')
        try:
            image = shrunk(image, self._max_side)
            with self._one_at_a_time:
                began = time.perf_counter()
                labels, _ = self._predictor.predict(image)
                seconds = time.perf_counter() - began
        finally:
            if self._places:
                self._places.release()
        return Segmentation(image, labels, self._shares(labels), seconds, self._palette)

    def warm_up(self):
        """Predicts a grey picture: the first prediction pays for the set-up of the network."""
        self.segment(np.full((64, 64, 3), 128, np.uint8))

    def _shares(self, labels):
        values, counts = np.unique(labels, return_counts=True)
        order = sorted(zip(-counts, values))
        return [ClassShare(int(label), self._names[label],
                           tuple(int(level) for level in self._palette[label]),
                           -float(count) / labels.size) for count, label in order]


class Busy(errors.UserError):
    """Raised where more pictures wait than are allowed to."""


class TooManyPixels(errors.UserError):
    """Raised for a picture beyond the limit."""


def shrunk(image, max_side: int) -> np.ndarray:
    """Returns a picture whose longer side is at most `max_side` pixels (0: any length).

    Args:
      image: uint8 `[height, width, 3]`.
      max_side: in pixels.
    """
    longest = max(image.shape[:2])
    if not max_side or longest <= max_side:
        return image
    height, width = [max(1, int(round(side * max_side / float(longest))))
                     for side in image.shape[:2]]
    return np.array(Image.fromarray(image).resize((width, height), Image.BICUBIC))


def decode_limited(content: bytes, max_pixels: int, title: str) -> np.ndarray:
    """Decodes a picture that anyone may have sent: its size is looked at before its pixels.

    Args:
      content: of the file.
      max_pixels: most pixels, width times height.
      title: what to call it in messages.

    Returns:
      uint8 `[height, width, 3]`.

    Raises:
      TooManyPixels: it is larger.
      UserError: it is no readable picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
    except Exception:  # Decoders of rare formats fail in many ways on bytes that make no sense.
        raise errors.UserError('{}: not a picture that can be read. Formats that can: {}.'.format(
            title, ', '.join(name[1:] for name in image_files.IMAGE_EXTENSIONS)))
    if width * height > max_pixels:
        raise TooManyPixels('{}: {} x {} pixels are more than the {:,} allowed here.'.format(
            title, width, height, max_pixels))
    return image_files.read_image(io.BytesIO(content), title)
