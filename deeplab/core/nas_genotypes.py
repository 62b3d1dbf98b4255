"""Searched architectures: cells, and the resolution after each cell of a backbone.

A backbone is a list with one level a cell: level k is features of stride 4 * 2^k.
"""
import tf_slim as slim

from deeplab.core import nas_cell
from slim_nets.nasnet import cells
from slim_nets.nasnet import pnasnet

# Auto-DeepLab, arXiv 1901.02985, figure 3.
HNAS_GENOTYPE = cells.Genotype(
    operations=('atrous_5x5', 'separable_3x3_2',
                'separable_3x3_2', 'atrous_3x3',
                'separable_3x3_2', 'separable_3x3_2',
                'separable_5x5_2', 'separable_5x5_2',
                'separable_5x5_2', 'atrous_5x5'),
    used_hiddenstates=(1, 1, 0, 0, 0, 0, 0),
    hiddenstate_indices=(1, 0, 1, 0, 3, 1, 4, 2, 3, 5))
HNAS_BACKBONE = (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)

# PNASNet-5's own three stages of four cells; a lower output stride leaves the last at the
# resolution (and width) of the one before.
PNAS_BACKBONES = {output_stride: (1,) * 4 + (second,) * 4 + (third,) * 4
                  for output_stride, second, third in ((8, 1, 1), (16, 2, 2), (32, 2, 3))}


class _SearchedCell(nas_cell.NASBaseCell):
    """A `NASBaseCell` whose description is its class's `GENOTYPE`."""

    GENOTYPE = None

    def __init__(self, num_conv_filters, drop_path_keep_prob, total_num_cells,
                 total_training_steps, batch_norm_fn=slim.batch_norm):
        super().__init__(num_conv_filters, *self.GENOTYPE, drop_path_keep_prob, total_num_cells,
                         total_training_steps, batch_norm_fn)


class PNASCell(_SearchedCell):
    """PNASNet-5's cell (arXiv 1712.00559, figure 1, left), made for dense prediction."""

    GENOTYPE = pnasnet.PNasNetNormalCell.GENOTYPE


class HNASCell(_SearchedCell):
    """Auto-DeepLab's cell (arXiv 1901.02985, figure 3)."""

    GENOTYPE = HNAS_GENOTYPE
