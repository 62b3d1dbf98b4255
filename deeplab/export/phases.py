"""Runs dilated convolutions, and what lies between them, on the phases of the feature map.

A convolution dilated by b never mixes pixels whose row or column differ modulo b. TensorFlow
therefore regroups the map into its b x b phases (SpaceToBatchND), runs a plain convolution on them
and puts them together again (BatchToSpaceND), for every such convolution (DeepLabv1, arXiv
1412.7062, section 3.1 has the idea). Whatever acts on each pixel alone can run on the phases as
well, so here the map is regrouped once where a stretch of dilated convolutions begins, at the
tensor with the fewest channels, and once where it ends.

Where a side is no multiple of b the phases are padded. What a convolution would read there must be
zero, as outside of the map, so its input is multiplied by a mask.
"""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.export import rebuild

_CONVOLUTIONS = ('Conv2D', 'DepthwiseConv2dNative')
_KEEPS_ZERO = ('Relu', 'Relu6')
_ON_EACH_PIXEL = _KEEPS_ZERO + ('BiasAdd', 'Sigmoid', 'Elu', 'Selu', 'Tanh', 'Softplus')
_ON_TWO_MAPS = ('Add', 'AddV2', 'Sub', 'Mul', 'Maximum', 'Minimum')
# Padded phases hold more pixels than the map; above this factor the stretch is not worth it.
_MOST_WASTE = 1.15


def _constant_list(tensor):
    value = rebuild.constant(tensor)
    return None if value is None else value.tolist()


class Dilated:
    """A convolution of stride 1, dilated by `rate` both ways, padded so that the size is kept."""

    def __init__(self, convolution, source, rate):
        """Takes the convolution op, its input before any regrouping, and the rate."""
        self.convolution = convolution
        self.source = source
        self.rate = rate

    def run(self, phases):
        """Returns the convolution of phases, in the default graph."""
        weights = tf.constant(rebuild.constant(self.convolution.inputs[1]),
                              name=self.convolution.name + '/phase_weights')
        return rebuild.like(
            self.convolution, [phases, weights], self.convolution.name + '/on_phases',
            padding=tf.AttrValue(s=b'SAME'),
            dilations=tf.AttrValue(list=tf.AttrValue.ListValue(i=[1, 1, 1, 1])))[0]


def find_dilated(graph) -> dict:
    """Returns dict: name of the tensor with its result -> Dilated, for all dilated convolutions."""
    takers = rebuild.consumers(graph)
    found = {}
    for op in graph.get_operations():
        if op.type in _CONVOLUTIONS and _is_plain(op):
            dilations = list(op.get_attr('dilations'))
            if dilations[1] == dilations[2] > 1 and op.get_attr('padding') == b'SAME':
                found[op.outputs[0].name] = Dilated(op, op.inputs[0], dilations[1])
            elif op.inputs[0].op.type == 'SpaceToBatchND' and dilations == [1, 1, 1, 1]:
                after = takers.get(op.outputs[0].name, ())
                if len(after) == 1 and after[0].type == 'BatchToSpaceND':
                    rate = _rate(op, op.inputs[0].op, after[0])
                    if rate:
                        found[after[0].outputs[0].name] = Dilated(op, op.inputs[0].op.inputs[0],
                                                                  rate)
    return found


def _is_plain(op):
    weights = rebuild.constant(op.inputs[1])
    return (weights is not None and op.get_attr('data_format') == b'NHWC' and
            list(op.get_attr('strides')) == [1, 1, 1, 1] and all(
                side % 2 for side in weights.shape[:2]))


def _rate(op, before, after):
    """Returns the rate of SpaceToBatchND, convolution, BatchToSpaceND; None if it is not such."""
    blocks = [_constant_list(regroup.inputs[1]) for regroup in (before, after)]
    paddings, crops = [_constant_list(regroup.inputs[2]) for regroup in (before, after)]
    if None in (blocks[0], blocks[1], paddings, crops) or blocks[0] != blocks[1] or (
            len(blocks[0]) != 2 or blocks[0][0] != blocks[0][1] or
            op.get_attr('padding') != b'VALID'):
        return None
    rate = blocks[0][0]
    for kernel, padding, crop in zip(op.inputs[1].shape.as_list()[:2], paddings, crops):
        reach = rate * (kernel - 1) // 2
        if padding[0] - crop[0] != reach or padding[1] - crop[1] != reach or crop[0]:
            return None
    return rate


class _Map:
    """One feature map of the new graph, whole (rate 1) or as phases of some rate."""

    def __init__(self, tensor, rate, size, is_clean, masks):
        """Takes a tensor in the layout of `rate`; `size` is (height, width) of the whole map.

        `is_clean` says whether the padding of the phases is known to be zero.
        """
        self._tensors = {rate: tensor}
        self._clean = {rate: is_clean}
        self._masks = masks
        self.rate = rate
        self.size = size

    def plain(self):
        """Returns the whole map."""
        return self.at(1)

    def at(self, rate):
        """Returns the map in the layout of `rate`, regrouped once."""
        if rate not in self._tensors:
            if rate == 1:
                self._tensors[1] = tf.batch_to_space_nd(
                    self._tensors[self.rate], [self.rate] * 2, _padding(self.size, self.rate))
            else:
                self._tensors[rate] = tf.space_to_batch_nd(
                    self.plain(), [rate] * 2, _padding(self.size, rate))
            self._clean[rate] = True
        return self._tensors[rate]

    def is_clean(self, rate):
        """Whether the padding of the phases is zero."""
        return self._clean[rate]

    def clean(self, rate):
        """Returns the phases with zeros in their padding."""
        phases = self.at(rate)
        if self._clean[rate] or not np.any(_padding(self.size, rate)):
            return phases
        return phases * self._masks.get(self.size, rate, phases)


def _padding(size, rate):
    return [[0, -side % rate] for side in size]


def waste(size, rate) -> float:
    """Returns how many times more pixels the padded phases of a map hold than the map."""
    return np.prod([side + -side % rate for side in size]) / float(np.prod(size))


class _Masks:
    """The masks of one graph, each made once."""

    def __init__(self):
        self._made = {}

    def get(self, size, rate, phases):
        """Returns float32 [phases, rows, columns, 1], for the batch size of `phases`."""
        key = tuple(size) + (rate,)
        if key not in self._made:
            batch = phases.shape.as_list()[0]
            count = batch // rate ** 2 if batch else tf.shape(phases)[0] // rate ** 2
            mask = tf.space_to_batch_nd(tf.ones([count] + list(size) + [1]), [rate] * 2,
                                        _padding(size, rate))
            if batch:
                with tf.Session() as session:
                    mask = tf.constant(session.run(mask), name='mask_of_phases')
            self._made[key] = mask
        return self._made[key]


class _Plan:
    """Decides in which layout each op runs."""

    def __init__(self, graph, outputs):
        self.dilated = {name: found for name, found in find_dilated(graph).items()
                        if _size(found.source) and
                        waste(_size(found.source), found.rate) <= _MOST_WASTE}
        self._inside = set()
        for name, found in self.dilated.items():
            self._inside.update((found.convolution.name, found.convolution.inputs[0].op.name)
                                if found.source is not found.convolution.inputs[0] else ())
        self.wanted = {}
        for op in reversed(graph.get_operations()):
            self._add_wishes(op, op.name in outputs)

    def _add_wishes(self, op, is_output):
        """Notes which layouts the inputs of an op are wanted in."""
        if op.name in self._inside or not op.outputs:
            return
        found = self.dilated.get(op.outputs[0].name)
        if found is not None:
            self.wanted.setdefault(found.source.name, set()).add(found.rate)
            return
        wishes = {1}
        if not is_output and maps_of(op):
            wishes = self.wanted.get(op.outputs[0].name, {1})
        for tensor in op.inputs:
            self.wanted.setdefault(tensor.name, set()).update(wishes)

    def layout(self, op, maps):
        """Returns the rate in whose layout an op on each pixel runs."""
        wishes = self.wanted.get(op.outputs[0].name, {1})
        rates = sorted({value.rate for value in maps})
        if len(rates) > 1:
            return max([rate for rate in rates if rate in wishes] or [1])
        if rates[0] in wishes:
            return rates[0]
        # Better regroup what has fewer channels: the input, or the output later on.
        narrows = op.inputs[0].shape.as_list()[-1] >= op.outputs[0].shape.as_list()[-1]
        return rates[0] if narrows else max(wishes)


def _size(tensor):
    """Returns the (height, width) of a tensor of rank 4 where they are known, else None."""
    if tensor.shape.rank != 4:
        return None
    size = tuple(tensor.shape.as_list()[1:3])
    return None if None in size else size


def maps_of(op) -> list:
    """Returns positions of the inputs that are maps, of an op that acts on each pixel alone.

    The empty list stands for any other op. All other inputs of the op are constants.
    """
    size = _size(op.outputs[0]) if op.outputs else None
    if size is None:
        return []
    sizes = [_size(tensor) for tensor in op.inputs]
    constants = [rebuild.constant(tensor) for tensor in op.inputs]
    if op.type in _ON_EACH_PIXEL:
        return [0]
    if op.type == 'Conv2D':
        kernel = op.inputs[1].shape.as_list()
        return [0] if kernel[:2] == [1, 1] and constants[1] is not None and _is_plain(op) else []
    if op.type == 'ConcatV2':
        return list(range(len(sizes) - 1)) if sizes[:-1].count(size) == len(sizes) - 1 and (
            constants[-1] is not None and int(constants[-1]) in (3, -1)) else []
    if op.type in _ON_TWO_MAPS:
        maps = [number for number, value in enumerate(constants) if value is None]
        same = all(sizes[number] == size and op.inputs[number].shape.as_list()[3] ==
                   op.outputs[0].shape.as_list()[3] for number in maps)
        vectors = all(value is None or value.ndim <= 1 for value in constants)
        return maps if maps and same and vectors else []
    return []


def on_phases(graph_def, outputs) -> tf.GraphDef:
    """Lets stretches of dilated convolutions run on phases.

    Args:
        graph_def: GraphDef of a network whose weights are constants, of known height and width.
        outputs: names of ops that stay.
    """
    graph = rebuild.import_graph(graph_def)
    plan = _Plan(graph, outputs)
    if not plan.dilated:
        return graph_def
    masks = _Masks()
    made = {}

    def as_map(tensor, value):
        return value if isinstance(value, _Map) else _Map(value, 1, _size(tensor), True, masks)

    def keep(op, value):
        made[op.outputs[0].name] = value
        return [value]

    def replace(op, inputs):
        for tensor, value in zip(op.inputs, inputs):
            if plan.wanted.get(tensor.name, {1}) != {1} and tensor.name not in made:
                made[tensor.name] = as_map(tensor, value)
        found = plan.dilated.get(op.outputs[0].name) if op.outputs else None
        if found is not None:
            source = made[found.source.name]
            result = found.run(source.clean(found.rate))
            return keep(op, _Map(result, found.rate, source.size, False, masks))
        positions = maps_of(op)
        if not positions:
            return None
        maps = [made.get(op.inputs[number].name) or as_map(op.inputs[number], inputs[number])
                for number in positions]
        rate = plan.layout(op, maps)
        values = [rebuild.plain(value) if number not in positions else None
                  for number, value in enumerate(inputs)]
        for number, value in zip(positions, maps):
            values[number] = value.at(rate)
        result = rebuild.like(op, values, op.name + '/')[0]
        clean = rate == 1 or op.type in _KEEPS_ZERO and maps[0].is_clean(rate)
        return keep(op, _Map(result, rate, maps[0].size, clean, masks))

    return rebuild.rebuild(graph, replace, outputs)
