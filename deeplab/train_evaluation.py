"""Evaluation during training: its flags, and what stands behind them.

The jobs of training and of evaluation do not know each other; here they meet.
"""
import os

from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab import inference_flags
from deeplab import prediction
from deeplab.core import options_check
from deeplab.evaluation import inference
from deeplab.evaluation import job
from deeplab.evaluation import results
from deeplab.training import best_checkpoint

FLAGS = flags.FLAGS
_ALONE_USELESS = ('patience', 'eval_split', 'eval_batch_size', 'eval_crop_size',
                  'eval_output_stride')


def define_flags():
    """Defines the flags of evaluation during training."""
    flags.DEFINE_integer(
        'eval_every_steps', 0, 'Evaluate every so many steps and after the last one, and keep the '
        'checkpoint of the best mean IoU in the folder best of --train_logdir; 0 is off.')
    flags.DEFINE_integer(
        'patience', 0, 'End the training after so many evaluations without a better mean IoU; 0 '
        'trains all steps.')
    flags.DEFINE_integer(
        'eval_output_stride', None, 'Output stride to evaluate at; that of the training when not '
        'given. --atrous_rates follow.')
    inference_flags.define_split_flags('eval')


def _check_flags():
    for name in ('eval_every_steps', 'patience'):
        if getattr(FLAGS, name) < 0:
            raise errors.UserError('--{}={}: give 0 (off) or more.'.format(
                name, getattr(FLAGS, name)))
    if not FLAGS.eval_every_steps:
        for name in _ALONE_USELESS:
            if cli.given(name) and getattr(FLAGS, name):
                raise errors.UserError(
                    '--{} needs evaluation during training: give --eval_every_steps, the steps '
                    'between two evaluations.'.format(name))


def _network(model_options):
    """The ModelOptions to evaluate with: another output stride brings the atrous rates along."""
    stride = FLAGS.eval_output_stride
    if stride is None or stride == model_options.output_stride:
        return model_options
    if stride < 1:
        raise errors.UserError('--eval_output_stride={}: give 8, 16 or 32.'.format(stride))
    rates = model_options.atrous_rates and [
        int(rate * model_options.output_stride / stride) for rate in model_options.atrous_rates]
    changed = model_options._replace(output_stride=stride, atrous_rates=rates, crop_size=None)
    try:
        options_check.check(changed, FLAGS.allow_unusual_atrous_rates)
    except errors.UserError as error:
        raise errors.UserError(str(error).replace('--output_stride', '--eval_output_stride'))
    return changed


class _Evaluation(object):
    """A function of a checkpoint for `best_checkpoint.BestKeeper`; adds to the curve of the run."""

    def __init__(self, evaluator, folder):
        self._evaluator = evaluator
        self._path = os.path.join(folder, results.TRAINING_CURVE)

    def __call__(self, checkpoint, should_stop):
        report = self._evaluator.evaluate(checkpoint, should_stop, bar_stays=False)
        if report is None:
            return None
        entries = results.update_history(self._path + '.json', report, drop_later=True)
        results.write_curve(self._path + '.png', entries)
        return best_checkpoint.Evaluation(
            results.history_entry(report), results.summary_values(report), _line(report))


def _line(report):
    return 'mean IoU {:.4f}  pixel accuracy {:.4f}  mean accuracy {:.4f}  ({} {}: {} images, ' \
        '{:.1f} images/s)'.format(
            report['mean_iou'], report['pixel_accuracy'], report['mean_accuracy'],
            report['dataset'], report['split'], report['images'], report['images_per_second'])


def keeper(options, model_options):
    """Returns the `best_checkpoint.BestKeeper` the parsed flags ask for, or None.

    Args:
      options: the TrainingOptions.
      model_options: the ModelOptions of the training.

    Raises:
      UserError: flags that contradict each other, a split that cannot be evaluated.
    """
    _check_flags()
    if not FLAGS.eval_every_steps:
        return None
    network = _network(model_options)
    way = inference.InferenceOptions(
        image_pyramid=FLAGS.image_pyramid or None,
        resize_range=prediction.ResizeRange(
            FLAGS.min_resize_value, FLAGS.max_resize_value, FLAGS.resize_factor),
        quantize_delay_step=FLAGS.quantize_delay_step).validate()
    split = inference_flags.split_to_predict('eval', way, network.output_stride)
    evaluator = job.Evaluator(split, network, way)
    setting = {'dataset': split.dataset, 'split': split.split,
               'output_stride': network.output_stride, 'crop_size': evaluator.crop_size}
    return best_checkpoint.BestKeeper(
        options.train_logdir, _Evaluation(evaluator, options.train_logdir),
        FLAGS.eval_every_steps, options.training_number_of_steps,
        patience=FLAGS.patience, setting=setting)
