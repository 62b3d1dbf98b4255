"""Pictures of what a network predicts on a split, free of flags."""
import collections
import os

from absl import logging
import numpy as np

from deeplab.datasets import data_generator
from deeplab.evaluation import confusion
from deeplab.evaluation import gallery
from deeplab.evaluation import job
from deeplab.evaluation import metrics
from deeplab.evaluation import report as reports
from deeplab.evaluation import split_prediction
from deeplab.evaluation import writers
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files
from deeplab.utils import overlays

PICTURE_FOLDER = 'segmentation_results'
RAW_FOLDER = 'raw_segmentation_results'
INDEX_FILE = 'images.json'
_NAME_FORMAT = '%06d_%s'

# What the benchmark's own tools expect in the place of train ids 0..18.
CITYSCAPES_TRAIN_ID_TO_EVAL_ID = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                                  31, 32, 33)

# colormap: a name or table, None for the data set's own. raw: also write the labels themselves.
# overlays: also write overlays and error maps. limit: so many pictures only; 0 for all.
VisOptions = collections.namedtuple('VisOptions', [
    'vis_logdir', 'colormap', 'raw', 'overlays', 'gallery', 'limit'])


def convert_train_id_to_eval_id(prediction, train_id_to_eval_id) -> np.ndarray:
    """Replaces every label that has an entry in the table; others stay.

    Args:
      prediction: integers in 0..255, any shape.
      train_id_to_eval_id: sequence, entry = new label of that index.

    Returns:
      An array of the shape and dtype of `prediction`.
    """
    prediction = np.asarray(prediction)
    table = np.arange(256)
    table[:len(train_id_to_eval_id)] = train_id_to_eval_id
    return table[prediction].astype(prediction.dtype)


class Visualizer:
    """One split and one network, to be drawn with the weights of any number of checkpoints."""

    def __init__(self, split, model_options, options, vis_options: VisOptions):
        """Builds the graph and creates the folders.

        Args:
          split: a `job.Split`.
          model_options: a ModelOptions.
          options: `inference.InferenceOptions`.
          vis_options: VisOptions.

        Raises:
          UserError: the data cannot be used, the colormap is unknown, or the folder not writable.
        """
        self._dataset = job.make_dataset(split, model_options, options.validate())
        self._vis_options = vis_options
        description = self._dataset.description
        colormap = vis_options.colormap or description.colormap
        self._palette = get_dataset_colormap.full_palette(colormap, description.ignore_label)
        entries = get_dataset_colormap.get_dataset_colormap_max_entries(colormap)
        if entries < description.num_classes:
            logging.warning('The colormap has %d colours for %d classes; those without one are '
                            'drawn pale.', entries, description.num_classes)
        self._class_names = reports.class_labels(
            description.num_classes, description.class_names)
        self._folders = {
            kind: image_files.make_folder(os.path.join(vis_options.vis_logdir, kind),
                                          '--vis_logdir')
            for kind in [PICTURE_FOLDER] + ([RAW_FOLDER] if vis_options.raw else [])}
        self._predictor = split_prediction.SplitPredictor(
            self._dataset, model_options, options, split.crop.own_sizes, with_images=True)

    def draw(self, prefix: str) -> list:
        """Draws the predictions of one checkpoint.

        Args:
          prefix: of the checkpoint.

        Returns:
          One dict a picture, as in `images.json`: number, name, height, width, classes (predicted
          or labelled), and where there are labels mean_iou, pixel_accuracy and class_iou.
        """
        limit = self._vis_options.limit or self._dataset.num_samples
        total = min(limit, self._dataset.num_samples)
        pool = writers.Writers()
        page = gallery.Gallery(self._class_names, self._palette) if (
            self._vis_options.gallery) else None
        entries = []
        with job.progress_bar(total, description='draw') as bar:
            for number, sample in enumerate(self._predictor.samples(prefix)):
                entry = self._entry(number, sample)
                entries.append(entry)
                panels = self._panels(sample)
                pool.submit(self._write, number, sample, panels)
                if page is not None:
                    pool.submit(page.add, entry, panels)
                bar.update()
                if len(entries) == total:
                    break
        pool.finish()
        self._write_index(entries, page)
        return entries

    def _panels(self, sample):
        """Returns {suffix of the file name: picture}."""
        panels = {'image': sample.image, 'prediction': self._palette[sample.prediction]}
        if self._vis_options.overlays or self._vis_options.gallery:
            panels['overlay'] = overlays.overlay(sample.image, sample.prediction, self._palette)
            if sample.label is not None:
                panels['error'] = overlays.error_map(
                    sample.image, sample.label, sample.prediction, self._dataset.ignore_label)
        return panels

    def _write(self, number, sample, panels):
        wanted = ('image', 'prediction') + (
            ('overlay', 'error') if self._vis_options.overlays else ())
        for kind in wanted:
            if kind in panels:
                image_files.write_png(os.path.join(
                    self._folders[PICTURE_FOLDER], _NAME_FORMAT % (number, kind) + '.png'),
                    panels[kind])
        if self._vis_options.raw:
            labels = sample.prediction
            if self._dataset.dataset_name == data_generator.get_cityscapes_dataset_name():
                labels = convert_train_id_to_eval_id(labels, CITYSCAPES_TRAIN_ID_TO_EVAL_ID)
            image_files.write_png(os.path.join(
                self._folders[RAW_FOLDER], os.path.basename(sample.name) + '.png'), labels)

    def _entry(self, number, sample):
        height, width = sample.prediction.shape
        entry = {'number': number, 'name': sample.name, 'height': height, 'width': width,
                 'classes': np.unique(sample.prediction).tolist()}
        if sample.label is None:
            return entry
        counted = confusion.ConfusionMatrix(len(self._class_names), self._dataset.ignore_label)
        counted.update(sample.label, sample.prediction)
        scores = metrics.compute_scores(counted.matrix)
        occurring = np.flatnonzero(~np.isnan(scores.class_iou)).tolist()
        entry.update(
            classes=occurring, mean_iou=scores.mean_iou, pixel_accuracy=scores.pixel_accuracy,
            class_iou={str(label): float(scores.class_iou[label]) for label in occurring})
        return entry

    def _write_index(self, entries, page):
        folder = self._vis_options.vis_logdir
        image_files.write_png(os.path.join(folder, 'legend.png'),
                              overlays.legend(self._class_names, self._palette))
        reports.write_json(os.path.join(folder, INDEX_FILE), {
            'dataset': self._dataset.dataset_name, 'split': self._dataset.split_name,
            'class_names': self._class_names, 'images': entries})
        if page is not None:
            page.write(os.path.join(folder, gallery.FILE_NAME), '{} {}'.format(
                self._dataset.dataset_name, self._dataset.split_name))


def run(visualizer: Visualizer, prefixes, vis_logdir: str, echo=print) -> None:
    """Draws checkpoints one after the other into the same files, and prints where they are.

    Args:
      visualizer: Visualizer.
      prefixes: iterable of checkpoint prefixes.
      vis_logdir: the folder, for the messages.
      echo: function that prints a line.
    """
    for prefix in prefixes:
        logging.info('Drawing the predictions of %s.', prefix)
        entries = visualizer.draw(prefix)
        echo('{} pictures of {} in {}'.format(len(entries), prefix, vis_logdir))
        scored = sorted((entry for entry in entries if 'mean_iou' in entry),
                        key=lambda entry: entry['mean_iou'])
        for entry in scored[:3]:
            echo('  worst: {:06d}  mean IoU {:.4f}  {}'.format(
                entry['number'], entry['mean_iou'], entry['name']))
