"""Flags that choose what predicts pictures: a checkpoint, a frozen graph, a SavedModel."""
import contextlib

from absl import flags

from deeplab import cli
from deeplab import common  # noqa: F401  (defines the shared flags)
from deeplab import errors
from deeplab import inference_flags
from deeplab import run_config
from deeplab.datasets import descriptions
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import predictors
from deeplab.utils import checkpoints
from deeplab.utils import get_dataset_colormap

FLAGS = flags.FLAGS
_SOURCES = ('checkpoint_dir', 'frozen_graph', 'saved_model')
# Any of these says how many classes there are: their last side.
_LOGITS_BIASES = 'logits/semantic/biases'


def define_flags():
    """Defines them, and the flags of the network."""
    flags.DEFINE_string('checkpoint_dir', None, 'Folder of checkpoints (the newest is taken), '
                        'prefix of one, or an archive (.tar.gz, .zip) of one.')
    flags.DEFINE_string('frozen_graph', None, 'Frozen graph with ImageTensor:0 and '
                        'SemanticPredictions:0.')
    flags.DEFINE_string('saved_model', None, 'Folder of a SavedModel.')
    cli.define_size('crop_size', None, 'Height,width pictures are padded to, larger ones being '
                    'predicted in tiles of that size. When not given: each at its own size.')
    flags.DEFINE_integer('num_classes', None, 'Number of classes of a checkpoint. When not given: '
                         'as the checkpoint says.')
    flags.DEFINE_string('dataset', None, 'Data set, name or JSON description, that gives class '
                        'names and colours. When not given: the one trained on.')
    flags.DEFINE_enum('colormap_type', None, get_dataset_colormap.colormap_names(),
                      'Colours of the classes. When not given: those of the data set.')
    inference_flags.define_network_flags()


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


def look(config) -> dict:
    """Returns {'class_names', 'colormap'} by --dataset, or by a training's configuration.

    Args:
        config: of `run_config.load`, or None.
    """
    if FLAGS.dataset:
        description = descriptions.load(FLAGS.dataset)
        names, colormap = description.class_names, description.colormap
    else:
        data = (config or {}).get('data', {})
        names, colormap = data.get('class_names'), data.get('colormap')
    return {'class_names': names or (), 'colormap': (
        FLAGS.colormap_type or colormap or get_dataset_colormap.get_pascal_name())}


def _checkpoint_predictor(folder):
    prefix = checkpoints.find_checkpoint(folder)
    config = inference_flags.follow_training(prefix)
    model_options = inference_flags.model_options(
        _num_classes(prefix, config), cli.size_from_flag(FLAGS.crop_size))
    return predictors.CheckpointPredictor(
        prefix, model_options, inference_flags.inference_options()), config


def check_sources(also=()) -> str:
    """Returns the name of the one flag among the sources that is given.

    Args:
        also: names of further flags that are a source.

    Raises:
        UserError: none or several are given.
    """
    known = _SOURCES + tuple(also)
    given = [source for source in known if getattr(FLAGS, source)]
    if len(given) != 1:
        raise errors.UserError('Give one of {}; received {}.'.format(
            ', '.join('--' + source for source in known),
            ' and '.join('--' + source for source in given) or 'none'))
    return given[0]


@contextlib.contextmanager
def opened():
    """Gives (predictor, `look` of its classes) of the source that the parsed flags name.

    Raises:
        UserError: none or several are named; it cannot be loaded.
    """
    source = check_sources()
    options = inference_flags.inference_options
    # An archive stays unpacked until the end: the network for tiles is made when it is needed.
    with checkpoint_source.unpacked(getattr(FLAGS, source)) as folder:
        if source == 'checkpoint_dir':
            predictor, config = _checkpoint_predictor(folder)
        else:
            opener = {'frozen_graph': predictors.GraphPredictor.from_frozen_graph,
                      'saved_model': predictors.GraphPredictor.from_saved_model}[source]
            predictor, config = opener(folder, options()), run_config.load(folder)[0]
        with contextlib.closing(predictor):
            yield predictor, look(config)
