"""The inference graph as an ONNX model, through tf2onnx."""
import contextlib
import logging
import warnings

import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.export import frozen_graph
from deeplab.export import optional_packages
from deeplab.utils import frozen_graphs

# All runtimes since onnxruntime 1.6 (2020) have it, and it has every op of these networks.
OPSET = 13
_OUTPUTS = (frozen_graphs.OUTPUT_NAME, frozen_graphs.PROBABILITIES_NAME)
_PACKAGES = ('onnx', 'tf2onnx', 'onnxruntime')


def check_packages() -> None:
    """Raises UserError where a package is missing."""
    for name in _PACKAGES:
        optional_packages.load(name)


@contextlib.contextmanager
def _quiet():
    """Keeps the converter's progress and the deprecations it triggers to itself."""
    logger = logging.getLogger('tf2onnx')
    level = logger.level
    # Operators it does not know it would also log; `_check_operators` names them.
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def convert(graph_def, recipe) -> bytes:
    """Returns the ONNX model, opset OPSET.

    Its input `ImageTensor:0` is uint8 `[1, height, width, 3]`, height and width free up to the
    crop; outputs are `SemanticPredictions:0` int32 `[1, height, width]` and
    `SemanticProbabilities:0` float32 `[1, height, width, classes]`.

    Args:
        graph_def: from `network.freeze` with a batch of 1, or `network.optimize` of that.
        recipe: the network's Recipe.

    Raises:
        UserError: a package is missing, or ONNX lacks an operator of the network (named).
    """
    converter = optional_packages.load('tf2onnx')
    inference = frozen_graph.from_network(graph_def, recipe, _OUTPUTS)
    with _quiet():
        try:
            with tf.Graph().as_default():
                model, _ = converter.convert.from_graph_def(
                    inference, input_names=[frozen_graphs.INPUT_NAME + ':0'],
                    output_names=[name + ':0' for name in _OUTPUTS], opset=OPSET)
        except Exception as error:  # What it raises depends on the step that fails.
            raise errors.UserError('ONNX cannot hold this network: {}'.format(
                ' '.join(str(error).split()) or type(error).__name__))
    _check_operators(model)
    return model.SerializeToString()


def _check_operators(model):
    """Raises where the converter left TensorFlow's own operators in."""
    defined = optional_packages.load('onnx').defs
    foreign = sorted({node.op_type for node in _nodes(model.graph)
                      if not defined.has(node.op_type, node.domain)})
    if foreign:
        raise errors.UserError('ONNX (opset {}) lacks operators of this network: {}. Leave onnx '
                               'out of --export_formats.'.format(OPSET, ', '.join(foreign)))


def _nodes(graph):
    """Yields the nodes of a graph and of the graphs inside of them (loops, branches)."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] + list(attribute.graphs):
                for each in _nodes(inner):
                    yield each
