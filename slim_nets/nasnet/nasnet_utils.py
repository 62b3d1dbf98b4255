"""The searched networks' parts under one name: layers and data formats, cells."""
from slim_nets.nasnet.cells import (  # noqa: F401
    CLIP_BY_VALUE_CAP, NasNetABaseCell, NasNetANormalCell, NasNetAReductionCell)
from slim_nets.nasnet.layers import (  # noqa: F401
    DATA_FORMAT_NCHW, DATA_FORMAT_NHWC, INVALID, calc_reduction_layers, drop_path,
    factorized_reduction, get_channel_dim, get_channel_index, global_avg_pool)
