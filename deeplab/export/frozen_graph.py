"""The inference graph with the published names, frozen into one file."""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import errors
from deeplab import prediction
from deeplab.utils import checkpoints
from deeplab.utils import image_files

INPUT_NAME = 'ImageTensor'
OUTPUT_NAME = 'SemanticPredictions'
PROBABILITIES_NAME = 'SemanticProbabilities'
RAW_OUTPUT_NAME = 'RawSemanticPredictions'
RAW_PROBABILITIES_NAME = 'RawSemanticProbabilities'
_OUTPUTS = (OUTPUT_NAME, PROBABILITIES_NAME, RAW_OUTPUT_NAME, RAW_PROBABILITIES_NAME)


def build(model_options, resize_range=prediction.NO_RESIZE, inference_scales=(1.0,),
          add_flipped_images=False, image_pyramid=None, quantize=False):
    """Builds the inference graph in the default graph.

    Its input is `ImageTensor:0`, uint8 [1, height, width, 3], no larger than the crop. Outputs:
    `SemanticPredictions:0` int32 [1, height, width] and `SemanticProbabilities:0` float32 [1,
    height, width, classes] at the picture's size; `RawSemanticPredictions:0` float32 and
    `RawSemanticProbabilities:0` float32 at the crop's.

    Args:
        model_options: a ModelOptions with a crop size.
        resize_range: a `prediction.ResizeRange` that pictures are resized to first.
        inference_scales, add_flipped_images, image_pyramid: see `prediction.build_prediction`.
        quantize: the weights come from quantisation-aware training.

    Raises:
        UserError: quantisation where this TensorFlow cannot.
    """
    image = tf.placeholder(tf.uint8, [1, None, None, 3], name=INPUT_NAME)
    whole, raw = prediction.build_image_prediction(
        image, model_options, resize_range, inference_scales, add_flipped_images, image_pyramid,
        with_raw=True)
    tf.cast(whole.labels, tf.int32, name=OUTPUT_NAME)
    tf.identity(whole.probabilities, name=PROBABILITIES_NAME)
    tf.cast(raw.labels, tf.float32, name=RAW_OUTPUT_NAME)
    tf.identity(raw.probabilities, name=RAW_PROBABILITIES_NAME)
    if quantize:
        rewriter = compat.quantize_module()
        if rewriter is None:
            raise errors.UserError(
                '--quantize_delay_step: {} has no quantisation rewriter; export quantised models '
                'with TensorFlow 1.15.'.format(compat.describe_runtime()))
        rewriter.create_eval_graph()


def freeze(session) -> tf.GraphDef:
    """Returns the session's inference graph with its variables turned into constants.

    Attributes that have their default value are left out, so that an older TensorFlow loads what
    a newer one has written.
    """
    constants = tf.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), list(_OUTPUTS))
    with tf.Graph().as_default():
        tf.import_graph_def(constants, name='')
        return tf.train.export_meta_graph(strip_default_attrs=True, clear_devices=True).graph_def


def write_whole(path: str, data: bytes):
    """Writes a file as a whole or not at all, in a folder that need not be there yet.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    except OSError as error:
        raise errors.UserError('{} cannot be written: {}.'.format(path, error.strerror or error))
    image_files.write_bytes(path, data)


class FrozenGraph:
    """A frozen graph with the published names, ready to run."""

    def __init__(self, path: str):
        """Loads the graph.

        Raises:
            UserError: the file is missing, is no graph, or lacks the input or the output.
        """
        graph_def = tf.GraphDef()
        try:
            with open(path, 'rb') as handle:
                graph_def.ParseFromString(handle.read())
        except OSError as error:
            raise errors.UserError('{}: {}.'.format(path, error.strerror))
        except Exception as error:  # protobuf raises its own DecodeError, which moves about
            raise errors.UserError('{} is not a frozen graph: {}'.format(path, error))
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(graph_def, name='')
        there = {operation.name for operation in graph.get_operations()}
        for name in (INPUT_NAME, OUTPUT_NAME):
            if name not in there:
                raise errors.UserError('{} has no tensor {}:0; expected a graph exported by '
                                       'export_model.'.format(path, name))
        self._session = tf.Session(graph=graph)

    def run(self, image, outputs=(OUTPUT_NAME,)):
        """Runs the graph on one picture.

        Args:
            image: uint8 [height, width, 3].
            outputs: names of outputs.

        Returns:
            List of arrays, one an output, with their batch dimension of 1.
        """
        return self._session.run([name + ':0' for name in outputs],
                                 {INPUT_NAME + ':0': image[np.newaxis]})

    def close(self):
        """Frees the session."""
        self._session.close()


def _check(path, session, crop_size):
    """Loads what was written and holds its labels against the checkpoint's on a noise picture."""
    size = [max(1, side * 3 // 4) for side in crop_size]
    image = np.random.RandomState(0).randint(0, 256, size + [3]).astype(np.uint8)
    wanted = session.run(OUTPUT_NAME + ':0', {INPUT_NAME + ':0': image[np.newaxis]})
    frozen = FrozenGraph(path)
    got, = frozen.run(image)
    frozen.close()
    return int(np.sum(got != wanted)), wanted.size


def export(checkpoint: str, path: str, model_options, save_inference_graph=False, **build_options):
    """Exports a checkpoint as a frozen graph and checks the file written.

    Args:
        checkpoint: prefix of the checkpoint.
        path: file to write.
        model_options: a ModelOptions with a crop size.
        save_inference_graph: also write the graph with its variables as text,
            `inference_graph.pbtxt`, beside it.
        **build_options: see `build`.

    Returns:
        Dict: path, bytes, nodes, labels_compared, labels_different.

    Raises:
        UserError: the checkpoint does not fit the network, or the path cannot be written.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        build(model_options, **build_options)
        checkpoints.restore(session, checkpoint, tf.global_variables(),
                            class_flag='--num_classes')
        graph_def = freeze(session)
        write_whole(path, graph_def.SerializeToString())
        if save_inference_graph:
            text = os.path.join(os.path.dirname(os.path.abspath(path)), 'inference_graph.pbtxt')
            write_whole(text, str(session.graph.as_graph_def()).encode('utf-8'))
        different, compared = _check(path, session, model_options.crop_size)
    return {'path': path, 'bytes': os.path.getsize(path), 'nodes': len(graph_def.node),
            'labels_compared': compared, 'labels_different': different}
