"""What a graph with static shapes costs: multiply-adds, float operations, memory, variables.

Everything is read off the graph; nothing is run. Each function takes the operations to look at,
usually those that `ancestors` finds above the outputs of an inference graph.
"""
import collections

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import ops as tf_ops

# Outputs of these hold weights, not activations.
_WEIGHT_SOURCES = ('Const', 'Variable', 'VariableV2', 'VarHandleOp', 'ReadVariableOp')
# Outputs of these are their first input under another shape or name: no memory of their own.
_VIEWS = ('Identity', 'Reshape', 'Squeeze', 'ExpandDims', 'StopGradient')
_BATCH_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
_GLOBAL_STEP_BYTES = 8

Memory = collections.namedtuple('Memory', ['total', 'peak'])
Memory.__doc__ = """Bytes of activations: `total` of all of them, `peak` of those needed at once."""

Variables = collections.namedtuple('Variables', ['parameters', 'count', 'elements',
                                                 'checkpoint_bytes', 'training_checkpoint_bytes'])
Variables.__doc__ = """Sizes of a network's variables.

Fields:
    parameters: elements of the trainable variables.
    count, elements: how many variables there are (moving averages included), and their elements.
    checkpoint_bytes: data of a checkpoint of these variables.
    training_checkpoint_bytes: the same with a momentum slot for each trainable variable and the
        step.
"""


def ancestors(outputs) -> list:
    """Returns the operations that `outputs` (tensors of one graph) depend on, oldest first."""
    reached = set()
    waiting = [tensor.op for tensor in outputs]
    while waiting:
        operation = waiting.pop()
        if operation not in reached:
            reached.add(operation)
            waiting.extend(tensor.op for tensor in operation.inputs)
            waiting.extend(operation.control_inputs)
    return [operation for operation in outputs[0].graph.get_operations() if operation in reached]


def _elements(tensor):
    count = tensor.shape.num_elements()
    if count is None:
        raise ValueError('Counting needs static shapes. {} has shape {}.'.format(
            tensor.name, tensor.shape))
    return count


def _real_output(convolution):
    """Returns a convolution's output as the network sees it.

    TensorFlow runs an atrous convolution as SpaceToBatchND, convolution, BatchToSpaceND: the batch
    in between is padded to a multiple of the rate and holds positions that are thrown away.
    """
    output = convolution.outputs[0]
    for consumer in output.consumers():
        if consumer.type == 'BatchToSpaceND':
            return consumer.outputs[0]
    return output


def _dense_multiply_adds(operation):
    height, width, channels, _ = operation.inputs[1].shape.as_list()
    return _elements(_real_output(operation)) * height * width * channels


def _depthwise_multiply_adds(operation):
    height, width = operation.inputs[1].shape.as_list()[:2]
    return _elements(_real_output(operation)) * height * width


_COUNTED = {'Conv2D': _dense_multiply_adds, 'DepthwiseConv2dNative': _depthwise_multiply_adds}


def multiply_adds(operations) -> int:
    """Counts the multiply-adds of convolutions, dense (grouped ones included) and depthwise.

    Positions count whose window reaches over the border, too, as is the custom. Biases, batch norm
    and everything else count nothing.

    Args:
        operations: of a graph in layout [batch, height, width, channels].

    Raises:
        ValueError: the output of a convolution has no static shape.
    """
    return sum(_COUNTED[operation.type](operation) for operation in operations
               if operation.type in _COUNTED)


def float_operations(operations) -> int:
    """Counts float operations as TensorFlow's profiler does (`tf.profiler`, float operations).

    Two for each multiply-add, padded batches of atrous convolutions included, and those of other
    operations as far as this TensorFlow has a number for them; fused batch norm, for one, has none.
    Operations on shapes that are not static count nothing.
    """
    # The numbers lie beside the profiler, which otherwise loads them at its first use.
    assert tf.profiler.profile
    total = 0
    for operation in operations:
        try:
            count = tf_ops.get_stats_for_node_def(operation.graph, operation.node_def, 'flops')
        except ValueError:  # How the profiler's numbers say that a shape is not static.
            continue
        total += count.value or 0
    return int(total)


def batch_norm_elements(operations) -> int:
    """Counts the values that go through fused batch norm: a multiplication and an addition each."""
    return sum(_elements(operation.outputs[0]) for operation in operations
               if operation.type in _BATCH_NORMS)


def _buffers(operations):
    """Returns dict: tensor -> the tensor whose memory it lies in, None where that is a weight."""
    owner = {}
    for operation in operations:
        for output in operation.outputs:
            if operation.type in _WEIGHT_SOURCES:
                owner[output.name] = None
            elif operation.type in _VIEWS:
                owner[output.name] = owner[operation.inputs[0].name]
            else:
                owner[output.name] = output
    return owner


def activation_memory(operations, outputs) -> Memory:
    """Adds up the memory of activations.

    `total` is what all of them take together, about what a training step keeps for the gradients.
    `peak` is what has to exist at once at inference, when operations run in the order they were
    built in and a tensor goes with its last reader; operations that work in place (TensorFlow does
    so where it can) need less, work space of convolutions comes on top.

    Args:
        operations: oldest first.
        outputs: tensors that stay until the end.

    Raises:
        ValueError: a tensor has no static shape.
    """
    owner = _buffers(operations)
    last_use = {}
    for position, operation in enumerate(operations):
        for tensor in operation.inputs:
            if owner[tensor.name] is not None:
                last_use[owner[tensor.name].name] = position
    for tensor in outputs:
        if owner[tensor.name] is not None:
            last_use[owner[tensor.name].name] = len(operations)
    freed = collections.defaultdict(int)
    total = live = peak = 0
    for position, operation in enumerate(operations):
        for tensor in operation.outputs:
            if owner[tensor.name] is tensor and tensor.name in last_use:
                size = _elements(tensor) * tensor.dtype.size
                total += size
                live += size
                freed[last_use[tensor.name]] += size
        peak = max(peak, live)
        live -= freed[position]
    return Memory(total, peak)


def variable_sizes(variables, trainable) -> Variables:
    """Returns the sizes of a network's variables.

    Args:
        variables: all of them, without the step.
        trainable: those of them that training changes by gradients.
    """
    def size_of(chosen):
        return sum(_elements(variable) for variable in chosen)

    def bytes_of(chosen):
        return sum(_elements(variable) * variable.dtype.base_dtype.size for variable in chosen)

    data = bytes_of(variables)
    return Variables(
        parameters=size_of(trainable), count=len(variables), elements=size_of(variables),
        checkpoint_bytes=data,
        training_checkpoint_bytes=data + bytes_of(trainable) + _GLOBAL_STEP_BYTES)
