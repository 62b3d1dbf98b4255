"""Takes out of a graph what does nothing, computes ahead what no picture can change."""
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab.export import rebuild

# They hand on their input as it is when nothing is trained; Dropout is made of them by then.
_PASS_ON = ('Identity', 'StopGradient', 'PreventGradient', 'CheckNumerics', 'Snapshot')
# Results larger than this many values are left to be computed: a constant would swell the file.
_LARGEST_CONSTANT = 1 << 16
# Quantisation that must stay visible to a converter.
_KEPT = ('FakeQuantWithMinMaxVars', 'FakeQuantWithMinMaxVarsPerChannel',
         'FakeQuantWithMinMaxArgs', 'Placeholder')


def _folded_values(graph):
    """Returns dict: tensor name -> value, of tensors that depend on constants only."""
    known = set()
    for op in graph.get_operations():
        if op.type == 'Const' or (op.inputs and op.type not in _KEPT and all(
                tensor.name in known for tensor in op.inputs) and not op.control_inputs):
            known.update(tensor.name for tensor in op.outputs)
    wanted = set()
    for op in graph.get_operations():
        if not all(tensor.name in known for tensor in op.outputs) or not op.outputs:
            wanted.update(tensor.name for tensor in op.inputs if tensor.name in known)
    wanted = sorted(name for name in wanted
                    if graph.get_tensor_by_name(name).op.type != 'Const')
    if not wanted:
        return {}
    with tf.Session(graph=graph) as session:
        return {name: value for name, value in zip(wanted, session.run(wanted))
                if np.size(value) <= max(_LARGEST_CONSTANT, _largest_input(graph, name))}


def _largest_input(graph, name):
    sizes = [tensor.shape.num_elements() or 0
             for tensor in graph.get_tensor_by_name(name).op.inputs]
    return max(sizes + [0])


def _is_idle(op, inputs):
    """Whether an op hands on its first input as it is."""
    if op.type in _PASS_ON:
        return True
    result = op.outputs[0] if op.outputs else None
    if result is None or not inputs:
        return False
    same_shape = inputs[0].shape.is_fully_defined() and result.shape.is_fully_defined() and (
        inputs[0].shape.as_list() == result.shape.as_list())
    if op.type == 'EnsureShape':
        wanted = tf.TensorShape(op.get_attr('shape')).as_list()
        there = inputs[0].shape
        return there.rank is not None and all(
            side in (None, known) for side, known in zip(wanted, there.as_list()))
    if op.type in rebuild.RESIZES:
        # Between equal sizes every weight is 0 or 1. Only height and width need to be known.
        before, after = inputs[0].shape.as_list()[1:3], result.shape.as_list()[1:3]
        return None not in before and before == after and inputs[0].dtype == result.dtype
    if op.type == 'GatherV2':
        taken, axis = [rebuild.constant(tensor) for tensor in inputs[1:3]]
        return taken is not None and axis is not None and np.array_equal(
            taken, np.arange(inputs[0].shape.as_list()[int(axis)] or 0))
    if op.type in ('Reshape', 'Slice', 'StridedSlice'):
        return same_shape and not (op.type == 'StridedSlice' and _strides_back(op))
    return op.type == 'Cast' and inputs[0].dtype == result.dtype


def _strides_back(op):
    strides = rebuild.constant(op.inputs[3])
    return strides is None or bool(np.any(strides < 0))


def simplify(graph_def, outputs) -> tf.GraphDef:
    """Removes idle ops (identities, resizing to the same size) and folds constants.

    Args:
        graph_def: GraphDef of a network whose weights are constants.
        outputs: names of ops that stay.
    """
    graph = rebuild.import_graph(graph_def)
    values = _folded_values(graph)

    def replace(op, inputs):
        results = [values.get(tensor.name) for tensor in op.outputs]
        if op.outputs and all(value is not None for value in results) and len(results) == 1:
            return [tf.constant(results[0], name=op.name + '/')]
        return [inputs[0]] if _is_idle(op, inputs) else None

    return rebuild.rebuild(graph, replace, outputs)
