"""Marks in a graph where one part of a network ends and the next begins.

Building a network marks the results of its blocks. What can work through a network part by part,
as `deeplab.training.recomputation` does, finds them in a collection; nobody else notices.
"""
import tensorflow.compat.v1 as tf

COLLECTION = 'part_boundaries'


def mark(net: tf.Tensor) -> tf.Tensor:
    """Notes that a part of the network ends with `net`, a tensor of any shape; returns `net`."""
    tf.add_to_collection(COLLECTION, net)
    return net


def marked(graph: tf.Graph) -> list:
    """Returns the tensors marked in a graph, in the order of their marking."""
    return graph.get_collection(COLLECTION)
