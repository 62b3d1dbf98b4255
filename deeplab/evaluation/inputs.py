"""Finding the pictures a user means: files, folders, globs, lists of them, standard input."""
import collections
import glob
import io
import os

from deeplab import errors
from deeplab.utils import image_files

STANDARD_INPUT = '-'
_LIST_EXTENSIONS = ('.txt', '.lst')
_PICTURE_SIGNATURES = (b'\xff\xd8\xff', b'\x89PNG', b'GIF8', b'BM', b'II*\x00', b'MM\x00*', b'RIFF')

# source: a path, or the bytes of the picture itself; name: its path without extension inside the
# output folder, different for every picture; title: what to call it in messages.
Picture = collections.namedtuple('Picture', ['source', 'name', 'title'])


def _is_picture(name):
    return name.lower().endswith(image_files.IMAGE_EXTENSIONS)


def _in_folder(folder):
    found = []
    for root, folders, files in os.walk(folder):
        folders.sort()
        found += [os.path.join(root, name) for name in sorted(files) if _is_picture(name)]
    if not found:
        raise errors.UserError('--input={}: the folder holds no picture ({}).'.format(
            folder, ', '.join('*' + extension for extension in image_files.IMAGE_EXTENSIONS)))
    return [(path, os.path.relpath(path, folder)) for path in found]


def _is_there(item):
    return os.path.exists(item) or bool(glob.glob(item, recursive=True))


def _from_lines(lines, folder, title):
    """Expands the lines of a list; relative paths start here, or else at the list's own folder."""
    found = []
    for line in lines:
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        beside = os.path.join(folder, line)
        found += _expand(beside if not _is_there(line) and _is_there(beside) else line)
    if not found:
        raise errors.UserError('--input={}: the list is empty.'.format(title))
    return found


def _expand(item):
    """Returns (path, name inside the output folder) of every picture an item means."""
    if os.path.isdir(item):
        return _in_folder(item)
    if not os.path.exists(item) and any(letter in item for letter in '*?['):
        found = sorted(path for path in glob.glob(item, recursive=True) if os.path.isfile(path))
        if not found:
            raise errors.UserError('--input={}: nothing matches.'.format(item))
        return [(path, os.path.basename(path)) for path in found]
    if item.lower().endswith(_LIST_EXTENSIONS):
        try:
            with open(item, encoding='utf-8') as stream:
                lines = stream.read().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.UserError('--input={}: the list cannot be read ({}).'.format(item, error))
        return _from_lines(lines, os.path.dirname(item), item)
    # A missing file is left to the reading, which reports it and goes on with the others.
    return [(item, os.path.basename(item))]


def _from_standard_input(stream):
    content = stream.read()
    if content.startswith(_PICTURE_SIGNATURES):
        return [(content, 'stdin')]
    try:
        return _from_lines(content.decode('utf-8').splitlines(), '', STANDARD_INPUT)
    except UnicodeDecodeError:
        raise errors.UserError('--input=-: standard input holds neither a picture nor a list of '
                               'paths, one a line.')


def find(items, standard_input=None) -> list:
    """Returns the Pictures that the items mean, in order, each path once.

    Args:
      items: paths of pictures, folders (searched with all below them), globs, list files (.txt, a
        path or any of these a line), or '-' for standard input: a list, or one picture itself.
      standard_input: binary stream read for '-'.

    Raises:
      UserError: an item is empty of pictures.
    """
    found = []
    for item in items:
        found += _from_standard_input(standard_input) if item == STANDARD_INPUT else _expand(item)
    pictures, sources, taken = [], set(), set()
    for source, relative in found:
        if source in sources:
            continue
        sources.add(source)
        stem, extension = os.path.splitext(relative)
        # photo.jpg and photo.png in one folder, or equal names of two folders, stay apart.
        candidates = [stem, stem + extension.replace('.', '_')] + [
            '{}-{}'.format(stem, number) for number in range(2, len(found) + 2)]
        name = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(name)
        pictures.append(Picture(source, name, source if isinstance(source, str) else relative))
    if not pictures:
        raise errors.UserError('--input names no picture.')
    return pictures


def read(picture: Picture):
    """Reads a picture as uint8 RGB `[height, width, 3]`; UserError where it cannot be read."""
    if isinstance(picture.source, str):
        return image_files.read_image(picture.source)
    return image_files.read_image(io.BytesIO(picture.source), title=picture.title)
