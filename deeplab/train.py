r"""Trains or fine-tunes a DeepLab network.

    python deeplab/train.py --dataset=sample_scenes --dataset_dir=data/scenes \
        --train_logdir=runs/a --train_crop_size=129,129 --base_learning_rate=0.01 \
        --training_number_of_steps=1000

Run again with the same flags, it goes on from the last checkpoint in --train_logdir. Ctrl-C and
SIGTERM save first. Fine-tuning on another data set, with few images a batch:

    python deeplab/train.py --dataset=camvid --dataset_dir=data/camvid --train_logdir=runs/camvid \
        --tf_initial_checkpoint=models/pascal/model.ckpt-30000 --initialize_last_layer=false \
        --last_layers_contain_logits_only --fine_tune_batch_norm=false --train_batch_size=4 \
        --train_crop_size=321,321 --base_learning_rate=0.001 --training_number_of_steps=500

Evaluating on the way keeps the best checkpoint in --train_logdir/best, and may end the training:

    python deeplab/train.py ... --eval_every_steps=100 --eval_split=val --patience=5

g3doc/training.md tells of every flag.
"""
import os
import signal

from absl import flags
from absl import logging

from deeplab import augmentation_flags
from deeplab import cli
from deeplab import common
from deeplab import job_platform
from deeplab import run_config
from deeplab import train_evaluation
from deeplab.datasets import data_generator
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions
from deeplab.training import cluster
from deeplab.training import cluster_config
from deeplab.training import job
from deeplab.training import options as training_options
from deeplab.utils import learning_rates

FLAGS = flags.FLAGS

# Flags that are fields of TrainingOptions and take their defaults from there, by type.
_INTEGERS = {
    'num_clones': 'Copies of the network on this machine, one a GPU.',
    'num_replicas': 'Number of workers.',
    'startup_delay_steps': 'A worker starts once its --task times this many steps are done.',
    'num_ps_tasks': 'Number of parameter servers; 0 keeps the variables on the worker.',
    'task': 'Number of this worker; 0 is the chief.',
    'log_steps': 'Steps between two log lines (and points in TensorBoard).',
    'save_interval_secs': 'Seconds between checkpoints.',
    'save_interval_steps': 'Steps between checkpoints, beside the seconds; 0 is off.',
    'keep_checkpoint_max': 'Number of checkpoints to keep; 0 keeps all.',
    'save_summaries_secs': 'Seconds between pictures in TensorBoard.',
    'learning_rate_decay_step': 'Steps between two decays of the step policy.',
    'training_number_of_steps': 'Training steps in total.',
    'train_batch_size': 'Images a step, over all clones. With fewer than 12 a GPU, '
                        '--fine_tune_batch_norm=false is advised.',
    'gradient_accumulation_steps': 'Parts a batch is worked through in, one after the other: the '
                                   'same update from less memory.',
    'slow_start_step': 'Steps at --slow_start_learning_rate first.',
    'hard_example_mining_step': 'Step at which --top_k_percent_pixels is reached, coming from all '
                                'pixels; 0 starts with it.',
    'quantize_delay_step': 'Step from which training simulates 8-bit weights and activations; '
                           'negative is off.',
    'num_threads': 'CPU threads; 0 is one a core.',
    'seed': 'Makes a run repeatable: initial weights, order of images, augmentation, dropout.',
}
_FLOATS = {
    'base_learning_rate': 'Learning rate at the start, for the momentum optimizer.',
    'decay_steps': 'Length of the poly policy in steps; 0 is all steps after the slow start.',
    'end_learning_rate': 'Learning rate at the end of the poly policy.',
    'learning_rate_decay_factor': 'Factor of each decay of the step policy.',
    'learning_power': 'Exponent of the poly policy.',
    'momentum': 'Momentum of the momentum optimizer.',
    'adam_learning_rate': 'Learning rate of Adam, which follows no policy.',
    'adam_epsilon': 'Epsilon of Adam.',
    'weight_decay': 'L2 factor: 0.00004 for MobileNet and Xception, 0.0001 for ResNet.',
    'last_layer_gradient_multiplier': 'Factor on the gradients of the last layers.',
    'clip_gradient_norm': 'Scale all gradients down together where their norm is above this; 0 is '
                          'off.',
    'drop_path_keep_prob': 'Probability to keep a path of a NAS backbone.',
    'slow_start_learning_rate': 'Learning rate of the slow start.',
    'top_k_percent_pixels': 'Share of the hardest pixels that make the loss, above 0 to 1.',
}
_BOOLEANS = {
    'recompute_activations': 'Keep only the activations between the blocks of the network and '
                             'compute the others again for the gradients: less memory, slower.',
    'mixed_precision': 'Compute in 16 bits where it does no harm, with variables and loss in 32: '
                       'float16 on a GPU, bfloat16 on a CPU (TensorFlow 2.x).',
    'xla': 'Compile the graph by XLA.',
    'clone_on_cpu': 'Put the clones on the CPU.',
    'sync_batch_norm': 'Batch norm takes its statistics over the images of all clones.',
    'save_summaries_images': 'Also write images, labels and predictions to TensorBoard.',
    'learning_rate_staircase': 'The step policy decays in jumps; otherwise continuously.',
    'upsample_logits': 'For the loss, bring logits up to the size of the labels; otherwise labels '
                       'down.',
    'initialize_last_layer': 'Take the last layers from --tf_initial_checkpoint as well. Must be '
                             'false for another number of classes.',
    'last_layers_contain_logits_only': 'Only the logits are last layers; otherwise all layers '
                                       'after the backbone.',
    'fine_tune_batch_norm': 'Train with the statistics of the batch; otherwise with those of the '
                            'checkpoint.',
}
_STRINGS = {
    'master': 'Address of the TensorFlow server to train on; empty is this process.',
    'train_logdir': 'Folder of checkpoints and logs.',
    'profile_logdir': 'Folder of profiler traces; none when empty.',
    'tf_initial_checkpoint': 'Checkpoint to take weights from, ours or of a classification '
                             'network: prefix, or folder for the newest in it.',
    'metrics_jsonl': 'Further file, beside metrics.jsonl in --train_logdir, to append one JSON '
                     'object of numbers to at each log step; - is stdout.',
}
_ENUMS = {
    'optimizer': (['momentum', 'adam'], 'Optimizer.'),
    'learning_policy': (list(learning_rates.POLICIES), 'How the learning rate falls.'),
    'slow_start_burnin_type': (list(learning_rates.BURNINS), 'Whether the slow start climbs to the '
                               'base learning rate (linear) or stays.'),
}


def define_flags():
    """Defines the flags of this command."""
    defaults = training_options.TrainingOptions()
    for define, texts in ((flags.DEFINE_integer, _INTEGERS), (flags.DEFINE_float, _FLOATS),
                          (flags.DEFINE_boolean, _BOOLEANS), (flags.DEFINE_string, _STRINGS)):
        for name, text in texts.items():
            define(name, getattr(defaults, name), text)
    for name, (values, text) in _ENUMS.items():
        flags.DEFINE_enum(name, getattr(defaults, name), values, text)
    flags.DEFINE_boolean(
        'restore_from_seg_model', None, '--tf_initial_checkpoint is of a segmentation network and '
        'has to hold all layers that are to be taken from it; =false: of a classification network, '
        'only the backbone is taken. When not given, whatever fits is taken.')
    cli.define_list('boundaries', None, 'Last step of each constant piece of the learning rate but '
                    'the last; acts with --rates, whatever the policy.', item_type=int)
    cli.define_list('rates', None, 'Learning rate of each piece, one more than --boundaries.',
                    item_type=float)

    # Data.
    flags.DEFINE_string('dataset', 'pascal_voc_seg', 'Data set: a name, or the path of a JSON file '
                        'that describes it.')
    flags.DEFINE_string('train_split', 'train', 'Split to train on.')
    flags.DEFINE_string('dataset_dir', None, "Folder of the data set's TFRecords, or an "
                        'archive of it.')
    cli.define_size('train_crop_size', ['513', '513'], 'Crop height,width; a multiple of the '
                    'output stride plus one is best.')
    flags.DEFINE_float('min_scale_factor', 0.5, 'Smallest random scale of an image.')
    flags.DEFINE_float('max_scale_factor', 2.0, 'Largest random scale of an image.')
    flags.DEFINE_float('scale_factor_step_size', 0.25,
                       'Distance of the scales; 0 draws from the whole range.')
    flags.DEFINE_integer('num_readers', 4, 'Shards read in turns.', lower_bound=1)
    flags.DEFINE_integer('shuffle_buffer_size', 0, 'Records to shuffle among, still encoded; 0 is '
                         'all of them, or as many as fit into 256 MiB.', lower_bound=0)
    augmentation_flags.define_augmentation_flags()
    train_evaluation.define_flags()

    # Network, beside what is common to all commands.
    cli.define_list('atrous_rates', None, 'Atrous rates of ASPP: 6,12,18 at output stride 16, '
                    '12,24,36 at 8; none for MobileNets.', item_type=int)
    flags.DEFINE_integer('output_stride', 16, 'Ratio of input to feature resolution.')
    flags.mark_flags_as_required(['train_logdir', 'dataset_dir'])
    job_platform.input_is_default('dataset_dir', 'dataset')
    job_platform.output_is_default('train_logdir')


def _training_options():
    fields = training_options.TrainingOptions._fields
    return training_options.TrainingOptions(
        **{name: getattr(FLAGS, name) for name in fields if name in FLAGS})


def _dataset_maker(options, crop_size, augmentation):
    """A function from the number of samples used before to the Dataset that goes on from there."""
    def make(samples_used):
        return data_generator.Dataset(
            dataset_name=FLAGS.dataset,
            split_name=FLAGS.train_split,
            dataset_dir=FLAGS.dataset_dir,
            batch_size=options.clone_batch_size,
            crop_size=crop_size,
            min_resize_value=FLAGS.min_resize_value,
            max_resize_value=FLAGS.max_resize_value,
            resize_factor=FLAGS.resize_factor,
            min_scale_factor=FLAGS.min_scale_factor,
            max_scale_factor=FLAGS.max_scale_factor,
            scale_factor_step_size=FLAGS.scale_factor_step_size,
            model_variant=FLAGS.model_variant,
            num_readers=FLAGS.num_readers,
            is_training=True,
            should_shuffle=True,
            should_repeat=True,
            shuffle_buffer=FLAGS.shuffle_buffer_size,
            seed=options.seed,
            augmentation=augmentation,
            worker_count=options.num_replicas,
            worker_index=options.task,
            # Without a seed the order is another one anyway.
            start=samples_used if options.seed is not None else 0)
    return make


def _balance_classes(description):
    """Puts the weights of the data set's report in the place of --label_weights=auto."""
    if FLAGS.label_weights != [common.BALANCED]:
        return
    weights = dataset_report.label_weights_of(
        description, FLAGS.train_split, FLAGS.dataset, FLAGS.dataset_dir)
    FLAGS['label_weights'].value = weights
    logging.info('Weights of the classes in the loss, from the report on split %s:\n%s',
                 FLAGS.train_split, dataset_report.format_weights(weights, description))


def _saved_config(description):
    """What the other commands need to know about this run."""
    return run_config.describe([flag.name for flag in cli.program_flags()], {
        'name': description.name,
        'num_classes': description.num_classes,
        'ignore_label': description.ignore_label,
        'class_names': list(description.class_names),
        'colormap': description.colormap})


def _cluster():
    """The cluster that TF_CONFIG describes, or None."""
    places = ('master', 'task', 'num_replicas', 'num_ps_tasks')
    return cluster_config.from_environment(
        os.environ.get('TF_CONFIG'),
        {name: getattr(FLAGS, name) for name in places if cli.given(name)})


def _status(ending_signal):
    return cli.INTERRUPTED if ending_signal == signal.SIGINT else 0


def main(_):
    members = _cluster()
    if members and members.is_ps:
        options = members.applied_to(_training_options())
        training_options.validate(options)
        return _status(cluster.serve(members, options))
    FLAGS.dataset_dir = job_platform.folder_of('dataset_dir', job_platform.RECORDS)
    description = descriptions.load(FLAGS.dataset, FLAGS.dataset_dir)
    crop_size = cli.size_from_flag(FLAGS.train_crop_size)
    augmentation = augmentation_flags.augmentation_from_flags()
    options = _training_options()
    if members:
        options = members.applied_to(options)
    _balance_classes(description)
    model_options = common.model_options_from_flags(
        {common.OUTPUT_TYPE: description.num_classes}, crop_size=crop_size,
        atrous_rates=FLAGS.atrous_rates, output_stride=FLAGS.output_stride)
    config = _saved_config(description)
    training_options.validate(options)
    result = job.run(options, model_options, _dataset_maker(options, crop_size, augmentation),
                     on_start=lambda: run_config.save(FLAGS.train_logdir, config),
                     evaluation=(train_evaluation.keeper(options, model_options)
                                 if options.task == 0 else None),
                     members=members)
    return _status(result.signal)


def entry():
    """Runs the command (console script deeplab-train)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
