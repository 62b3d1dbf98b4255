"""Builds the networks that the goldens describe and fills them with the goldens' seeded weights."""
import json
import os
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import model
from deeplab import names

_CELL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'deeplab',
                     'core', 'dense_prediction_cell_branch5_top1_cityscapes.json')
_GAIN = {'he': 2.0, 'mid': 1.4}


def _ints(values):
    return [int(value) for value in values]


def model_options(config: dict) -> names.ModelOptions:
    """Returns the ModelOptions a golden's `config` says."""
    flags = dict(config['flags'])
    special = {}
    nas = names.default_nas_options()
    for name in list(flags):
        if name in nas:
            nas[name] = flags.pop(name)
    if flags.pop('dense_prediction_cell_json', None):
        with open(_CELL) as handle:
            special['dense_prediction_cell_config'] = json.load(handle)
    for name in ('decoder_output_stride', 'image_pooling_stride', 'image_pooling_crop_size'):
        if name in flags:
            flags[name] = _ints(flags[name])
    flags.update(special)
    return names.ModelOptions(
        {names.OUTPUT_TYPE: config['num_classes']}, crop_size=config['crop_size'],
        atrous_rates=config['atrous_rates'], output_stride=config['output_stride'],
        nas_architecture_options=nas, **flags)


def training_graph(config: dict, fine_tune_batch_norm=True):
    """Builds the training network in the default graph; returns its logits by scale."""
    height, width = config['image_size']
    images = tf.placeholder(tf.float32, [2, height, width, 3])
    return model.multi_scale_logits(
        images, model_options(config), config['image_pyramid'], weight_decay=0.0001,
        is_training=True, fine_tune_batch_norm=fine_tune_batch_norm)[names.OUTPUT_TYPE]


def seeded_value(name: str, shape, init: str):
    """Returns the value the goldens give a variable of that name; see the goldens' README."""
    rng = np.random.RandomState(zlib.crc32(name.encode()) & 0xffffffff)
    last = name.split('/')[-1]
    if last in ('gamma', 'moving_variance'):
        value = rng.uniform(0.8, 1.2, shape)
    elif last == 'depthwise_weights':
        value = rng.normal(0, np.sqrt(_GAIN[init] / (shape[0] * shape[1])), shape)
    elif last in ('weights', 'pointwise_weights'):
        value = rng.normal(0, np.sqrt(_GAIN[init] / np.prod(shape[:-1])), shape)
    else:
        value = rng.normal(0, 0.1, shape)
    return value.astype(np.float32)


class Weights:
    """Loads seeded values into variables through one op a variable, made once."""

    def __init__(self, variables):
        self._variables = [variable for variable in variables
                           if variable.op.name != 'global_step']
        self._inputs = [tf.placeholder(tf.float32, variable.shape)
                        for variable in self._variables]
        self._assign = tf.group(*[tf.assign(variable, value) for variable, value in
                                  zip(self._variables, self._inputs)])

    def load(self, session, init: str):
        """Fills the variables; returns the crc32 over all values in name order."""
        values = {variable.op.name: seeded_value(variable.op.name, variable.shape.as_list(), init)
                  for variable in self._variables}
        session.run(self._assign, {placeholder: values[variable.op.name] for variable, placeholder
                                   in zip(self._variables, self._inputs)})
        crc = 0
        for name in sorted(values):
            crc = zlib.crc32(values[name].tobytes(), crc)
        return crc & 0xffffffff


def image(config: dict):
    """Returns the goldens' input, [1, height, width, 3] float32."""
    height, width = config['image_size']
    return np.random.RandomState(0).randint(0, 256, (1, height, width, 3)).astype(np.float32)
