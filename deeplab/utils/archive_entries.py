"""What is in a zip or tar file: the members one after the other, for `archives` to judge."""
import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile

_ZIP_MARKS = (b'PK\x03\x04', b'PK\x05\x06')
_DECOMPRESSORS = ((b'\x1f\x8b', gzip.open), (b'BZh', bz2.open), (b'\xfd7zXZ\x00', lzma.open))
_TAR_MARK = (257, b'ustar')
_BLOCK = 512
_CHUNK = 1 << 20


def _first_bytes(path):
    with open(path, 'rb') as stream:
        return stream.read(_TAR_MARK[0] + len(_TAR_MARK[1]))


def begins_like_archive(path: str) -> bool:
    """Whether the first bytes of a file are those of an archive, be it broken or not."""
    begin = _first_bytes(path)
    return (begin[_TAR_MARK[0]:] == _TAR_MARK[1] or begin.startswith(_ZIP_MARKS)
            or any(begin.startswith(mark) for mark, _ in _DECOMPRESSORS))


class Entry:
    """One member of an archive: its name, its kind, and how to read it."""

    def __init__(self, name, kind, opened=None, target=None, mode=0):
        """Takes what the archive says.

        Args:
          name: as written in the archive.
          kind: 'file', 'folder', 'link' (symbolic), 'hard link' or 'device'.
          opened: function that returns a stream of the content of a file.
          target: of a link, as written.
          mode: permission bits.
        """
        self.name = name
        self.kind = kind
        self.opened = opened
        self.target = target
        self.mode = mode


def _tar_entry(archive, member):
    kind = ('file' if member.isfile() else 'folder' if member.isdir() else
            'link' if member.issym() else 'hard link' if member.islnk() else 'device')
    return Entry(member.name, kind, lambda: archive.extractfile(member), member.linkname,
                  member.mode)


def _tar_entries(path, begin):
    """Yields the entries of a tar file in one pass, and makes sure that its end is there."""
    opener = next((opener for mark, opener in _DECOMPRESSORS if begin.startswith(mark)), open)
    with opener(path, 'rb') as stream:
        with tarfile.open(fileobj=stream, mode='r:') as archive:
            for member in archive:
                yield _tar_entry(archive, member)
            # `tarfile` takes a missing or a broken header for the end; the end is zeros.
            stream.seek(archive.offset)
            if stream.read(_BLOCK) != b'\0' * _BLOCK:
                raise EOFError('the end of the archive is missing')
        while stream.read(_CHUNK):  # To the end, where the checksum of the compression is.
            pass


def _zip_entries(path):
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                yield Entry(info.filename, 'link', target=archive.read(info).decode('utf-8'))
            elif info.filename.endswith(('/', '\\')):
                yield Entry(info.filename, 'folder')
            else:
                # Archives of other systems have no file type here.
                is_plain = stat.S_IFMT(mode) in (0, stat.S_IFREG)
                yield Entry(info.filename, 'file' if is_plain else 'device',
                             lambda info=info: archive.open(info), mode=mode)


def read(path: str):
    """Yields the `Entry` of every member in one pass; what it is is read in the file.

    Raises:
      Whatever `tarfile`, `zipfile` and the decompressors raise for files that are none, or broken;
      EOFError for a tar file without its end.
    """
    begin = _first_bytes(path)
    if begin.startswith(_ZIP_MARKS) or zipfile.is_zipfile(path):
        return _zip_entries(path)
    return _tar_entries(path, begin)
