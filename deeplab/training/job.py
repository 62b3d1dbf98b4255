"""A training run from start, or where it was left, to its last step."""
import collections
import os
import time

from absl import logging
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import model
from deeplab.errors import UserError
from deeplab.training import checkpoint_writer
from deeplab.training import graph as training_graph
from deeplab.training import options as training_options
from deeplab.training import progress
from deeplab.training import stopping
from deeplab.utils import checkpoints
from deeplab.utils import initialization

# How a run ended. `signal` is the number of the signal that ended it early, or None.
Result = collections.namedtuple('Result', ['step', 'total_loss', 'checkpoint', 'signal'])

_MOST_NAMES_SHOWN = 8


def run(options, model_options, make_dataset, on_start=None):
    """Trains until `options.training_number_of_steps`, a signal, or a failure.

    A run whose folder holds a checkpoint goes on from there.

    Args:
      options: a TrainingOptions.
      model_options: a ModelOptions.
      make_dataset: function of the number of samples used before (by a run now resumed), giving
        what has `get_one_shot_iterator()`, of batches of `options.clone_batch_size` samples,
        `ignore_label`, and `translate_error(error)`, which puts errors of the input into words.
      on_start: function called once everything has been checked, before the first step.

    Returns:
      A Result.

    Raises:
      UserError: options that do not fit together, data that cannot be used, a checkpoint of another
        network, a loss that is no longer finite, or a disk that takes no checkpoint.
    """
    training_options.validate(options)
    resumed = checkpoints.latest_checkpoint(options.train_logdir)
    step = checkpoints.step_of(resumed) if resumed else 0
    with tf.Graph().as_default() as graph:
        if options.seed is not None:
            tf.set_random_seed(options.seed)
        dataset = make_dataset(step * options.train_batch_size)
        tensors = training_graph.build(options, model_options, dataset)
        init_fn = initialization.get_model_init_fn(
            options.train_logdir, options.tf_initial_checkpoint, options.initialize_last_layer,
            model.get_extra_layer_scopes(options.last_layers_contain_logits_only),
            ignore_missing_vars=True)
        if resumed:
            initialization.check_resumable(resumed, tf.global_variables())
        writer = checkpoint_writer.CheckpointWriter(
            options.train_logdir, options.keep_checkpoint_max, options.save_interval_secs,
            options.save_interval_steps)
        start = _Start(writer.saver, init_fn)
        graph.finalize()
        if step >= options.training_number_of_steps:
            logging.info('Nothing to do: %s is at step %d already, and --training_number_of_steps='
                         '%d.', resumed, step, options.training_number_of_steps)
            return Result(step, None, resumed, None)
        _make_folder(options.train_logdir)
        if on_start is not None:
            on_start()
        with tf.Session(options.master, config=session_config(options)) as session:
            step = start.prepare(session, resumed)
            writer.start(step, restored=bool(resumed))
            _announce(step, resumed, options)
            return _train(session, tensors, step, options, writer, dataset.translate_error)


def _announce(step, resumed, options):
    last_step = options.training_number_of_steps
    if resumed:
        logging.info('Resuming from %s: step %d of %d.', resumed, step, last_step)
    logging.info('Training on %s, steps %d to %d, %d images a step.', compat.describe_runtime(),
                 step + 1, last_step, options.train_batch_size)


class _Start(object):
    """The ops that give variables their first values; made before the graph is finalised."""

    def __init__(self, saver, init_fn):
        self._saver = saver
        self._init_fn = init_fn
        self._init_op = tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())
        self._global_step = tf.train.get_global_step()

    def prepare(self, session, checkpoint):
        """Restores or initialises; the global step it starts at."""
        session.run(self._init_op)
        if checkpoint:
            try:
                self._saver.restore(session, checkpoint)
            except (tf.errors.OpError, ValueError) as error:
                raise UserError('Cannot resume from {}: {} Remove it to resume from the one before '
                                'it.'.format(checkpoint, str(error).splitlines()[0]))
        elif self._init_fn:
            self._init_fn(session)
        return int(session.run(self._global_step))


def _make_folder(folder):
    try:
        tf.gfile.MakeDirs(folder)
    except tf.errors.OpError as error:
        raise UserError('--train_logdir={}: cannot make this folder: {}'.format(
            folder, error.message))


def session_config(options):
    """The ConfigProto of a run: its threads, and CPU where a device is missing."""
    return tf.ConfigProto(
        allow_soft_placement=True,
        intra_op_parallelism_threads=options.num_threads,
        inter_op_parallelism_threads=options.num_threads)


def _reporters(options):
    reporters = [progress.LogReporter(options.training_number_of_steps),
                 progress.TensorBoardReporter(options.train_logdir, tf.get_default_graph())]
    if options.metrics_jsonl:
        reporters.append(progress.JsonLinesReporter(options.metrics_jsonl))
    return reporters


def _train(session, tensors, step, options, writer, translate_error):
    reporters = _reporters(options)
    try:
        with stopping.StopRequest() as stop:
            step, loss = _loop(session, tensors, step, options, writer, reporters, stop,
                               translate_error)
            writer.save(session, step)
    finally:
        for reporter in reporters:
            reporter.close()
    if stop.signal:
        logging.info('Stopped at step %d of %d. The same command goes on from here.', step,
                     options.training_number_of_steps)
    return Result(step, loss, writer.latest, stop.signal)


def _loop(session, tensors, step, options, writer, reporters, stop, translate_error):
    """Runs steps until the last one or a signal; the step reached and its loss."""
    fetches = tensors._replace(image_summary=None)._asdict()
    del fetches['image_summary']
    pictures_due = time.time()
    clock = progress.StepClock()
    values = {'total_loss': None}
    while step < options.training_number_of_steps and not stop.signal:
        fetches.pop('image_summary', None)
        if tensors.image_summary is not None and time.time() >= pictures_due:
            fetches['image_summary'] = tensors.image_summary
            pictures_due = time.time() + options.save_summaries_secs
        values = _run_step(session, fetches, translate_error)
        step = int(values['global_step'])
        clock.tick()
        _stop_if_not_finite(values, writer)
        if 'image_summary' in values:
            for reporter in reporters:
                if hasattr(reporter, 'add_pictures'):
                    reporter.add_pictures(values['image_summary'], step)
        if step % options.log_steps == 0 or step >= options.training_number_of_steps:
            report = _report(step, values, clock.read(), options)
            for reporter in reporters:
                reporter.report(report)
        began = time.time()
        if writer.save_if_due(session, step):
            clock.pause(time.time() - began)
    return step, values['total_loss']


def _run_step(session, fetches, translate_error):
    try:
        return session.run(fetches)
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            'Out of memory ({}). What needs less: a smaller --train_batch_size or '
            '--train_crop_size, --output_stride=16 in place of 8, --fine_tune_batch_norm=false.'
            .format(error.message.splitlines()[0]))
    except tf.errors.OpError as error:
        raise translate_error(error)


def _report(step, values, step_seconds, options):
    steps_left = options.training_number_of_steps - step
    return progress.Report(
        step=step,
        total_loss=float(values['total_loss']),
        losses={name: float(value) for name, value in values['losses'].items()},
        learning_rate=float(values['learning_rate']),
        gradient_norm=float(values['gradient_norm']),
        step_seconds=step_seconds,
        images_per_second=step_seconds and options.train_batch_size / step_seconds,
        seconds_left=step_seconds and step_seconds * steps_left)


def _stop_if_not_finite(values, writer):
    if np.isfinite(values['total_loss']) and np.isfinite(values['gradient_norm']):
        return
    names = [os.path.basename(name.decode('utf-8', 'replace')) for name in values['image_names']]
    raise UserError(
        'Training has diverged at step {}: loss {}, gradient norm {}, learning rate {:.4g}, images '
        '{}. Last checkpoint: {}. Lower the learning rate, or limit steps with '
        '--clip_gradient_norm.'.format(
            values['global_step'], values['total_loss'], values['gradient_norm'],
            values['learning_rate'], ', '.join(names[:_MOST_NAMES_SHOWN]), writer.latest))
