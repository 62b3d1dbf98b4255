"""Makes the image-level branch of ASPP a bias.

The branch is one vector for the whole picture, spread over the map and put beside the other
branches in front of a 1x1 convolution (DeepLabv3, arXiv 1706.05587, section 3.3). What that
convolution makes of it is one vector as well: computed once, instead of at every pixel.
"""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.export import rebuild


class _Split:
    """A 1x1 convolution of branches, of which some are spread vectors."""

    def __init__(self, convolution, concat):
        """Takes the ops, which `_find` has checked."""
        self.convolution = convolution
        self.concat = concat
        branches = list(concat.inputs)[:-1]
        self.vectors = [number for number, branch in enumerate(branches) if _is_spread(branch)]
        self.maps = [number for number in range(len(branches)) if number not in self.vectors]
        self._ends = [0]
        for branch in branches:
            self._ends.append(self._ends[-1] + branch.shape.as_list()[3])

    def run(self, values, numbers, title):
        """Returns the convolution of some of the branches alone, given as new tensors."""
        weights = rebuild.constant(self.convolution.inputs[1])
        part = np.concatenate([weights[:, :, self._ends[number]:self._ends[number + 1]]
                               for number in numbers], 2)
        name = '{}/{}'.format(self.convolution.name, title)
        joined = values[0] if len(values) == 1 else tf.concat(values, 3)
        return rebuild.like(
            self.convolution, [joined, tf.constant(part, name=name + '_weights')], name)[0]


def _is_spread(tensor):
    return tensor.op.type in rebuild.RESIZES and tensor.op.inputs[0].shape.as_list()[1:3] == [1, 1]


def _find(graph):
    """Returns dict: name of a BiasAdd -> the _Split before it."""
    takers = rebuild.consumers(graph)
    found = {}
    for op in graph.get_operations():
        if op.type != 'BiasAdd' or op.inputs[0].op.type != 'Conv2D':
            continue
        convolution = op.inputs[0].op
        concat = convolution.inputs[0].op
        weights = rebuild.constant(convolution.inputs[1])
        if (concat.type == 'ConcatV2' and weights is not None and weights.shape[:2] == (1, 1) and
                len(takers[convolution.outputs[0].name]) == 1 and
                convolution.get_attr('data_format') == b'NHWC' and
                rebuild.constant(concat.inputs[-1]) in (3, -1) and
                None not in [branch.shape.as_list()[3] for branch in concat.inputs[:-1]]):
            split = _Split(convolution, concat)
            if split.vectors and split.maps:
                found[op.name] = split
    return found


def pooled_as_bias(graph_def, outputs) -> tf.GraphDef:
    """Computes what a 1x1 convolution makes of spread vectors once for the whole map.

    Args:
        graph_def: GraphDef whose weights are constants and whose batch norm is folded.
        outputs: names of ops that stay.
    """
    graph = rebuild.import_graph(graph_def)
    splits = _find(graph)
    concats = {split.concat.name for split in splits.values()}
    spread_from, branches_of = {}, {}

    def replace(op, inputs):
        if op.type in rebuild.RESIZES:
            spread_from[op.outputs[0].name] = inputs[0]
        if op.name in concats:
            branches_of[op.name] = inputs[:-1]
        split = splits.get(op.name)
        if split is None:
            return None
        branches = branches_of[split.concat.name]
        vectors = split.run([spread_from[split.concat.inputs[number].name]
                             for number in split.vectors], split.vectors, 'vectors')
        maps = split.run([branches[number] for number in split.maps], split.maps, 'maps')
        if maps.shape.as_list()[0] == 1:
            # TensorFlow computes a bias and the convolution before it in one go.
            return [tf.nn.bias_add(maps, tf.reshape(vectors, [-1]) + inputs[1],
                                   name=op.name + '/')]
        return [maps + (vectors + inputs[1])]

    return rebuild.rebuild(graph, replace, outputs)
