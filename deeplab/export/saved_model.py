"""The network as a SavedModel with signatures, as TensorFlow Serving takes it.

`serving_default` takes `image`, uint8 `[batch, height, width, 3]`, and gives `labels`, int32
`[batch, height, width]`, and `probabilities`, float32 `[batch, height, width, classes]`.

`encoded_images` takes `image_bytes`, strings `[batch]` (JPEG, PNG, BMP, GIF), whose pictures may
differ in size, and gives `sizes`, int32 `[batch, 2]`, beside those two. The results of smaller
pictures fill the top left of theirs; around them labels are 255 and probabilities 0.
"""
import tensorflow.compat.v1 as tf

from deeplab import prediction
from deeplab.export import network
from deeplab.export import pictures
from deeplab.utils import frozen_graphs

ENCODED_IMAGES = 'encoded_images'
IMAGE, IMAGE_BYTES, SIZES = 'image', 'image_bytes', 'sizes'
LABELS, PROBABILITIES = 'labels', 'probabilities'
_OUTSIDE = 255


def _decoded_to_canvas(encoded, recipe):
    """Returns (canvas of all pictures, their sizes, their sizes on the canvas)."""
    crop = list(recipe.model_options.crop_size)

    def one(contents):
        picture = tf.io.decode_image(contents, channels=3, expand_animations=False)
        picture.set_shape([None, None, 3])
        fitted = pictures.Fitted(picture[tf.newaxis], recipe)
        return tf.reshape(fitted.canvas, crop + [3]), fitted.size, fitted.inner

    canvas, sizes, inner = tf.map_fn(one, encoded, dtype=(tf.float32, tf.int32, tf.int32))
    canvas.set_shape([None] + crop + [3])
    return canvas, tf.reshape(sizes, [-1, 2]), tf.reshape(inner, [-1, 2])


def _cut_out_each(raw, sizes, inner, recipe):
    """Returns results at the pictures' own sizes, padded to the largest."""
    largest = tf.reduce_max(sizes, axis=0)
    count = raw.probabilities.shape.as_list()[-1]

    def one(values):
        labels, probabilities, size, covered = values
        whole = pictures.cut_out(
            prediction.Prediction(labels[tf.newaxis], probabilities[tf.newaxis]), covered, size,
            recipe)
        rest = [[0, largest[0] - size[0]], [0, largest[1] - size[1]]]
        return (tf.pad(tf.cast(whole.labels[0], tf.int32), rest, constant_values=_OUTSIDE),
                tf.pad(whole.probabilities[0], rest + [[0, 0]]))

    labels, probabilities = tf.map_fn(
        one, (raw.labels, raw.probabilities, sizes, inner), dtype=(tf.int32, tf.float32))
    labels.set_shape([None, None, None])
    probabilities.set_shape([None, None, None, count])
    return labels, probabilities


def _build(graph_def, recipe, by_cells):
    """Builds the serving graph in the default one; returns dict: signature -> (inputs, outputs)."""
    # One of the two inputs is fed, the other one is empty; so they can share the network.
    image = tf.placeholder_with_default(tf.zeros([0, 1, 1, 3], tf.uint8), [None, None, None, 3],
                                        name=IMAGE)
    encoded = tf.placeholder_with_default(tf.constant([], tf.string), [None], name=IMAGE_BYTES)
    fitted = pictures.Fitted(image, recipe)
    decoded, sizes, inner = _decoded_to_canvas(encoded, recipe)
    raw = network.attach(graph_def, tf.concat([fitted.canvas, decoded], 0), fitted.inner)
    # Its shape tells predict.py the crop.
    tf.cast(raw.labels, tf.float32, name=frozen_graphs.RAW_OUTPUT_NAME)
    whole = fitted.cut_out(raw, by_cells)
    labels, probabilities = _cut_out_each(raw, sizes, inner, recipe)
    return {
        tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: (
            {IMAGE: image}, {LABELS: tf.cast(whole.labels, tf.int32),
                             PROBABILITIES: whole.probabilities}),
        ENCODED_IMAGES: (
            {IMAGE_BYTES: encoded}, {LABELS: labels, PROBABILITIES: probabilities, SIZES: sizes}),
    }


def write(graph_def, recipe, folder: str, by_cells=False) -> None:
    """Writes a SavedModel.

    Args:
        graph_def: from `network.freeze` for any batch size, or `network.optimize` of that.
        recipe: the network's Recipe.
        folder: to write, which must not be there yet.
        by_cells: see `pictures.cut_out`.
    """
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        signatures = {
            name: tf.saved_model.predict_signature_def(inputs, outputs)
            for name, (inputs, outputs) in _build(graph_def, recipe, by_cells).items()}
        builder = tf.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.tag_constants.SERVING], signature_def_map=signatures,
            clear_devices=True, strip_default_attrs=True)
        builder.save()
