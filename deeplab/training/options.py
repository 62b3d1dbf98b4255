"""Everything a training run can be told apart from its network and its data."""
import collections
import re

from deeplab.errors import UserError
from deeplab.training import acceleration
from deeplab.utils import learning_rates

# field: default. The flags of train.py take their defaults from here.
_FIELDS = (
    # Where things go and how often.
    ('train_logdir', None),
    ('log_steps', 10),
    ('save_interval_secs', 1200),
    ('save_interval_steps', 0),
    ('keep_checkpoint_max', 5),
    ('save_summaries_secs', 600),
    ('save_summaries_images', False),
    ('metrics_jsonl', None),
    ('profile_logdir', None),
    # Schedule and optimiser.
    ('training_number_of_steps', 30000),
    ('optimizer', 'momentum'),
    ('momentum', 0.9),
    ('adam_learning_rate', 0.001),
    ('adam_epsilon', 1e-8),
    ('learning_policy', 'poly'),
    ('base_learning_rate', 1e-4),
    ('decay_steps', 0.0),
    ('end_learning_rate', 0.0),
    ('learning_power', 0.9),
    ('learning_rate_decay_factor', 0.1),
    ('learning_rate_decay_step', 2000),
    ('learning_rate_staircase', True),
    ('boundaries', None),
    ('rates', None),
    ('slow_start_step', 0),
    ('slow_start_learning_rate', 1e-4),
    ('slow_start_burnin_type', 'none'),
    # Loss and gradients.
    ('weight_decay', 4e-5),
    ('upsample_logits', True),
    ('hard_example_mining_step', 0),
    ('top_k_percent_pixels', 1.0),
    ('last_layer_gradient_multiplier', 1.0),
    ('last_layers_contain_logits_only', False),
    ('clip_gradient_norm', 0.0),
    ('fine_tune_batch_norm', True),
    ('drop_path_keep_prob', 1.0),
    ('image_pyramid', None),
    ('quantize_delay_step', -1),
    # Where the weights come from.
    ('tf_initial_checkpoint', None),
    ('initialize_last_layer', True),
    ('restore_from_seg_model', None),
    # Batch, devices and machines.
    ('train_batch_size', 8),
    ('gradient_accumulation_steps', 1),
    ('recompute_activations', False),
    ('mixed_precision', False),
    ('xla', False),
    ('num_clones', 1),
    ('sync_batch_norm', False),
    ('clone_on_cpu', False),
    ('master', ''),
    ('task', 0),
    ('num_replicas', 1),
    ('num_ps_tasks', 0),
    ('startup_delay_steps', 15),
    ('num_threads', 0),
    ('seed', None),
)


class TrainingOptions(collections.namedtuple('TrainingOptions', [name for name, _ in _FIELDS])):
    """Plain values, one a flag of train.py and with its default; `deeplab/train.py` explains each.

    Immutable; change it by `_replace`. `validate` checks values against each other.
    """

    __slots__ = ()

    def __new__(cls, **values):
        unknown = sorted(set(values) - set(cls._fields))
        if unknown:
            raise TypeError('Unknown training options: {}.'.format(', '.join(unknown)))
        return super(TrainingOptions, cls).__new__(cls, **dict(_FIELDS, **values))

    @property
    def clone_batch_size(self):
        """Images a clone gets at once."""
        return self.train_batch_size // (self.num_clones * self.gradient_accumulation_steps)


def schedule(options: TrainingOptions) -> learning_rates.Schedule:
    """The learning-rate schedule; boundaries and rates act whenever they are given."""
    policy = 'multi_steps' if options.boundaries or options.rates else options.learning_policy
    return learning_rates.Schedule(
        policy=policy,
        base_rate=options.base_learning_rate,
        training_steps=options.training_number_of_steps,
        step_interval=options.learning_rate_decay_step,
        step_factor=options.learning_rate_decay_factor,
        staircase=options.learning_rate_staircase,
        power=options.learning_power,
        decay_steps=options.decay_steps,
        end_rate=options.end_learning_rate,
        boundaries=options.boundaries,
        boundary_rates=options.rates,
        slow_start_steps=options.slow_start_step,
        slow_start_rate=options.slow_start_learning_rate,
        burnin=options.slow_start_burnin_type)


def _positive(value):
    return value > 0


def _not_negative(value):
    return value >= 0


def _share(value):
    return 0 < value <= 1


# field: (test, what is expected)
_RANGES = {
    'training_number_of_steps': (_positive, 'above 0'),
    'train_batch_size': (_positive, 'above 0'),
    'num_clones': (_positive, 'above 0'),
    'gradient_accumulation_steps': (_positive, 'above 0'),
    'num_replicas': (_positive, 'above 0'),
    'num_ps_tasks': (_not_negative, '0 (none) or above'),
    'task': (_not_negative, '0 (the chief) or above'),
    'startup_delay_steps': (_not_negative, '0 or above'),
    'log_steps': (_positive, 'above 0'),
    'keep_checkpoint_max': (_not_negative, '0 (keep all) or above'),
    'save_interval_steps': (_not_negative, '0 (off) or above'),
    'weight_decay': (_not_negative, '0 or above'),
    'clip_gradient_norm': (_not_negative, '0 (off) or above'),
    'slow_start_step': (_not_negative, '0 or above'),
    'hard_example_mining_step': (_not_negative, '0 or above'),
    'top_k_percent_pixels': (_share, 'above 0 and at most 1'),
    'drop_path_keep_prob': (_share, 'above 0 and at most 1'),
}


def _validate_cluster(options):
    if options.num_replicas > 1 and options.num_ps_tasks < 1:
        raise UserError('--num_replicas={} needs parameter servers: give --num_ps_tasks.'.format(
            options.num_replicas))
    if options.master and not re.match(r'grpc://.+:\d+$', options.master):
        raise UserError('--master={} has to be the address of a TensorFlow server, '
                        'grpc://host:port.'.format(options.master))
    if options.num_ps_tasks and not options.master:
        raise UserError(
            '--num_ps_tasks={} needs a cluster: set TF_CONFIG, or give the address of a running '
            'TensorFlow server as --master=grpc://host:port.'.format(options.num_ps_tasks))
    alone = (('quantize_delay_step', options.quantize_delay_step >= 0),
             ('mixed_precision', options.mixed_precision))
    for name, is_on in alone:
        if options.num_ps_tasks and is_on:
            raise UserError('--{} works on one machine only, got --num_ps_tasks={}.'.format(
                name, options.num_ps_tasks))


def _validate_sync_batch_norm(options):
    if not options.sync_batch_norm:
        return
    if options.num_clones == 1:
        raise UserError('--sync_batch_norm needs clones: give --num_clones above 1.')
    if not options.fine_tune_batch_norm:
        raise UserError('--sync_batch_norm does nothing with --fine_tune_batch_norm=false, which '
                        'takes no statistics of the images; leave one of them out.')
    for name in ('recompute_activations', 'mixed_precision'):
        if getattr(options, name):
            raise UserError('--sync_batch_norm does not go together with --{}; leave one of them '
                            'out.'.format(name))


def _validate_switches(options):
    acceleration.validate(options)
    for name in ('recompute_activations', 'mixed_precision'):
        if getattr(options, name) and options.quantize_delay_step >= 0:
            raise UserError('--{} does not go together with --quantize_delay_step={}, whose ranges '
                            'are part of the forward pass; leave one of them out.'.format(
                                name, options.quantize_delay_step))


def validate(options: TrainingOptions) -> None:
    """Checks the options before any graph is built.

    Raises:
      UserError: naming the flag, the value received and what is expected.
    """
    if not options.train_logdir:
        raise UserError('--train_logdir is empty; give the folder for checkpoints and logs.')
    for name, (is_valid, expected) in sorted(_RANGES.items()):
        value = getattr(options, name)
        if not is_valid(value):
            raise UserError('--{} must be {}, got {}.'.format(name, expected, value))
    parts = options.num_clones * options.gradient_accumulation_steps
    if options.train_batch_size % parts:
        raise UserError(
            '--train_batch_size={} cannot be divided among --num_clones={} times '
            '--gradient_accumulation_steps={}; use a multiple of {} images.'.format(
                options.train_batch_size, options.num_clones, options.gradient_accumulation_steps,
                parts))
    if options.task >= options.num_replicas:
        raise UserError('--task={} must be below --num_replicas={}.'.format(
            options.task, options.num_replicas))
    _validate_cluster(options)
    _validate_sync_batch_norm(options)
    if options.quantize_delay_step >= 0 and options.num_clones > 1:
        raise UserError('--quantize_delay_step works with one clone only, got --num_clones={}.'
                        .format(options.num_clones))
    _validate_switches(options)
    learning_rates.validate(schedule(options))
