"""The inference graph with the published names, frozen into one file."""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.export import network
from deeplab.export import pictures
from deeplab.utils import checkpoints
from deeplab.utils import frozen_graphs
from deeplab.utils import image_files
from deeplab.utils.frozen_graphs import (INPUT_NAME, OUTPUT_NAME, PROBABILITIES_NAME,  # noqa: F401
                                         RAW_OUTPUT_NAME, RAW_PROBABILITIES_NAME)


def _build_around(run_network, recipe, by_cells=False):
    """Builds input, canvas, what `run_network` makes of it, and the outputs, by their names."""
    image = tf.placeholder(tf.uint8, [1, None, None, 3], name=INPUT_NAME)
    fitted = pictures.Fitted(image, recipe)
    raw = run_network(fitted)
    whole = fitted.cut_out(raw, by_cells)
    tf.identity(tf.cast(whole.labels, tf.int32), name=OUTPUT_NAME)
    tf.identity(whole.probabilities, name=PROBABILITIES_NAME)
    tf.cast(raw.labels, tf.float32, name=RAW_OUTPUT_NAME)
    tf.identity(raw.probabilities, name=RAW_PROBABILITIES_NAME)


def build(model_options, **options):
    """Builds the inference graph with its variables in the default graph.

    Its input is `ImageTensor:0`, uint8 [1, height, width, 3], no larger than the crop. Outputs:
    `SemanticPredictions:0` int32 [1, height, width] and `SemanticProbabilities:0` float32 [1,
    height, width, classes] at the picture's size; `RawSemanticPredictions:0` float32 and
    `RawSemanticProbabilities:0` float32 at the crop's.

    Args:
        model_options: a ModelOptions with a crop size.
        **options: further fields of `network.Recipe`.

    Raises:
        UserError: see `network.Recipe.validate`.
    """
    build_recipe(network.Recipe(model_options, **options).validate())


def build_recipe(recipe):
    """As `build`, of a `network.Recipe`."""
    _build_around(lambda fitted: network.build(fitted.canvas, recipe), recipe)


def from_network(graph_def, recipe, outputs=frozen_graphs.OUTPUTS, by_cells=False) -> tf.GraphDef:
    """Returns the inference graph around a frozen network.

    Args:
        graph_def: from `network.freeze` with a batch of 1, or `network.optimize` of that.
        recipe: the network's Recipe.
        outputs: names of the outputs wanted.
        by_cells: see `pictures.cut_out`.
    """
    with tf.Graph().as_default():
        _build_around(lambda fitted: network.attach(graph_def, fitted.canvas, fitted.inner),
                      recipe, by_cells)
        return network.without_defaults(outputs)


def inference_graph_text(recipe) -> str:
    """Returns the inference graph with its variables as text."""
    with tf.Graph().as_default() as graph:
        build_recipe(recipe)
        return str(graph.as_graph_def())


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
        """Loads the graph; raises UserError, see `frozen_graphs.load`."""
        self._session = tf.Session(graph=frozen_graphs.load(path))

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


def open_checkpoint(checkpoint, recipe) -> tf.Session:
    """Returns a session of the inference graph with the weights of a checkpoint as variables.

    Raises:
        UserError: the checkpoint does not fit the network.
    """
    with tf.Graph().as_default() as graph:
        build_recipe(recipe)
        session = tf.Session(graph=graph)
        try:
            checkpoints.restore(session, checkpoint, tf.global_variables(),
                                class_flag='--num_classes')
        except errors.UserError:
            session.close()
            raise
    return session
