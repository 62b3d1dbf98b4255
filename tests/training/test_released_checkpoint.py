"""A released checkpoint has a place for each of its values in a training graph, slots included."""
import json

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import names
from deeplab.training import graph as training_graph
from deeplab.training import options as training_options
from tests import shared_data
from tests.training import recorded

_SIZE = 65


def test_every_variable_and_momentum_slot_has_its_place():
    with open(shared_data.path(
            'goldens/official_checkpoint_mobilenet_v2_pascal_trainaug.json')) as stream:
        released = json.load(stream)
    model_options = names.ModelOptions({names.OUTPUT_TYPE: 21}, crop_size=[_SIZE, _SIZE],
                                       output_stride=16)
    batch = recorded.FixedBatch(np.zeros([2, _SIZE, _SIZE, 3], np.float32),
                                np.zeros([2, _SIZE, _SIZE, 1], np.int32))
    training_graph.build(training_options.TrainingOptions(train_batch_size=2), model_options, batch)
    ours = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    assert len(released) == 437
    assert ours == {name: entry['shape'] for name, entry in released.items()}
