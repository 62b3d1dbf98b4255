r"""Predicts the labels of any pictures: files, folders, globs, lists, standard input.

    python deeplab/predict.py --checkpoint_dir=runs/a --input=photos --output_dir=out
    python deeplab/predict.py --frozen_graph=graph.pb --input='photos/*.jpg,more.png' \
        --output_dir=out
    find . -name '*.jpg' | python deeplab/predict.py --saved_model=export/1 --input=- \
        --output_dir=out

With a checkpoint the network's flags are taken from the training's saved configuration where its
folder has one; otherwise give them as for training. Each picture keeps its own size; large ones
are predicted in overlapping tiles. A picture that cannot be read is reported and skipped.

Written to --output_dir, for each picture: <name>_prediction.png (palette PNG: colours to look at,
labels to read), <name>_overlay.png, with --save_probabilities <name>_probabilities.npz; and
predictions.json (class shares, pictures skipped) and legend.png.
"""
import contextlib
import sys

from absl import flags

from deeplab import cli
from deeplab import common  # noqa: F401  (defines the shared flags)
from deeplab import errors
from deeplab import inference_flags
from deeplab.datasets import descriptions
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import inputs
from deeplab.evaluation import predict_job
from deeplab.evaluation import predictors
from deeplab.utils import checkpoints
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files

FLAGS = flags.FLAGS
_SOURCES = ('checkpoint_dir', 'frozen_graph', 'saved_model')
# Any of these says how many classes there are: their last side.
_LOGITS_BIASES = 'logits/semantic/biases'


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('checkpoint_dir', None, 'Folder of checkpoints (the newest is taken), '
                        'prefix of one, or an archive (.tar.gz, .zip) of one.')
    flags.DEFINE_string('frozen_graph', None, 'Frozen graph with ImageTensor:0 and '
                        'SemanticPredictions:0.')
    flags.DEFINE_string('saved_model', None, 'Folder of a SavedModel.')
    cli.define_list('input', None, 'Pictures, folders, globs, lists (.txt, a path a line), or - '
                    'for standard input (a list, or one picture).')
    flags.DEFINE_string('output_dir', None, 'Folder for the results.')
    cli.define_size('crop_size', None, 'Height,width pictures are padded to, larger ones being '
                    'predicted in tiles of that size. When not given: each at its own size.')
    flags.DEFINE_integer('num_classes', None, 'Number of classes of a checkpoint. When not given: '
                         'as the checkpoint says.')
    flags.DEFINE_string('dataset', None, 'Data set, name or JSON description, that gives class '
                        'names and colours. When not given: the one trained on.')
    flags.DEFINE_enum('colormap_type', None, get_dataset_colormap.colormap_names(),
                      'Colours of the classes. When not given: those of the data set.')
    flags.DEFINE_boolean('save_overlays', True, 'Also write overlays.')
    flags.DEFINE_boolean('save_probabilities', False, 'Also write the probabilities, float16.')
    inference_flags.define_network_flags()
    flags.mark_flags_as_required(['input', 'output_dir'])


def _num_classes(prefix, config):
    if FLAGS.num_classes:
        return FLAGS.num_classes
    if config and config.get('data', {}).get('num_classes'):
        return config['data']['num_classes']
    shape = checkpoints.read(prefix).get_variable_to_shape_map().get(_LOGITS_BIASES)
    if not shape:
        raise errors.UserError('The checkpoint {} does not say how many classes it has: give '
                               '--num_classes.'.format(prefix))
    return shape[-1]


def _look(config):
    """Returns class names and colormap by --dataset, or by the configuration of the training."""
    if FLAGS.dataset:
        description = descriptions.load(FLAGS.dataset)
        names, colormap = description.class_names, description.colormap
    else:
        data = (config or {}).get('data', {})
        names, colormap = data.get('class_names'), data.get('colormap')
    return {'class_names': names or (), 'colormap': (
        FLAGS.colormap_type or colormap or get_dataset_colormap.get_pascal_name())}


def _predictor(source, folder):
    """Returns (predictor, configuration of the training or None).

    Args:
      source: which of _SOURCES was given.
      folder: its value, archives unpacked.
    """
    if source == 'checkpoint_dir':
        prefix = checkpoints.find_checkpoint(folder)
        config = inference_flags.follow_training(prefix)
        model_options = inference_flags.model_options(
            _num_classes(prefix, config), cli.size_from_flag(FLAGS.crop_size))
        return predictors.CheckpointPredictor(
            prefix, model_options, inference_flags.inference_options()), config
    options = inference_flags.inference_options()
    if source == 'frozen_graph':
        return predictors.GraphPredictor.from_frozen_graph(folder, options), None
    return predictors.GraphPredictor.from_saved_model(folder, options), None


def main(_):
    given = [source for source in _SOURCES if getattr(FLAGS, source)]
    if len(given) != 1:
        raise errors.UserError('Give one of {}; received {}.'.format(
            ', '.join('--' + source for source in _SOURCES),
            ' and '.join('--' + source for source in given) or 'none'))
    image_files.make_folder(FLAGS.output_dir, '--output_dir')
    pictures = inputs.find(FLAGS.input, getattr(sys.stdin, 'buffer', None))
    # An archive stays unpacked until the end: the network for tiles is made when it is needed.
    with checkpoint_source.unpacked(getattr(FLAGS, given[0])) as folder:
        predictor, config = _predictor(given[0], folder)
        with contextlib.closing(predictor):
            predict_job.run(predictor, pictures, predict_job.PredictOptions(
                output_dir=FLAGS.output_dir, overlays=FLAGS.save_overlays,
                probabilities=FLAGS.save_probabilities, **_look(config)))


def entry():
    """Runs the command (console script deeplab-predict)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
