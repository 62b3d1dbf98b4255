"""Labels found cell by cell are those that interpolating everything gives, to the last one."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import prediction
from deeplab.export import cells

_CLASSES = 4


def _build(batch, shape, step, dtype=tf.int64):
    """Returns (placeholder of logits, Prediction of the whole canvas)."""
    logits = tf.placeholder(tf.float32, [batch] + list(shape) + [_CLASSES])
    large = tf.image.resize_bilinear(
        logits, [(side - 1) * pixels + 1 for side, pixels in zip(shape, step)], align_corners=True)
    labels = tf.identity(tf.argmax(large, 3, output_type=dtype))
    return logits, prediction.Prediction(labels, tf.nn.softmax(large))


def _logits(kind, batch, shape):
    random = np.random.RandomState(0)
    noise = random.randn(batch, *(tuple(shape) + (_CLASSES,)))
    if kind == 'regions':
        noise *= 0.1
        noise[:, : shape[0] // 2, :, 1] += 3
        noise[:, shape[0] // 2:, : shape[1] // 2, 2] += 3
    elif kind == 'one class':
        noise[..., 3] += 100
    elif kind == 'ties':
        noise = np.round(noise)
    elif kind == 'near ties':
        noise = 20 + np.round(noise) * 1e-5
    return noise.astype(np.float32)


@pytest.mark.parametrize('kind', ['noise', 'regions', 'one class', 'ties', 'near ties'])
@pytest.mark.parametrize('batch, fed', [(1, 1), (None, 3)])
def test_every_label_is_the_same(kind, batch, fed):
    shape, step = (6, 9), (8, 4)
    logits, whole = _build(batch, shape, step)
    size = tf.placeholder(tf.int32, [2])
    found = cells.cut_out(cells.find(whole.labels), size)
    with tf.Session() as session:
        for height, width in ((41, 33), (40, 29), (17, 32), (1, 20), (25, 1), (1, 1)):
            values = session.run([found, whole], {
                logits: _logits(kind, fed, shape), size: [height, width]})
            found_values, wanted = values
            np.testing.assert_array_equal(found_values.labels, wanted.labels[:, :height, :width])
            # The last bit of an exponential depends on where in memory its argument lies.
            np.testing.assert_allclose(
                found_values.probabilities, wanted.probabilities[:, :height, :width], rtol=1e-6)


def test_only_cells_of_several_classes_are_interpolated():
    logits, whole = _build(1, (6, 9), (8, 4))
    found = cells.cut_out(cells.find(whole.labels), tf.constant([41, 33]))
    resized = [op for op in found.labels.graph.get_operations()
               if op.type == 'ResizeBilinear' and op.inputs[0].shape.as_list()[1:3] == [2, 2]]
    assert len(resized) == 1
    with tf.Session() as session:
        counts = [len(session.run(resized[0].outputs[0], {logits: _logits(kind, 1, (6, 9))}))
                  for kind in ('one class', 'regions', 'ties')]
    assert counts[0] == 0 < counts[1] < 20 < counts[2] <= 5 * 8


@pytest.mark.parametrize('why', ['corners', 'fraction', 'one row', 'mean'])
def test_what_is_no_grid_is_told_apart(why):
    logits = tf.placeholder(tf.float32, [1, 1 if why == 'one row' else 5, 5, _CLASSES])
    size = [34, 34] if why == 'fraction' else [33, 33]
    large = tf.image.resize_bilinear(logits, size, align_corners=why != 'corners')
    if why == 'mean':
        large = (large + large) / 2
    assert cells.find(tf.argmax(large, 3)) is None
