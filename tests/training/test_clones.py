"""Copies of the network on several devices: what their losses and gradients add up to."""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.core import aspp
from deeplab.training import graph as training_graph
from tests.training import small_network
from tests.training import tiny


def _gradients(folder, **changes):
    """The momentum slots after one step, which are the gradients, by name; and the loss."""
    result = small_network.run(
        folder, training_number_of_steps=1, fine_tune_batch_norm=False, clone_on_cpu=True,
        save_interval_steps=0, **changes)
    return {name: value for name, value in tiny.values_of(result.checkpoint).items()
            if name.endswith('/Momentum')}, result.total_loss


def test_two_clones_with_two_images_are_one_with_four(tmp_path, monkeypatch):
    monkeypatch.setattr(aspp, 'DROPOUT_KEEP_PROB', 1.0)
    # No pixel is ignored, so that each half counts as much as the other.
    sample = small_network.Dataset._sample

    def without_holes(self, number):
        self._ignored_share = 0.0
        return sample(self, number)
    monkeypatch.setattr(small_network.Dataset, '_sample', without_holes)
    one, loss_of_one = _gradients(tmp_path / 'one')
    two, loss_of_two = _gradients(tmp_path / 'two', num_clones=2)
    np.testing.assert_allclose(loss_of_two, loss_of_one, rtol=1e-6)
    assert sorted(one) == sorted(two) and len(one) > 100
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-6, err_msg=name)


def test_a_clone_divides_by_its_own_pixels():
    """As in the original: the mean over clones of the mean over each clone's pixels."""
    options = small_network.options('unused', num_clones=2, clone_on_cpu=True, weight_decay=0.0,
                                    train_batch_size=2)
    with tf.Graph().as_default() as graph:
        # Sample 0 ignores nothing, sample 1 some pixels; a clone gets one of the two.
        tensors = training_graph.build(options, small_network.model_options(),
                                       small_network.Dataset(1, numbers=2))
        shares = [tf.add_n(tf.get_collection(tf.GraphKeys.LOSSES, scope))
                  for scope in ('clone_0/', 'clone_1/')]
        counted = [op.outputs[0] for op in graph.get_operations()
                   if op.type == 'Sum' and op.outputs[0].shape.rank == 0
                   and op.inputs[0].op.type == 'Cast']
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            total, parts, counts = session.run([tensors.total_loss, shares, counted])
    assert len(set(counts)) > 1
    np.testing.assert_allclose(total, np.mean(parts), rtol=1e-6)
