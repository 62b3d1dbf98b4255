"""What stands before, beside and after the cells: stems, auxiliary head, classifier, arg scope."""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.nasnet import layers


def activation_of(hparams):
    """Returns the activation function that the hyperparameters ask for."""
    return tf.nn.relu6 if hparams.use_bounded_activation else tf.nn.relu


def arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon):
    """Returns the arg scope of NASNet-A and PNASNet-5.

    Args:
        weight_decay: L2 factor of all convolutions' and fully connected layers' weights.
        batch_norm_decay: of the moving averages.
        batch_norm_epsilon: added to the variance.
    """
    weighted = [slim.fully_connected, slim.conv2d, slim.separable_conv2d]
    with slim.arg_scope(
            weighted, activation_fn=None,
            weights_regularizer=slim.l2_regularizer(weight_decay),
            weights_initializer=slim.variance_scaling_initializer(mode='FAN_OUT')), \
        slim.arg_scope(weighted[:1], scope='FC'), \
        slim.arg_scope(weighted[1:], biases_initializer=None), \
        slim.arg_scope([slim.batch_norm], decay=batch_norm_decay, epsilon=batch_norm_epsilon,
                       scale=True, fused=True) as scope:
        return scope


def mode_scope(hparams, is_training):
    """Returns the arg scope that tells all layers the data format and whether this is training."""
    formatted = [slim.avg_pool2d, slim.max_pool2d, slim.conv2d, slim.separable_conv2d,
                 slim.batch_norm, layers.factorized_reduction, layers.global_avg_pool,
                 layers.get_channel_index, layers.get_channel_dim]
    with slim.arg_scope([slim.dropout, slim.batch_norm, layers.drop_path],
                        is_training=is_training), \
            slim.arg_scope(formatted, data_format=hparams.data_format) as scope:
        return scope


def imagenet_stem(inputs, hparams, stem_cell, current_step=None):
    """A strided 3x3 convolution and two strided cells: an eighth of the resolution.

    Args:
        inputs: images, [batch, height, width, 3] (or channels first).
        hparams: of the network.
        stem_cell: the cell to use.
        current_step: see `cells.NasNetABaseCell`.

    Returns:
        The list of the outputs so far, None standing before the first.
    """
    net = slim.conv2d(inputs, int(32 * hparams.stem_multiplier), 3, stride=2, padding='VALID',
                      scope='conv0')
    outputs = [None, slim.batch_norm(net, scope='conv0_bn')]
    num_cells = 2
    for number in range(num_cells):
        outputs.append(stem_cell(
            outputs[-1], scope='cell_stem_{}'.format(number), stride=2, prev_layer=outputs[-2],
            filter_scaling=hparams.filter_scaling_rate ** (number - num_cells), cell_num=number,
            current_step=current_step))
    return outputs


def cifar_stem(inputs, hparams):
    """One 3x3 convolution; arguments and result as in `imagenet_stem`."""
    filters = int(hparams.num_conv_filters * hparams.stem_multiplier)
    net = slim.conv2d(inputs, filters, 3, scope='l1_stem_3x3')
    return [None, slim.batch_norm(net, scope='l1_stem_bn')]


def auxiliary_cell(hparams, num_classes, is_training):
    """Returns the number of the cell that feeds the auxiliary classifier, or None for none.

    It is the last before the second reduction; the classifier is for training alone.
    """
    reductions = layers.calc_reduction_layers(hparams.num_cells, hparams.num_reduction_layers)
    wanted = is_training and num_classes and hparams.use_aux_head and len(reductions) > 1
    return reductions[1] - 1 if wanted else None


def auxiliary_logits(net, num_classes, hparams, scope):
    """The classifier on the side that helps training (arXiv 1409.4842, section 5).

    Args:
        net: output of a cell; 5 pixels or more high and wide.
        num_classes: number of classes.
        hparams: of the network.
        scope: variable scope.

    Returns:
        Logits, [batch, num_classes].
    """
    activation = activation_of(hparams)
    with tf.variable_scope(scope), tf.variable_scope('aux_logits'):
        net = slim.avg_pool2d(activation(net), 5, stride=3, padding='VALID')
        net = slim.conv2d(net, 128, 1, scope='proj')
        net = activation(slim.batch_norm(net, scope='aux_bn0'))
        spatial = net.shape.as_list()
        del spatial[layers.get_channel_index()], spatial[0]
        net = slim.conv2d(net, 768, spatial, padding='VALID')
        net = activation(slim.batch_norm(net, scope='aux_bn1'))
        return slim.fully_connected(slim.flatten(net), num_classes)


def classifier(net, num_classes, hparams):
    """Returns the end points of the classification head, a list of (name, tensor), in order.

    'global_pool' [batch, channels]; then, if there are `num_classes` (0 or None: features only),
    'Logits' and 'Predictions' [batch, num_classes], the latter between 0 and 1.
    """
    with tf.variable_scope('final_layer'):
        net = layers.global_avg_pool(activation_of(hparams)(net))
        ends = [('global_pool', net)]
        if num_classes:
            net = slim.dropout(net, hparams.dense_dropout_keep_prob, scope='dropout')
            logits = slim.fully_connected(net, num_classes)
            ends += [('Logits', logits), ('Predictions', tf.nn.softmax(logits, name='predictions'))]
    return ends


def prepare(images, config, default_config, is_training):
    """Returns (images in the configuration's data format, private copy of the configuration).

    Drop path is for training only, so it is switched off in the copy otherwise.
    """
    hparams = default_config()
    if config is not None:
        hparams.override_from_dict(config.values())
    if not is_training:
        hparams.set_hparam('drop_path_keep_prob', 1.0)
    if hparams.data_format == layers.DATA_FORMAT_NCHW:
        images = tf.transpose(images, [0, 3, 1, 2])
    return images, hparams


def collect(points, final_endpoint):
    """Runs the generator of end points until `final_endpoint`.

    Args:
        points: generator of (name, tensor). A pair whose name starts with 'Aux' stays beside the
            main path.
        final_endpoint: name to stop at, or None to go on to the end.

    Returns:
        (tensor, end points): the tensor of the final end point, or the 'Logits' ('global_pool'
        without classes), and a dict of all end points built.

    Raises:
        ValueError: no end point has the name `final_endpoint`.
    """
    end_points = {}
    for name, tensor in points:
        end_points[name] = tensor
        if name == final_endpoint:
            return tensor, end_points
    if final_endpoint:
        raise ValueError('final_endpoint must be one of {}. Received instead: {!r}.'.format(
            ', '.join(end_points), final_endpoint))
    return end_points.get('Logits', end_points['global_pool']), end_points
