"""Shapes that are partly known when the graph is built."""
import tensorflow.compat.v1 as tf


def resolve_shape(tensor, rank=None, scope=None):
    """Returns the shape of a tensor, each dimension an int where it is known when building.

    Args:
        tensor: any tensor of known rank.
        rank: the rank it must have, or None to take it from the tensor.
        scope: name scope of the ops made.

    Returns:
        A list of ints and scalar int32 tensors.

    Raises:
        ValueError: when the tensor is of another rank than `rank`.
    """
    with tf.name_scope(scope, 'resolve_shape', [tensor]):
        static = tensor.get_shape() if rank is None else tensor.get_shape().with_rank(rank)
        sizes = static.as_list()
        if None in sizes:
            dynamic = tf.shape(tensor)
            sizes = [dynamic[axis] if size is None else size for axis, size in enumerate(sizes)]
        return sizes
