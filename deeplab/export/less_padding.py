"""Lets the first layers of a network run on little more of the canvas than the picture covers.

On the canvas there is only padding below and to the right of a picture. What the first layers make
of it is the same for row after row, but for rows near enough to the picture to see it, and near
enough to the end of the canvas to see that. So these layers run on a canvas that is cut off soon
after the picture, and of what comes out one row in the middle of the padding is repeated until the
map is as large as it would have been. The same for columns. Not one value changes by that.

Every map of these layers has a stride, the pixels between its values, and a reach, how many pixels
to either side a value depends on.
"""
import collections

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.export import rebuild

# Layers run on the smaller canvas up to this reach: further on, what must be left of the padding
# (twice the reach) is more than most pictures leave.
_FARTHEST = 16
_WINDOWS = ('Conv2D', 'DepthwiseConv2dNative', 'MaxPool', 'AvgPool')
_ON_EACH_PIXEL = ('Relu', 'Relu6', 'BiasAdd', 'Sigmoid', 'Identity', 'Elu')
_ON_TWO = ('Add', 'AddV2', 'Sub', 'Mul', 'Maximum', 'Minimum')

# stride, reach: see the module. begin: where the first value lies, in pixels.
_Local = collections.namedtuple('_Local', ['stride', 'reach', 'begin'])


def _window(op):
    """Returns (side, stride) of the window of a convolution or pooling, None where not square."""
    strides = list(op.get_attr('strides'))[1:3]
    if op.type in ('MaxPool', 'AvgPool'):
        sides, dilations = list(op.get_attr('ksize'))[1:3], [1, 1]
    else:
        sides, dilations = op.inputs[1].shape.as_list()[:2], list(op.get_attr('dilations'))[1:3]
    sides = [(side - 1) * rate + 1 for side, rate in zip(sides, dilations)]
    if len(set(sides)) > 1 or len(set(strides)) > 1 or op.get_attr('data_format') != b'NHWC':
        return None
    return sides[0], strides[0]


def _behind_window(op, before):
    """Returns the _Local of a convolution's or pooling's result."""
    window = _window(op)
    if window is None or window[0] % 2 == 0:
        return None
    side, stride = window
    sizes = op.inputs[0].shape.as_list()[1:3]
    if op.get_attr('padding') == b'SAME':
        added = {max((-(-size // stride) - 1) * stride + side - size, 0) // 2 for size in sizes}
        if len(added) > 1:
            return None
        first = side // 2 - added.pop()
    else:
        first = side // 2
    return _Local(before.stride * stride, before.reach + side // 2 * before.stride,
                  before.begin + first * before.stride)


def _behind_padding(op, before):
    paddings = rebuild.constant(op.inputs[1])
    if paddings is None or np.any(paddings[[0, 3]]) or len(set(paddings[1:3].ravel())) > 1:
        return None
    return before._replace(begin=before.begin - int(paddings[1, 0]) * before.stride)


def _local(op, known):
    """Returns the _Local of what an op makes of maps of `known` ones; None where it has none."""
    if not op.inputs or len(op.outputs) != 1 or op.control_inputs:
        return None
    maps = [known.get(tensor.name) for tensor in op.inputs]
    constants = [rebuild.constant(tensor) for tensor in op.inputs]
    if op.type in _ON_TWO:
        fitting = {found for found in maps if found is not None}
        others = [value for found, value in zip(maps, constants) if found is None]
        if not fitting or len({(found.stride, found.begin) for found in fitting}) > 1 or any(
                value is None or np.prod(value.shape[:-1]) != 1 for value in others):
            return None
        return max(fitting, key=lambda found: found.reach)
    if maps[0] is None or any(value is None for value in constants[1:]):
        return None
    if op.type in _WINDOWS:
        return _behind_window(op, maps[0])
    if op.type == 'Pad':
        return _behind_padding(op, maps[0])
    return maps[0] if op.type in _ON_EACH_PIXEL else None


class _Stretch:
    """The layers that run on the smaller canvas, and where their maps are made large again."""

    def __init__(self, graph, canvas, outputs):
        """Takes a graph, the name of its canvas, and the names of the ops that stay."""
        self._takers = rebuild.consumers(graph)
        self._outputs = outputs
        placeholder = graph.get_tensor_by_name(canvas + ':0')
        self._known = {placeholder.name: _Local(1, 0, 0)}
        ops = []
        for op in graph.get_operations():
            local = _local(op, self._known) if op.name not in outputs else None
            if local is not None and local.reach <= _FARTHEST:
                self._known[op.outputs[0].name] = local
                ops.append(op)
        self._drop_wide_ends(ops)
        self.ends = {name: local for name, local in self._known.items() if self._is_end(name)}

    def _is_end(self, name):
        """Whether a map is taken by an op outside."""
        return any(taker.name in self._outputs or taker.outputs[0].name not in self._known
                   for taker in self._takers.get(name, ()))

    def _drop_wide_ends(self, ops):
        """Moves the ends back to where maps have fewer channels; `ops` make the maps, in order."""
        for op in reversed(ops):
            if op.outputs[0].name in self._known:
                for name in self._wide_end(op):
                    del self._known[name]

    def _wide_end(self, op):
        """Returns names of the last maps up to that of `op`, where what they begin at is smaller.

        The maps between have all one stride and reach.
        """
        names = []
        channels = op.outputs[0].shape.as_list()[3]
        while not any(taker.outputs[0].name in self._known and taker.outputs[0].name not in names
                      for taker in self._takers.get(op.outputs[0].name, ())):
            name = op.outputs[0].name
            before = [tensor for tensor in op.inputs if tensor.name in self._known]
            names.append(name)
            if op.type == 'Pad':
                return names
            if len(before) != 1 or self._known[before[0].name] != self._known[name]:
                break
            if before[0].shape.as_list()[3] < channels:
                return names
            op = before[0].op
        return []

    def has(self, op):
        """Whether an op runs on the smaller canvas."""
        return bool(op.outputs) and op.outputs[0].name in self._known

    def is_worth_it(self, crop):
        """Whether there is something to gain, and the maps of a smaller canvas fit into these."""
        step = self.step()
        return (len(self._known) > 1 and not any((side - 1) % step for side in crop) and
                all(local.begin == 0 for local in self.ends.values()))

    def step(self):
        """Returns what the canvas can be made smaller by, in pixels."""
        return max(local.stride for local in self.ends.values())

    def sides(self, covered, crop):
        """Returns int32 [2], the height and width that the canvas is cut off at.

        Args:
            covered: int32 [2], what the picture covers.
            crop: the canvas' own [height, width].
        """
        step = self.step()
        # Every end needs a value that sees neither the picture nor what is behind the canvas.
        least = [-(-(covered + local.reach) // local.stride) * local.stride + local.reach
                 for local in self.ends.values()]
        needed = -(-tf.reduce_max(tf.stack(least), axis=0) // step) * step + 1
        return tf.minimum(needed, crop)

    def stretched(self, values, covered, local, size):
        """Returns a map of the smaller canvas as large as that of the whole one.

        Args:
            values: `[batch, rows, columns, channels]`.
            covered: int32 [2], what the picture covers on the canvas.
            local: the map's _Local.
            size: its height and width on the whole canvas.
        """
        repeated = -(-(covered + local.reach) // local.stride)
        there = tf.shape(values)[1:3]
        for axis in (0, 1):
            every = tf.range(size[axis])
            missing = size[axis] - there[axis]
            rows = tf.where(every <= repeated[axis], every,
                            tf.maximum(every - missing, repeated[axis]))
            values = tf.gather(values, rows, axis=axis + 1)
        values.set_shape([None] + list(size) + [None])
        return values


def on_less_padding(graph_def, canvas, covered, outputs) -> tf.GraphDef:
    """Lets the first layers run on little more of the canvas than the picture covers.

    Args:
        graph_def: GraphDef of a network whose weights are constants.
        canvas: name of its placeholder `[batch, height, width, 3]`.
        covered: name of the placeholder to add, int32 [2]: height and width of what the picture
            covers. Where nothing is to be gained, and where several pictures may cover different
            parts, the graph is returned without it.
        outputs: names of ops that stay.
    """
    graph = rebuild.import_graph(graph_def)
    batch, *crop = graph.get_tensor_by_name(canvas + ':0').shape.as_list()[:3]
    stretch = _Stretch(graph, canvas, outputs)
    if batch != 1 or not stretch.is_worth_it(crop):
        return graph_def
    small = {}

    def replace(op, inputs):
        if op.name == canvas:
            whole, = rebuild.like(op, [], canvas + '/')
            small[covered] = tf.placeholder(tf.int32, [2], name=covered + '/')
            sides = stretch.sides(small[covered], crop)
            result = whole[:, :sides[0], :sides[1]]
        elif not stretch.has(op):
            return None
        else:
            values = [small.get(before.name, now) for before, now in zip(op.inputs, inputs)]
            result, = rebuild.like(op, values, op.name + '/')
        old = op.outputs[0]
        small[old.name] = result
        local = stretch.ends.get(old.name)
        return [result if local is None else stretch.stretched(
            result, small[covered], local, old.shape.as_list()[1:3])]

    return rebuild.rebuild(graph, replace, list(outputs))
