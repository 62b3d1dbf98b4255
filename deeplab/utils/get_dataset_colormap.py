"""Colours of labels: one table a data set, all reached by name through one registry.

A colormap is an integer array `[entries, 3]`, RGB in 0..255, row = label. Wherever a name is taken
an array of that form is taken too, so a user's own data set needs no source edit.
"""
import numpy as np

from deeplab import errors
from deeplab.utils import colormap_tables

_ADE20K = 'ade20k'
_CAMVID = 'camvid'
_CITYSCAPES = 'cityscapes'
_FORMA = 'forma'
_MAPILLARY_VISTAS = 'mapillary_vistas'
_PASCAL = 'pascal'

_PASCAL_ENTRIES = 512
_CITYSCAPES_ENTRIES = 256
# Labels beyond a table (ignore labels above all) get this in `full_palette`.
_UNLABELLED_COLOR = (224, 224, 192)


def _parse_words(words, entries=None, dtype=int):
    """Turns RRGGBB words into an array `[entries, 3]`; missing entries are black."""
    colors = [list(bytes.fromhex(word)) for word in words.split()]
    table = np.zeros((entries or len(colors), 3), dtype=dtype)
    table[:len(colors)] = colors
    return table


def bit_get(val, idx):
    """Returns bit number `idx` (0 = lowest) of an integer or integer array."""
    return np.right_shift(val, idx) & 1


def create_pascal_label_colormap() -> np.ndarray:
    """Returns the PASCAL VOC colours, int `[512, 3]`, computed by the rule of the VOC devkit.

    The bits of a label are dealt out in turn to red, green and blue, highest colour bit first,
    which keeps the colours of neighbouring labels far apart.
    """
    labels = np.arange(_PASCAL_ENTRIES)
    table = np.zeros((_PASCAL_ENTRIES, 3), dtype=int)
    for level in range(8):
        for channel in range(3):
            table[:, channel] |= bit_get(labels, 3 * level + channel) << (7 - level)
    return table


def create_cityscapes_label_colormap() -> np.ndarray:
    """Returns the Cityscapes colours of train ids 0..18, uint8 `[256, 3]`; the rest is black."""
    return _parse_words(colormap_tables.CITYSCAPES, _CITYSCAPES_ENTRIES, np.uint8)


def create_ade20k_label_colormap() -> np.ndarray:
    """Returns the ADE20K scene parsing colours, int `[151, 3]`; 0 is "other"."""
    return _parse_words(colormap_tables.ADE20K)


def create_mapillary_vistas_label_colormap() -> np.ndarray:
    """Returns the Mapillary Vistas colours, int `[66, 3]`."""
    return _parse_words(colormap_tables.MAPILLARY_VISTAS)


def create_camvid_label_colormap() -> np.ndarray:
    """Returns the colours of the 11 CamVid classes and void, int `[12, 3]`."""
    return _parse_words(colormap_tables.CAMVID)


def create_forma_label_colormap() -> np.ndarray:
    """Returns the colours of the 9 classes of people and clothes, int `[9, 3]`."""
    return _parse_words(colormap_tables.FORMA)


_CREATORS = {
    _ADE20K: create_ade20k_label_colormap,
    _CAMVID: create_camvid_label_colormap,
    _CITYSCAPES: create_cityscapes_label_colormap,
    _FORMA: create_forma_label_colormap,
    _MAPILLARY_VISTAS: create_mapillary_vistas_label_colormap,
    _PASCAL: create_pascal_label_colormap,
}


def colormap_names() -> list:
    """Returns the names `create_label_colormap` knows, sorted."""
    return sorted(_CREATORS)


def get_ade20k_name() -> str:
    """Returns the name of the ADE20K colormap."""
    return _ADE20K


def get_camvid_name() -> str:
    """Returns the name of the CamVid colormap."""
    return _CAMVID


def get_cityscapes_name() -> str:
    """Returns the name of the Cityscapes colormap."""
    return _CITYSCAPES


def get_forma_name() -> str:
    """Returns the name of the colormap of people and clothes."""
    return _FORMA


def get_mapillary_vistas_name() -> str:
    """Returns the name of the Mapillary Vistas colormap."""
    return _MAPILLARY_VISTAS


def get_pascal_name() -> str:
    """Returns the name of the PASCAL VOC colormap."""
    return _PASCAL


def _check_table(table):
    array = np.asarray(table)
    if array.ndim != 2 or array.shape[1:] != (3,) or not len(array):
        raise errors.UserError(
            'A colormap must be a table of [entries, 3] RGB values. Received instead shape '
            '{}.'.format(array.shape))
    if not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() > 255:
        raise errors.UserError('The colours of a colormap must be whole numbers in 0..255.')
    return array


def create_label_colormap(dataset=_PASCAL) -> np.ndarray:
    """Returns the colormap of `dataset`.

    Args:
      dataset: one of `colormap_names()`, or a table `[entries, 3]` of integers in 0..255, which is
        checked and returned as an array.

    Returns:
      Integer array `[entries, 3]`, RGB in 0..255.

    Raises:
      ValueError: the name is unknown or the table is malformed.
    """
    if not isinstance(dataset, str):
        return _check_table(dataset)
    if dataset not in _CREATORS:
        raise errors.UserError(
            'Unsupported dataset. There is no colormap {!r}; known are {}.{}'.format(
                dataset, ', '.join(colormap_names()), errors.nearest(dataset, _CREATORS)))
    return _CREATORS[dataset]()


def get_dataset_colormap_max_entries(dataset) -> int:
    """Returns how many labels the colormap of `dataset` (a name or a table) can draw."""
    return len(create_label_colormap(dataset))


def label_to_color_image(label, dataset=_PASCAL) -> np.ndarray:
    """Colours a label image.

    Args:
      label: integer array `[height, width]`, labels below the colormap's number of entries.
      dataset: name of a colormap or a table `[entries, 3]`.

    Returns:
      RGB array `[height, width, 3]` in the dtype of the colormap.

    Raises:
      ValueError: `label` is not of rank 2 or a label has no entry in the colormap.
    """
    label = np.asarray(label)
    if label.ndim != 2:
        raise ValueError('Expect 2-D input label. Got {}'.format(label.shape))
    table = create_label_colormap(dataset)
    highest = label.max() if label.size else 0
    if highest >= len(table):
        raise ValueError('label value too large: {} >= {}.'.format(highest, len(table)))
    return table[label]


def full_palette(dataset=_PASCAL, ignore_label=None) -> np.ndarray:
    """Returns a colormap for every uint8 label, as palette images need it: uint8 `[256, 3]`.

    Args:
      dataset: name of a colormap or a table `[entries, 3]`.
      ignore_label: drawn, like the labels beyond the table, in the pale colour PASCAL VOC uses for
        void; None when no label is ignored.
    """
    table = create_label_colormap(dataset)[:256]
    palette = np.empty((256, 3), dtype=np.uint8)
    palette[:] = _UNLABELLED_COLOR
    palette[:len(table)] = table
    if ignore_label is not None and 0 <= ignore_label < 256:
        palette[ignore_label] = _UNLABELLED_COLOR
    return palette
