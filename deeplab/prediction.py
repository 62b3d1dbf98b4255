"""The one way from images to labels that evaluation, visualisation, prediction and export share.

`build_prediction` takes what the input pipeline gives: a batch of one size.
`build_image_prediction` takes one image as it is: resizes it, pads it to the crop, predicts, cuts
the padding off, and brings the result back to the image's own size.
"""
import collections

import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab import input_preprocess
from deeplab import model
from deeplab import names
from deeplab.core import feature_extractor
from deeplab.core import preprocess_utils

# labels: int64 [batch, height, width]; probabilities: float32 [batch, height, width, classes].
Prediction = collections.namedtuple('Prediction', ['labels', 'probabilities'])

# How an image is brought to the network's size; see `input_preprocess`. All None: not at all.
ResizeRange = collections.namedtuple('ResizeRange', ['min_size', 'max_size', 'factor'])
NO_RESIZE = ResizeRange(None, None, None)


def prediction_tag(eval_scales=(1.0,), add_flipped_images=False) -> str:
    """Returns the name of this way of predicting, as in the tags of summaries: 'miou_0.5_1.0'."""
    return 'miou_{}{}'.format('_'.join(str(float(scale)) for scale in eval_scales),
                              '_flipped' if add_flipped_images else '')


def check_scales(eval_scales, add_flipped_images, image_pyramid) -> None:
    """Checks what `build_prediction` is asked for, before any graph is built.

    Raises:
      UserError: no scale, a scale that is not positive, or scales in two places.
    """
    if not eval_scales or any(scale <= 0 for scale in eval_scales):
        raise errors.UserError('--eval_scales={}: give one or more scales above 0, for example '
                               '--eval_scales=0.5,1.0,1.75.'.format(
                                   ','.join(map(str, eval_scales or []))))
    if image_pyramid and (tuple(eval_scales) != (1.0,) or add_flipped_images):
        raise errors.UserError(
            '--image_pyramid (scales merged inside the network) cannot be combined with '
            '--eval_scales or --add_flipped_images (whole predictions averaged): give one of them.')


def build_prediction(images, model_options, eval_scales=(1.0,), add_flipped_images=False,
                     image_pyramid=None) -> Prediction:
    """Builds the network's prediction on a batch.

    One scale of 1.0 without flips is a plain prediction; otherwise the probabilities of every scale
    and flip are averaged (DeepLabv3, arXiv 1706.05587, section 4.1).

    Args:
      images: `[batch, height, width, 3]`, uint8 or float32 in 0..255, already of the size of the
        crop where `model_options` has one.
      model_options: a ModelOptions.
      eval_scales: scales of the images, each above 0.
      add_flipped_images: also predict on the images mirrored left to right.
      image_pyramid: scales whose logits the network merges, or None; not with the two above.

    Returns:
      Prediction, of the height and width of `images`.

    Raises:
      UserError: see `check_scales`.
    """
    check_scales(eval_scales, add_flipped_images, image_pyramid)
    images = tf.cast(images, tf.float32)
    if tuple(eval_scales) == (1.0,) and not add_flipped_images:
        outputs = model.predict_labels(images, model_options, image_pyramid=image_pyramid)
    else:
        outputs = model.predict_labels_multi_scale(
            images, model_options, eval_scales=eval_scales,
            add_flipped_images=add_flipped_images)
    return Prediction(outputs[names.OUTPUT_TYPE], outputs[names.OUTPUT_TYPE + model.PROB_SUFFIX])


def _resizes(resize_range):
    return resize_range.min_size is not None or resize_range.max_size is not None


def _resized(image, resize_range):
    if not _resizes(resize_range):
        return image
    return preprocess_utils.resize_to_range(image, None, *resize_range)[0]


def _on_grid(side, stride):
    """Returns the least stride * k + 1 that is at least `side`, an int32 scalar."""
    return -(-(side - 1) // stride) * stride + 1


def _padded(image, model_options):
    """Pads `[height, width, 3]` at its bottom and right, with the mean pixel of the backbone.

    To the crop; without a crop to the next output_stride * k + 1, so that features lie at both ends
    of every row and column, as they do in the crops a network is trained on.
    """
    if model_options.crop_size is None:
        sides = [_on_grid(side, model_options.output_stride)
                 for side in tf.unstack(tf.shape(image)[:2])]
        return preprocess_utils.pad_to_bounding_box(
            tf.cast(image, tf.float32), 0, 0, sides[0], sides[1],
            feature_extractor.mean_pixel(model_options.model_variant))
    crop_height, crop_width = model_options.crop_size
    options = input_preprocess.Options(
        crop_height, crop_width, None, None, None, 1.0, 1.0, 0, 255, False,
        model_options.model_variant)
    return input_preprocess.fit_to_crop(image, None, options)[0]


def build_image_prediction(image, model_options, resize_range=NO_RESIZE, eval_scales=(1.0,),
                           add_flipped_images=False, image_pyramid=None, with_raw=False):
    """Builds the prediction on one image of any size, at that size.

    Args:
      image: `[1, height, width, 3]`, uint8 or float32 in 0..255. With a crop, the image (after its
        resizing) must not be larger than it.
      model_options: a ModelOptions; its `crop_size` is what the image is padded to with the
        backbone's mean pixel. None goes for an image of any size: it is padded to the next
        output_stride * k + 1.
      resize_range: ResizeRange.
      eval_scales, add_flipped_images, image_pyramid: see `build_prediction`.
      with_raw: also return the prediction as the network gives it, at the padded size.

    Returns:
      Prediction `[1, height, width]`, `[1, height, width, classes]`; with `with_raw` a pair of that
      and of the raw one. Where the image was resized, labels are brought back by nearest neighbour
      and probabilities bilinearly, corners aligned.
    """
    size = tf.shape(image)[1:3]
    resized = _resized(tf.squeeze(image, 0), resize_range)
    height, width = tf.unstack(tf.shape(resized)[:2])
    batch = tf.expand_dims(_padded(resized, model_options), 0)
    if model_options.crop_size is not None:
        # Unlike a static shape this stays in an exported graph, which needs it; see
        # `model.multi_scale_logits`.
        batch = tf.ensure_shape(batch, [1] + list(model_options.crop_size) + [3])
    raw = build_prediction(batch, model_options, eval_scales, add_flipped_images, image_pyramid)
    whole = Prediction(*(values[:, :height, :width] for values in raw))
    if _resizes(resize_range):
        whole = resized_back(whole, size)
    return (whole, raw) if with_raw else whole


def resized_back(prediction, size) -> Prediction:
    """Brings a Prediction to `size`, (height, width): labels by nearest neighbour."""
    labels = tf.image.resize_nearest_neighbor(
        tf.expand_dims(tf.cast(prediction.labels, tf.int32), 3), size, align_corners=True)
    return Prediction(
        tf.cast(tf.squeeze(labels, 3), tf.int64),
        tf.image.resize_bilinear(prediction.probabilities, size, align_corners=True))


def size_in_network(height: int, width: int, resize_range=NO_RESIZE) -> tuple:
    """Returns the (height, width) of an image after its resizing, before its padding."""
    if not _resizes(resize_range):
        return height, width
    return preprocess_utils.size_in_range(height, width, *resize_range)
