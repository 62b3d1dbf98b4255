"""Evaluation of checkpoints on one split, free of flags."""
import collections
import sys
import time

from absl import logging
import tabulate
import tqdm

from deeplab import prediction
from deeplab.datasets import data_generator
from deeplab.evaluation import confusion
from deeplab.evaluation import report as reports
from deeplab.evaluation import results
from deeplab.evaluation import split_prediction
from deeplab.utils import image_files

# dataset, split, dataset_dir: see `data_generator.Dataset`. crop: a `split_prediction.CropChoice`.
Split = collections.namedtuple('Split', ['dataset', 'split', 'dataset_dir', 'batch_size', 'crop'])

# Without a terminal a bar that is redrawn ten times a second would fill the log.
_SECONDS_BETWEEN_LINES = 10


def progress_bar(total, unit='image', description=None, **options):
    """Returns a tqdm bar with images/s and the time left, fit for a terminal or a log file."""
    is_terminal = sys.stderr.isatty()
    return tqdm.tqdm(total=total, unit=unit, desc=description, smoothing=0.1,
                     mininterval=0.1 if is_terminal else _SECONDS_BETWEEN_LINES, **options)


def make_dataset(split: Split, model_options, options) -> data_generator.Dataset:
    """Opens the split for evaluation, each picture once and in order."""
    return data_generator.Dataset(
        split.dataset, split.split, split.dataset_dir, split.batch_size, split.crop.crop_size,
        min_resize_value=options.resize_range.min_size,
        max_resize_value=options.resize_range.max_size,
        resize_factor=options.resize_range.factor,
        model_variant=model_options.model_variant, output_stride=model_options.output_stride)


class Speedometer:
    """Images per second, the first batch left out: it pays for the start of everything."""

    def __init__(self, batch_size):
        self._batch_size = batch_size
        self._count = 0
        self._began = self._settled = time.time()

    def tick(self):
        """Counts one image."""
        self._count += 1
        if self._count == self._batch_size:
            self._settled = time.time()

    @property
    def seconds(self):
        """Seconds since the start."""
        return time.time() - self._began

    @property
    def images_per_second(self):
        """Images per second since the first batch; of everything where there was only one."""
        if self._count > self._batch_size:
            return (self._count - self._batch_size) / max(time.time() - self._settled, 1e-9)
        return self._count / max(self.seconds, 1e-9)


class Evaluator:
    """One split and one network, to be evaluated with the weights of any number of checkpoints."""

    def __init__(self, split: Split, model_options, options, with_loss=False):
        """Builds the graph.

        Args:
          split: Split.
          model_options: a ModelOptions.
          options: `inference.InferenceOptions`.
          with_loss: also work out the loss, the mean cross entropy of the pixels that count.

        Raises:
          UserError: the data cannot be used; the options contradict each other.
        """
        self._split = split
        self._options = options.validate()
        self._dataset = make_dataset(split, model_options, options)
        self._dataset.require_labels()
        self._predictor = split_prediction.SplitPredictor(
            self._dataset, model_options, options, split.crop.own_sizes, with_loss=with_loss)

    @property
    def crop_size(self):
        """[height, width] all pictures are padded to; None where each is at its own size."""
        whole = self._split.crop.own_sizes or self._options.tile_size
        return None if whole else list(self._dataset.crop_size)

    def evaluate(self, prefix: str, should_stop=lambda: False, bar_stays=True) -> dict:
        """Evaluates one checkpoint.

        Args:
          prefix: of the checkpoint.
          should_stop: function asked after every picture whether to give up; None is returned then.
          bar_stays: whether the progress bar is part of the output; otherwise it shows on a
            terminal only, and goes when it is full.

        Returns:
          `report.build_report` and: dataset, split, images, checkpoint, step, tag (way of
          predicting), crop_size (None: each picture at its own), seconds, images_per_second;
          loss, where the Evaluator works it out.
        """
        counted = confusion.ConfusionMatrix(self._dataset.num_of_classes,
                                            self._dataset.ignore_label)
        speed = Speedometer(self._split.batch_size)
        losses = []
        how = {} if bar_stays else {'disable': None, 'leave': False}
        with progress_bar(self._dataset.num_samples, description='evaluate', **how) as bar:
            for sample in self._predictor.samples(prefix):
                if should_stop():
                    return None
                counted.update(sample.label, sample.prediction)
                losses += [sample.loss] if sample.loss else []
                speed.tick()
                bar.update()
        report = reports.build_report(counted, self._dataset.description.class_names)
        report.update(results.describe_checkpoint(prefix))
        report.update(
            dataset=self._dataset.dataset_name, split=self._split.split,
            images=self._dataset.num_samples,
            tag=prediction.prediction_tag(self._options.eval_scales,
                                          self._options.add_flipped_images),
            crop_size=self.crop_size,
            tile_size=self._options.tile_size and list(self._options.tile_size),
            seconds=round(speed.seconds, 3),
            images_per_second=round(speed.images_per_second, 3))
        if losses:
            total, pixels = (sum(values) for values in zip(*losses))
            report['loss'] = float(total / max(pixels, 1))
        return report


def run(evaluator: Evaluator, prefixes, eval_logdir: str, echo=print) -> list:
    """Evaluates checkpoints one after the other, prints and writes the results of each.

    Args:
      evaluator: Evaluator.
      prefixes: iterable of checkpoint prefixes.
      eval_logdir: folder for the results; created where missing.
      echo: function that prints a line.

    Returns:
      The reports, see `Evaluator.evaluate`.
    """
    image_files.make_folder(eval_logdir, '--eval_logdir')
    done = []
    for prefix in prefixes:
        logging.info('Evaluating %s.', prefix)
        report = evaluator.evaluate(prefix)
        paths = results.write(eval_logdir, report)
        done.append(report)
        echo(format_result(report))
        echo('Written: {}'.format(', '.join(paths[what] for what in sorted(paths))))
    if len(done) > 1:
        echo(format_comparison(done))
    return done


def format_result(report: dict) -> str:
    """Returns the table of one evaluation with a heading and the reference's line."""
    return '\n'.join([
        '', '{} {}: {} images, step {}, {:.2f} images/s'.format(
            report['dataset'], report['split'], report['images'], report['step'],
            report['images_per_second']),
        '', reports.format_table(report), '',
        '{}[{:.6g}]'.format('eval/' + report['tag'] + '_overall', report['mean_iou'])])


def format_comparison(done) -> str:
    """Returns a table of several evaluations, a line each, the best marked."""
    best = max(report['mean_iou'] for report in done)
    rows = [[report['step']] + [reports.format_share(report[key]) for key in (
        'mean_iou', 'pixel_accuracy', 'mean_accuracy', 'frequency_weighted_iou')]
            + ['best' if report['mean_iou'] == best else ''] for report in done]
    return '\n' + tabulate.tabulate(
        rows, headers=['step', 'mean IoU', 'pixel acc.', 'mean acc.', 'f.w. IoU', ''],
        colalign=('right',) * 5 + ('left',), disable_numparse=True)
