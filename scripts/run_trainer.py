r"""Trains, with the flags of tf-deeplabv3; deeplab/train.py has more of them.

    python scripts/run_trainer.py --filenames=records/train-00001-of-00002.tfrecord \
        --filenames=records/train-00002-of-00002.tfrecord --num_classes=21 \
        --load_ckpt_path=models/resnet_v2_101.ckpt --output_path=runs/a

Run again with the same flags, it goes on from the last checkpoint in --output_path, whose
configuration eval.py, predict.py and export_model.py follow too.
"""
import signal

from absl import flags

from deeplab import cli
from deeplab import run_config
from deeplab.datasets import data_generator
from deeplab.datasets import listed_records
from deeplab.training import job
from deeplab.training import options as training_options

import tf_deeplabv3

FLAGS = flags.FLAGS
_SPLIT = 'train'
# Checkpoints are due by steps alone.
_NEVER = 10 ** 9


def define_flags():
    """Defines the flags of this command."""
    cli.define_list('filenames', None, 'Record files to train on; patterns do as well.')
    flags.DEFINE_string('output_path', None, 'Folder for checkpoints and logs.')
    flags.DEFINE_string('load_ckpt_path', None, 'Checkpoint to start from.')
    flags.DEFINE_boolean('restore_from_seg_model', False, '--load_ckpt_path is of a segmentation '
                         'network and all of it is taken; otherwise only the backbone.')
    flags.DEFINE_integer('batch_size', 12, 'Images a step.')
    flags.DEFINE_integer('crop_size_height', 513, 'Height of the crops.', lower_bound=1)
    flags.DEFINE_integer('crop_size_width', 513, 'Width of the crops.', lower_bound=1)
    flags.DEFINE_float('min_rescale_factor', 0.5, 'Smallest random scale of an image.')
    flags.DEFINE_float('max_rescale_factor', 2.0, 'Largest random scale of an image.')
    flags.DEFINE_float('weight_decay', 5e-4, 'L2 factor.')
    flags.DEFINE_boolean('fine_tune_batch_norm', True, 'Train with the statistics of the batch; '
                         'otherwise with those of the checkpoint.')
    flags.DEFINE_float('init_learning_rate', 7e-3, 'Learning rate at the start.')
    flags.DEFINE_integer('num_steps', 30000, 'Training steps in total.')
    flags.DEFINE_float('learning_power', 0.9, 'Exponent of the falling learning rate.')
    flags.DEFINE_float('momentum', 0.9, 'Momentum of the optimizer.')
    cli.define_list('boundaries', None, 'Last step of each constant piece of the learning rate but '
                    'the last; with --rates, in place of the falling one.', item_type=int)
    cli.define_list('rates', None, 'Learning rate of each piece, one more than --boundaries.',
                    item_type=float)
    flags.DEFINE_integer('log_per_steps', 10, 'Steps between two log lines.')
    flags.DEFINE_integer('persist_per_steps', 1000, 'Steps between two checkpoints.',
                         lower_bound=1)
    flags.DEFINE_integer('seed', None, 'Makes a run repeatable.')
    tf_deeplabv3.define_network_flags()
    flags.mark_flags_as_required(['filenames', 'output_path'])


def options_from_flags() -> training_options.TrainingOptions:
    """Returns the TrainingOptions the parsed flags describe."""
    return training_options.TrainingOptions(
        train_logdir=FLAGS.output_path,
        log_steps=FLAGS.log_per_steps,
        save_interval_steps=FLAGS.persist_per_steps,
        save_interval_secs=_NEVER,
        training_number_of_steps=FLAGS.num_steps,
        train_batch_size=FLAGS.batch_size,
        base_learning_rate=FLAGS.init_learning_rate,
        learning_power=FLAGS.learning_power,
        momentum=FLAGS.momentum,
        boundaries=FLAGS.boundaries,
        rates=FLAGS.rates,
        weight_decay=FLAGS.weight_decay,
        fine_tune_batch_norm=FLAGS.fine_tune_batch_norm,
        tf_initial_checkpoint=FLAGS.load_ckpt_path,
        restore_from_seg_model=FLAGS.restore_from_seg_model,
        seed=FLAGS.seed)


def _dataset_maker(description, options, network, crop_size):
    def make(samples_used):
        return data_generator.Dataset(
            description, _SPLIT, None, options.clone_batch_size, crop_size,
            min_scale_factor=FLAGS.min_rescale_factor, max_scale_factor=FLAGS.max_rescale_factor,
            model_variant=network.model_variant, num_readers=4, is_training=True,
            should_shuffle=True, should_repeat=True, seed=options.seed,
            start=samples_used if options.seed is not None else 0)
    return make


def main(_):
    with tf_deeplabv3.their_names():
        description = listed_records.describe(
            listed_records.find(FLAGS.filenames, '--filenames'), _SPLIT, FLAGS.num_classes,
            FLAGS.ignore_label)
        crop_size = [FLAGS.crop_size_height, FLAGS.crop_size_width]
        options = options_from_flags()
        network = tf_deeplabv3.model_options(crop_size)
        config = tf_deeplabv3.saved_config(network, description, {
            'train_crop_size': crop_size,
            'training_number_of_steps': options.training_number_of_steps})
        result = job.run(options, network, _dataset_maker(description, options, network, crop_size),
                         on_start=lambda: run_config.save(options.train_logdir, config))
    return cli.INTERRUPTED if result.signal == signal.SIGINT else 0


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
