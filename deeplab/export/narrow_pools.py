"""Takes averages over large windows in two steps, for 8-bit models.

TFLite up to that of TensorFlow 1.15 adds up what an 8-bit average pooling covers in 16 bits, which
hold 256 values of 8 bits and no more; the pooling of a whole feature map (65 x 65, say) overflows
without a word. The mean over columns of the mean over rows is the same, and each step covers few.
"""
import tensorflow.compat.v1 as tf

from deeplab.export import rebuild

_MOST_VALUES = 256


def narrow_pools(graph_def, outputs) -> tf.GraphDef:
    """Splits average poolings without padding whose windows are large.

    Args:
        graph_def: GraphDef.
        outputs: names of ops that stay.
    """
    def replace(op, inputs):
        if op.type != 'AvgPool' or op.get_attr('padding') != b'VALID' or (
                op.get_attr('data_format') != b'NHWC'):
            return None
        (_, height, width, _), (_, down, across, _) = op.get_attr('ksize'), op.get_attr('strides')
        if height * width <= _MOST_VALUES:
            return None
        rows = tf.nn.avg_pool2d(inputs[0], [height, 1], [down, 1], 'VALID', name=op.name + '_rows')
        return [tf.nn.avg_pool2d(rows, [1, width], [1, across], 'VALID', name=op.name + '/')]

    return rebuild.rebuild(rebuild.import_graph(graph_def), replace, outputs)
