"""How much memory a graph's tensors need at once, computed without running it."""
import collections

import tensorflow.compat.v1 as tf

# Results of these are their input's memory under another name.
_VIEWS = ('Identity', 'Reshape', 'Squeeze', 'ExpandDims', 'StopGradient', 'EnsureShape')
# These write over an input that nobody else waits for.
_IN_PLACE = ('Relu', 'Relu6', 'ReluGrad', 'Relu6Grad', 'Add', 'AddV2', 'AddN', 'Sub', 'Mul',
             'RealDiv', 'BiasAdd', 'Minimum', 'Maximum', 'Neg', 'Square', 'Sqrt', 'Rsqrt', 'Exp',
             'Log', 'Sigmoid', 'SigmoidGrad', 'ClipByValue', 'Select', 'SelectV2')
_VARIABLES = ('Variable', 'VariableV2', 'VarHandleOp')


def peak_bytes(fetches, batch_size=None):
    """The most memory the tensors of one session run take at once.

    Operations are taken in the order they were made in, which TensorFlow roughly follows. Scratch
    memory inside an operation, alignment and fragmentation come on top.

    Args:
      fetches: list of tensors and operations.
      batch_size: what an unknown first dimension stands for.

    Returns:
      (variables, others): bytes of all variables of the graph, and peak of all other tensors.
    """
    graph = fetches[0].graph
    ordered = _needed(graph, [getattr(fetch, 'op', fetch) for fetch in fetches])
    position = {op.name: number for number, op in enumerate(ordered)}
    owner, last_use = {}, collections.defaultdict(int)
    for number, op in enumerate(ordered):
        for tensor in op.inputs:
            source = owner.get(tensor.name, tensor.name)
            last_use[source] = max(last_use[source], number)
        for tensor in op.outputs:
            is_view = op.type in _VIEWS and len(op.inputs)
            owner[tensor.name] = owner.get(op.inputs[0].name, op.inputs[0].name) if is_view else (
                tensor.name)
    return (sum(_size(op.outputs[0], batch_size) for op in graph.get_operations()
                if op.type in ('Variable', 'VariableV2')),
            _simulate(ordered, position, owner, last_use, batch_size))


def _simulate(ordered, position, owner, last_use, batch_size):
    live, peak, sizes = 0, 0, {}
    ends = collections.defaultdict(list)
    for number, op in enumerate(ordered):
        if op.type in _VARIABLES or op.type == 'Const':
            continue
        spare = [owner[tensor.name] for tensor in op.inputs
                 if last_use[owner.get(tensor.name, tensor.name)] == number
                 and tensor.name in owner] if op.type in _IN_PLACE else []
        for tensor in op.outputs:
            if owner[tensor.name] != tensor.name or tensor.dtype._is_ref_dtype:
                continue
            size = _size(tensor, batch_size)
            taken = next((name for name in spare if sizes.get(name) == size), None)
            if taken is not None:
                spare.remove(taken)
                live -= sizes.pop(taken)
            sizes[tensor.name] = size
            live += size
            ends[max(last_use[tensor.name], number)].append(tensor.name)
        peak = max(peak, live)
        for name in ends.pop(number, ()):
            live -= sizes.pop(name, 0)
    return peak


def _needed(graph, operations):
    found, waiting = set(), list(operations)
    while waiting:
        op = waiting.pop()
        if op.name not in found:
            found.add(op.name)
            waiting.extend(tensor.op for tensor in op.inputs)
            waiting.extend(op.control_inputs)
    return [op for op in graph.get_operations() if op.name in found]


def _size(tensor, batch_size):
    sides = tensor.shape.as_list() if tensor.shape.rank is not None else None
    if not sides or tensor.dtype.base_dtype in (tf.string, tf.resource, tf.variant):
        return 0
    if sides[0] is None:
        sides[0] = batch_size
    if None in sides:
        return 0
    count = 1
    for side in sides:
        count *= side
    return count * tensor.dtype.base_dtype.size
