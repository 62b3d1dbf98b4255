"""What `deeplab_demo.ipynb` calls: open a model, read a picture, show what was seen in it."""
import atexit
import contextlib
import io
import os

from absl import flags
from absl.testing import flagsaver
from matplotlib.backends import backend_agg
import matplotlib.figure
import numpy as np
from PIL import Image
import tabulate
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import model_zoo
from deeplab import model_zoo_files
from deeplab import predictor_flags
from deeplab.datasets import sample_scenes
from deeplab.evaluation import predictors
from deeplab.evaluation import segmenter
from deeplab.utils import checkpoints
from deeplab.utils import downloads
from deeplab.utils import image_files

_MAX_BYTES = 50 * 1000 * 1000
_MAX_PIXELS = 100 * 1000 * 1000
_PANEL_INCHES = 3.6


def _flags_of(model, dataset, models_dir):
    """Returns the command-line flags that mean `model`."""
    chosen = ['--dataset=' + dataset] if dataset else []
    if predictors.saved_model_folder(model):
        return chosen + ['--saved_model=' + model]
    if os.path.isfile(model) and model.endswith('.pb'):
        return chosen + ['--frozen_graph=' + model]
    if os.path.exists(model) or checkpoints.is_checkpoint(model):
        return chosen + ['--checkpoint_dir=' + model]
    rows = {row['name']: row for row in model_zoo.load_rows() if row['frozen_graph']}
    if model not in rows:
        raise errors.UserError('{!r} is neither a file nor a folder nor a row of the model zoo.{} '
                               'Rows: {}.'.format(model, errors.nearest(model, rows),
                                                  ', '.join(sorted(rows))))
    found = model_zoo_files.obtain(rows[model], models_dir)
    if not found.frozen_graph:
        raise errors.UserError('{}: holds no frozen graph.'.format(found.folder))
    return ['--dataset=' + (dataset or rows[model]['dataset']),
            '--frozen_graph=' + found.frozen_graph]


def open_model(model: str, dataset='', models_dir='models', more_flags=(),
               max_side=513) -> segmenter.Segmenter:
    """Opens a model; it stays open until Python ends.

    Args:
      model: frozen graph (.pb), folder of a SavedModel, folder, prefix or archive of a checkpoint,
        or a row of the model zoo, which is downloaded where it is not here.
      dataset: name or JSON description that gives class names and colours; '' for what is known of
        the model.
      models_dir: folder of the downloaded models.
      more_flags: of `deeplab-predict`, for a checkpoint whose training left no configuration:
        ['--model_variant=xception_65', ...].
      max_side: pictures with a longer side are shrunk to it first; 0 for none.

    Raises:
      UserError: it cannot be found or loaded.
    """
    tf.logging.set_verbosity(tf.logging.ERROR)  # As the commands do; see `cli.run`.
    stack = contextlib.ExitStack()
    arguments = _flags_of(model, dataset, models_dir) + list(more_flags)
    with flagsaver.flagsaver():
        predictor_flags.define_flags()
        try:
            flags.FLAGS(['deeplab_demo'] + arguments)
        except flags.Error as error:
            raise errors.UserError(' '.join(str(error).split()))
        predictor, look = stack.enter_context(predictor_flags.opened())
    atexit.register(stack.close)
    return segmenter.Segmenter(predictor, max_side=max_side, **look)


def read_picture(picture: str) -> np.ndarray:
    """Returns a picture, uint8 `[height, width, 3]`.

    Args:
      picture: path, or http:// or https:// address; '' draws a sample scene.

    Raises:
      UserError: it cannot be read.
    """
    if not picture:
        return sample_scenes.draw_scene(np.random.RandomState(1), 96, 128)[0]
    if picture.startswith(('http://', 'https://')):
        return segmenter.decode_limited(
            downloads.read(picture, _MAX_BYTES), _MAX_PIXELS, picture)
    return image_files.read_image(picture)


def panels(result: segmenter.Segmentation) -> Image.Image:
    """Returns picture, map, overlay and legend of the classes present, side by side."""
    shown = (('picture', result.image), ('map', result.label_colors()),
             ('overlay', result.overlay()), ('classes', result.legend()))
    figure = matplotlib.figure.Figure(figsize=(_PANEL_INCHES * len(shown), _PANEL_INCHES), dpi=90)
    canvas = backend_agg.FigureCanvasAgg(figure)
    for place, (title, picture) in enumerate(shown, 1):
        axes = figure.add_subplot(1, len(shown), place)
        axes.imshow(picture, interpolation='nearest' if title == 'map' else 'antialiased')
        axes.set_title(title)
        axes.axis('off')
    figure.tight_layout()
    stream = io.BytesIO()
    canvas.print_png(stream)
    return Image.open(stream)


def table(result: segmenter.Segmentation) -> str:
    """Returns the classes present with their shares as text."""
    return tabulate.tabulate(
        [[each.label, each.name, '{:.1%}'.format(each.share)] for each in result.classes],
        ['', 'class', 'share'], disable_numparse=True, colalign=('right', 'left', 'right'))
