"""Every backbone trains: two real steps with a finite, falling loss on a repeated batch."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import model
from deeplab import names
from deeplab.core import feature_extractor
from deeplab.utils import losses

_CLASSES = 3
_SIZE = 33
_SHARES = (0.8, 0.1, 0.1)
_VARIANTS = feature_extractor.backbone_names()


def _options(variant):
    record = feature_extractor.get_backbone(variant)
    return names.ModelOptions(
        {names.OUTPUT_TYPE: _CLASSES}, crop_size=[_SIZE, _SIZE],
        output_stride=16 if 16 in record.output_strides else record.output_strides[0],
        model_variant=variant, aspp_convs_filters=16, decoder_filters=16, depth_multiplier=0.5,
        nas_architecture_options=dict(names.default_nas_options(), **{names.NAS_STEM_FILTERS: 4}),
        decoder_output_stride=[4] if record.decoder_end_points else None)


@pytest.mark.parametrize('variant', _VARIANTS)
def test_two_training_steps(variant):
    rng = np.random.RandomState(0)
    images = tf.constant(rng.randint(0, 256, (2, _SIZE, _SIZE, 3)).astype(np.float32))
    # One class covers most of the picture: what two steps can learn, whatever dropout draws.
    labels = tf.constant(rng.choice(_CLASSES, (2, _SIZE, _SIZE, 1), p=_SHARES).astype(np.int32))
    tf.set_random_seed(0)
    logits = model.multi_scale_logits(images, _options(variant), None, weight_decay=4e-5,
                                      is_training=True, fine_tune_batch_norm=True)
    losses.add_softmax_cross_entropy_loss_for_each_scale(
        logits[names.OUTPUT_TYPE], labels, _CLASSES, 255, loss_weight=1.0)
    cross_entropy = tf.add_n(tf.losses.get_losses())
    total = cross_entropy + tf.add_n(tf.losses.get_regularization_losses())
    optimizer = tf.train.MomentumOptimizer(0.01, 0.9)
    gradients = optimizer.compute_gradients(total)
    assert all(gradient is not None for gradient, _ in gradients)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        train = optimizer.apply_gradients(gradients)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run(tf.trainable_variables())
        values = [session.run([cross_entropy, train])[0] for _ in range(2)]
        values.append(session.run(cross_entropy))
        after = session.run(tf.trainable_variables())
    assert np.all(np.isfinite(values))
    assert values[-1] < values[0]
    moved = [np.abs(new - old).max() > 0 for new, old in zip(after, before)]
    assert np.mean(moved) > 0.95
