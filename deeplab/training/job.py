"""A training run from its start, or from where it was left, to its last step."""
import collections

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import model
from deeplab.errors import UserError
from deeplab.training import checkpoint_writer
from deeplab.training import graph as training_graph
from deeplab.training import loop
from deeplab.training import options as training_options
from deeplab.training import reporting
from deeplab.training import starting
from deeplab.training import stopping
from deeplab.utils import checkpoints
from deeplab.utils import initialization

# How a run ended. `signal` is the number of the signal that ended it early, or None.
Result = collections.namedtuple('Result', ['step', 'total_loss', 'checkpoint', 'signal'])


def run(options, model_options, make_dataset, on_start=None, evaluation=None):
    """Trains until `options.training_number_of_steps`, a signal, or a failure.

    A run whose folder holds a checkpoint goes on from there.

    Args:
      options: a TrainingOptions.
      model_options: a ModelOptions.
      make_dataset: function of the number of samples used before (by a run now resumed), giving
        what has `get_one_shot_iterator()`, of batches of `options.clone_batch_size` samples,
        `ignore_label`, and `translate_error(error)`, which puts errors of the input into words.
      on_start: function called once everything has been checked, before the first step.
      evaluation: a best_checkpoint.BestKeeper that evaluates during training, or None.

    Returns:
      A Result.

    Raises:
      UserError: options that do not fit together, data that cannot be used, a checkpoint of another
        network, a loss that is no longer finite, or a disk that takes no checkpoint.
    """
    training_options.validate(options)
    resumed = starting.latest_intact(options.train_logdir)
    step = checkpoints.step_of(resumed) if resumed else 0
    last_step = options.training_number_of_steps
    if step >= last_step:
        logging.info('Nothing to do: %s is at step %d already, and --training_number_of_steps=%d.',
                     resumed, step, last_step)
        return Result(step, None, resumed, None)
    if options.tf_initial_checkpoint and not resumed:
        checkpoints.find_checkpoint(options.tf_initial_checkpoint, 'tf_initial_checkpoint')
    with tf.Graph().as_default() as graph:
        if options.seed is not None:
            tf.set_random_seed(options.seed)
        dataset = make_dataset(step * options.train_batch_size)
        tensors = training_graph.build(options, model_options, dataset)
        init_fn = _init_fn(options)
        if resumed:
            initialization.check_resumable(resumed, tf.global_variables())
        writer = checkpoint_writer.CheckpointWriter(
            options.train_logdir, options.keep_checkpoint_max, options.save_interval_secs,
            options.save_interval_steps)
        start = starting.Start(writer.saver, init_fn)
        graph.finalize()
        _make_folder(options.train_logdir)
        if on_start is not None:
            on_start()
        reporters = reporting.make(options, graph)
        try:
            with tf.Session(options.master, config=session_config(options)) as session:
                step = start.prepare(session, resumed)
                writer.start(step, resumed)
                _announce(step, resumed, options)
                steps = loop.Loop(tensors, options, writer, reporters, dataset.translate_error,
                                  evaluation)
                return _train(session, steps, step, options, writer)
        finally:
            reporters.close()


def _init_fn(options):
    """A function that loads the initial checkpoint, or None; see --restore_from_seg_model."""
    from_classification = options.restore_from_seg_model is False
    return initialization.get_model_init_fn(
        options.train_logdir, options.tf_initial_checkpoint,
        options.initialize_last_layer and not from_classification,
        model.get_extra_layer_scopes(
            options.last_layers_contain_logits_only and not from_classification),
        ignore_missing_vars=not options.restore_from_seg_model)


def _announce(step, resumed, options):
    last_step = options.training_number_of_steps
    if resumed:
        logging.info('Resuming from %s: step %d of %d.', resumed, step, last_step)
    logging.info('Training on %s, steps %d to %d, %d images a step.', compat.describe_runtime(),
                 step + 1, last_step, options.train_batch_size)


def _train(session, steps, step, options, writer):
    with stopping.StopRequest() as stop:
        step = steps.run(session, step, stop)
        checkpoint = writer.save(session, step)
    if stop.signal:
        logging.info('Stopped at step %d of %d. The same command goes on from here.', step,
                     options.training_number_of_steps)
    return Result(step, steps.loss, checkpoint, stop.signal)


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
