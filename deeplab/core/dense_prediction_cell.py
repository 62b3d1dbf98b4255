"""Dense prediction cell: the searched alternative to atrous spatial pyramid pooling.

Chen et al., "Searching for Efficient Multi-Scale Architectures for Dense Image Prediction" (arXiv
1809.04184, section 3.2). Branches, each a 1 x 1 convolution, an atrous separable convolution or a
pyramid pooling, read the backbone's features or one another; all their outputs are concatenated and
projected. The best cell of the paper (figure 4a) comes with this package as
dense_prediction_cell_branch5_top1_cityscapes.json.
"""
import tensorflow.compat.v1 as tf
import tf_slim as slim

from deeplab.core import dense_prediction_cell_config as cell_config
from deeplab.core import utils
from deeplab.core.dense_prediction_cell_config import CellHparams
from deeplab.core.dense_prediction_cell_config import conv_rate_multiplier
from deeplab.core.dense_prediction_cell_config import load_config
from deeplab.core.head_scope import head_arg_scope
from deeplab.errors import UserError
from slim_nets import draws

__all__ = ('CellHparams', 'DensePredictionCell', 'conv_rate_multiplier',
           'dense_prediction_cell_hparams', 'load_config', 'pyramid_pooling_sizes')

META_ARCHITECTURE_SCOPE = 'meta_architecture'
CONCAT_PROJECTION_SCOPE = 'concat_projection'


def dense_prediction_cell_hparams() -> CellHparams:
    """Returns the default hyper-parameters of a cell."""
    return CellHparams()


def _feature_sides(crop_sides, stride_height, stride_width) -> list:
    """Returns [height, width] of the features of a crop at the given strides."""
    return [utils.scale_dimension(side, 1.0 / stride)
            for side, stride in zip(crop_sides, (stride_height, stride_width))]


def pyramid_pooling_sizes(crop_size, output_stride, grid_size, image_pooling_crop_size=None):
    """Sizes of a pyramid pooling that splits a crop into `grid_size` windows.

    Args:
        crop_size: [height, width] of the image, ints or int32 scalar tensors.
        output_stride: int, ratio of the image's size to that of the features.
        grid_size: [rows, columns] of windows.
        image_pooling_crop_size: [height, width] of the image that windows are measured against,
            where that is not `crop_size`.

    Returns:
        target_size: [height, width] of the features, to which the pooled ones are resized.
        window: [height, width] of the pooling window.
    """
    strides = [output_stride * cells for cells in grid_size]
    return (_feature_sides(crop_size, output_stride, output_stride),
            _feature_sides(image_pooling_crop_size or crop_size, *strides))


def _check_pooling(number, available, target_size, window):
    """Raises UserError unless a window fits the features and its result can be joined to them."""
    where = 'Branch {} of the dense prediction cell pools over windows'.format(number)
    if any(tf.is_tensor(side) for side in window):
        raise UserError(where + ', which need a fixed size: set crop_size or '
                        'image_pooling_crop_size to integers')
    for side, wanted, limit in zip(window, target_size, available):
        if limit is None:
            continue
        if not tf.is_tensor(wanted) and wanted != limit:
            raise UserError('{}: crop_size and output_stride ask for features of {} x {}, got '
                            '{} x {}'.format(where, *(target_size + available)))
        if side > limit:
            raise UserError(
                '{} of {} x {}, but the features are {} x {}: image_pooling_crop_size must not be '
                'larger than the image'.format(where, *(window + available)))


class DensePredictionCell(object):
    """Builds one cell.

    Attributes:
        config: the list of dictionaries the cell was made from.
        branches: list of `dense_prediction_cell_config.Branch`, the same checked.
        hparams: `CellHparams`.
    """

    def __init__(self, config, hparams=None):
        """Checks the cell; nothing is added to the graph.

        Args:
            config: list of dictionaries, see `dense_prediction_cell_config`.
            hparams: dict or `CellHparams`, hyper-parameters that differ from the defaults.

        Raises:
            UserError: a branch or a hyper-parameter is wrong.
        """
        self.hparams = dense_prediction_cell_hparams()
        if hparams is not None:
            overrides = hparams.values() if isinstance(hparams, CellHparams) else hparams
            self.hparams.override_from_dict(overrides)
        self.branches = cell_config.parse_cell(config)
        self.config = config

    def build_cell(self, features, output_stride=16, crop_size=None, image_pooling_crop_size=None,
                   weight_decay=0.00004, reuse=None, is_training=False, fine_tune_batch_norm=False,
                   scope=None):
        """Adds the cell to the graph.

        Args:
            features: float tensor `[batch, height, width, channels]`.
            output_stride: int, ratio of the image's size to that of the features.
            crop_size: [height, width] of the image. Only pyramid pooling needs it; None stands for
                the size that belongs to the static size of `features`.
            image_pooling_crop_size: [height, width], see `pyramid_pooling_sizes`.
            weight_decay: float, factor of the L2 penalty on the kernels.
            reuse: bool, None or tf.AUTO_REUSE, whether the variables exist already.
            is_training: bool, dropout is active.
            fine_tune_batch_norm: bool, in training, batch normalisation uses and tracks the
                statistics of the batch.
            scope: str or None, variable scope; default 'meta_architecture'.

        Returns:
            Float tensor `[batch, height, width, hparams.concat_channels]`, not negative.

        Raises:
            UserError: the size of a pooling window is not known or larger than the features;
                nothing has been built then.
        """
        pooling = self._plan_pooling(features, output_stride, crop_size, image_pooling_crop_size)
        with head_arg_scope(weight_decay, is_training and fine_tune_batch_norm, reuse=reuse), \
                tf.variable_scope(scope or META_ARCHITECTURE_SCOPE, values=[features],
                                  reuse=reuse):
            outputs = []
            for number, branch in enumerate(self.branches):
                source = features if branch.input < 0 else outputs[branch.input]
                name = 'branch{}'.format(number)
                if branch.op == cell_config.PYRAMID_POOLING:
                    outputs.append(self._pool(source, name, *pooling[number]))
                else:
                    outputs.append(self._convolve(source, name, branch, weight_decay))
            return self._project(tf.concat(outputs, axis=3), is_training)

    def _plan_pooling(self, features, output_stride, crop_size, image_pooling_crop_size):
        """Returns {branch number: (target size, window)} of the pooling branches, checked."""
        grids = {number: branch.grid_size for number, branch in enumerate(self.branches)
                 if branch.op == cell_config.PYRAMID_POOLING}
        available = features.shape.as_list()[1:3]
        if grids and crop_size is None:
            if None in available:
                raise UserError(
                    'crop_size is needed: the dense prediction cell pools over windows, and the '
                    'size of the features is not known, got {}'.format(available))
            crop_size = [(side - 1) * output_stride + 1 for side in available]
        plan = {number: pyramid_pooling_sizes(crop_size, output_stride, grid,
                                              image_pooling_crop_size)
                for number, grid in grids.items()}
        for number, (target_size, window) in plan.items():
            _check_pooling(number, available, target_size, window)
        return plan

    def _convolve(self, features, name, branch, weight_decay):
        depth = self.hparams.reduction_size
        if branch.kernel == (1, 1):
            return slim.conv2d(features, depth, 1, scope=name)
        return utils.split_separable_conv2d(
            features, depth, kernel_size=branch.kernel, weight_decay=weight_decay, scope=name,
            rate=[self.hparams.conv_rate_multiplier * rate for rate in branch.rate])

    def _pool(self, features, name, target_size, window):
        depth = self.hparams.reduction_size
        pooled = slim.avg_pool2d(features, window, stride=1, padding='VALID')
        pooled = slim.conv2d(pooled, depth, 1, scope=name)
        resized = utils.resize_bilinear(pooled, target_size, pooled.dtype)
        known = [None if tf.is_tensor(side) else side for side in target_size]
        resized.set_shape([None] + known + [depth])
        return resized

    def _project(self, features, is_training):
        def dropout(tensor):
            return draws.dropout(tensor, self.hparams.dropout_keep_prob, is_training=is_training,
                                 scope=CONCAT_PROJECTION_SCOPE + '_dropout')

        if self.hparams.dropout_on_concat_features:
            features = dropout(features)
        features = slim.conv2d(features, self.hparams.concat_channels, 1,
                               scope=CONCAT_PROJECTION_SCOPE)
        if self.hparams.dropout_on_projection_features:
            features = dropout(features)
        return features
