"""Searched cells: how operations and hidden states make one, and the two of NASNet-A.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", arXiv 1707.07012,
section 4 and figure 4.
"""
import collections
import re

import tensorflow.compat.v1 as tf
import tf_slim as slim

from slim_nets.nasnet import layers

# Bound of a cell's intermediate values where `use_bounded_activation` asks for bounds.
CLIP_BY_VALUE_CAP = 6

_OPERATION = re.compile(r'(separable|atrous|avg_pool|max_pool)_(\d+)x\2(?:_(\d+))?$')

# A cell's description, see `NasNetABaseCell`.
Genotype = collections.namedtuple(
    'Genotype', 'operations used_hiddenstates hiddenstate_indices')
Operation = collections.namedtuple('Operation', 'kind kernel_size repeats')


def parse_operation(text: str) -> Operation:
    """Reads an operation's name, for example 'separable_5x5_2', 'max_pool_3x3' or 'none'.

    Raises:
        ValueError: the name is not of that form.
    """
    if text == 'none':
        return Operation('none', 1, 0)
    found = _OPERATION.match(text)
    if not found:
        raise ValueError("An operation must be 'none' or <kind>_<n>x<n>[_<repeats>] with kind "
                         'separable, atrous, avg_pool or max_pool. Received instead: {!r}.'
                         .format(text))
    kind, kernel_size, repeats = found.groups()
    return Operation(kind, int(kernel_size), int(repeats or 1))


def check_genotype(operations, used_hiddenstates, hiddenstate_indices, kinds):
    """Checks the description of a cell, and returns its parsed operations.

    Raises:
        ValueError: lists of wrong length, an unknown operation, or a block that combines a state
            that does not exist yet.
    """
    parsed = [parse_operation(text) for text in operations]
    unknown = [text for text, operation in zip(operations, parsed) if operation.kind not in kinds]
    if unknown:
        raise ValueError('Operations of this cell are of kinds {}, got {}.'.format(
            ', '.join(kinds), unknown))
    blocks, odd = divmod(len(operations), 2)
    if odd or len(hiddenstate_indices) != 2 * blocks or len(used_hiddenstates) != blocks + 2:
        raise ValueError(
            'A cell of n blocks needs 2n operations, 2n hiddenstate_indices and n + 2 '
            'used_hiddenstates, got {}, {} and {}.'.format(
                len(operations), len(hiddenstate_indices), len(used_hiddenstates)))
    for position, index in enumerate(hiddenstate_indices):
        if not 0 <= index < 2 + position // 2:
            raise ValueError(
                'hiddenstate_indices[{}] must be below {}, the number of states before its block, '
                'got {}.'.format(position, 2 + position // 2, index))
    return parsed


class NasNetABaseCell:
    """A cell: five blocks, each the sum of two operations on earlier hidden states.

    States 0 and 1 are the outputs of the last and of the last but one cell, brought to the cell's
    number of filters (and to equal resolution); block b makes state b + 2. The states that
    `used_hiddenstates` does not mark are concatenated into the output.

    Args:
        num_conv_filters: filters of a cell at filter scaling 1.
        operations: list of ten names (see `parse_operation`), two a block.
        used_hiddenstates: list of seven, 1 for a state that stays out of the output.
        hiddenstate_indices: list of ten, the state that each operation works on.
        drop_path_keep_prob: keep probability of the last cell at the last step; 1.0: no drop path.
        total_num_cells: number of cells of the network, for the drop path schedule.
        total_training_steps: number of training steps, likewise.
        use_bounded_activation: keep activations in [0, 6] and the operations' outputs in [-6, 6],
            for 8-bit inference.
    """

    KINDS = ('separable', 'avg_pool', 'max_pool', 'none')

    def __init__(self, num_conv_filters, operations, used_hiddenstates, hiddenstate_indices,
                 drop_path_keep_prob, total_num_cells, total_training_steps,
                 use_bounded_activation=False):
        self._operations = check_genotype(
            operations, used_hiddenstates, hiddenstate_indices, self.KINDS)
        self._used_hiddenstates = used_hiddenstates
        self._hiddenstate_indices = hiddenstate_indices
        self._num_conv_filters = num_conv_filters
        self._drop_path_keep_prob = drop_path_keep_prob
        self._total_num_cells = total_num_cells
        self._total_training_steps = total_training_steps
        self._use_bounded_activation = use_bounded_activation
        self._activation = tf.nn.relu6 if use_bounded_activation else tf.nn.relu
        self._batch_norm = slim.batch_norm

    def __call__(self, net, scope='', filter_scaling=1, stride=1, prev_layer=None, cell_num=-1,
                 current_step=None):
        """Adds the cell to the graph.

        Args:
            net: output of the last cell, [batch, height, width, channels].
            scope: variable scope of the cell.
            filter_scaling: factor on the number of filters.
            stride: 2 halves the resolution (rounded up), 1 keeps it.
            prev_layer: output of the last cell but one, or None to take `net` in its place.
            cell_num: number of the cell, from 0, for the drop path schedule.
            current_step: scalar tensor, the training step; None: the global step.

        Returns:
            [batch, height / stride, width / stride, filters * number of concatenated states].
        """
        filters = int(self._num_conv_filters * filter_scaling)
        with tf.variable_scope(scope):
            states = self._first_states(net, prev_layer, filters)
            keep_prob = self._keep_prob(cell_num, current_step)
            branches = list(zip(self._operations, self._hiddenstate_indices))
            for block, pair in enumerate(zip(branches[::2], branches[1::2])):
                with tf.variable_scope('comb_iter_{}'.format(block)):
                    left, right = [
                        self._branch(side, states, operation, index, filters, stride, keep_prob)
                        for side, (operation, index) in zip(('left', 'right'), pair)]
                    total = left + right
                    states.append(tf.nn.relu6(total) if self._use_bounded_activation else total)
            with tf.variable_scope('cell_output'):
                return self._concatenate_unused(states)

    def _first_states(self, net, prev_layer, filters):
        previous = net if prev_layer is None else self._match_previous(net, prev_layer, filters)
        current = self._project(self._activation(net), filters, 1, '1x1', 'beginning_bn')
        return [current, previous]

    def _keep_prob(self, cell_num, current_step):
        """Returns the drop path keep probability of this cell, or None where nothing is dropped."""
        if self._drop_path_keep_prob >= 1.0:
            return None
        step = layers.root_global_step() if current_step is None else current_step
        return layers.scheduled_keep_prob(
            self._drop_path_keep_prob, (cell_num + 1) / self._total_num_cells, step,
            self._total_training_steps)

    def _branch(self, side, states, operation, index, filters, stride, keep_prob):
        """Applies one operation to one state; only the cell's inputs are strided."""
        with tf.variable_scope(side):
            apply = getattr(self, '_apply_' + operation.kind)
            net = apply(states[index], operation, filters, stride if index < 2 else 1)
            if keep_prob is None or operation.kind == 'none':
                return net
            return layers.drop_path(net, keep_prob)

    def _apply_separable(self, net, operation, filters, stride):
        for layer in range(1, operation.repeats + 1):
            suffix = '{0}x{0}_{1}'.format(operation.kernel_size, layer)
            net = self._separable_conv(self._activation(net), filters, operation.kernel_size,
                                       stride, 'separable_' + suffix)
            net = self._batch_norm(net, scope='bn_sep_' + suffix)
            stride = 1
        return self._bound(net)

    def _apply_none(self, net, operation, filters, stride):
        del operation
        reshape = stride > 1 or self._channels(net) != filters
        if reshape or self._use_bounded_activation:
            net = self._activation(net)
        return self._bound(self._project(net, filters, stride)) if reshape else net

    def _apply_pool(self, net, operation, filters, stride):
        if self._use_bounded_activation:
            net = self._activation(net)
        pool = slim.avg_pool2d if operation.kind == 'avg_pool' else slim.max_pool2d
        net = pool(net, operation.kernel_size, stride=stride, padding='SAME')
        if self._channels(net) != filters:
            net = self._project(net, filters, 1)
        return self._bound(net)

    _apply_avg_pool = _apply_max_pool = _apply_pool

    def _bound(self, net):
        if not self._use_bounded_activation:
            return net
        return tf.clip_by_value(net, -CLIP_BY_VALUE_CAP, CLIP_BY_VALUE_CAP)

    def _project(self, net, filters, stride, scope='1x1', batch_norm_scope='bn_1'):
        net = slim.conv2d(net, filters, 1, stride=stride, scope=scope)
        return self._batch_norm(net, scope=batch_norm_scope)

    def _concatenate_unused(self, states):
        """Concatenates the states that no block used, brought to the last state's shape."""
        filters, width = self._channels(states[-1]), self._width(states[-1])
        outputs = []
        for number, (state, used) in enumerate(zip(states, self._used_hiddenstates)):
            if used:
                continue
            smaller = self._width(state) != width
            if smaller or self._channels(state) != filters:
                with tf.variable_scope('reduction_{}'.format(number)):
                    state = layers.factorized_reduction(state, filters, 2 if smaller else 1)
            outputs.append(state)
        return tf.concat(outputs, axis=self._channel_axis())

    # What follows is the part of a cell that DeepLab's cells do in another way.

    def _channel_axis(self):
        return layers.get_channel_index()

    def _channels(self, net):
        return net.shape.as_list()[self._channel_axis()]

    @staticmethod
    def _width(net):
        # Axis 2 is the width or, with channels first, the height: they shrink together.
        width = net.shape.as_list()[2]
        if width is None:
            raise ValueError('NASNet cells need a statically known height and width, got {}.'
                             .format(net.shape))
        return width

    def _separable_conv(self, net, filters, kernel_size, stride, scope):
        return slim.separable_conv2d(net, filters, kernel_size, depth_multiplier=1, stride=stride,
                                     scope=scope)

    def _match_previous(self, net, prev_layer, filters):
        """Brings `prev_layer` to the resolution of `net` and to `filters` channels."""
        if self._width(net) != self._width(prev_layer):
            return layers.factorized_reduction(self._activation(prev_layer), filters, 2)
        if self._channels(prev_layer) != filters:
            return self._project(self._activation(prev_layer), filters, 1, 'prev_1x1', 'prev_bn')
        return prev_layer


class FixedCell(NasNetABaseCell):
    """A cell whose description is its class's `GENOTYPE`; arguments as in `NasNetABaseCell`."""

    GENOTYPE = None

    def __init__(self, num_conv_filters, drop_path_keep_prob, total_num_cells,
                 total_training_steps, use_bounded_activation=False):
        super().__init__(num_conv_filters, *self.GENOTYPE, drop_path_keep_prob, total_num_cells,
                         total_training_steps, use_bounded_activation)


class NasNetANormalCell(FixedCell):
    """The NASNet-A cell that keeps resolution (arXiv 1707.07012, figure 4, left)."""

    GENOTYPE = Genotype(
        operations=('separable_5x5_2', 'separable_3x3_2',
                    'separable_5x5_2', 'separable_3x3_2',
                    'avg_pool_3x3', 'none',
                    'avg_pool_3x3', 'avg_pool_3x3',
                    'separable_3x3_2', 'none'),
        used_hiddenstates=(1, 0, 0, 0, 0, 0, 0),
        hiddenstate_indices=(0, 1, 1, 1, 0, 1, 1, 1, 0, 0))


class NasNetAReductionCell(FixedCell):
    """The NASNet-A cell that halves resolution (arXiv 1707.07012, figure 4, right)."""

    GENOTYPE = Genotype(
        operations=('separable_5x5_2', 'separable_7x7_2',
                    'max_pool_3x3', 'separable_7x7_2',
                    'avg_pool_3x3', 'separable_5x5_2',
                    'none', 'avg_pool_3x3',
                    'separable_3x3_2', 'max_pool_3x3'),
        used_hiddenstates=(1, 1, 1, 0, 0, 0, 0),
        hiddenstate_indices=(0, 1, 0, 1, 0, 1, 3, 2, 2, 0))
