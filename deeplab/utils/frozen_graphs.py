"""Frozen graphs with the published names: the names, and the one way to load such a file."""
import tensorflow.compat.v1 as tf

from deeplab import errors

INPUT_NAME = 'ImageTensor'
OUTPUT_NAME = 'SemanticPredictions'
PROBABILITIES_NAME = 'SemanticProbabilities'
RAW_OUTPUT_NAME = 'RawSemanticPredictions'
RAW_PROBABILITIES_NAME = 'RawSemanticProbabilities'
OUTPUTS = (OUTPUT_NAME, PROBABILITIES_NAME, RAW_OUTPUT_NAME, RAW_PROBABILITIES_NAME)


def has_tensor(graph, name: str) -> bool:
    """Whether a tensor, e.g. 'ImageTensor:0', is in a graph."""
    try:
        graph.get_tensor_by_name(name)
        return True
    except (KeyError, ValueError):
        return False


def read(path: str, title=None) -> tf.GraphDef:
    """Reads any GraphDef file.

    Args:
        path: of the file.
        title: what to call it in messages, e.g. with its flag; None for the path.

    Raises:
        UserError: the file is missing or no graph.
    """
    graph_def = tf.GraphDef()
    try:
        with open(path, 'rb') as stream:
            graph_def.ParseFromString(stream.read())
    except OSError as error:
        raise errors.UserError('{}: {}.'.format(title or path, error.strerror or error))
    except Exception as error:  # Protobuf's DecodeError has no public home in all versions.
        raise errors.UserError('{}: not a frozen graph this TensorFlow reads ({}).'.format(
            title or path, str(error).splitlines()[0]))
    return graph_def


def load(path: str, title=None) -> tf.Graph:
    """Loads a graph written by export_model.

    Args:
        path: of the file.
        title: what to call it in messages; None for the path.

    Raises:
        UserError: see `read`; or the graph lacks `ImageTensor:0` or `SemanticPredictions:0`.
    """
    graph_def = read(path, title)
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(graph_def, name='')
    except Exception as error:  # An op this TensorFlow lacks: the class depends on the version.
        raise errors.UserError('{}: not a frozen graph this TensorFlow reads ({}).'.format(
            title or path, str(error).splitlines()[0]))
    for name in (INPUT_NAME + ':0', OUTPUT_NAME + ':0'):
        if not has_tensor(graph, name):
            inputs = [op.name for op in graph.get_operations() if op.type == 'Placeholder']
            raise errors.UserError(
                '{}: not a frozen graph of export_model: there is no tensor {}. Its inputs are '
                '{}.'.format(title or path, name, ', '.join(inputs[:5]) or 'none'))
    return graph
