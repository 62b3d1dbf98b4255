"""The network alone, with its weights as constants: what all export formats are made of.

`freeze` turns a checkpoint into a graph from `CANVAS` (pictures padded to the crop) to `LABELS` and
`PROBABILITIES`; `attach` puts such a graph behind a canvas in another graph. What brings pictures
onto the canvas and results back is in `pictures`.
"""
import collections

import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import errors
from deeplab import prediction
from deeplab.export import fold_batch_norm
from deeplab.export import less_padding
from deeplab.export import phases
from deeplab.export import pooled
from deeplab.export import simplify
from deeplab.utils import checkpoints

CANVAS = 'Canvas'
# Height and width of what the picture covers on it, where the optimised network wants to know.
COVERED = 'Covered'
# The same tensors in graphs that hold the network and what is around it.
PADDED_IMAGE = 'PaddedImage'
COVERED_SIZE = 'CoveredSize'
LABELS = 'CanvasLabels'
PROBABILITIES = 'CanvasProbabilities'
_OUTPUTS = (LABELS, PROBABILITIES)

REFUSE, RESIZE = LARGE_PICTURES = ('refuse', 'resize')

_FIELDS = (
    ('resize_range', prediction.NO_RESIZE),
    ('inference_scales', (1.0,)),
    ('add_flipped_images', False),
    ('image_pyramid', None),
    ('quantize', False),
    ('large_pictures', REFUSE),
)


class Recipe(collections.namedtuple('Recipe', ['model_options'] + [name for name, _ in _FIELDS])):
    """What is exported, apart from the weights.

    Fields:
        model_options: a ModelOptions with a crop size.
        resize_range: a `prediction.ResizeRange` that pictures are resized to first.
        inference_scales, add_flipped_images, image_pyramid: see `prediction.build_prediction`.
        quantize: the weights come from quantisation-aware training.
        large_pictures: what happens to pictures larger than the crop: REFUSE, or RESIZE (down to
            fit; results are brought back to the picture's size).
    """

    __slots__ = ()

    def __new__(cls, model_options, **values):
        return super(Recipe, cls).__new__(cls, model_options, **dict(_FIELDS, **values))

    def validate(self) -> 'Recipe':
        """Returns itself.

        Raises:
            UserError: naming the flag, for what cannot be exported.
        """
        prediction.check_scales(self.inference_scales, self.add_flipped_images, self.image_pyramid)
        crop = self.model_options.crop_size
        if not crop or len(crop) != 2 or min(crop) < 1:
            raise errors.UserError('--crop_size={}: expected height,width as two positive whole '
                                   'numbers.'.format(','.join(map(str, crop or []))))
        if self.quantize:
            if tuple(self.inference_scales) != (1.0,) or self.add_flipped_images:
                raise errors.UserError('--quantize_delay_step: a quantised network predicts at '
                                       'scale 1.0 without flips only.')
            if compat.quantize_module() is None:
                raise errors.UserError(
                    '--quantize_delay_step: {} has no quantisation rewriter; export quantised '
                    'models with TensorFlow 1.15.'.format(compat.describe_runtime()))
        return self


def build(canvas, recipe) -> prediction.Prediction:
    """Builds the network with variables in the default graph.

    Args:
        canvas: float32 `[batch, crop height, crop width, 3]`, 0..255.
        recipe: a validated Recipe.
    """
    result = prediction.build_prediction(
        canvas, recipe.model_options, recipe.inference_scales, recipe.add_flipped_images,
        recipe.image_pyramid)
    if recipe.quantize:
        compat.quantize_module().create_eval_graph()
    return result


def freeze(checkpoint, recipe, batch=1) -> tf.GraphDef:
    """Returns the network with the weights of a checkpoint as constants.

    Args:
        checkpoint: prefix of the checkpoint.
        recipe: a Recipe.
        batch: number of pictures, None for any.

    Raises:
        UserError: the checkpoint does not fit the network, or see `Recipe.validate`.
    """
    recipe.validate()
    with tf.Graph().as_default() as graph, tf.Session() as session:
        canvas = tf.placeholder(tf.float32, [batch] + list(recipe.model_options.crop_size) + [3],
                                name=CANVAS)
        found = build(canvas, recipe)
        tf.identity(found.labels, name=LABELS)
        tf.identity(found.probabilities, name=PROBABILITIES)
        checkpoints.restore(session, checkpoint, tf.global_variables(), class_flag='--num_classes')
        return tf.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), list(_OUTPUTS))


def optimize(graph_def, for_tensorflow=True) -> tf.GraphDef:
    """Makes the network faster without changing what it says.

    Args:
        graph_def: from `freeze`, of a network that is not quantised.
        for_tensorflow: also do what is faster in TensorFlow alone. Other runtimes have dilated
            convolutions of their own and recognise their usual form, and like sizes to be known.
    """
    graph_def = simplify.simplify(graph_def, _OUTPUTS)
    graph_def = fold_batch_norm.fold_batch_norm(graph_def, _OUTPUTS, even_steep=not for_tensorflow)
    if for_tensorflow:
        graph_def = pooled.pooled_as_bias(graph_def, _OUTPUTS)
        graph_def = phases.on_phases(graph_def, _OUTPUTS)
        graph_def = less_padding.on_less_padding(graph_def, CANVAS, COVERED, _OUTPUTS)
    return graph_def


def attach(graph_def, canvas, covered) -> prediction.Prediction:
    """Puts a frozen network behind a canvas in the default graph.

    Args:
        graph_def: from `freeze` or `optimize`.
        canvas: float32 `[batch, crop height, crop width, 3]`.
        covered: int32 `[2]`, height and width of what the pictures cover on it.
    """
    inputs = {CANVAS + ':0': canvas}
    if any(node.name == COVERED for node in graph_def.node):
        inputs[COVERED + ':0'] = covered
    labels, probabilities = tf.import_graph_def(
        graph_def, name='', input_map=inputs,
        return_elements=[name + ':0' for name in _OUTPUTS])
    return prediction.Prediction(labels, probabilities)


def without_defaults(outputs) -> tf.GraphDef:
    """Returns the default graph as far as `outputs` (names of ops) need it.

    Attributes that have their default value are left out, so that an older TensorFlow loads what
    a newer one has written.
    """
    graph_def = tf.graph_util.extract_sub_graph(
        tf.get_default_graph().as_graph_def(), list(outputs))
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def, name='')
        return tf.train.export_meta_graph(strip_default_attrs=True, clear_devices=True).graph_def
