r"""Times a training step beside a bare slim graph, and what the memory and speed switches do to it.

    python scripts/benchmarks/train_step.py --train_crop_size=129,129 --train_batch_size=4

The bare graph is the same network with the same loss, weight decay, batch norm updates and momentum,
written as one would without this program: one session run a step, nothing measured or checked. Both
work on one batch that lies in memory, step by step in turns in one process.

Then every switch trains in a process of its own: seconds a step, and the most memory a step takes
beyond what the process held before its first step (weights and momentum lie below that, gradients
and activations above). Peaks come from the system, so on a GPU only the times mean anything.
"""
import collections
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time

from absl import flags
import numpy as np
import tabulate
import tensorflow.compat.v1 as tf

from deeplab import cli
from deeplab import common
from deeplab import compat
from deeplab import model
from deeplab.names import IMAGE, IMAGE_NAME, LABEL, OUTPUT_TYPE
from deeplab.training import acceleration
from deeplab.training import graph as training_graph
from deeplab.training import loop
from deeplab.training import options as training_options
from deeplab.training import reporting

FLAGS = flags.FLAGS

_CLASSES, _IGNORE_LABEL = 21, 255
_SWITCHES = collections.OrderedDict([
    ('none', {}),
    ('--gradient_accumulation_steps=2', {'gradient_accumulation_steps': 2}),
    ('--gradient_accumulation_steps=4', {'gradient_accumulation_steps': 4}),
    ('--recompute_activations', {'recompute_activations': True}),
    ('both of these', {'gradient_accumulation_steps': 4, 'recompute_activations': True}),
    ('--mixed_precision', {'mixed_precision': True}),
    ('--xla', {'xla': True}),
])
_MEBIBYTE = 2.0 ** 20


def define_flags():
    """Defines the flags of this command."""
    cli.define_size('train_crop_size', ['129', '129'], 'Crop height,width.')
    flags.DEFINE_integer('train_batch_size', 4, 'Images a step.', lower_bound=1)
    flags.DEFINE_integer('output_stride', 16, 'Ratio of input to feature resolution.')
    cli.define_list('atrous_rates', None, 'Atrous rates of ASPP.', item_type=int)
    flags.DEFINE_integer('steps', 20, 'Steps timed.', lower_bound=1)
    flags.DEFINE_integer('num_threads', 0, 'CPU threads; 0 is one a core.')
    cli.define_list('switches', ['all'], 'Numbers of the rows of the second table to measure, '
                    'from 0; all, or the empty list for none.')
    flags.DEFINE_integer('only', None, 'Measure this one row in this process and print it as JSON; '
                         'used by the command itself.')


class _OneBatch(object):
    """A data set of one batch, again and again."""

    ignore_label = _IGNORE_LABEL

    def __init__(self, batch_size, crop_size):
        self._shape = [batch_size] + list(crop_size)

    def get_one_shot_iterator(self):
        random = np.random.RandomState(0)
        batch = {
            IMAGE: random.uniform(0, 255, self._shape + [3]).astype(np.float32),
            LABEL: random.randint(0, _CLASSES, self._shape + [1]).astype(np.int32),
            IMAGE_NAME: np.array([b'noise'] * self._shape[0])}
        return tf.data.make_one_shot_iterator(tf.data.Dataset.from_tensors(batch).repeat())


class _After(object):
    """Stands for a stop request that comes after so many steps."""

    def __init__(self, steps):
        self._left = steps

    @property
    def signal(self):
        self._left -= 1
        return self._left < 0


def _session(options):
    return tf.Session(config=acceleration.configure(tf.ConfigProto(
        allow_soft_placement=True,
        intra_op_parallelism_threads=options.num_threads,
        inter_op_parallelism_threads=options.num_threads), options))


def _initialised(session):
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    return session


def own_step(options, model_options):
    """Returns a function that trains so many steps by this program's graph and loop."""
    with tf.Graph().as_default():
        tensors = training_graph.build(
            options, model_options, _OneBatch(options.clone_batch_size, model_options.crop_size))
        session = _initialised(_session(options))
    steps = loop.Loop(tensors, options, None, reporting.Reporters([]), lambda error: error)
    done = [0]

    def train(count):
        done[0] = steps.run(session, done[0], _After(count))
    return train


def bare_step(options, model_options):
    """Returns a function that trains so many steps by a plain graph of the same network."""
    with tf.Graph().as_default():
        batch = _OneBatch(
            options.clone_batch_size, model_options.crop_size).get_one_shot_iterator().get_next()
        logits = model.multi_scale_logits(
            batch[IMAGE], model_options, None, weight_decay=options.weight_decay,
            is_training=True, fine_tune_batch_norm=options.fine_tune_batch_norm)
        logits = tf.image.resize_bilinear(
            logits[OUTPUT_TYPE][model.MERGED_LOGITS_SCOPE], model_options.crop_size,
            align_corners=True)
        labels = tf.reshape(batch[LABEL], [-1])
        counted = tf.cast(tf.not_equal(labels, _IGNORE_LABEL), tf.float32)
        losses = tf.nn.softmax_cross_entropy_with_logits_v2(
            labels=tf.one_hot(labels, _CLASSES), logits=tf.reshape(logits, [-1, _CLASSES]))
        loss = (tf.reduce_sum(losses * counted) / tf.reduce_sum(counted)
                + tf.losses.get_regularization_loss())
        step = tf.train.get_or_create_global_step()
        rate = tf.train.polynomial_decay(
            options.base_learning_rate, step, options.training_number_of_steps, power=0.9)
        optimizer = tf.train.MomentumOptimizer(rate, options.momentum)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_op = optimizer.minimize(loss, global_step=step)
        session = _initialised(_session(options))

    def train(count):
        for _ in range(count):
            session.run([train_op, loss])
    return train


def _seconds(train):
    begin = time.perf_counter()
    train(1)
    return time.perf_counter() - begin


def compare_with_bare(options, model_options, steps):
    """Returns the medians of (own seconds, bare seconds, own / bare) over steps in turns."""
    sides = [make(options, model_options) for make in (own_step, bare_step)]
    for train in sides:
        train(3)  # The first steps plan and allocate.
    pairs = []
    for number in range(steps):
        # Who goes first alternates, or what one leaves in the caches would favour the other.
        order = sides if number % 2 else sides[::-1]
        times = {train: _seconds(train) for train in order}
        pairs.append([times[train] for train in sides])
    own, bare = zip(*pairs)
    return (statistics.median(own), statistics.median(bare),
            statistics.median(one / other for one, other in pairs))


def _resident():
    """Returns the most bytes this process has held."""
    try:
        with open('/proc/self/status') as stream:
            return int(re.search(r'VmHWM:\s+(\d+)', stream.read()).group(1)) * 1024
    except (OSError, AttributeError):
        # Begins with what the process held that started this one, where that is more.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_switch(options, model_options, steps):
    """Returns {'seconds': median of a step, 'bytes': peak beyond what there was before}."""
    train = own_step(options, model_options)
    before = _resident()
    train(2)
    return {'seconds': statistics.median(_seconds(train) for _ in range(steps)),
            'bytes': _resident() - before}


def _in_own_process(row):
    # Without these, malloc keeps what is freed and peaks tell of its habits.
    environment = dict(os.environ, MALLOC_MMAP_THRESHOLD_='65536', MALLOC_TRIM_THRESHOLD_='65536')
    output = subprocess.check_output(
        [sys.executable] + sys.argv + ['--only={}'.format(row)], env=environment)
    return json.loads(output.decode().splitlines()[-1])


def _print_switches(rows):
    measured = [(name, _in_own_process(number)) for number, name in enumerate(_SWITCHES)
                if number in rows or not number]
    plain = measured[0][1]
    print(tabulate.tabulate(
        [[name, result['seconds'], result['seconds'] / plain['seconds'],
          # Crops too small to leave a mark on the process have no peak to speak of.
          result['bytes'] / _MEBIBYTE, result['bytes'] / max(1, plain['bytes'])]
         for name, result in measured],
        headers=['switch', 's/step', 'of none', 'peak MiB', 'of none'], tablefmt='github',
        floatfmt=('', '.3f', '.2f', '.0f', '.2f')))


def _rows():
    if FLAGS.switches == ['all']:
        return list(range(len(_SWITCHES)))
    return [row for row in range(len(_SWITCHES)) if str(row) in FLAGS.switches]


def main(_):
    changes = list(_SWITCHES.values())[FLAGS.only or 0]
    options = training_options.TrainingOptions(
        train_logdir='unused', train_batch_size=FLAGS.train_batch_size, log_steps=10 ** 9,
        training_number_of_steps=10 ** 6, num_threads=FLAGS.num_threads, **changes)
    training_options.validate(options)
    model_options = common.model_options_from_flags(
        {OUTPUT_TYPE: _CLASSES}, crop_size=cli.size_from_flag(FLAGS.train_crop_size),
        atrous_rates=FLAGS.atrous_rates, output_stride=FLAGS.output_stride)
    if FLAGS.only is not None:
        print(json.dumps(measure_switch(options, model_options, max(3, FLAGS.steps // 4))))
        return
    own, bare, ratio = compare_with_bare(options, model_options, FLAGS.steps)
    print(tabulate.tabulate(
        [[compat.describe_runtime(), FLAGS.model_variant, own, bare, ratio]],
        headers=['runtime', 'network', 's/step here', 's/step bare', 'ratio'], tablefmt='github',
        floatfmt=('', '', '.4f', '.4f', '.3f')))
    rows = _rows()
    if rows:
        print()
        _print_switches(rows)


if __name__ == '__main__':
    cli.run(main, define_flags)
