"""A training run from its start, or from where it was left, to its last step."""
import collections

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import model
from deeplab.errors import UserError
from deeplab.training import acceleration
from deeplab.training import checkpoint_writer
from deeplab.training import graph as training_graph
from deeplab.training import loop
from deeplab.training import options as training_options
from deeplab.training import starting
from deeplab.training import stopping
from deeplab.training import workers
from deeplab.utils import checkpoints
from deeplab.utils import initialization
from deeplab.utils import memory_errors

# How a run ended. `signal` is the number of the signal that ended it early, or None.
Result = collections.namedtuple('Result', ['step', 'total_loss', 'checkpoint', 'signal'])

_LESS_MEMORY = (
    'What needs less: --gradient_accumulation_steps (the same update from smaller parts of the '
    'batch), --recompute_activations (slower), --mixed_precision (on a GPU that has float16 '
    'units), a smaller --train_batch_size or --train_crop_size, --output_stride=16 in place of 8.')


def run(options, model_options, make_dataset, on_start=None, evaluation=None, members=None):
    """Trains until `options.training_number_of_steps`, a signal, or a failure.

    A run whose folder holds a checkpoint goes on from there. A worker of a cluster that loses the
    parameter servers waits for them and goes on.

    Args:
      options: a TrainingOptions.
      model_options: a ModelOptions.
      make_dataset: function of the number of samples used before (by a run now resumed), giving
        what has `get_one_shot_iterator()`, of batches of `options.clone_batch_size` samples,
        `ignore_label`, and `translate_error(error)`, which puts errors of the input into words.
      on_start: function called once everything has been checked, before the first step; on the
        chief of a cluster only.
      evaluation: a best_checkpoint.BestKeeper that evaluates during training, or None.
      members: the cluster_config.Cluster of which this process is a worker, or None.

    Returns:
      A Result.

    Raises:
      UserError: options that do not fit together, data that cannot be used, a checkpoint of another
        network, a loss that is no longer finite, or a disk that takes no checkpoint.
    """
    training_options.validate(options)
    worker = workers.make(options, members)
    run_once = _Run(options, model_options, make_dataset, on_start, evaluation, worker)
    result = worker.supervise(lambda: _run_until_done(run_once, worker), run_once.stop)
    return result or Result(None, None, None, run_once.stop.signal)


def _run_until_done(run_once, worker):
    """Begins again, from where the training then stands, after losing the others."""
    while True:
        try:
            result = run_once()
        except tf.errors.OpError as error:
            if not worker.is_lost(error):
                raise
            logging.warning('Lost the parameter servers: %s', error.message.splitlines()[0])
            if run_once.stop.signal:
                return Result(None, None, None, run_once.stop.signal)
        else:
            if result.signal is None:
                worker.finish()
            return result


class _Run(object):
    """A run from where it stands to its end, each time it is called; `stop` is its StopRequest."""

    def __init__(self, options, model_options, make_dataset, on_start, evaluation, worker):
        self._options = options
        self._model_options = model_options
        self._make_dataset = make_dataset
        self._on_start = on_start
        self._evaluation = evaluation
        self._worker = worker
        self.stop = stopping.StopRequest()

    def __call__(self):
        origin = self._find_origin()
        if origin is None:
            return Result(None, None, None, self.stop.signal)
        if self._is_done(origin):
            logging.info('Nothing to do: %s is at step %d already, and '
                         '--training_number_of_steps=%d.', origin.checkpoint or 'the training',
                         origin.step, self._options.training_number_of_steps)
            return Result(origin.step, None, origin.checkpoint, None)
        with tf.Graph().as_default(), tf.device(self._worker.device), \
                memory_errors.explained(_LESS_MEMORY):
            return self._train(origin)

    def _find_origin(self):
        if not self._worker.describe():
            return self._worker.find_origin(self.stop)
        logging.info('%s.', self._worker.describe())
        return self._worker.find_origin(self.stop)

    def _is_done(self, origin):
        if origin.step < self._options.training_number_of_steps:
            return False
        # What the parameter servers hold beyond the last checkpoint is still to be saved.
        is_unsaved = origin.held and (
            not origin.checkpoint or checkpoints.step_of(origin.checkpoint) < origin.step)
        return not (self._worker.is_chief and is_unsaved)

    def _train(self, origin):
        options, worker = self._options, self._worker
        begins = worker.is_chief and not origin.checkpoint and not origin.held
        if options.tf_initial_checkpoint and begins:
            checkpoints.find_checkpoint(options.tf_initial_checkpoint, 'tf_initial_checkpoint')
        if options.seed is not None:
            tf.set_random_seed(options.seed)
        dataset = self._make_dataset(
            origin.step // options.num_replicas * options.train_batch_size)
        tensors = training_graph.build(options, self._model_options, dataset)
        writer = self._make_writer(origin) if worker.is_chief else None
        start = starting.Start(writer and writer.saver, self._init_fn(origin),
                               worker.make_markers(), joins=origin.held)
        graph = tf.get_default_graph()
        graph.finalize()
        if worker.is_chief:
            _make_folder(options.train_logdir)
            if self._on_start is not None:
                self._on_start()
        reporters = worker.reporters(graph)
        try:
            with tf.Session(worker.target, config=worker.session_config) as session:
                acceleration.report(session, options)
                step = (start.join(session) if origin.held else
                        start.prepare(session, origin.checkpoint))
                self._announce(step, origin)
                if writer is not None:
                    writer.start(step, _saved_at(step, origin.checkpoint))
                if writer is not None and origin.held:
                    writer.save(session, step)
                steps = loop.Loop(tensors, options, writer, reporters, dataset.translate_error,
                                  self._evaluation)
                return self._run_steps(session, steps, step, writer)
        finally:
            reporters.close()

    def _make_writer(self, origin):
        options = self._options
        if origin.checkpoint and not origin.held:
            initialization.check_resumable(origin.checkpoint, tf.global_variables())
        return checkpoint_writer.CheckpointWriter(
            options.train_logdir, options.keep_checkpoint_max, options.save_interval_secs,
            options.save_interval_steps, self._worker.is_lost)

    def _init_fn(self, origin):
        """A function that loads the initial checkpoint, or None; see --restore_from_seg_model."""
        options = self._options
        if origin.held:
            return None
        from_classification = options.restore_from_seg_model is False
        return initialization.get_model_init_fn(
            options.train_logdir, options.tf_initial_checkpoint,
            options.initialize_last_layer and not from_classification,
            model.get_extra_layer_scopes(
                options.last_layers_contain_logits_only and not from_classification),
            ignore_missing_vars=not options.restore_from_seg_model)

    def _announce(self, step, origin):
        options = self._options
        last_step = options.training_number_of_steps
        if origin.held:
            logging.info('Going on with what the parameter servers hold: step %d of %d.', step,
                         last_step)
        elif origin.checkpoint:
            logging.info('Resuming from %s: step %d of %d.', origin.checkpoint, step, last_step)
        if step < last_step:
            logging.info('Training on %s, steps %d to %d, %d images a step.',
                         compat.describe_runtime(), step + 1, last_step, options.train_batch_size)

    def _run_steps(self, session, steps, step, writer):
        options = self._options
        with self.stop:
            step = steps.run(session, step, self.stop)
            checkpoint = writer and writer.save(session, step)
        if self.stop.signal:
            logging.info('Stopped at step %d of %d. The same command goes on from here.', step,
                         options.training_number_of_steps)
        return Result(step, steps.loss, checkpoint, self.stop.signal)


def _saved_at(step, checkpoint):
    """The checkpoint where it is one of this step, else None."""
    return checkpoint if checkpoint and checkpoints.step_of(checkpoint) == step else None


def _make_folder(folder):
    try:
        tf.gfile.MakeDirs(folder)
    except tf.errors.OpError as error:
        raise UserError('--train_logdir={}: cannot make this folder: {}'.format(
            folder, error.message))
