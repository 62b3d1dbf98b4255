"""The arg scope that ASPP, the decoder and the dense prediction cell are built in."""
import contextlib

import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import utils


def activation(use_bounded_activation: bool):
    """Returns ReLU6 where activations are to be bounded, else ReLU."""
    return tf.nn.relu6 if use_bounded_activation else tf.nn.relu


@contextlib.contextmanager
def head_arg_scope(weight_decay, train_batch_norm, activation_fn=tf.nn.relu,
                   with_batch_norm=True, reuse=None, sync_batch_norm_method='None',
                   batch_norm_decay=utils.DEFAULT_BATCH_NORM_DECAY):
    """Convolutions padded SAME, under L2, each followed by batch norm and the activation.

    Args:
        weight_decay: L2 factor.
        train_batch_norm: whether batch norm uses and collects the batch's statistics.
        activation_fn: after each convolution, or None.
        with_batch_norm: False leaves batch norm out; convolutions have biases then.
        reuse: whether to reuse the variables.
        sync_batch_norm_method: see `utils.get_batch_norm_fn`.
        batch_norm_decay: of the moving averages.
    """
    batch_norm = utils.get_batch_norm_fn(sync_batch_norm_method)
    params = utils.get_batch_norm_params(
        decay=batch_norm_decay, epsilon=1e-5, scale=True, is_training=train_batch_norm,
        sync_batch_norm_method=sync_batch_norm_method)
    convolutions = [slim.conv2d, slim.separable_conv2d]
    with slim.arg_scope(convolutions, padding='SAME', stride=1, reuse=reuse,
                        weights_regularizer=slim.l2_regularizer(weight_decay),
                        activation_fn=activation_fn,
                        normalizer_fn=batch_norm if with_batch_norm else None):
        with slim.arg_scope([batch_norm], **params):
            yield
