"""Fetching files over HTTP: large ones go on where they stopped, and are checked at the end."""
import base64
import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import sys
import time
import urllib.error
import urllib.request

from absl import logging
import tqdm

from deeplab import errors

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 30
# So many times in a row a connection may break without having brought anything.
_ATTEMPTS = 4
_AGENT = 'deeplab'
# URLError and a broken connection are OSErrors; the others come of addresses that are none.
_NETWORK_ERRORS = (OSError, ValueError, http.client.HTTPException)


class _Stopped(Exception):
    """The connection broke; what came is kept."""


def _open(url, headers=None):
    """Opens an address.

    Raises:
      UserError: it is no address, the server cannot be reached or refuses.
    """
    if not url.startswith(('http://', 'https://')):
        raise errors.UserError('{}: not an address; it starts with http:// or https://.'.format(
            url))
    try:
        request = urllib.request.Request(url, headers=dict(headers or {}, **{'User-Agent': _AGENT}))
        return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        raise errors.UserError('{}: the server answers {} {}.'.format(
            url, error.code, error.reason))
    except _NETWORK_ERRORS as error:
        raise errors.UserError('{}: cannot be reached ({}). Is there a network?'.format(
            url, getattr(error, 'reason', error)))


def _checksum_of(headers):
    """Returns (algorithm, hex digest) that the server tells of the whole file, or None."""
    # Google's storage, where the published archives lie.
    hashes = dict(part.strip().split('=', 1) for value in headers.get_all('x-goog-hash') or ()
                  for part in value.split(',') if '=' in part)
    encoded = hashes.get('md5')
    return encoded and ('md5', base64.b64decode(encoded).hex())


def _digest(path, algorithm):
    digest = hashlib.new(algorithm)
    with open(path, 'rb') as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b''):
            digest.update(chunk)
    return digest.hexdigest()


class _Download:
    """One file on its way: `<path>.part` holds what came, `<path>.part.tag` of which version."""

    def __init__(self, url, path):
        self._url = url
        self._path = path
        self._part = path + '.part'
        self._tag = self._part + '.tag'
        self._total = None
        self.checksum = None

    @property
    def size(self):
        """Bytes that are here."""
        return os.path.getsize(self._part) if os.path.exists(self._part) else 0

    @contextlib.contextmanager
    def locked(self):
        """Keeps another process from writing the same file.

        Raises:
          UserError: another one does.
        """
        with open(self._part, 'ab') as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise errors.UserError('{}: another process is downloading it.'.format(self._path))
            yield

    def go_on(self):
        """Fetches what is missing.

        Raises:
          _Stopped: the connection broke on the way.
          UserError: see `_open`.
        """
        headers = {}
        if self.size:
            headers['Range'] = 'bytes={}-'.format(self.size)
            if os.path.exists(self._tag):
                with open(self._tag) as stream:
                    headers['If-Range'] = stream.read()
        with contextlib.closing(_open(self._url, headers)) as response:
            if response.code == 416:
                self._nothing_left(response)
                return
            begin = self._begin_of(response)
            length = response.headers.get('Content-Length')
            self._total = begin + int(length) if length else None
            self.checksum = _checksum_of(response.headers)
            self._keep_tag(response.headers)
            self._receive(response, begin)
        if self._total is not None and self.size < self._total:
            raise _Stopped('the connection was closed')

    def _nothing_left(self, response):
        """The server has nothing from here on: all is here, or it is another file."""
        match = re.match(r'bytes \*/(\d+)$', response.headers.get('Content-Range') or '')
        if not match or int(match.group(1)) != self.size:
            self.forget()
            raise _Stopped('the file on the server is another one')
        self._total = self.size
        self.checksum = _checksum_of(response.headers)

    def _begin_of(self, response):
        """Returns which byte the answer begins with; drops what came before if from the start."""
        match = re.match(r'bytes (\d+)-', response.headers.get('Content-Range') or '')
        if response.code == 206 and match and int(match.group(1)) == self.size:
            return self.size
        if self.size:
            logging.warning('%s: from the beginning: the file on the server is a new one, or the '
                            'server does not serve parts.', self._url)
        os.truncate(self._part, 0)
        if response.code != 200:
            raise _Stopped('the server sent another part than was asked for')
        return 0

    def _keep_tag(self, headers):
        tag = headers.get('ETag')
        # A weak tag does not promise the same bytes.
        tag = tag if tag and not tag.startswith('W/') else headers.get('Last-Modified')
        if tag:
            with open(self._tag, 'w') as stream:
                stream.write(tag)
        elif os.path.exists(self._tag):
            os.remove(self._tag)

    def _receive(self, response, begin):
        with open(self._part, 'ab') as stream, tqdm.tqdm(
                total=self._total, initial=begin, unit='B', unit_scale=True, unit_divisor=1024,
                desc=os.path.basename(self._path),
                mininterval=0.2 if sys.stderr.isatty() else 10) as bar:
            while True:
                try:
                    chunk = response.read(_CHUNK)
                except Exception as error:  # Sockets, TLS and http.client have a class each.
                    raise _Stopped(str(error) or type(error).__name__)
                if not chunk:
                    return
                stream.write(chunk)
                bar.update(len(chunk))

    def finish(self):
        """Gives the file its name."""
        os.replace(self._part, self._path)
        if os.path.exists(self._tag):
            os.remove(self._tag)

    def forget(self):
        """Drops what came."""
        os.truncate(self._part, 0)
        if os.path.exists(self._tag):
            os.remove(self._tag)

    def remove_if_empty(self):
        """Leaves no trace of a download that brought nothing."""
        if os.path.exists(self._part) and not self.size:
            os.remove(self._part)

    def told(self):
        """Returns how much is here, in words."""
        if self._total:
            return '{:,} of {:,} bytes'.format(self.size, self._total)
        return '{:,} bytes'.format(self.size)


def fetch(url: str, path: str, sha256=None, sleep=time.sleep) -> str:
    """Downloads a file; what an earlier call that was cut short has left is used.

    A broken connection is taken up again by itself several times. The file gets its name when it
    is complete: as long as the server said, and with the checksum known or told by the server.

    Args:
      url: http:// or https:// address.
      path: where to; its folder must exist. An existing file is replaced.
      sha256: checksum to hold it to, hex; None where it is not known.
      sleep: of the `time` module, exchanged in tests.

    Returns:
      The sha256 of the file, hex.

    Raises:
      UserError: no network, the server refuses, the connection breaks again and again, the
        checksum is another one, the file cannot be written.
    """
    download = _Download(url, path)
    try:
        with download.locked():
            try:
                _until_complete(download, url, sleep)
                found = _verified(download, url, path, sha256)
                download.finish()
                return found
            except KeyboardInterrupt:
                logging.warning('%s: stopped after %s. The same command goes on from there.', url,
                                download.told())
                raise
            finally:
                download.remove_if_empty()
    except OSError as error:
        raise errors.UserError('Cannot write {}: {}.'.format(path, error.strerror or error))


def _until_complete(download, url, sleep):
    failures = 0
    while True:
        before = download.size
        try:
            return download.go_on()
        except _Stopped as error:
            reason = str(error)
        except errors.UserError as error:
            # The first call says at once what is wrong; a server that was there may come back.
            if not failures:
                raise
            reason = str(error)
        failures = 1 if download.size > before else failures + 1
        if failures >= _ATTEMPTS:
            raise errors.UserError('{}: stopped after {} ({}). Run the command again to go on '
                                   'from there.'.format(url, download.told(), reason.rstrip('.')))
        logging.warning('%s: %s after %s; going on.', url, reason, download.told())
        sleep(2 ** (failures - 1))


def _verified(download, url, path, sha256):
    """Returns the sha256; raises UserError where a checksum differs, and forgets the file."""
    part = path + '.part'
    found = _digest(part, 'sha256')
    expected = [('sha256', sha256.lower())] if sha256 else []
    if download.checksum:
        expected.append(download.checksum)
    for algorithm, digest in expected:
        got = found if algorithm == 'sha256' else _digest(part, algorithm)
        if got != digest:
            download.forget()
            raise errors.UserError(
                '{}: the {} of the download is {}, expected {}. It was thrown away: the file on '
                'the server is another one, or something on the way changes it.'.format(
                    url, algorithm, got, digest))
    return found


def read(url: str, max_bytes: int) -> bytes:
    """Returns what lies at an address.

    Args:
      url: http:// or https:// address.
      max_bytes: refuse more than that.

    Raises:
      UserError: see `fetch`; or it is larger.
    """
    with contextlib.closing(_open(url)) as response:
        try:
            content = response.read(max_bytes + 1)
        except Exception as error:  # See `_receive`.
            raise errors.UserError('{}: the connection broke ({}).'.format(url, error))
        length = response.headers.get('Content-Length')
    if len(content) > max_bytes:
        raise errors.UserError('{}: larger than {:,} bytes.'.format(url, max_bytes))
    if length and len(content) < int(length):
        raise errors.UserError('{}: the connection broke after {:,} of {} bytes.'.format(
            url, len(content), length))
    return content
