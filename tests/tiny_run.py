"""What tests of whole commands need: records of small pictures, a checkpoint, a command line."""
import io
import json
import os
import sys
import zlib

from absl import flags
from absl.testing import flagsaver
import numpy as np
from PIL import Image
import tensorflow.compat.v1 as tf

from deeplab import cli
from deeplab import names
from deeplab import prediction
from deeplab import run_config
from deeplab.datasets import build_data
from deeplab.datasets import descriptions
from deeplab.datasets import records
from deeplab.datasets import tfrecord_file

CLASSES = 4
CLASS_NAMES = ['ground', 'house', 'tree', 'sky']
COLORS = [[60, 120, 40], [200, 60, 60], [20, 80, 20], [120, 180, 250]]
IGNORE = 255
MODEL_FLAGS = ['--depth_multiplier=0.1', '--aspp_convs_filters=16']
SIZES = ((40, 56), (33, 49), (48, 33))


def blocks(height, width, values, seed, side=8):
    """Returns `[height, width]` or `[height, width, 3]` of blocks drawn from `values`."""
    random = np.random.RandomState(seed)
    shape = (height // side + 1, width // side + 1)
    drawn = values[random.randint(0, len(values), shape)]
    return drawn.repeat(side, 0).repeat(side, 1)[:height, :width].astype(np.uint8)


def photograph(height, width, seed=0):
    """Returns a uint8 image of coloured blocks."""
    colors = np.random.RandomState(99).randint(0, 256, (12, 3))
    return blocks(height, width, colors, seed)


def label_image(height, width, seed=0):
    """Returns uint8 labels with some ignored pixels."""
    labels = blocks(height, width, np.arange(CLASSES), seed)
    labels[blocks(height, width, np.arange(6), seed + 50, side=5) == 0] = IGNORE
    return labels


def encode(array, image_format='PNG'):
    """Returns the bytes of a picture file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format=image_format)
    return stream.getvalue()


def write_records(folder, split='val', sizes=SIZES, with_labels=True, name='tiny', examples=None,
                  class_names=CLASS_NAMES):
    """Writes a data set of one shard with its description; returns the folder as a string.

    Pictures are PNG, named 'picture0', ...; `examples` replaces the records.
    """
    folder = str(folder)
    os.makedirs(folder, exist_ok=True)
    if examples is None:
        examples = []
        for number, (height, width) in enumerate(sizes):
            label = encode(label_image(height, width, number)) if with_labels else None
            examples.append(build_data.image_seg_to_tfexample(
                encode(photograph(height, width, number)), 'picture{}'.format(number), height,
                width, label))
    tfrecord_file.write(os.path.join(folder, records.shard_name(split, 0, 1)),
                        [example.SerializeToString() for example in examples])
    descriptions.save(descriptions.Description(
        name, {split: len(examples)}, len(class_names), IGNORE, class_names, COLORS),
        os.path.join(folder, descriptions.FILE_NAME))
    return folder


def model_options(classes=CLASSES, crop_size=None):
    """Returns the ModelOptions of MODEL_FLAGS."""
    return names.ModelOptions({names.OUTPUT_TYPE: classes}, crop_size=crop_size, output_stride=16,
                              depth_multiplier=0.1, aspp_convs_filters=16)


def value_of(variable, seed=0):
    """A value that depends on the variable's name only, lively enough for labels to differ."""
    shape = variable.shape.as_list()
    random = np.random.RandomState(zlib.crc32(variable.op.name.encode()) + seed)
    if variable.op.name.endswith(('gamma', 'moving_variance')):
        return random.uniform(0.8, 1.2, shape)
    if len(shape) < 4:
        return random.normal(0, 0.1, shape)
    is_depthwise = variable.op.name.endswith('depthwise_weights')
    fan_in = np.prod(shape[:2] if is_depthwise else shape[:3])
    return random.normal(0, (1.4 / fan_in) ** 0.5, shape)


def set_values(session, seed=0):
    """Gives all variables of the default graph their `value_of`, in one call of the session."""
    variables = tf.global_variables()
    session.run([variable.initializer for variable in variables],
                {variable.initializer.inputs[1]: value_of(variable, seed)
                 for variable in variables})


def write_checkpoint(folder, step=10, classes=CLASSES, seed=0, keep_training_at=None):
    """Writes `model.ckpt-<step>`; returns its prefix.

    Args:
      folder: where to.
      step: global step.
      classes: number of classes.
      seed: another one gives other weights.
      keep_training_at: number of training steps for a `train_config.json`; None writes none.
    """
    folder = str(folder)
    os.makedirs(folder, exist_ok=True)
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.zeros([1, 33, 33, 3])
        prediction.build_prediction(image, model_options(classes, [33, 33]))
        set_values(session, seed)
        global_step = tf.train.get_or_create_global_step()
        session.run(global_step.assign(step))
        saver = tf.train.Saver(max_to_keep=None)
        existing = tf.train.get_checkpoint_state(folder)
        if existing:
            saver.recover_last_checkpoints(existing.all_model_checkpoint_paths)
        prefix = saver.save(session, os.path.join(folder, 'model.ckpt'), global_step=step,
                            write_meta_graph=False)
    if keep_training_at is not None:
        with open(os.path.join(folder, run_config.FILE_NAME), 'w') as stream:
            json.dump({
                'flags': {'model_variant': 'mobilenet_v2', 'depth_multiplier': 0.1,
                          'aspp_convs_filters': 16, 'output_stride': 16, 'atrous_rates': None,
                          'training_number_of_steps': keep_training_at, 'dataset': 'tiny',
                          'train_crop_size': ['33', '33']},
                'data': {'name': 'tiny', 'num_classes': classes, 'ignore_label': IGNORE,
                         'class_names': CLASS_NAMES, 'colormap': 'pascal'}}, stream)
    return prefix


def write_run(folder):
    """Writes records into `data`, and the checkpoint of a run that has ended into `train`.

    Returns:
      The checkpoint's prefix.
    """
    write_records(folder / 'data')
    return write_checkpoint(folder / 'train', keep_training_at=10)


def command(module, *arguments):
    """Runs an entry point in this process, flags and all; returns its exit status."""
    with flagsaver.flagsaver():
        module.define_flags()
        try:
            rest = cli.parse_flags([module.__file__] + [str(argument) for argument in arguments])
            # What `cli.run` puts around `main`.
            return cli._guarded(module.main)(rest) or 0  # pylint: disable=protected-access
        except SystemExit as ending:
            return ending.code
        finally:
            sys.stderr.flush()
            flags.FLAGS.mark_as_parsed()


def command_on_run(module, kind, folder, logdir, *arguments, **replaced):
    """Runs deeplab.eval or deeplab.vis on what `write_run` has written; returns its exit status.

    Args:
      module: the entry point.
      kind: how its own flags begin, 'eval' or 'vis'.
      folder: what `write_run` got.
      logdir: where to.
      *arguments: more of the command line.
      **replaced: flags in place of those given otherwise; None leaves one out.
    """
    values = {'dataset': 'tiny', 'dataset_dir': folder / 'data', 'checkpoint_dir': folder / 'train',
              kind + '_logdir': logdir, kind + '_crop_size': '49,65'}
    return command(module, *(flag_values(**dict(values, **replaced)) + list(arguments)))


def check_error(capsys, *parts):
    """Checks that one line on stderr is an error, and that it holds all parts."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1, lines
    for part in parts:
        assert part in lines[0], lines[0]


def read_picture(path):
    """Returns the pixels of a picture file as they are stored."""
    with Image.open(str(path)) as picture:
        return np.array(picture)


def flag_values(**values) -> list:
    """Returns ['--name=value', ...]; None leaves a flag out."""
    return ['--{}={}'.format(name, value) for name, value in sorted(values.items())
            if value is not None]
