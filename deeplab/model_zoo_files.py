"""Models of the zoo on this machine: downloaded, unpacked, found."""
import collections
import contextlib
import os
import shutil

from deeplab import errors
from deeplab import model_zoo
from deeplab.evaluation import checkpoint_source
from deeplab.utils import archives
from deeplab.utils import checkpoints
from deeplab.utils import downloads
from deeplab.utils import image_files

_GRAPH_NAME = 'frozen_inference_graph.pb'

# checkpoint: its prefix; frozen_graph: its path; None where there is none.
Model = collections.namedtuple('Model', ['folder', 'checkpoint', 'frozen_graph'])


def find_model(path: str):
    """Returns the `Model` in a folder or below it, or None where there is none."""
    checkpoint = graph = None
    for folder, folders, files in os.walk(path):
        folders.sort()
        if checkpoint is None and any(name.endswith('.index') for name in files):
            checkpoint = checkpoints.latest_checkpoint(folder)
        if graph is None and _GRAPH_NAME in files:
            graph = os.path.join(folder, _GRAPH_NAME)
    return Model(path, checkpoint, graph) if checkpoint or graph else None


def folder_of(row: dict, models_dir: str) -> str:
    """Returns where a row's model is kept."""
    return os.path.join(models_dir, row['name'])


def is_here(row: dict, models_dir: str) -> bool:
    """Whether a row's model is unpacked in `models_dir`."""
    return find_model(folder_of(row, models_dir)) is not None


def obtain(row: dict, models_dir: str, archive=None, mirror=None, keep_archive=False,
           echo=print) -> Model:
    """Returns the model of a row; gets it first where it is not there.

    Args:
        row: of the zoo.
        models_dir: folder of the models, one folder each; made where missing.
        archive: an archive at hand, to unpack in place of a download; None for none.
        mirror: address of a folder that holds the archives; None for the published one.
        keep_archive: keep a downloaded archive in `models_dir`.
        echo: function that prints a line.

    Raises:
        UserError: it cannot be downloaded; the archive is broken or holds no model.
    """
    folder = folder_of(row, models_dir)
    model = find_model(folder)
    if model:
        if archive:
            raise errors.UserError('--archive={}: {} holds this model already; delete it to unpack '
                                   'another.'.format(archive, folder))
        return model
    if archive:
        _check_is_file(archive)
    image_files.make_folder(models_dir, '--models_dir')
    path = archive or os.path.join(models_dir, model_zoo.archive_name(row))
    is_ours = not os.path.exists(path)
    if is_ours:
        _download(row, path, models_dir, mirror, echo)
    try:
        model = _unpacked(path, folder, '--archive={}'.format(path) if archive else path)
    except errors.UserError as error:
        if is_ours:
            os.remove(path)
        elif not archive:
            raise errors.UserError('{} It was there already: delete it, and the same command '
                                   'downloads it.'.format(error))
        raise
    if is_ours and not keep_archive:
        os.remove(path)
    return model


def _check_is_file(archive):
    if os.path.isdir(archive):
        raise errors.UserError('--archive={}: a folder, where an archive is to be unpacked. '
                               '--evaluate takes a folder as it is.'.format(archive))
    if not os.path.isfile(archive):
        raise errors.UserError('--archive={}: there is no such file.'.format(archive))


def _unpacked(path, folder, title):
    """Returns the `Model` of an archive, unpacked into `folder`; one without leaves nothing."""
    archives.unpack(path, folder, title=title)
    try:
        return _checked(folder, title)
    except errors.UserError:
        shutil.rmtree(folder)
        raise


@contextlib.contextmanager
def at_hand(path: str, flag: str = 'archive'):
    """Gives the model in an archive (unpacked for the time being), a folder, or of a prefix.

    Raises:
        UserError: there is none, or the archive is broken.
    """
    with checkpoint_source.unpacked(path, flag) as found:
        if os.path.isdir(found):
            yield _checked(found, '--{}={}'.format(flag, path))
        else:
            prefix = checkpoints.find_checkpoint(found, flag)
            yield Model(os.path.dirname(prefix), prefix, None)


def _checked(folder, title):
    model = find_model(folder)
    if model is None:
        raise errors.UserError('{}: holds neither a checkpoint (*.index) nor {}.'.format(
            title, _GRAPH_NAME))
    return model


def _download(row, path, models_dir, mirror, echo):
    url = row['archive']
    if mirror:
        url = '{}/{}'.format(mirror.rstrip('/'), model_zoo.archive_name(row))
    echo('Downloading {}{}'.format(url, ' ({:g} MB)'.format(row['file_size_mb'])
                                   if row['file_size_mb'] else ''))
    try:
        digest = downloads.fetch(url, path, row.get('sha256'))
    except errors.UserError as error:
        raise errors.UserError('{} An archive at hand is unpacked by deeplab-zoo --download={} '
                               '--archive=PATH, or found by itself in {}.'.format(
                                   error, row['name'], models_dir))
    echo('sha256 {}'.format(digest))
