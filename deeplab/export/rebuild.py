"""Copies a graph op by op into a new one, so that some of its ops can be replaced on the way.

The shapes in the new graph are inferred afresh, and a replacement is written with TensorFlow's own
functions instead of by hand in protocol buffers. Control inputs are not copied: the graphs this is
for are networks whose weights are constants, which nothing has to be waited for.
"""
import tensorflow.compat.v1 as tf

# Types of the ops that resize maps.
RESIZES = ('ResizeBilinear', 'ResizeNearestNeighbor')


def import_graph(graph_def) -> tf.Graph:
    """Returns a new graph of a GraphDef."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name='')
    return graph


def consumers(graph) -> dict:
    """Returns dict: name of a tensor -> list of the ops that take it, once for each time."""
    found = {}
    for op in graph.get_operations():
        for tensor in op.inputs:
            found.setdefault(tensor.name, []).append(op)
    return found


def constant(tensor):
    """Returns the numpy value of a tensor that a Const op makes, else None."""
    if tensor.op.type != 'Const':
        return None
    return tf.make_ndarray(tensor.op.get_attr('value'))


def like(op, inputs, name, **changes) -> list:
    """Makes an op of the type and the attributes of another one in the default graph.

    Args:
        op: the other op.
        inputs: tensors.
        name: of the new op; a `/` at its end forbids to change it.
        **changes: AttrValues of attributes that differ.

    Returns:
        The new op's outputs.
    """
    attributes = {key: value for key, value in op.node_def.attr.items() if key != '_class'}
    attributes.update(changes)
    return list(tf.get_default_graph().create_op(
        op.type, inputs, [output.dtype.base_dtype for output in op.outputs], name=name,
        attrs=attributes).outputs)


def plain(value):
    """Returns the tensor of what `rebuild` keeps for a tensor of the old graph."""
    return value.plain() if hasattr(value, 'plain') else value


def _free_scope(graph):
    taken = {op.name.split('/')[0] for op in graph.get_operations()}
    number = 1
    while 'rebuilt_{}'.format(number) in taken:
        number += 1
    return 'rebuilt_{}/'.format(number)


def rebuild(graph, replace, outputs) -> tf.GraphDef:
    """Copies a graph.

    Args:
        graph: a tf.Graph without loops.
        replace: function of (op, its inputs in the new graph). Runs with the new graph as the
            default one and returns the list of what stands for the op's outputs there, or None to
            have it copied. That is a tensor, or an object whose method `plain` gives one.
        outputs: names of ops that must be there under their names in the result. What they do not
            depend on is left out.

    Returns:
        The new graph's GraphDef.
    """
    new = tf.Graph()
    tensors = {}
    scope = _free_scope(graph)
    with new.as_default():
        for op in graph.get_operations():
            inputs = [tensors[tensor.name] for tensor in op.inputs]
            # In a scope of their own new ops cannot take the names of old ones that come later.
            with tf.name_scope(scope):
                results = replace(op, inputs)
            if results is None:
                results = like(op, [plain(value) for value in inputs], op.name + '/')
            elif op.name in outputs and plain(results[0]).op.name != op.name:
                results = [tf.identity(plain(results[0]), name=op.name + '/')]
            for before, after in zip(op.outputs, results):
                tensors[before.name] = after
    return tf.graph_util.extract_sub_graph(new.as_graph_def(), list(outputs))
