"""Part of any frozen graph as a TFLite model, and how far the two agree."""
import numpy as np
from PIL import Image
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.export import rebuild
from deeplab.export import runners
from deeplab.export import tflite_model


class Part:
    """What lies between two tensors of a graph.

    Attributes:
        is_quantized: whether the graph comes from quantisation-aware training.
        size: (height, width) of the input.
    """

    def __init__(self, graph_def, input_name, output_name, stats):
        """Looks the tensors up.

        Args:
            graph_def: frozen GraphDef.
            input_name: of a tensor `[1, height, width, 3]`, all known.
            output_name: of a tensor.
            stats: (mean, std): values of the input are (pixel - mean) / std.

        Raises:
            UserError: there is no such tensor, or the input's shape is not known.
        """
        graph = rebuild.import_graph(graph_def)
        tensors = [_tensor(graph, flag, name) for flag, name in (
            ('input_tensor_name', input_name), ('output_tensor_name', output_name))]
        shape = tensors[0].shape.as_list() if tensors[0].shape.rank == 4 else [None]
        if None in shape:
            raise errors.UserError(
                '--input_tensor_name={}: its shape is {}; TFLite needs a tensor of known shape, '
                '[1, height, width, 3].'.format(input_name, tensors[0].shape))
        self.size = tuple(shape[1:3])
        self.is_quantized = any(op.type.startswith('FakeQuant') for op in graph.get_operations())
        self._stats = tuple(stats)
        if self.is_quantized and self._stats == (0.0, 1.0):
            input_name, self._stats = tflite_model.after_scaling(graph, input_name)
        self._graph_def, self._input, outputs = tflite_model.cut(
            graph_def, input_name, [output_name])
        self._output = outputs[0]

    def convert(self) -> bytes:
        """Returns the TFLite model; raises UserError where TFLite cannot hold it."""
        return tflite_model.convert_graph(
            self._graph_def, self._input, [self._output],
            self._stats if self.is_quantized else None)

    def matching_pixels(self, path, image):
        """Compares graph and model on a picture resized to the input.

        Args:
            path: of the TFLite model.
            image: uint8 [height, width, 3].

        Returns:
            (number of values that are equal, number of values).
        """
        image = np.array(Image.fromarray(image).resize(self.size[::-1], Image.BILINEAR))
        values = ((image.astype(np.float32) - self._stats[0]) / self._stats[1])[np.newaxis]
        with tf.Session(graph=rebuild.import_graph(self._graph_def)) as session:
            wanted = session.run(self._output, {self._input: values})
        found, = runners.invoke_tflite(path, values)
        return int(np.sum(found == wanted)), wanted.size


def _tensor(graph, flag, name):
    try:
        return graph.get_tensor_by_name(name)
    except (KeyError, ValueError):
        names = [op.name + ':0' for op in graph.get_operations() if op.outputs]
        raise errors.UserError('--{}={}: the graph has no such tensor.{}'.format(
            flag, name, errors.nearest(name, names)))
