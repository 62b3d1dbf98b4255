"""Prediction on any pictures, free of flags: reads, predicts, writes, and says what went wrong."""
import collections
import os
import sys

from absl import logging
import numpy as np

from deeplab import errors
from deeplab.evaluation import inputs
from deeplab.evaluation import job
from deeplab.evaluation import report as reports
from deeplab.evaluation import writers
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files
from deeplab.utils import overlays

INDEX_FILE = 'predictions.json'
# A network that sees one class everywhere was usually loaded or trained wrongly.
_SUSPICIOUS_SHARE = 0.99

# class_names: in label order, may be shorter than the classes there are. colormap: name or table.
# overlays, probabilities: also write those.
PredictOptions = collections.namedtuple('PredictOptions', [
    'output_dir', 'class_names', 'colormap', 'overlays', 'probabilities'])

# images: entries of the pictures predicted; failed: [{'file', 'error'}]; pixels: {label: pixels}.
Result = collections.namedtuple('Result', ['images', 'failed', 'pixels'])


def _shares(pixels, names):
    """Returns {class name: share} of {label: pixels}, largest first."""
    total = float(sum(pixels.values())) or 1.0
    return collections.OrderedDict(
        (names[label], round(count / total, 6)) for label, count in sorted(
            pixels.items(), key=lambda item: (-item[1], item[0])))


class _Job:
    """The state of one run over the pictures."""

    def __init__(self, options: PredictOptions):
        self._options = options
        self._palette = get_dataset_colormap.full_palette(options.colormap)
        # Graphs do not say how many classes they have; names beyond those known are made up.
        self._names = reports.class_labels(256, options.class_names)
        self.result = Result([], [], collections.Counter())

    def add(self, picture, image, labels, probabilities, pool):
        """Notes one prediction and has its files written."""
        values, counts = np.unique(labels, return_counts=True)
        pixels = dict(zip(values.tolist(), counts.tolist()))
        self.result.pixels.update(pixels)
        pool.submit(self._write, picture, image, labels.astype(np.uint8), probabilities)
        self.result.images.append({
            'file': picture.title, 'output': picture.name + '_prediction.png',
            'height': image.shape[0], 'width': image.shape[1],
            'shares': _shares(pixels, self._names)})

    def fail(self, picture, error):
        """Notes a picture that could not be predicted, and says so at once."""
        logging.error('Skipped: %s', error)
        self.result.failed.append({'file': picture.title, 'error': str(error)})

    def _write(self, picture, image, labels, probabilities):
        base = os.path.join(self._options.output_dir, picture.name)
        os.makedirs(os.path.dirname(base), exist_ok=True)
        image_files.write_png(base + '_prediction.png', labels, self._palette)
        if self._options.overlays:
            image_files.write_png(base + '_overlay.png',
                                  overlays.overlay(image, labels, self._palette))
        if probabilities is not None:
            # Half precision keeps three digits, in a fifth of the space.
            image_files.write_npz(base + '_probabilities.npz',
                                  probabilities=probabilities.astype(np.float16))

    def finish(self):
        """Writes the index and the legend."""
        result = self.result
        folder = self._options.output_dir
        reports.write_json(os.path.join(folder, INDEX_FILE), {
            'images': result.images, 'failed': result.failed,
            'shares': _shares(result.pixels, self._names)})
        seen = {label: self._names[label] for label in result.pixels}
        if seen:
            image_files.write_png(os.path.join(folder, 'legend.png'),
                                  overlays.legend(seen, self._palette))

    def warning(self):
        """Returns what is suspicious about all predictions together, or None."""
        shares = _shares(self.result.pixels, self._names)
        for name, share in list(shares.items())[:1]:
            if share > _SUSPICIOUS_SHARE:
                return ('{:.2%} of all pixels are "{}". Unless that is so, the network was trained '
                        'for too short a time, or its flags, data set or checkpoint are not those '
                        'it was trained with.'.format(share, name))
        return None


def run(predictor, pictures, options: PredictOptions, echo=print) -> Result:
    """Predicts pictures and writes, for each: labels as a palette PNG of the picture's own size.

    Args:
      predictor: see `predictors`.
      pictures: list of `inputs.Picture`.
      options: PredictOptions.
      echo: function that prints a line.

    Returns:
      Result. Pictures that cannot be read or predicted are reported, skipped and counted.

    Raises:
      UserError: no picture at all could be predicted.
    """
    image_files.make_folder(options.output_dir, '--output_dir')
    state = _Job(options)
    pool = writers.Writers()
    speed = job.Speedometer(1)
    with job.progress_bar(len(pictures), description='predict') as bar:
        for picture, reading in writers.read_ahead(inputs.read, pictures):
            try:
                image = reading.result()
                labels, probabilities = predictor.predict(image, options.probabilities)
            except errors.UserError as error:
                state.fail(picture, error)
            else:
                state.add(picture, image, labels, probabilities, pool)
            speed.tick()
            bar.update()
    pool.finish()
    state.finish()
    result = state.result
    echo('{} of {} pictures predicted into {} ({:.2f} images/s){}'.format(
        len(result.images), len(pictures), options.output_dir, speed.images_per_second,
        '; {} skipped'.format(len(result.failed)) if result.failed else ''))
    for name, share in list(_shares(result.pixels, reports.class_labels(
            256, options.class_names)).items())[:8]:
        echo('  {:6.2%}  {}'.format(share, name))
    if not result.images:
        raise errors.UserError('None of the {} pictures could be predicted; the first: {}'.format(
            len(pictures), result.failed[0]['error']))
    if state.warning():
        print('warning: ' + state.warning(), file=sys.stderr)
    return result
