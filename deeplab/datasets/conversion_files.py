"""Folders of files, in the file system or inside a zip archive, named and read in one way.

`/data/images` is a folder; `/data/set.zip/set/images` is the folder `set/images` inside the archive
`/data/set.zip`, which is read in place: nothing is unpacked.
"""
import functools
import os
import zipfile

from deeplab import errors

_ARCHIVE_EXTENSION = '.zip'
_UNREADABLE = (OSError, RuntimeError, ValueError, zipfile.BadZipFile)


def _split_archive(path):
    """Splits a path at an archive in it: (archive, path inside), or (None, path)."""
    parts = path.replace(os.sep, '/').split('/')
    for count, part in enumerate(parts, start=1):
        if part.lower().endswith(_ARCHIVE_EXTENSION):
            archive = '/'.join(parts[:count])
            if os.path.isfile(archive):
                return archive, '/'.join(parts[count:]).strip('/')
    return None, path


@functools.lru_cache(maxsize=4)
def _open_archive(archive, unused_process):
    # The process is part of the key: forked workers must not share one file position.
    try:
        opened = zipfile.ZipFile(archive)
    except _UNREADABLE as error:
        raise errors.UserError('{}: not a readable zip archive ({}). Copy or download it again.'
                               .format(archive, error))
    for name in opened.namelist():
        parts = name.replace('\\', '/').split('/')
        if '..' in parts or not parts[0] or ':' in parts[0]:
            raise errors.UserError('{}: the archive holds {!r}, which leads out of a folder. Get '
                                   'it from a source you trust.'.format(archive, name))
    return opened


def _archive(archive):
    return _open_archive(archive, os.getpid())


def is_folder(path: str) -> bool:
    """Returns whether `path` is a folder, in the file system or in an archive."""
    archive, inside = _split_archive(path)
    if archive is None:
        return os.path.isdir(path)
    prefix = inside + '/' if inside else ''
    return any(name.startswith(prefix) for name in _archive(archive).namelist())


def list_files(folder: str, flag: str) -> list:
    """Returns the paths of all files in a folder and its subfolders, relative to it, sorted.

    Args:
        folder: a folder, in the file system or in an archive. Hidden files are left out.
        flag: the flag that named the folder, for the message.

    Raises:
        UserError: when there is no such folder.
    """
    archive, inside = _split_archive(folder)
    if not is_folder(folder):
        raise errors.UserError('{}={}: there is no such folder.'.format(flag, folder))
    found = _walk(folder) if archive is None else _members(archive, inside)
    return sorted(path for path in found if not _is_hidden(path))


def _walk(folder):
    for parent, _, names in os.walk(folder, followlinks=True):
        beneath = os.path.relpath(parent, folder)
        for name in names:
            yield (name if beneath == '.' else os.path.join(beneath, name)).replace(os.sep, '/')


def _members(archive, inside):
    prefix = inside + '/' if inside else ''
    for name in _archive(archive).namelist():
        if name.startswith(prefix) and not name.endswith('/'):
            yield name[len(prefix):]


def _is_hidden(path):
    # macOS adds a folder and files of its own to archives.
    return any(part.startswith('.') or part == '__MACOSX' for part in path.split('/'))


def read_bytes(path: str) -> bytes:
    """Returns the content of a file, in the file system or in an archive.

    Raises:
        OSError: when it cannot be read; for a damaged member of an archive too.
    """
    archive, inside = _split_archive(path) if _ARCHIVE_EXTENSION in path.lower() else (None, path)
    if archive is None:
        with open(path, 'rb') as stream:
            return stream.read()
    try:
        return _archive(archive).read(inside)
    except KeyError:
        raise OSError('no such file in {}'.format(archive))
    except _UNREADABLE as error:
        raise OSError(str(error))


def version(path: str) -> list:
    """Returns what tells one content of a file from another without reading it.

    Size and time of change; for a member of an archive its size and checksum.

    Raises:
        OSError: when there is no such file.
    """
    archive, inside = _split_archive(path) if _ARCHIVE_EXTENSION in path.lower() else (None, path)
    if archive is None:
        status = os.stat(path)
        return [status.st_size, status.st_mtime_ns]
    try:
        member = _archive(archive).getinfo(inside)
    except KeyError:
        raise OSError('no such file in {}'.format(archive))
    return [member.file_size, member.CRC]


def find_folder(archive: str, ending: str, flag: str) -> str:
    """Finds the folder of an archive in which `ending` lies, wherever it was packed.

    Args:
        archive: path of a zip archive.
        ending: relative path, such as 'images/training'.
        flag: the flag that named the archive, for messages.

    Returns:
        A path such that path + '/' + ending is a folder inside the archive.

    Raises:
        UserError: no such archive, or no such folder in it.
    """
    if not os.path.isfile(archive):
        raise errors.UserError('{}={}: there is no such archive.'.format(flag, archive))
    roots = set()
    for name in _archive(archive).namelist():
        before, found, _ = ('/' + name).partition('/' + ending + '/')
        if found and not _is_hidden(before.strip('/')):
            roots.add(before.strip('/'))
    if not roots:
        raise errors.UserError('{}={}: there is no folder {} in this archive.'.format(
            flag, archive, ending))
    return '/'.join(filter(None, [archive, min(roots, key=len)]))
