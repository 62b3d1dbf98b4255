"""From one picture to its labels: by a checkpoint, a frozen graph or a SavedModel.

A predictor has `predict(image, with_probabilities)` and `close()`. `image` is uint8 `[height,
width, 3]`; the result is (labels int64 `[height, width]`, probabilities float32 `[height, width,
classes]` or None).
"""
import os

from absl import logging
import numpy as np
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import prediction
from deeplab.evaluation import inference
from deeplab.evaluation import tiles
from deeplab.utils import frozen_graphs

INPUT_TENSOR = frozen_graphs.INPUT_NAME + ':0'
LABELS_TENSOR = frozen_graphs.OUTPUT_NAME + ':0'
PROBABILITIES_TENSOR = frozen_graphs.PROBABILITIES_NAME + ':0'
_RAW_LABELS_TENSOR = frozen_graphs.RAW_OUTPUT_NAME + ':0'
_SERVE = 'serve'
_SAVED_MODEL_FILES = ('saved_model.pb', 'saved_model.pbtxt')

# Without a crop, larger pictures are predicted in tiles of this size: it bounds the memory.
_DEFAULT_TILE_SIZE = (1025, 1025)


def saved_model_folder(path: str):
    """Returns the folder of a SavedModel: `path`, or its highest numbered version; None for none.

    Exports number their versions, as TensorFlow Serving expects them: model/1, model/2.
    """
    names = os.listdir(path) if os.path.isdir(path) else []
    versions = sorted((name for name in names if name.isdigit()), key=int, reverse=True)
    for folder in [path] + [os.path.join(path, version) for version in versions]:
        if any(os.path.exists(os.path.join(folder, name)) for name in _SAVED_MODEL_FILES):
            return folder
    return None


class CheckpointPredictor:
    """Builds the network and restores the weights of a checkpoint."""

    def __init__(self, prefix, model_options, options):
        """Checks that the checkpoint fits by building the network for whole pictures.

        Args:
          prefix: of the checkpoint.
          model_options: a ModelOptions. Its `crop_size`: what pictures are padded to; larger ones
            are predicted in tiles of that size. None: every picture at its own size, larger ones
            than 1025 x 1025 in tiles.
          options: `inference.InferenceOptions`; with `tile_size` every picture goes by tiles.

        Raises:
          UserError: the checkpoint does not fit the network.
        """
        self._prefix = prefix
        self._model_options = model_options
        self._options = options.validate()
        self._limit = model_options.crop_size or _DEFAULT_TILE_SIZE
        self._networks = {}
        self._network(in_tiles=bool(options.tile_size))

    def predict(self, image, with_probabilities=False):
        """Predicts one picture, see the module."""
        run = self._network(self._goes_by_tiles(*image.shape[:2]))
        with inference.memory_errors_explained():
            return run(image, with_probabilities)

    def close(self):
        """Frees the sessions."""
        for _, session in self._networks.values():
            session.close()
        self._networks = {}

    def _goes_by_tiles(self, height, width):
        if self._options.tile_size:
            return True
        height, width = self._size_in_network(height, width)
        if height <= self._limit[0] and width <= self._limit[1]:
            return False
        if self._resizes:
            raise errors.UserError(
                'the picture is {} x {} after resizing, and --crop_size={},{} smaller.'.format(
                    height, width, *self._limit))
        return True

    @property
    def _resizes(self):
        return self._options.resize_range != prediction.NO_RESIZE

    def _size_in_network(self, height, width):
        return prediction.size_in_network(height, width, self._options.resize_range)

    def _network(self, in_tiles):
        """Returns the function that runs the network on tiles, or on whole pictures."""
        if in_tiles not in self._networks:
            if in_tiles and not self._options.tile_size:
                logging.info('Pictures larger than %d x %d are predicted in tiles of that size.',
                             *self._limit)
            self._networks[in_tiles] = (self._open_tiles if in_tiles else self._open_whole)()
        return self._networks[in_tiles][0]

    def _restored(self, graph):
        return inference.open_restored(graph, self._prefix, self._options, '--num_classes')

    def _open_whole(self):
        with tf.Graph().as_default() as graph:
            feed = tf.placeholder(tf.uint8, [1, None, None, 3])
            fetches = self._options.build_for_image(feed, self._model_options)
            self._options.finish_graph()
        session = self._restored(graph)

        def run(image, with_probabilities):
            wanted = fetches if with_probabilities else fetches[:1]
            values = session.run(wanted, {feed: image[np.newaxis]})
            return values[0][0], values[1][0] if with_probabilities else None

        return run, session

    def _open_tiles(self):
        options = self._options
        if not options.tile_size:
            options = options._replace(tile_size=tuple(self._limit))
        with tf.Graph().as_default() as graph:
            network = inference.TileNetwork(self._model_options, options)
            options.finish_graph()
        session = self._restored(graph)

        def run(image, with_probabilities):
            return network.predict(session, image, with_probabilities)

        return run, session


class GraphPredictor:
    """Runs a graph that holds its weights; see `from_frozen_graph` and `from_saved_model`."""

    def __init__(self, session, title, input_name, labels_name, probabilities_name, options):
        """Takes a session over.

        Args:
          session: in which the graph is ready to run.
          title: what to call the graph in messages.
          input_name, labels_name: names of tensors: uint8 [1, height, width, 3] and integers [1,
            height, width].
          probabilities_name: float32 [1, height, width, classes], or None where there is none.
          options: `inference.InferenceOptions`, of which the tiles act only.
        """
        self._session = session
        self._title = title
        self._input = input_name
        self._labels = labels_name
        self._probabilities = probabilities_name
        self._options = options
        self._crop = self._known_crop()

    @classmethod
    def from_frozen_graph(cls, path, options):
        """Loads a frozen graph file.

        Raises:
          UserError: the file cannot be read, is no graph, or lacks `ImageTensor:0` or
            `SemanticPredictions:0`.
        """
        graph = frozen_graphs.load(path, '--frozen_graph={}'.format(path))
        session = tf.Session(options.master, graph, inference.session_config())
        has_probabilities = frozen_graphs.has_tensor(graph, PROBABILITIES_TENSOR)
        return cls(session, path, INPUT_TENSOR, LABELS_TENSOR,
                   PROBABILITIES_TENSOR if has_probabilities else None, options)

    @classmethod
    def from_saved_model(cls, folder, options):
        """Loads a SavedModel by its serving signature.

        Args:
          folder: of the SavedModel, or of its numbered versions.
          options: `inference.InferenceOptions`.

        Raises:
          UserError: the folder holds no SavedModel, or one without a signature of a picture and
            its labels.
        """
        given, folder = folder, saved_model_folder(folder)
        if folder is None:
            raise errors.UserError('--saved_model={}: {}.'.format(
                given, 'the folder holds no saved_model.pb' if os.path.isdir(given)
                else 'there is no such folder'))
        graph = tf.Graph()
        session = tf.Session(options.master, graph, inference.session_config())
        try:
            with graph.as_default():
                loaded = tf.saved_model.loader.load(session, [_SERVE], folder)
        except Exception as error:  # Which class depends on what is broken, and on the version.
            session.close()
            raise errors.UserError('--saved_model={}: cannot be loaded ({}).'.format(
                folder, str(error).splitlines()[0]))
        for signature in _by_preference(loaded.signature_def):
            found = _tensors_of(signature)
            if found:
                return cls(session, folder, *found, options=options)
        session.close()
        raise errors.UserError('--saved_model={}: no signature takes one uint8 picture and gives '
                               'its labels; there are {}.'.format(
                                   folder, ', '.join(sorted(loaded.signature_def)) or 'none'))

    def predict(self, image, with_probabilities=False):
        """Predicts one picture, see the module."""
        if with_probabilities and self._probabilities is None:
            raise errors.UserError('{} gives labels only, no probabilities: leave '
                                   '--save_probabilities out.'.format(self._title))
        with inference.memory_errors_explained():
            if self._options.tile_size:
                return self._predict_tiles(image, self._options.tile_size, with_probabilities)
            try:
                labels, probabilities = self._run(image, with_probabilities)
                return labels.astype(np.int64), probabilities
            except tf.errors.InvalidArgumentError:
                height, width = image.shape[:2]
                if self._crop and (height > self._crop[0] or width > self._crop[1]):
                    return self._predict_tiles(image, self._crop, with_probabilities)
                # What TensorFlow says is about some inner node: no help to anyone.
                raise errors.UserError(
                    'the graph cannot take {} x {} pixels. Where that is too large for it, give '
                    '--tile_size=513,513.'.format(height, width))

    def close(self):
        """Frees the session."""
        self._session.close()

    def _known_crop(self):
        """Returns the (height, width) the graph was exported for, None where it does not say."""
        if not frozen_graphs.has_tensor(self._session.graph, _RAW_LABELS_TENSOR):
            return None
        shape = self._session.graph.get_tensor_by_name(_RAW_LABELS_TENSOR).shape.as_list()
        return tuple(shape[1:3]) if None not in shape[1:3] else None

    def _run(self, image, with_probabilities):
        names = [self._labels] + ([self._probabilities] if with_probabilities else [])
        values = self._session.run(names, {self._input: image[np.newaxis]})
        return values[0][0], values[1][0] if with_probabilities else None

    def _predict_tiles(self, image, tile_size, with_probabilities):
        """Averages the probabilities of tiles; where there are none their labels vote."""
        def probabilities_of(batch):
            return np.stack([self._run(tile, True)[1] for tile in batch])

        def votes_of(batch):
            labels = np.stack([self._run(tile, False)[0] for tile in batch]).astype(np.int64)
            return np.eye(_class_count(self._session.graph), dtype=np.float32)[labels]

        return tiles.predict_in_tiles(
            image, tile_size, self._options.tile_overlap,
            votes_of if self._probabilities is None else probabilities_of,
            fill=_GREY, keep_probabilities=with_probabilities)


# Fills tiles of pictures smaller than a tile, where the graph's own padding colour is not known.
_GREY = 128


def _class_count(graph):
    """Returns how many classes the graph tells apart, as far as it says; 256 where it does not."""
    sides = [op.inputs[0].shape.as_list()[-1] for op in graph.get_operations()
             if op.type == 'ArgMax' and op.inputs[0].shape.rank == 4]
    return max([side for side in sides if side] or [256])


def _by_preference(signatures):
    """Yields the signatures, the usual one for serving first."""
    for name in sorted(signatures, key=lambda key: (key != 'serving_default', key)):
        yield signatures[name]


def _tensors_of(signature):
    """Returns (input, labels, probabilities or None) of a signature, or None if it is another."""
    inputs = [info for info in signature.inputs.values()
              if info.dtype == tf.uint8.as_datatype_enum]
    outputs = sorted(signature.outputs.items())

    def with_rank(rank, is_fitting):
        return [info.name for name, info in outputs
                if len(info.tensor_shape.dim) == rank and is_fitting(tf.as_dtype(info.dtype))
                and 'raw' not in name.lower()]

    labels = with_rank(3, lambda dtype: dtype.is_integer)
    probabilities = with_rank(4, lambda dtype: dtype.is_floating)
    if len(inputs) != 1 or not labels:
        return None
    return inputs[0].name, labels[0], probabilities[0] if probabilities else None
