"""A data set of record files that are named one by one, wherever they lie."""
import glob
import os

from deeplab import errors
from deeplab.datasets import descriptions

_NAME = 'listed'


class ListedRecords(descriptions.Description):
    """A `Description` whose one split is a list of files; made by `describe`."""

    def shards(self, split: str, dataset_dir: str) -> list:
        """Returns the files, whatever the folder."""
        return list(self.paths)


def find(items, flag: str) -> list:
    """Returns the files that paths and patterns mean, in order, each once.

    Args:
        items: paths or patterns ('records/train-*').
        flag: flag they came from, for messages.

    Raises:
        UserError: none given, or one that is not there; names it.
    """
    if not items:
        raise errors.UserError('{} names no file.'.format(flag))
    paths = []
    for item in items:
        found = [item] if os.path.isfile(item) else sorted(
            path for path in glob.glob(item) if os.path.isfile(path))
        if not found:
            raise errors.UserError('{}={}: there is no such file.'.format(flag, item))
        paths += [path for path in found if path not in paths]
    return paths


def describe(paths, split: str, num_classes: int, ignore_label: int,
             class_flag: str = '--num_classes') -> ListedRecords:
    """Describes the files as a data set of one split.

    Class names and colours are taken from a `dataset.json` beside the first file.

    Args:
        paths: of the files, all there.
        split: what to call the split.
        num_classes: number of classes.
        ignore_label: label that does not count.
        class_flag: flag that says the number of classes, for messages.

    Raises:
        UserError: the `dataset.json` beside them describes another number of classes.
    """
    beside = os.path.join(os.path.dirname(paths[0]), descriptions.FILE_NAME)
    name, looks = _NAME, {}
    if os.path.isfile(beside):
        described = descriptions.read(beside)
        if described.num_classes != num_classes:
            raise errors.UserError('{}={}: {} says that the records beside it have {} classes.'
                                   .format(class_flag, num_classes, beside,
                                           described.num_classes))
        name = described.name
        looks = dict(class_names=described.class_names, colormap=described.colormap)
    listed = ListedRecords(name, {split: None}, num_classes, ignore_label, **looks)
    listed.paths = tuple(paths)
    return listed
