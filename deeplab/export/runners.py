"""Runs an exported model in its own runtime, by nothing but what was written.

A runner has `run(image)`, which gives (labels int `[height, width]`, probabilities float32
`[height, width, classes]`) of a uint8 `[height, width, 3]`, `labels(image)`, which gives the labels
alone (what is timed), and `close()`.
"""
import warnings

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import errors
from deeplab import prediction
from deeplab.export import optional_packages
from deeplab.export import pictures
from deeplab.export import saved_model
from deeplab.utils import cores
from deeplab.utils import frozen_graphs


class SessionRunner:
    """Runs tensors of a TensorFlow session."""

    def __init__(self, session, feed, labels, probabilities):
        """Takes a session over, and the names of its tensors."""
        self._session = session
        self._feed = feed
        self._fetches = [labels, probabilities]

    def run(self, image):
        """Returns (labels, probabilities), see the module."""
        labels, probabilities = self._session.run(self._fetches, {self._feed: image[np.newaxis]})
        return labels[0], probabilities[0]

    def labels(self, image):
        """Returns the labels alone."""
        return self._session.run(self._fetches[0], {self._feed: image[np.newaxis]})[0]

    def close(self):
        """Frees the session."""
        self._session.close()


def of_graph(session) -> SessionRunner:
    """Returns the runner of a session whose graph has the published names."""
    return SessionRunner(session, *[name + ':0' for name in (
        frozen_graphs.INPUT_NAME, frozen_graphs.OUTPUT_NAME, frozen_graphs.PROBABILITIES_NAME)])


def of_frozen_graph(path: str) -> SessionRunner:
    """Loads a frozen graph."""
    return of_graph(tf.Session(graph=frozen_graphs.load(path)))


def of_saved_model(folder: str) -> SessionRunner:
    """Loads a SavedModel and goes by its default signature."""
    graph = tf.Graph()
    session = tf.Session(graph=graph)
    with graph.as_default():
        loaded = tf.saved_model.loader.load(
            session, [tf.saved_model.tag_constants.SERVING], folder)
    signature = loaded.signature_def[
        tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY]
    return SessionRunner(session, signature.inputs[saved_model.IMAGE].name,
                         signature.outputs[saved_model.LABELS].name,
                         signature.outputs[saved_model.PROBABILITIES].name)


class TfliteRunner:
    """Runs a TFLite file, whose input is the canvas; pads and cuts as the other formats do."""

    def __init__(self, path: str, recipe):
        """Loads the file.

        Args:
            path: of the file.
            recipe: the Recipe that it was made by.

        Raises:
            UserError: TensorFlow's interpreter lacks an operator of the file (named).
        """
        self._interpreter = _interpreter(path)
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = _in_order(self._interpreter.get_output_details())
        self._recipe = recipe
        with tf.Graph().as_default() as graph:
            self._image = tf.placeholder(tf.uint8, [1, None, None, 3])
            fitted = pictures.Fitted(self._image, recipe)
            self._fitted = (fitted.canvas, fitted.inner, fitted.size)
            self._raw = prediction.Prediction(
                *[tf.placeholder(kind, details['shape']) for kind, details in zip(
                    (tf.int64, tf.float32), self._outputs)])
            self._whole = fitted.cut_out(self._raw)
            self._around = (fitted.inner, fitted.size)
        self._session = tf.Session(graph=graph)

    def run(self, image):
        """Returns (labels, probabilities), see the module."""
        canvas, inner, size = self._session.run(self._fitted, {self._image: image[np.newaxis]})
        labels, probabilities = self._invoke(canvas)
        whole = self._session.run(self._whole, {
            self._raw.labels: labels, self._raw.probabilities: probabilities,
            self._around[0]: inner, self._around[1]: size})
        return whole.labels[0], whole.probabilities[0]

    def labels(self, image):
        """Returns the labels alone; TFLite computes everything all the same."""
        return self.run(image)[0]

    def _invoke(self, canvas):
        # Of a network trained quantised the input is the pixels themselves.
        details = dict(self._input, quantization=(0, 0)) if self._recipe.quantize else self._input
        self._interpreter.set_tensor(self._input['index'], _quantized(canvas, details))
        self._interpreter.invoke()
        labels, probabilities = [self._interpreter.get_tensor(details['index'])
                                 for details in self._outputs]
        return labels.astype(np.int64), _real(probabilities, self._outputs[1])

    def close(self):
        """Frees the session."""
        self._session.close()


def _interpreter(path):
    """Returns TensorFlow's TFLite interpreter, with all cores where it can take them."""
    threads = {} if compat.IS_TF1 else {'num_threads': cores.cpu_count()}
    with warnings.catch_warnings():
        # 2.x announces a successor that is another package.
        warnings.simplefilter('ignore')
        try:
            interpreter = tf.lite.Interpreter(model_path=path, **threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise errors.UserError('{}: TFLite cannot run it ({}).'.format(
                path, ' '.join(str(error).split())))
    return interpreter


def invoke_tflite(path: str, values) -> list:
    """Runs a TFLite file on the values of its one input; returns its outputs as they are.

    Raises:
        UserError: the interpreter lacks an operator of the file.
    """
    interpreter = _interpreter(path)
    details = interpreter.get_input_details()[0]
    interpreter.set_tensor(details['index'], _quantized(values, details))
    interpreter.invoke()
    return [interpreter.get_tensor(output['index'])
            for output in interpreter.get_output_details()]


def _in_order(outputs):
    """Returns the details of labels and probabilities: the ones of fewer dimensions first."""
    return sorted(outputs, key=lambda details: len(details['shape']))


def _quantized(values, details):
    """Brings values to the type of a TFLite tensor."""
    if not np.issubdtype(details['dtype'], np.integer):
        return values.astype(details['dtype'])
    scale, zero = details['quantization']
    limits = np.iinfo(details['dtype'])
    scaled = values / scale + zero if scale else values
    return np.clip(np.round(scaled), limits.min, limits.max).astype(details['dtype'])


def _real(values, details):
    """Brings values of a TFLite tensor back to float32."""
    scale, zero = details['quantization']
    if not np.issubdtype(values.dtype, np.integer) or not scale:
        return values.astype(np.float32)
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


class OnnxRunner:
    """Runs an ONNX file in onnxruntime."""

    def __init__(self, path: str, threads: int = 0):
        """Loads the file, to run on `threads` threads (0: as many as onnxruntime likes).

        Raises:
            UserError: onnxruntime is missing or refuses the file.
        """
        runtime = optional_packages.load('onnxruntime')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = runtime.InferenceSession(path, options,
                                                     providers=['CPUExecutionProvider'])
        except Exception as error:  # Its classes are generated; none has a stable name.
            raise errors.UserError('{}: onnxruntime cannot run it ({}).'.format(
                path, ' '.join(str(error).split())))
        self._input = self._session.get_inputs()[0].name
        self._outputs = [frozen_graphs.OUTPUT_NAME + ':0', frozen_graphs.PROBABILITIES_NAME + ':0']

    def run(self, image):
        """Returns (labels, probabilities), see the module."""
        labels, probabilities = self._session.run(self._outputs, {self._input: image[np.newaxis]})
        return labels[0], probabilities[0]

    def labels(self, image):
        """Returns the labels alone."""
        return self._session.run(self._outputs[:1], {self._input: image[np.newaxis]})[0][0]

    def close(self):
        """Frees the session."""
        self._session = None
