"""Exports a checkpoint in one format or more: written, loaded again, compared, then renamed."""
import collections
import os
import shutil

from absl import logging

from deeplab import errors
from deeplab.export import check
from deeplab.export import frozen_graph
from deeplab.export import network
from deeplab.export import onnx_model
from deeplab.export import runners
from deeplab.export import saved_model
from deeplab.export import tflite_model
from deeplab.utils import image_files

FROZEN, SAVED_MODEL, TFLITE, ONNX = FORMATS = ('frozen', 'saved_model', 'tflite', 'onnx')

# Above this share of labels that differ a format is broken, and is not written; float16 rounds the
# weights to 11 bits, and what 8 bits may cost is for the user to judge.
_MOST_DIFFERENT = 0.001
_MOST_DIFFERENT_BY_TYPE = {tflite_model.FLOAT32: _MOST_DIFFERENT, tflite_model.FLOAT16: 0.02,
                           tflite_model.INT8: 1.0}

_FIELDS = (
    ('formats', (FROZEN,)),
    ('optimize', True),
    ('save_inference_graph', False),
    ('saved_model_version', 1),
    ('tflite_types', (tflite_model.FLOAT32,)),
    ('calibration', None),
    ('images', ()),
    ('repeats', 3),
)


class Options(collections.namedtuple('Options', [name for name, _ in _FIELDS])):
    """What is written, apart from the network.

    Fields:
        formats: of FORMATS.
        optimize: whether the network is made faster first.
        save_inference_graph: whether the graph with its variables is also written as text.
        saved_model_version: name of the folder of the SavedModel, a whole number.
        tflite_types: of `tflite_model.TYPES`.
        calibration: function returning an iterable of pictures for int8, uint8 `[height, width,
            3]`; or None.
        images: pictures to check on, each uint8 `[height, width, 3]`; none for a made-up one.
        repeats: how often each format is timed.
    """

    __slots__ = ()

    def __new__(cls, **values):
        return super(Options, cls).__new__(cls, **dict(_FIELDS, **values))

    def validate(self, is_quantized=False) -> 'Options':
        """Returns itself; raises UserError, naming the flag, for values that make no sense.

        Reads the first picture to calibrate with: that fails now rather than after minutes.

        `is_quantized`: the network was trained quantised, which makes calibration needless.
        """
        for flag, values, known in (('export_formats', self.formats, FORMATS),
                                    ('tflite_types', self.tflite_types, tflite_model.TYPES)):
            if not values:
                raise errors.UserError('--{}: give one or more of {}.'.format(
                    flag, ', '.join(known)))
            for value in values:
                if value not in known:
                    raise errors.UserError('--{}={}: there is no such kind.{} Known: {}.'.format(
                        flag, value, errors.nearest(value, known), ', '.join(known)))
        if not is_quantized and TFLITE in self.formats and tflite_model.INT8 in self.tflite_types:
            if self.calibration is None:
                raise errors.UserError(
                    '--tflite_types=int8 needs pictures to measure the range of every layer on: '
                    'give --calibration_data, pictures or TFRecord shards such as those trained '
                    'on.')
            tflite_model.check_calibration(self.calibration)
        if ONNX in self.formats:
            onnx_model.check_packages()
        return self


# title: for the table; path: where it goes; write: function of (path to write); open: function of
# that path giving a runner; most_different: share of labels; has_logits: see
# `check.Reference.compare`.
_Product = collections.namedtuple('_Product', [
    'title', 'path', 'write', 'open', 'most_different', 'has_logits'])


class _Networks:
    """The frozen network in the forms the formats want, each made once."""

    def __init__(self, checkpoint, recipe, optimize):
        self._checkpoint = checkpoint
        self._recipe = recipe
        # Quantised networks hold ops between weights and convolutions that nothing must pass.
        self.is_optimized = optimize and not recipe.quantize
        self._plain = {}
        self._made = {}

    def get(self, batch=1, for_tensorflow=True):
        """Returns the network as a GraphDef; see `network.freeze` and `network.optimize`."""
        if batch not in self._plain:
            self._plain[batch] = network.freeze(self._checkpoint, self._recipe, batch)
        if not self.is_optimized:
            return self._plain[batch]
        key = (batch, for_tensorflow)
        if key not in self._made:
            self._made[key] = network.optimize(self._plain[batch], for_tensorflow)
        return self._made[key]


def _path_for(export_path, extension, others=()):
    """Returns the path of a format: the one given where its extension is right."""
    stem, given = os.path.splitext(export_path)
    if given.lower() == extension and not others:
        return export_path
    return (stem if given.lower() in ('.pb', '.tflite', '.onnx') else export_path) + extension


def _products(networks, recipe, path, options):
    """Yields a _Product for everything to write."""
    if FROZEN in options.formats:
        yield _Product(
            'frozen graph', path,
            lambda to: frozen_graph.write_whole(to, frozen_graph.from_network(
                networks.get(), recipe, by_cells=networks.is_optimized).SerializeToString()),
            runners.of_frozen_graph, _MOST_DIFFERENT, True)
    if SAVED_MODEL in options.formats:
        yield _Product(
            'SavedModel',
            os.path.join(_path_for(path, '_saved_model', True), str(options.saved_model_version)),
            lambda to: saved_model.write(
                networks.get(batch=None), recipe, to, networks.is_optimized),
            runners.of_saved_model, _MOST_DIFFERENT, True)
    if TFLITE in options.formats:
        for kind in options.tflite_types:
            several = len(options.tflite_types) > 1
            yield _Product(
                'TFLite ' + kind, _path_for(path, '_{}.tflite'.format(kind) if several else
                                            '.tflite', several),
                lambda to, kind=kind: frozen_graph.write_whole(to, tflite_model.convert(
                    networks.get(for_tensorflow=False), recipe, kind, options.calibration)),
                lambda at: runners.TfliteRunner(at, recipe), _MOST_DIFFERENT_BY_TYPE[kind],
                kind != tflite_model.INT8)
    if ONNX in options.formats:
        yield _Product(
            'ONNX', _path_for(path, '.onnx'),
            lambda to: frozen_graph.write_whole(to, onnx_model.convert(
                networks.get(for_tensorflow=False), recipe)),
            runners.OnnxRunner, _MOST_DIFFERENT, True)


def _remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.remove(path)


def _make_folder(path, made):
    """Makes the folder a path is in, and adds those that were missing to the list `made`."""
    folder = missing = os.path.dirname(os.path.abspath(path))
    while not os.path.exists(missing):
        made.append(missing)
        missing = os.path.dirname(missing)
    image_files.make_folder(folder, '--export_path')


def _remove_empty(folders):
    for folder in sorted(folders, key=len, reverse=True):
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def _rename(temporary, path):
    """Puts what was written in the place of what is there."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            # A folder cannot be replaced at once: the old one steps aside first.
            old = temporary + '-old'
            os.rename(path, old)
            os.rename(temporary, path)
            _remove(old)
        else:
            os.replace(temporary, path)
    except OSError as error:
        raise errors.UserError('{} cannot be written: {}.'.format(path, error.strerror or error))


def _check_differences(result, most_different):
    if result.different > most_different * result.pixels:
        raise errors.UserError(
            '{}: {} of {} labels differ from the checkpoint, the logits by up to {:.2g}. Nothing '
            'was written.'.format(result.format, result.different, result.pixels,
                                  result.logit_difference))


def export(checkpoint: str, recipe, path: str, options=None) -> list:
    """Exports a checkpoint.

    Args:
        checkpoint: prefix of the checkpoint.
        recipe: a `network.Recipe`.
        path: of the frozen graph; what other formats are called is made of it.
        options: Options.

    Returns:
        List of `check.Result`: the checkpoint's own, then one for each thing written.

    Raises:
        UserError: the checkpoint does not fit, a path cannot be written, a package is missing, or
            a format cannot hold the network. Nothing is written then.
    """
    recipe.validate()
    options = (options or Options()).validate(recipe.quantize)
    if os.path.isdir(path) or not os.path.basename(path):
        raise errors.UserError('--export_path={}: that is a folder; give the file to write, for '
                               'example {}.'.format(path, os.path.join(path, 'graph.pb')))
    made = []
    try:
        _make_folder(path, made)
        results = _write_and_compare(checkpoint, recipe, path, options, made)
        if options.save_inference_graph:
            frozen_graph.write_whole(
                os.path.join(os.path.dirname(os.path.abspath(path)), 'inference_graph.pbtxt'),
                frozen_graph.inference_graph_text(recipe).encode('utf-8'))
    finally:
        _remove_empty(made)
    return results


def _write_and_compare(checkpoint, recipe, path, options, made):
    """Does what `export` is for, but for the inference graph; `made`: see `_make_folder`."""
    images = list(options.images) or [check.noise_picture(recipe.model_options.crop_size)]
    original = runners.of_graph(frozen_graph.open_checkpoint(checkpoint, recipe))
    written = []
    try:
        reference = check.Reference(original, images)
        results = [reference.compare('checkpoint', checkpoint, original, options.repeats)]
        results[0] = results[0]._replace(bytes=_checkpoint_bytes(checkpoint))
        networks = _Networks(checkpoint, recipe, options.optimize)
        for product in _products(networks, recipe, path, options):
            temporary = '{}.tmp-{}'.format(product.path, os.getpid())
            _make_folder(temporary, made)
            written.append((temporary, product.path))
            logging.info('Writing %s.', product.path)
            product.write(temporary)
            runner = product.open(temporary)
            try:
                result = reference.compare(product.title, temporary, runner, options.repeats,
                                           product.has_logits)
            finally:
                runner.close()
            _check_differences(result, product.most_different)
            results.append(result._replace(path=product.path))
        for temporary, final in written:
            _rename(temporary, final)
    finally:
        original.close()
        for temporary, _ in written:
            _remove(temporary)
    return results


def _checkpoint_bytes(prefix):
    folder, name = os.path.split(os.path.abspath(prefix))
    return sum(os.path.getsize(os.path.join(folder, file)) for file in os.listdir(folder)
               if file.startswith(name + '.') and not file.endswith('.meta') or file == name)
