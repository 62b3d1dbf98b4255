"""Gradients that keep few activations: each part of a network is computed again when needed.

The backward pass needs the activations of the forward pass, which is what fills the memory in
training. Here only those at the boundaries of parts (`slim_nets.boundaries`) are kept; when the
backward pass reaches a part, a copy of the part computes the others again from there. It costs one
more forward pass. Chen et al., "Training deep nets with sublinear memory cost", arXiv 1604.06174,
section 3.

A copy uses the variables of the original and has no variables or updates of its own: names in
checkpoints stay, moving averages move once a step. Random numbers are not drawn again; what was
drawn is kept.
"""
import collections

import tensorflow.compat.v1 as tf

from slim_nets import boundaries

_VARIABLES = ('Variable', 'VariableV2', 'VarHandleOp', 'ReadVariableOp')
_PLACEHOLDERS = ('Placeholder', 'PlaceholderWithDefault', 'PlaceholderV2')
_CONTROL_FLOW = ('Switch', 'Merge', 'Enter', 'Exit', 'NextIteration')


class RecomputingOptimizer(tf.train.Optimizer):
    """An optimizer whose gradients come from `gradients` below.

    Args:
      optimizer: the tf.train.Optimizer that applies them.
    """

    def __init__(self, optimizer):
        super(RecomputingOptimizer, self).__init__(use_locking=False, name=optimizer.get_name())
        self._optimizer = optimizer

    def compute_gradients(self, loss, var_list=None, **unused_options):
        """Gradients of a scalar; as tf.train.Optimizer.compute_gradients, always dense."""
        variables = list(tf.trainable_variables() if var_list is None else var_list)
        return list(zip(gradients(loss, variables), variables))

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        return self._optimizer.apply_gradients(grads_and_vars, global_step, name)

    def get_slot(self, var, name):
        return self._optimizer.get_slot(var, name)

    def get_slot_names(self):
        return self._optimizer.get_slot_names()

    def variables(self):
        return self._optimizer.variables()


def gradients(loss, variables):
    """The gradients of a loss, from activations computed again part by part.

    Args:
      loss: float32 scalar.
      variables: list of variables.

    Returns:
      A list of gradients, each of its variable's shape, or None where the loss does not depend on
      the variable. The values are those of tf.gradients.
    """
    flow = _Flow(loss, variables)
    parts = flow.parts()
    total = _Sums()
    last = parts.pop()
    inputs = flow.learning_inputs(last)
    with tf.name_scope('gradients'):
        found = _gated_gradients(loss, variables + inputs, None, inputs)
        total.add_all(variables + inputs, found)
        for part in reversed(parts):
            _add_gradients_of_part(flow, part, total)
        return [total.of(variable) for variable in variables]


def _add_gradients_of_part(flow, part, total):
    """Takes the gradients of a part's results from `total`, adds those of what went into it."""
    results = [tensor for op in part for tensor in op.outputs if total.has(tensor)]
    variables = flow.variables_of(part)
    if not results:
        return
    gradients_of_results = [total.of(tensor) for tensor in results]
    inputs = flow.inputs(part)
    if any(op.type in _CONTROL_FLOW for op in part):
        again, copies = dict((tensor.name, tensor) for tensor in inputs), results
    else:
        # Nothing is computed again before the gradients of the results are there.
        with tf.control_dependencies(gradients_of_results):
            again = {tensor.name: tf.identity(tensor) for tensor in inputs}
        copies = _copy(part, results, again)
    learning = flow.learning_inputs(part)
    found = _gated_gradients(copies, [again[tensor.name] for tensor in learning] + variables,
                             gradients_of_results, list(again.values()))
    total.add_all(learning + variables, found)


def _gated_gradients(results, targets, gradients_of_results, stops):
    # Without the gate a variable may be updated by its own gradient while the same layer still
    # reads it for the gradient of its input.
    return tf.gradients(results, targets, grad_ys=gradients_of_results, stop_gradients=stops,
                        gate_gradients=True)


def _copy(part, results, inputs):
    """Copies operations; `inputs` maps names of tensors to what the copies use in their place.

    Returns:
      The copies of the tensors `results`.
    """
    graph = part[0].graph
    copied = [op for op in part if _can_be_copied(op)]
    names = set(op.name for op in copied)
    definition = tf.GraphDef(versions=graph.graph_def_versions)
    replaced = {}
    for op in copied:
        node = definition.node.add()
        node.CopyFrom(op.node_def)
        node.attr.pop('_class', None)  # Where it stands beside another operation.
        del node.input[:]
        for tensor in op.inputs:
            node.input.append(tensor.name)
            if tensor.op.name not in names:
                replaced[tensor.name] = inputs.get(tensor.name, tensor)
    made = tf.import_graph_def(definition, input_map=replaced, name='recomputed',
                               return_elements=[op.name for op in copied])
    copies = {}
    for op, copy in zip(copied, made):
        for tensor, again in zip(op.outputs, copy.outputs):
            again.set_shape(tensor.shape)
            copies[tensor.name] = again
    return [copies.get(tensor.name, tensor) for tensor in results]


def _can_be_copied(op):
    """Not what has state (random numbers among it), could change some, or is fed."""
    tensors = list(op.inputs) + list(op.outputs)
    return not _is_source(op) and not op.op_def.is_stateful and not any(
        tensor.dtype._is_ref_dtype for tensor in tensors)  # pylint: disable=protected-access


class _Sums(object):
    """Gradients of tensors and variables, added up."""

    def __init__(self):
        self._terms = collections.defaultdict(list)

    def add_all(self, targets, found):
        for target, gradient in zip(targets, found):
            if gradient is not None:
                self._terms[target.name].append(tf.convert_to_tensor(gradient))

    def has(self, target):
        return target.name in self._terms

    def of(self, target):
        terms = self._terms.get(target.name)
        if not terms:
            return None
        return terms[0] if len(terms) == 1 else tf.add_n(terms)


class _Flow(object):
    """The operations between the batch and a loss, in order, and the parts they fall into.

    An operation is listed where it depends on the batch, that is on what is not a variable or a
    constant, and the loss depends on it.
    """

    def __init__(self, loss, variables):
        marks = set(tensor.op.name for tensor in boundaries.marked(loss.graph))
        needed = _ancestors([loss.op])
        self._variables = collections.OrderedDict(
            (variable.op.name, variable) for variable in variables)
        self._learning = set()  # Names of operations that depend on one of `variables`.
        self._depends = set()   # Names of operations that depend on the batch.
        self._ordered = []
        self._ends = []
        for op in loss.graph.get_operations():
            if op.name not in needed:
                continue
            parents = [tensor.op.name for tensor in op.inputs]
            if op.name in self._variables or any(name in self._learning for name in parents):
                self._learning.add(op.name)
            if op.name in marks or _is_source(op) or any(
                    name in self._depends for name in parents):
                self._depends.add(op.name)
                self._ordered.append(op)
                if op.name in marks:
                    self._ends.append(len(self._ordered))

    def parts(self):
        """Lists of operations, one a part; the last one holds the loss and may be empty."""
        starts = [0] + self._ends
        return [self._ordered[start:end]
                for start, end in zip(starts, self._ends + [len(self._ordered)])]

    def inputs(self, part):
        """Tensors from outside the part that depend on the batch."""
        return self._inputs(part, self._depends)

    def learning_inputs(self, part):
        """Those of them that depend on variables as well, and so have gradients."""
        return self._inputs(part, self._depends & self._learning)

    def _inputs(self, part, wanted):
        own = set(op.name for op in part)
        found = collections.OrderedDict(
            (tensor.name, tensor) for op in part for tensor in op.inputs
            if tensor.op.name not in own and tensor.op.name in wanted)
        return list(found.values())

    def variables_of(self, part):
        """The variables whose values the part uses."""
        used = _ancestors([tensor.op for op in part for tensor in op.inputs], self._depends)
        return [variable for name, variable in self._variables.items() if name in used]


def _is_source(op):
    return op.type in _PLACEHOLDERS or (op.op_def.is_stateful and op.type not in _VARIABLES)


def _ancestors(operations, stop=frozenset()):
    """Names of the operations and of all before them; those named in `stop` are left out."""
    found = set()
    waiting = [op for op in operations if op.name not in stop]
    while waiting:
        op = waiting.pop()
        if op.name in found:
            continue
        found.add(op.name)
        waiting.extend(tensor.op for tensor in op.inputs if tensor.op.name not in stop)
    return found
