"""The last layer: features to class scores."""
import tensorflow.compat.v1 as tf
import tf_slim as slim

LOGITS_SCOPE_NAME = 'logits'


def branch_logits(features, num_classes, atrous_rates=None, aspp_with_batch_norm=False,
                  kernel_size=1, weight_decay=0.0001, reuse=None, scope_suffix=''):
    """Adds the logits layer, or, without an ASPP head, the sum of one for each atrous rate.

    The sum over rates is DeepLabv2's way (arXiv 1606.00915, section 3.2).

    Args:
        features: [batch, height, width, channels].
        num_classes: output channels.
        atrous_rates: rates of the branches summed; used only without batch norm in ASPP.
        aspp_with_batch_norm: whether `features` come out of an ASPP head.
        kernel_size: of the convolutions; must be 1 with a single branch.
        weight_decay: L2 factor of the weights.
        reuse: whether to reuse the variables.
        scope_suffix: name of the layer inside the scope `logits`; further branches append _1, _2.

    Returns:
        [batch, height, width, num_classes].

    Raises:
        ValueError: a kernel size other than 1 with a single branch.
    """
    rates = atrous_rates
    if aspp_with_batch_norm or not atrous_rates:
        if kernel_size != 1:
            raise ValueError(
                '--logits_kernel_size must be 1 where there are no atrous rates or ASPP has batch '
                'norm. Received instead: {}.'.format(kernel_size))
        rates = [1]
    weights = dict(weights_regularizer=slim.l2_regularizer(weight_decay),
                   weights_initializer=tf.truncated_normal_initializer(stddev=0.01))
    with slim.arg_scope([slim.conv2d], reuse=reuse, **weights):
        with tf.variable_scope(LOGITS_SCOPE_NAME, LOGITS_SCOPE_NAME, [features]):
            return tf.add_n([
                slim.conv2d(features, num_classes, kernel_size, rate=rate, activation_fn=None,
                            normalizer_fn=None,
                            scope='{}_{}'.format(scope_suffix, number) if number else scope_suffix)
                for number, rate in enumerate(rates)])
