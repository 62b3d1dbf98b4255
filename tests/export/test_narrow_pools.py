"""Large averages of 8-bit models: in two steps, with the same result."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.export import narrow_pools
from deeplab.export import rebuild
from deeplab.export import tflite_model


def _graph(size, window, stride=(1, 1)):
    with tf.Graph().as_default() as graph:
        features = tf.placeholder(tf.float32, [1] + list(size) + [4], name='in')
        pooled = tf.nn.avg_pool2d(features, window, stride, 'VALID')
        tf.identity(pooled, name='out')
    return graph.as_graph_def()


def _features(size):
    # Most values near the least one: their 8-bit numbers are far from zero, and so is their sum.
    return 6 * np.random.RandomState(0).rand(1, *(tuple(size) + (4,))).astype(np.float32) ** 4


@pytest.mark.parametrize('size, window, stride, pools', [
    ((16, 16), (16, 16), (1, 1), 1), ((33, 20), (33, 20), (1, 1), 2),
    ((65, 129), (33, 49), (16, 20), 2)])
def test_large_windows_are_split(size, window, stride, pools):
    plain = _graph(size, window, stride)
    split = narrow_pools.narrow_pools(plain, ['out'])
    assert sum(node.op == 'AvgPool' for node in split.node) == pools
    results = []
    for graph_def in (plain, split):
        with tf.Session(graph=rebuild.import_graph(graph_def)) as session:
            results.append(session.run('out:0', {'in:0': _features(size)}))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


def test_eight_bits_hold_the_sum():
    size = (33, 33)
    features = _features(size)

    def prepare(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [[features]]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

    model = tflite_model.convert_graph(
        narrow_pools.narrow_pools(_graph(size, size), ['out']), 'in:0', ['out:0'], None, prepare)
    interpreter = tf.lite.Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]['index'], features)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]['index'])
    np.testing.assert_allclose(found[0, 0, 0], features.mean(axis=(0, 1, 2)), atol=0.05)
