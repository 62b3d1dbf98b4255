"""What all residual networks share: blocks of units, padding, atrous rates, the arg scope.

A residual network is a list of `Block`s, each a list of units, each unit a dictionary of arguments.
`stack_blocks_dense` turns the list into a graph at any output stride: once the wanted stride is
reached, every further stride becomes an atrous rate, so that the features get denser while the
weights stay the same (DeepLab, arXiv 1606.00915, section 3.1).
"""
import collections

import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets import boundaries
# Image pixels per position of the first block's input: a convolution and a pooling of stride 2.
ROOT_STRIDE = 4


class Block(collections.namedtuple('Block', ('scope', 'unit_fn', 'args'))):
    """One block of a residual network.

    Attributes:
        scope: str, the block's variable scope.
        unit_fn: function `(inputs, rate=..., **unit)` that adds one residual unit.
        args: list of dictionaries, the arguments of one unit each; `stride` counts as 1 if missing.
    """

    __slots__ = ()


def block_with_last_strided(scope: str, unit_fn, unit: dict, num_units: int, stride: int) -> Block:
    """Returns a `Block` of `num_units` equal units of which the last one has the stride.

    The papers put the stride in the first unit. Here the last has it, so that each block computes
    as much as it can at the finer resolution; the weights' shapes are not affected.
    """
    strides = (num_units - 1) * [1] + [stride]
    return Block(scope, unit_fn, [dict(unit, stride=unit_stride) for unit_stride in strides])


def bottleneck_block(unit_fn, scope: str, base_depth: int, num_units: int, stride: int,
                     **unit) -> Block:
    """Returns a block of bottlenecks whose outputs are four times as deep as their insides.

    Args:
        unit_fn: function `(inputs, depth, depth_bottleneck, stride, rate)` that adds a bottleneck.
        scope: str, the block's variable scope.
        base_depth: depth inside the bottlenecks.
        num_units: number of bottlenecks.
        stride: stride of the last bottleneck.
        **unit: further arguments of each bottleneck.
    """
    unit.update(depth=4 * base_depth, depth_bottleneck=base_depth)
    return block_with_last_strided(scope, unit_fn, unit, num_units, stride)


def imagenet_blocks(block_fn, units_per_block, depth_fn=int) -> list:
    """Returns the four blocks of the networks for ImageNet (arXiv 1512.03385, table 1).

    Args:
        block_fn: function `(scope, base_depth, num_units, stride)` that returns a `Block`.
        units_per_block: four numbers of units.
        depth_fn: function from a base depth of the paper to the one to use.
    """
    base_depths, strides = (64, 128, 256, 512), (2, 2, 2, 1)
    table = zip(base_depths, units_per_block, strides)
    return [block_fn('block{}'.format(number), depth_fn(base_depth), num_units, stride)
            for number, (base_depth, num_units, stride) in enumerate(table, 1)]


def subsample(inputs: tf.Tensor, factor: int, scope: str = None) -> tf.Tensor:
    """Keeps every `factor`-th position of a map [batch, height, width, channels].

    Returns:
        [batch, ceil(height / factor), ceil(width / factor), channels]; `inputs` for a factor of 1.
    """
    # A pooling of window 1 is the identity followed by its stride.
    return inputs if factor == 1 else slim.max_pool2d(inputs, 1, stride=factor, scope=scope)


def pad_like_stride_one(inputs: tf.Tensor, kernel_size: int, rate: int = 1) -> tf.Tensor:
    """Adds the zeros that a 'SAME' convolution of stride 1 would add.

    Args:
        inputs: [batch, height, width, channels].
        kernel_size: side of the square kernel.
        rate: atrous rate of the kernel.

    Returns:
        [batch, height + (kernel_size - 1) * rate, width + (kernel_size - 1) * rate, channels].
    """
    total = (kernel_size - 1) * rate
    margin = [total // 2, total - total // 2]
    return tf.pad(inputs, [[0, 0], margin, margin, [0, 0]])


def conv2d_same(inputs: tf.Tensor, num_outputs: int, kernel_size: int, stride: int, rate: int = 1,
                scope: str = None) -> tf.Tensor:
    """A convolution whose strided result is the unstrided result, subsampled.

    TensorFlow's 'SAME' makes the padding of a strided convolution depend on the input size, so that
    for even sizes the taps shift by one pixel. Padding as for stride 1 keeps them in place, which
    dense and strided features need to be interchangeable.

    Args:
        inputs: [batch, height, width, channels].
        num_outputs: number of output channels.
        kernel_size: side of the square kernel.
        stride: stride in both directions.
        rate: atrous rate in both directions; `stride` or `rate` has to be 1.
        scope: variable scope of the convolution.

    Returns:
        [batch, ceil(height / stride), ceil(width / stride), num_outputs].
    """
    padding = 'SAME'
    if stride > 1:
        inputs, padding = pad_like_stride_one(inputs, kernel_size, rate), 'VALID'
    return slim.conv2d(inputs, num_outputs, kernel_size, stride=stride, rate=rate, padding=padding,
                       scope=scope)


def usable_output_strides(blocks, root_stride: int = 1) -> list:
    """Returns the output strides a network of `blocks` can run at, in ascending order.

    Args:
        blocks: list of `Block`s.
        root_stride: stride of what comes before the first block.
    """
    strides = [root_stride]
    for block in blocks:
        for unit in block.args:
            strides.append(strides[-1] * unit.get('stride', 1))
    return sorted(set(strides))


def stride_within_blocks(output_stride, blocks, root_stride: int = 1):
    """Checks a network's output stride and returns the blocks' share of it.

    Args:
        output_stride: int, input pixels per output position; None asks for the nominal stride.
        blocks: list of `Block`s.
        root_stride: stride of what comes before the first block.

    Returns:
        `output_stride / root_stride` as an int, or None for None.

    Raises:
        ValueError: the blocks do not come by this stride.
    """
    if output_stride is None:
        return None
    usable = usable_output_strides(blocks, root_stride)
    if output_stride not in usable:
        raise ValueError('output_stride must be one of {} for this network, got {}.'.format(
            usable, output_stride))
    return int(output_stride) // root_stride


class _StrideBudget:
    """Decides, stride after stride, what is still a stride and what becomes an atrous rate."""

    def __init__(self, limit):
        self._limit = limit
        self._spent = 1
        self.rate = 1

    @property
    def exhausted(self) -> bool:
        return self._limit is not None and self._spent == self._limit

    def spend(self, stride: int) -> int:
        """Accounts for `stride` and returns the stride to apply: the same, or 1 if exhausted."""
        if self.exhausted:
            self.rate *= stride
            return 1
        self._spent *= stride
        return stride


@slim.add_arg_scope
def stack_blocks_dense(net: tf.Tensor, blocks, output_stride: int = None,
                       store_non_strided_activations: bool = False,
                       outputs_collections: str = None) -> tf.Tensor:
    """Adds the units of all blocks, strided down to `output_stride` and atrous from there on.

    Args:
        net: [batch, height, width, channels].
        blocks: list of `Block`s.
        output_stride: stride of the result relative to `net`; None for that of the blocks.
        store_non_strided_activations: whether a block's end point is taken before its last stride,
            which is then a subsampling after the block. The end points are larger by that stride,
            the network's result is the same, for more computation.
        outputs_collections: collection to which each block's result is added.

    Returns:
        [batch, ceil(height / output_stride), ceil(width / output_stride), last block's depth].

    Raises:
        ValueError: the blocks do not come by this stride.
    """
    budget = _StrideBudget(stride_within_blocks(output_stride, blocks))
    boundaries.mark(net)
    for block in blocks:
        with tf.variable_scope(block.scope, 'block', [net]) as scope:
            held_back = 1
            for number, unit in enumerate(block.args, 1):
                stride = unit.get('stride', 1)
                if store_non_strided_activations and number == len(block.args):
                    stride, held_back = 1, stride
                rate = budget.rate
                with tf.variable_scope('unit_{}'.format(number), values=[net]):
                    net = boundaries.mark(block.unit_fn(
                        net, rate=rate, **dict(unit, stride=budget.spend(stride))))
            net = slim.utils.collect_named_outputs(outputs_collections, scope.name, net)
            net = subsample(net, budget.spend(held_back))
    return net


def root_block(inputs: tf.Tensor) -> tf.Tensor:
    """The root of the ImageNet networks: a 7x7 convolution and a 3x3 pooling, both of stride 2.

    Args:
        inputs: images [batch, height, width, 3].

    Returns:
        [batch, ceil(height / 4), ceil(width / 4), 64].
    """
    net = conv2d_same(inputs, 64, 7, stride=2, scope='conv1')
    return slim.max_pool2d(net, 3, stride=2, scope='pool1')


def classification_head(net: tf.Tensor, end_points: dict, name: str, num_classes: int = None,
                        global_pool: bool = True, spatial_squeeze: bool = True) -> tf.Tensor:
    """Pools the features and classifies them.

    Args:
        net: features [batch, height, width, channels].
        end_points: dictionary to which 'global_pool', '<name>/logits', '<name>/spatial_squeeze' and
            'predictions' (softmax) are added as far as they are built.
        name: the network's scope.
        num_classes: number of classes; None or 0 for no classifier.
        global_pool: whether to average over height and width.
        spatial_squeeze: whether to drop height and width, both 1, of the logits.

    Returns:
        Logits [batch, num_classes], with height and width in between if not squeezed; without
        classes the features, pooled if asked for.

    Raises:
        ValueError: `spatial_squeeze` for logits that are known to be larger than 1 x 1.
    """
    if global_pool:
        net = tf.reduce_mean(net, [1, 2], name='pool5', keepdims=True)
        end_points['global_pool'] = net
    if not num_classes:
        return net
    net = slim.conv2d(net, num_classes, 1, activation_fn=None, normalizer_fn=None, scope='logits')
    end_points[name + '/logits'] = net
    if spatial_squeeze:
        size = net.shape.as_list()[1:3]
        if not set(size) <= {1, None}:
            raise ValueError('spatial_squeeze needs logits of 1 x 1 positions, got {} x {}; pass '
                             'global_pool=True or spatial_squeeze=False.'.format(*size))
        net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')
        end_points[name + '/spatial_squeeze'] = net
    end_points['predictions'] = slim.softmax(net, scope='predictions')
    return net


def training_scope(norm_fn, is_training):
    """Returns an arg scope that sets `norm_fn`'s `is_training`, unless that is None.

    None leaves the choice to the scope the caller has opened.
    """
    if is_training is None:
        return slim.arg_scope([])
    return slim.arg_scope([norm_fn], is_training=is_training)


def build_network(inputs: tf.Tensor, blocks, unit_fn, root_fn, finish_fn, num_classes, is_training,
                  global_pool, output_stride, spatial_squeeze, store_non_strided_activations, reuse,
                  scope, default_scope: str):
    """Builds a classification network: root, blocks, finish, head.

    Args:
        inputs: images [batch, height, width, 3], or what the blocks take if there is no root.
        blocks: list of `Block`s.
        unit_fn: the arg-scoped function of the blocks' units.
        root_fn: function from the images to the first block's input, of stride `ROOT_STRIDE`; None
            for no root.
        finish_fn: function from the last block's result to the features.
        default_scope: the variable scope's name where `scope` is None.
        The others: see `resnet_v1.resnet_v1`.

    Returns:
        (net, end_points), see `resnet_v1.resnet_v1`.

    Raises:
        ValueError: the network does not come by this `output_stride`.
    """
    blocks_stride = stride_within_blocks(output_stride, blocks, ROOT_STRIDE if root_fn else 1)
    with tf.variable_scope(scope, default_scope, [inputs], reuse=reuse) as network_scope:
        collection = network_scope.original_name_scope + '_end_points'
        collectors = [slim.conv2d, unit_fn, stack_blocks_dense]
        with slim.arg_scope(collectors, outputs_collections=collection), \
                training_scope(slim.batch_norm, is_training):
            net = root_fn(inputs) if root_fn else inputs
            net = finish_fn(stack_blocks_dense(
                net, blocks, blocks_stride,
                store_non_strided_activations=store_non_strided_activations))
            end_points = slim.utils.convert_collection_to_dict(collection)
            net = classification_head(net, end_points, network_scope.name, num_classes, global_pool,
                                      spatial_squeeze)
    return net, end_points


def resnet_arg_scope(weight_decay: float = 0.0001, batch_norm_decay: float = 0.997,
                     batch_norm_epsilon: float = 1e-5, batch_norm_scale: bool = True,
                     activation_fn=tf.nn.relu, use_batch_norm: bool = True,
                     batch_norm_updates_collections: str = tf.GraphKeys.UPDATE_OPS) -> dict:
    """Returns the arg scope in which `resnet_v1` and `resnet_v2` networks are built.

    Weights start from a normal distribution truncated at two standard deviations, of variance
    2 / fan-in (He et al., arXiv 1502.01852, section 2.2).

    Args:
        weight_decay: factor of the L2 loss, half the sum of squares, on all convolution weights.
        batch_norm_decay: decay of batch norm's moving averages.
        batch_norm_epsilon: added to the variance; fused kernels raise it to 1.001e-5 at least.
        batch_norm_scale: whether batch norm has a trained scale, gamma.
        activation_fn: activation after each convolution that is not said to be linear.
        use_batch_norm: whether convolutions have batch norm rather than biases.
        batch_norm_updates_collections: where the moving averages' updates are collected; None runs
            them in place.
    """
    norm_params = dict(decay=batch_norm_decay, epsilon=batch_norm_epsilon, scale=batch_norm_scale,
                       updates_collections=batch_norm_updates_collections)
    convolution_defaults = dict(
        activation_fn=activation_fn,
        normalizer_fn=slim.batch_norm if use_batch_norm else None,
        normalizer_params=norm_params if use_batch_norm else None,
        weights_initializer=slim.variance_scaling_initializer(),
        weights_regularizer=slim.l2_regularizer(weight_decay))
    with slim.arg_scope([slim.conv2d], **convolution_defaults), \
            slim.arg_scope([slim.batch_norm], **norm_params), \
            slim.arg_scope([slim.max_pool2d], padding='SAME') as scope:
        # On odd sizes 'SAME' pads the pooling of the root evenly on all sides, so that the features
        # stay centred on the pixels they came from, which dense prediction relies on.
        return scope
