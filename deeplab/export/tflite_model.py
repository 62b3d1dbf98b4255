"""The network as a TFLite model, in float32, float16 or int8.

TFLite models have a fixed input size, so theirs is the canvas: `[1, crop height, crop width, 3]`,
0..255, pictures padded by the caller with the backbone's mean colour. Outputs are labels, int64
`[1, crop height, crop width]`, and probabilities `[1, crop height, crop width, classes]`.
"""
import contextlib
import os
import re
import sys
import tempfile

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import errors
from deeplab.export import narrow_pools
from deeplab.export import network
from deeplab.export import pictures
from deeplab.export import rebuild
from deeplab.export import simplify
from deeplab.utils import frozen_graphs

FLOAT32, FLOAT16, INT8 = TYPES = ('float32', 'float16', 'int8')
# What the converters say before the names of operators that TFLite has not: that of TensorFlow
# 1.15, then those of 2.x.
_LACKING = re.compile(r'(?:need custom implementations|Custom ops|TF Select ops|Flex ops): '
                      r'([\w.]+(?:, [\w.]+)*)')


def _canvases(calibration, recipe):
    """Yields pictures on the canvas, float32 [1, crop height, crop width, 3]."""
    with tf.Graph().as_default() as graph:
        image = tf.placeholder(tf.uint8, [1, None, None, 3])
        canvas = pictures.Fitted(image, recipe._replace(large_pictures=network.RESIZE)).canvas
        with tf.Session(graph=graph) as session:
            for picture in calibration():
                yield session.run(canvas, {image: picture[np.newaxis]})


def check_calibration(calibration):
    """Raises UserError where a function that `convert` is to calibrate with gives no picture."""
    _check_any(calibration is not None and next(iter(calibration()), None) is not None)


def _check_any(is_there):
    if not is_there:
        raise errors.UserError('--calibration_data: it holds no picture; int8 needs some to '
                               'measure the range of every layer on.')


@contextlib.contextmanager
def _stderr_kept():
    """Holds back what the converter prints; gives a function that returns it."""
    with tempfile.TemporaryFile() as held:
        kept = [os.dup(1), os.dup(2)]
        os.dup2(held.fileno(), 1)
        os.dup2(held.fileno(), 2)

        def text():
            held.seek(0)
            return held.read().decode('utf-8', 'replace')

        try:
            yield text
        finally:
            for number, copy in enumerate(kept):
                os.dup2(copy, number + 1)
                os.close(copy)


def convert(graph_def, recipe, kind=FLOAT32, calibration=None) -> bytes:
    """Returns the TFLite model.

    Args:
        graph_def: from `network.freeze` with a batch of 1, or `network.optimize` of that without
            regrouping: TFLite has dilated convolutions.
        recipe: the network's Recipe. Of quantisation-aware training, with INT8: the ranges learnt
            there are used, and no calibration is needed.
        kind: of TYPES. FLOAT16 halves the file, and computes in float32. INT8 computes in whole
            numbers, in and out but for the labels uint8.
        calibration: for INT8, function returning an iterable of uint8 `[height, width, 3]`.

    Raises:
        UserError: TFLite lacks an operator of the network (named), or there is no picture to
            calibrate with.
    """
    def prepare(converter):
        if kind == FLOAT16:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        elif kind == INT8 and not recipe.quantize:
            _set_int8(converter, recipe, calibration)

    outputs = [network.LABELS + ':0', network.PROBABILITIES + ':0']
    if kind == INT8:
        graph_def = narrow_pools.narrow_pools(graph_def, [network.LABELS, network.PROBABILITIES])
    if kind == INT8 and recipe.quantize:
        graph = rebuild.import_graph(graph_def)
        name, stats = after_scaling(graph, network.CANVAS + ':0')
        graph_def, feed, outputs = cut(graph_def, name, outputs)
        return convert_graph(graph_def, feed, outputs, stats)
    return convert_graph(graph_def, network.CANVAS + ':0', outputs, None, prepare)


def after_scaling(graph, name):
    """Follows the scaling of pixels that a network begins with.

    Quantisation-aware training learns no ranges of these steps, so an 8-bit model begins behind.

    Args:
        graph: of a network trained quantised.
        name: of the tensor with the pixels, 0..255.

    Returns:
        (name of the last tensor that is a linear function of the pixels, (mean, std)): its values
        are (pixel - mean) / std.
    """
    takers = rebuild.consumers(graph)
    factor, offset = 1.0, 0.0
    while True:
        users = takers.get(name, ())
        values = [rebuild.constant(tensor) for tensor in users[0].inputs
                  if tensor.name != name] if len(users) == 1 else []
        kind = users[0].type if users else None
        if kind == 'Identity':
            name = users[0].outputs[0].name
            continue
        if kind not in ('Mul', 'Sub', 'Add', 'AddV2') or values[0] is None or values[0].size != 1:
            return name, (-offset / factor, 1 / factor)
        value = float(values[0].ravel()[0])
        if kind == 'Mul':
            factor, offset = factor * value, offset * value
        else:
            offset += -value if kind == 'Sub' else value
        name = users[0].outputs[0].name


def cut(graph_def, input_name, output_names):
    """Returns (GraphDef from one tensor to others, name of its placeholder, names of its outputs).

    What feeds the tensor does not come along. Of an optimised graph, which minds how much of the
    canvas a picture covers, the part takes pictures that cover all of it.

    Raises:
        UserError: no output depends on the tensor.
    """
    graph = rebuild.import_graph(graph_def)
    shape = graph.get_tensor_by_name(input_name).shape
    minds_size = frozen_graphs.has_tensor(graph, network.COVERED_SIZE + ':0')
    with tf.Graph().as_default() as graph:
        feed = tf.placeholder(tf.float32, shape, name='input_image')
        inputs = {input_name: feed}
        if minds_size:
            inputs[network.COVERED_SIZE + ':0'] = tf.constant(shape.as_list()[1:3], tf.int32)
        results = tf.import_graph_def(graph_def, inputs, output_names, name='part')
        part = tf.graph_util.extract_sub_graph(
            graph.as_graph_def(), [result.op.name for result in results])
    if not any(node.name == feed.op.name for node in part.node):
        raise errors.UserError('{} does not depend on {}: name an input that comes before the '
                               'output.'.format(', '.join(output_names), input_name))
    if minds_size:
        part = simplify.simplify(part, [result.op.name for result in results])
    return part, feed.name, [result.name for result in results]


def convert_graph(graph_def, input_name, output_names, trained_stats=None, prepare=None) -> bytes:
    """Returns the TFLite model of a frozen graph.

    Args:
        graph_def: GraphDef.
        input_name: tensor, a placeholder of known shape.
        output_names: list of tensors.
        trained_stats: for graphs of quantisation-aware training, (mean, std) of the input: its
            values are (uint8 - mean) / std. None for others.
        prepare: function of the converter that sets further options, or None.

    Raises:
        UserError: TFLite lacks an operator (named).
    """
    graph = rebuild.import_graph(graph_def)
    with graph.as_default(), tf.Session(graph=graph) as session:
        converter = tf.lite.TFLiteConverter.from_session(
            session, [graph.get_tensor_by_name(input_name)],
            [graph.get_tensor_by_name(name) for name in output_names])
        if trained_stats is not None:
            converter.inference_type = tf.uint8
            converter.quantized_input_stats = {input_name.split(':')[0]: tuple(trained_stats)}
        if prepare is not None:
            prepare(converter)
        return _run(converter)


def _set_int8(converter, recipe, calibration):
    canvases = [] if calibration is None else list(_canvases(calibration, recipe))
    _check_any(canvases)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([canvas] for canvas in canvases)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8


@contextlib.contextmanager
def _converter_found():
    """Lets TensorFlow 1.15 find its converter, a program beside the interpreter of Python."""
    before = os.environ.get('PATH', '')
    os.environ['PATH'] = os.pathsep.join([os.path.dirname(sys.executable), before])
    try:
        yield
    finally:
        os.environ['PATH'] = before


def _run(converter):
    try:
        with _converter_found(), _stderr_kept():
            return converter.convert()
    except Exception as error:  # Its classes differ between the versions, as do its messages.
        raise errors.UserError(_explanation(str(error)))


def _explanation(text):
    """Returns what the user is told of a converter's message."""
    lacking = sorted({name.strip('.') for names in _LACKING.findall(text)
                      for name in names.split(', ')})
    if lacking:
        return 'TFLite ({}) lacks operators of this network: {}.'.format(
            compat.describe_runtime(), ', '.join(lacking))
    return 'TFLite cannot hold this network ({}): {}'.format(
        compat.describe_runtime(), _reason(text))


def _reason(text):
    """Returns the lines of a converter's message that say what is wrong."""
    lines = [line.strip() for line in text.splitlines()]
    telling = [line for line in lines if 'not supported' in line or 'nsupported' in line
               or 'is neither' in line or 'lacking' in line
               or (': F ' in line or 'Check failed' in line)]
    return ' '.join((telling or lines)[:4])[:600]
