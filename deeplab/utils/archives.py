"""Packing and unpacking .zip, .tar, .tar.gz, .tgz, .tar.bz2 and .tar.xz, safely.

Archives come from anywhere, so nothing in one is believed: names that lead out of the folder,
devices, links to the outside and names given twice are refused before anything is in place.
"""
import lzma
import os
import re
import shutil
import struct
import tarfile
import time
import zipfile
import zlib

from deeplab import errors
from deeplab.utils import archive_entries
from deeplab.utils import image_files

# Ending -> mode in which `tarfile` writes it.
_TAR_MODES = {'.tar': 'w', '.tar.gz': 'w:gz', '.tgz': 'w:gz', '.tar.bz2': 'w:bz2',
              '.tbz2': 'w:bz2', '.tar.xz': 'w:xz', '.txz': 'w:xz'}
_ZIP_ENDING = '.zip'
ENDINGS = (_ZIP_ENDING,) + tuple(_TAR_MODES)

_CHUNK = 1 << 20
# What the libraries raise on bytes that make no sense; a password needed is a RuntimeError.
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
           EOFError, OSError, RuntimeError, ValueError)


def _ending(path):
    """Returns the longest ending of an archive that `path` has, or None."""
    fitting = [ending for ending in ENDINGS if path.lower().endswith(ending)]
    return max(fitting, key=len) if fitting else None


def is_archive(path: str) -> bool:
    """Whether `path` is a file that is an archive by its ending or its first bytes.

    Also true of one that is broken: `unpack` has the words for that.
    """
    if not os.path.isfile(path):
        return False
    if _ending(path):
        return True
    return archive_entries.begins_like_archive(path)


def _inner_name(name):
    """Returns the name of a member relative to the folder, '' for the folder itself.

    Raises:
      UserError: the name leads out of it.
    """
    parts = name.replace('\\', '/').split('/')
    if not parts[0] or re.match('[A-Za-z]:', name) or '..' in parts:
        raise errors.UserError(
            'holds {!r}, which leads out of the folder: not unpacked'.format(name))
    return '/'.join(part for part in parts if part not in ('', '.'))


class _Unpacking:
    """Puts the entries of one archive into an empty folder."""

    def __init__(self, folder, max_bytes):
        self._folder = folder
        self._room = float('inf') if max_bytes is None else max_bytes
        self._max_bytes = max_bytes
        self._links = {}
        self.names = []

    def add(self, entry):
        """Writes a file or a folder; keeps a symbolic link for `finish`."""
        name = _inner_name(entry.name)
        path = os.path.join(self._folder, name)
        if entry.kind == 'device':
            raise errors.UserError('holds {!r}, neither file nor folder nor link: not unpacked'
                                   .format(entry.name))
        if entry.kind == 'folder':
            self._make_folder(path, entry)
            return
        self._make_folder(os.path.dirname(path), entry)
        if os.path.lexists(path) or path in self._links:
            raise errors.UserError('holds {!r} twice: not unpacked'.format(entry.name))
        if entry.kind == 'file':
            self._write(entry, path)
        elif entry.kind == 'hard link':
            self._copy_of(entry, path)
        else:
            self._links[path] = entry.target
        self.names.append(name)

    def finish(self):
        """Makes the symbolic links, last: so nothing can have been written through one."""
        for path, target in self._links.items():
            os.symlink(target, path)
        inside = os.path.realpath(self._folder) + os.sep
        for path, target in self._links.items():
            if os.path.isabs(target) or not (os.path.realpath(path) + os.sep).startswith(inside):
                raise errors.UserError('holds the link {!r} to {!r}, outside the folder: not '
                                       'unpacked'.format(os.path.relpath(path, self._folder),
                                                         target))

    def _make_folder(self, path, entry):
        above = path
        while above != self._folder:
            if above in self._links or os.path.isfile(above):
                raise errors.UserError('holds {!r} and a file of the name of its folder: not '
                                       'unpacked'.format(entry.name))
            above = os.path.dirname(above)
        os.makedirs(path, exist_ok=True)

    def _write(self, entry, path):
        with entry.opened() as source, open(path, 'wb') as target:
            while True:
                chunk = source.read(_CHUNK)
                if not chunk:
                    break
                self._room -= len(chunk)
                if self._room < 0:
                    raise errors.UserError('holds more than {:,} bytes: not unpacked'.format(
                        self._max_bytes))
                target.write(chunk)
        if entry.mode & 0o100:
            os.chmod(path, os.stat(path).st_mode | 0o111)

    def _copy_of(self, entry, path):
        source = os.path.join(self._folder, _inner_name(entry.target))
        if not os.path.isfile(source):
            raise errors.UserError('holds the link {!r} to {!r}, which is not in it: not unpacked'
                                   .format(entry.name, entry.target))
        os.link(source, path)


def _fill(path, folder, max_bytes):
    unpacking = _Unpacking(folder, max_bytes)
    for entry in archive_entries.read(path):
        unpacking.add(entry)
    unpacking.finish()
    return sorted(unpacking.names)


def unpack(path: str, folder: str, max_bytes=None, title=None) -> list:
    """Unpacks an archive into a new folder: as a whole or not at all.

    Args:
      path: of a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file; what it is is read in the file.
      folder: where to; missing or empty. It is filled under a temporary name beside it.
      max_bytes: refuse archives whose files are larger together; None for any size.
      title: what to call the archive in messages, for example '--archive=x.zip'; None for `path`.

    Returns:
      The names of the files and links, relative to `folder`, sorted.

    Raises:
      UserError: the file is missing, no archive or broken (a download that was cut short); a
        member leads out of the folder, is a device or is there twice; `folder` holds something.
    """
    title = title or path
    folder = os.path.abspath(folder)
    if not os.path.isfile(path):
        raise errors.UserError('{}: there is no such file.'.format(title))
    if os.path.isdir(folder) and os.listdir(folder) or os.path.isfile(folder):
        raise errors.UserError('{}: {} is there already and not empty; name another folder to '
                               'unpack to.'.format(title, folder))
    temporary = '{}.tmp-{}'.format(folder, os.getpid())
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        os.makedirs(temporary)
    except OSError as error:
        raise errors.UserError('{}: cannot write beside {} ({}).'.format(
            title, folder, error.strerror or error))
    try:
        names = _fill(path, temporary, max_bytes)
        if os.path.isdir(folder):
            os.rmdir(folder)
        os.rename(temporary, folder)
        return names
    except errors.UserError as error:
        raise errors.UserError('{}: the archive {}.'.format(title, error))
    except _BROKEN as error:
        raise errors.UserError(_what_is_wrong(title, path, error))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _what_is_wrong(title, path, error):
    if isinstance(error, OSError) and error.errno:
        # The disk, not the archive: full, read only, gone.
        return '{}: cannot be unpacked ({}).'.format(title, error.strerror)
    if 'password' in str(error):
        return '{}: the archive needs a password; unpack it by hand.'.format(title)
    return ('{}: the archive ({:,} bytes) is broken or only half downloaded ({}). Get it '
            'again.'.format(title, os.path.getsize(path), error or type(error).__name__))


def _files_of(source):
    """Yields (path, name in the archive) of what is in a folder, or of one file, in order."""
    if os.path.isfile(source):
        yield source, os.path.basename(source)
        return
    if not os.path.isdir(source):
        raise errors.UserError('{}: there is no such file or folder to pack.'.format(source))
    for parent, folders, files in os.walk(source):
        folders.sort()
        inner = os.path.relpath(parent, source)
        if inner != '.' and not folders and not files:
            yield parent, inner
        for name in sorted(files) + [each for each in folders
                                     if os.path.islink(os.path.join(parent, each))]:
            path = os.path.join(parent, name)
            if not os.path.isfile(path):
                raise errors.UserError('{}: neither file nor folder (a link to a folder, or to '
                                       'nothing): cannot be packed.'.format(path))
            yield path, os.path.normpath(os.path.join(inner, name))


class _ZipWriter(zipfile.ZipFile):
    """A zip file to be written by `add`, as a tar file is."""

    def add(self, path, name, recursive=False):
        """Adds a file, or an empty folder."""
        del recursive
        # The format knows no time before 1980; `ZipInfo.from_file` fails on one.
        moment = max(time.localtime(os.path.getmtime(path))[:6], (1980, 1, 1, 0, 0, 0))
        if os.path.isdir(path):
            self.writestr(zipfile.ZipInfo(name + '/', moment), b'')
            return
        info = zipfile.ZipInfo(name, moment)
        info.external_attr = (os.stat(path).st_mode & 0xFFFF) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        info.file_size = os.path.getsize(path)
        with open(path, 'rb') as source, self.open(info, 'w') as target:
            shutil.copyfileobj(source, target, _CHUNK)


def _writer(temporary, ending):
    if ending == _ZIP_ENDING:
        return _ZipWriter(temporary, 'w', zipfile.ZIP_DEFLATED)
    return tarfile.open(temporary, _TAR_MODES[ending], dereference=True)


def pack(sources, path: str, inside: str = '') -> list:
    """Writes an archive of the kind its ending says, as a whole or not at all.

    Args:
      sources: a folder, whose content is packed; a file; or a list of these.
      path: of the archive; ends in one of ENDINGS. An existing one is replaced.
      inside: folder within the archive to put everything in; '' for none.

    Returns:
      The names in the archive, in order.

    Raises:
      UserError: an unknown ending, a source that is missing, two files of one name, or the
        archive cannot be written.
    """
    ending = _ending(path)
    if ending is None:
        raise errors.UserError('{}: the name of an archive ends in one of {}.'.format(
            path, ', '.join(ENDINGS)))
    path = os.path.abspath(path)
    members = {}
    for source in [sources] if isinstance(sources, str) else sources:
        for file, name in _files_of(source):
            if os.path.abspath(file) == path:  # An older archive in the folder that is packed.
                continue
            name = os.path.join(inside, name)
            if members.setdefault(name, file) != file:
                raise errors.UserError('{}: {} and {} would both be {} in it.'.format(
                    path, members[name], file, name))
    with image_files.replacing(path) as temporary, _writer(temporary, ending) as archive:
        for name, file in members.items():
            archive.add(file, name, recursive=False)
    return list(members)
