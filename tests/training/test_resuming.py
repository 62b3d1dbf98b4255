"""A real network, dropout and all: an interrupted run is the run that was not interrupted."""
import os

import pytest
import tensorflow.compat.v1 as tf

from tests.training import small_network
from tests.training import tiny


def _forget_after(folder, step):
    for name in os.listdir(str(folder)):
        if name == 'checkpoint' or (name.startswith('model.ckpt-')
                                    and int(name.split('-')[1].split('.')[0]) > step):
            os.remove(os.path.join(str(folder), name))


@pytest.mark.parametrize('changes', [
    {'fine_tune_batch_norm': True}, {'fine_tune_batch_norm': False},
    {'gradient_accumulation_steps': 2}, {'recompute_activations': True}])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, changes):
    whole = small_network.run(tmp_path, **changes)
    values = tiny.values_of(whole.checkpoint)
    _forget_after(tmp_path, 2)
    resumed = small_network.run(tmp_path, **changes)
    again = tiny.values_of(resumed.checkpoint)
    assert resumed.step == 4 and sorted(values) == sorted(again)
    for name in values:
        assert (values[name] == again[name]).all(), name


@pytest.mark.slow
def test_drop_path_is_repeated_as_well(tmp_path):
    changes = dict(drop_path_keep_prob=0.5, training_number_of_steps=2, save_interval_steps=1,
                   network=small_network.model_options('nas_pnasnet', add_image_level_feature=False,
                                                       nas_architecture_options={
                                                           'nas_stem_output_num_conv_filters': 4}),
                   train_batch_size=2)
    values = tiny.values_of(small_network.run(tmp_path, **changes).checkpoint)
    _forget_after(tmp_path, 1)
    again = tiny.values_of(small_network.run(tmp_path, **changes).checkpoint)
    for name in values:
        assert (values[name] == again[name]).all(), name


def test_dropout_differs_between_steps_clones_and_seeds():
    from deeplab.training import graph as training_graph

    def masks(seed):
        options = small_network.options('unused', seed=seed, num_clones=2, clone_on_cpu=True)
        with tf.Graph().as_default() as graph:
            training_graph.build(options, small_network.model_options(),
                                 small_network.Dataset(options.clone_batch_size))
            drawn = [op.outputs[0] for op in graph.get_operations()
                     if op.name.endswith('concat_projection_dropout/Cast')]
            assert len(drawn) == 2
            step = tf.train.get_global_step()
            with tf.Session() as session:
                found = []
                for number in (0, 1):
                    session.run(tf.variables_initializer(
                        tf.global_variables('global_step') + tf.local_variables()))
                    session.run(step.assign(number))
                    found += [value.tobytes() for value in session.run(drawn)]
                return found
    assert masks(1) == masks(1)
    assert len(set(masks(1) + masks(2))) == 8
