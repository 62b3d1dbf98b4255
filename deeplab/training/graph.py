"""The training graph: clones with their losses, gradients, and the op that applies them."""
import collections

import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab import compat
from deeplab import model
from deeplab.core import sync_batch_norm
from deeplab.errors import UserError
from deeplab.names import IMAGE, IMAGE_NAME, LABEL, OUTPUT_TYPE
from deeplab.training import acceleration
from deeplab.training import accumulation
from deeplab.training import options as training_options
from deeplab.training import recomputation
from deeplab.utils import gradients
from deeplab.utils import learning_rates
from deeplab.utils import losses
from slim_nets import draws
from slim_nets.deployment import model_deploy

# Tensors of a training step. Fetching train_op makes the step; all other values are those it was
# made with, but for global_step, which is the number of steps done after it.
TrainGraph = collections.namedtuple('TrainGraph', [
    'train_op', 'global_step', 'total_loss',
    'losses',          # {name: loss} of the first clone and 'regularization_loss'
    'learning_rate',
    'gradient_norm',   # of the gradients with their multipliers, before clipping
    'image_names',     # string [batch]
    'image_summary',   # serialised pictures for TensorBoard, or None
    'accumulate_op',   # runs a part of the batch but the last, or None where there is one part
])

# What one session run works out of its share of a batch.
_Work = collections.namedtuple('_Work', ['total_loss', 'grads_and_vars', 'losses'])

# merged_logits: by output name. counted_pixels: float32 scalar, pixels that are not ignored.
CloneOutputs = collections.namedtuple(
    'CloneOutputs', ['samples', 'merged_logits', 'counted_pixels'])

_OPTIMIZERS = {
    'momentum': lambda options, rate: tf.train.MomentumOptimizer(rate, options.momentum),
    'adam': lambda options, rate: tf.train.AdamOptimizer(rate, epsilon=options.adam_epsilon),
}


class _OneDevice(model_deploy.DeploymentConfig):
    """A single clone that keeps its variables beside it, not on the CPU."""

    def variables_device(self):
        return self.clone_device(0)

    def optimizer_device(self):
        return self.clone_device(0)


def deployment(options):
    """The DeploymentConfig these options ask for."""
    alone = options.num_clones == 1 and options.num_ps_tasks == 0
    return (_OneDevice if alone else model_deploy.DeploymentConfig)(
        num_clones=options.num_clones,
        clone_on_cpu=options.clone_on_cpu,
        replica_id=options.task,
        num_replicas=options.num_replicas,
        num_ps_tasks=options.num_ps_tasks)


def clone_losses(samples, options, model_options, ignore_label):
    """Builds one clone's network and adds its losses to the graph's collection.

    Args:
      samples: dict with IMAGE, float32 [batch, height, width, 3] in 0..255, and LABEL, int32
        [batch, height, width, 1].
      options: a TrainingOptions.
      model_options: a ModelOptions.
      ignore_label: label value that costs nothing.

    Returns:
      The merged logits, float32 [batch, h, w, classes], by output name.
    """
    images = tf.identity(samples[IMAGE], name=IMAGE)
    labels = tf.identity(samples[LABEL], name=LABEL)
    logits = model.multi_scale_logits(
        images, model_options, options.image_pyramid, weight_decay=options.weight_decay,
        is_training=True, fine_tune_batch_norm=options.fine_tune_batch_norm,
        nas_training_hyper_parameters={
            'drop_path_keep_prob': options.drop_path_keep_prob,
            'total_training_steps': options.training_number_of_steps})
    merged = {}
    for output, num_classes in sorted(model_options.outputs_to_num_classes.items()):
        merged[output] = tf.identity(logits[output][model.MERGED_LOGITS_SCOPE], name=output)
        losses.add_softmax_cross_entropy_loss_for_each_scale(
            logits[output], labels, num_classes, ignore_label,
            loss_weight=_as_loss_weight(model_options.label_weights),
            upsample_logits=options.upsample_logits,
            hard_example_mining_step=options.hard_example_mining_step,
            top_k_percent_pixels=options.top_k_percent_pixels, scope=output)
    return merged


def _as_loss_weight(weights):
    if weights is None:
        return 1.0
    return float(weights) if isinstance(weights, (int, float)) else [float(w) for w in weights]


def build_clones(options, model_options, dataset, config):
    """Builds all clones; each draws its own batches from one input pipeline.

    Returns:
      A list of model_deploy.Clone, whose outputs are CloneOutputs.
    """
    with tf.device(config.inputs_device()):
        iterator = dataset.get_one_shot_iterator()

    def build_one():
        with tf.device(config.inputs_device()):
            samples = iterator.get_next()
        merged = clone_losses(samples, options, model_options, dataset.ignore_label)
        return CloneOutputs(samples, merged, losses.counted_pixels(
            merged[OUTPUT_TYPE], samples[LABEL], dataset.ignore_label, options.upsample_logits))

    if not options.sync_batch_norm:
        return model_deploy.create_clones(config, build_one)
    group = sync_batch_norm.Group(config.num_clones)
    clones = model_deploy.create_clones(config, group.taking_part(build_one))
    group.connect()
    return clones


def _learning_rate(options, global_step):
    scheduled = learning_rates.build(training_options.schedule(options), global_step)
    # Adam has a rate of its own and takes no schedule.
    return (tf.constant(options.adam_learning_rate, tf.float32, name='adam_learning_rate')
            if options.optimizer == 'adam' else scheduled)


def repeatable_draws(options, global_step, part):
    """An arg scope in which dropout draws by seed, step and clone; empty without a seed.

    Args:
      options: a TrainingOptions.
      global_step: the variable.
      part: the PartNumber of the batch; may be None without a seed.
    """
    if options.seed is None:
        return slim.arg_scope([])
    run = (tf.cast(global_step.read_value(), tf.int64) * options.gradient_accumulation_steps
           + part.value)
    return slim.arg_scope([draws.dropout, draws.uniform],
                          repeat=draws.Repeat([options.seed, options.task], run))


def scale_gradients(grads_and_vars, options):
    """Applies the multipliers of biases and last layers."""
    last_layers = model.get_extra_layer_scopes(options.last_layers_contain_logits_only)
    return gradients.multiply(grads_and_vars, gradients.get_model_gradient_multipliers(
        last_layers, options.last_layer_gradient_multiplier))


def _work(clones, optimizer, options, **kwargs):
    """Loss, its gradients, and the losses of the first clone by name."""
    optimize = (model_deploy.optimize_clones_jointly if options.sync_batch_norm else
                model_deploy.optimize_clones)
    total_loss, grads_and_vars = optimize(clones, optimizer, **kwargs)
    losses_of_first = tf.get_collection(tf.GraphKeys.LOSSES, clones[0].scope)
    return _Work(total_loss, grads_and_vars, {loss.op.name: loss for loss in losses_of_first})


def _accumulated_work(clones, optimizer, options):
    """As `_work` for a whole batch of which each run sees a part; and the WeightedMean.

    Parts weigh by their pixels that count, so that the loss is that of the whole batch at once.
    """
    part = _work(clones, optimizer, options, regularization_losses=[])
    part_gradients, variables = zip(*part.grads_and_vars)
    names = sorted(part.losses)
    weight = tf.add_n([clone.outputs.counted_pixels for clone in clones])
    mean = accumulation.WeightedMean(
        list(part_gradients) + [part.total_loss] + [part.losses[name] for name in names], weight)
    count = len(variables)
    regularization = tf.losses.get_regularization_loss()
    total_loss = mean.means[count] + regularization
    added = tf.gradients(regularization, list(variables))
    whole_gradients = [gradient if extra is None else gradient + extra
                       for gradient, extra in zip(mean.means, added)]
    return _Work(total_loss, list(zip(whole_gradients, variables)),
                 dict(zip(names, mean.means[count + 1:]))), mean


def build(options, model_options, dataset):
    """Builds the graph of a training run in the default graph.

    Args:
      options: a TrainingOptions.
      model_options: a ModelOptions.
      dataset: has `get_one_shot_iterator()`, giving batches of `options.clone_batch_size`, and
        `ignore_label`.

    Returns:
      A TrainGraph.

    Raises:
      UserError: options that this runtime or the network cannot follow.
    """
    config = deployment(options)
    # The counter stays on the CPU (or the parameter servers): there are no GPU kernels for it.
    with tf.device(model_deploy.DeploymentConfig.variables_device(config)):
        global_step = tf.train.get_or_create_global_step()
    with tf.device(config.inputs_device()):
        # With a single part as well: one op more or less here gives all that is drawn by the
        # graph's seed, initial weights among them, other values.
        part = accumulation.PartNumber() if options.seed is not None else None
    with repeatable_draws(options, global_step, part):
        clones = build_clones(options, model_options, dataset, config)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS, clones[0].scope)
    if options.quantize_delay_step >= 0:
        _quantize(options.quantize_delay_step)

    with tf.device(config.optimizer_device()):
        rate = _learning_rate(options, global_step)
        optimizer = _OPTIMIZERS[options.optimizer](options, rate)
        if options.recompute_activations:
            optimizer = recomputation.RecomputingOptimizer(optimizer)
        optimizer = acceleration.scaled(optimizer, options)
    with tf.device(config.variables_device()):
        if options.gradient_accumulation_steps > 1:
            work, mean = _accumulated_work(clones, optimizer, options)
            with tf.control_dependencies([mean.add_op]):
                accumulate_op = tf.group(*(updates + ([part.advance_op()] if part else [])))
        else:
            work, mean, accumulate_op = _work(clones, optimizer, options), None, None
        grads_and_vars = scale_gradients(work.grads_and_vars, options)
        norm = tf.global_norm([grad for grad, _ in grads_and_vars], name='gradient_norm')
        if options.clip_gradient_norm:
            grads_and_vars = gradients.clip_by_global_norm(
                grads_and_vars, options.clip_gradient_norm, norm)
        reported = dict(work.losses, regularization_loss=tf.losses.get_regularization_loss())
        # L2 reads the weights themselves: what is reported has to be read before they change.
        with tf.control_dependencies([work.total_loss] + list(reported.values())):
            updates.append(optimizer.apply_gradients(grads_and_vars, global_step=global_step))
        if mean is not None:
            with tf.control_dependencies(updates + mean.means):
                updates.extend([mean.reset_op()] + ([part.reset_op()] if part else []))
        with tf.control_dependencies([tf.group(*updates)]):
            train_op = tf.identity(work.total_loss, name='train_op')
            steps_done = global_step.read_value()
    return TrainGraph(
        train_op=train_op,
        global_step=steps_done,
        total_loss=work.total_loss,
        losses=reported,
        learning_rate=rate,
        gradient_norm=norm,
        image_names=tf.concat([clone.outputs.samples[IMAGE_NAME] for clone in clones], axis=0),
        image_summary=(_image_summary(clones[0].outputs, model_options)
                       if options.save_summaries_images else None),
        accumulate_op=accumulate_op)


def _quantize(delay_steps):
    rewriter = compat.quantize_module()
    if rewriter is None:
        raise UserError('--quantize_delay_step needs TensorFlow 1.15, whose rewriter later '
                        'versions have dropped; this is {}.'.format(compat.describe_runtime()))
    rewriter.create_training_graph(quant_delay=delay_steps)


def _image_summary(outputs, model_options):
    """Pictures of images, labels and predictions; labels are spread over the grey values."""
    samples, merged_logits = outputs.samples, outputs.merged_logits
    spread = max(1, 255 // model_options.outputs_to_num_classes[OUTPUT_TYPE])
    predictions = tf.argmax(merged_logits[OUTPUT_TYPE], axis=3, output_type=tf.int32)[..., None]
    return tf.summary.merge([
        tf.summary.image('samples/' + IMAGE, samples[IMAGE]),
        tf.summary.image('samples/' + LABEL, tf.cast(samples[LABEL] * spread, tf.uint8)),
        tf.summary.image('samples/' + OUTPUT_TYPE, tf.cast(predictions * spread, tf.uint8))])
