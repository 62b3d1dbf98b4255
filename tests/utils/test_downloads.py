"""Downloads from a server on this machine: going on, checksums, and everything that fails."""
import fcntl
import hashlib
import os

import numpy as np
import pytest

from deeplab import errors
from deeplab.utils import downloads
from tests import file_server

_CONTENT = np.random.RandomState(3).bytes(700000)


@pytest.fixture
def served():
    with file_server.serve({'/model.tar.gz': _CONTENT}) as server:
        yield server


class Waits(list):
    """Stands in for `time.sleep`: notes how long it would have slept."""

    def __call__(self, seconds):
        self.append(seconds)


def fetch(served, folder, waits=None, **options):
    return downloads.fetch(served.address + '/model.tar.gz', str(folder / 'model.tar.gz'),
                           sleep=Waits() if waits is None else waits, **options)


def fails(served, folder, part, **options):
    with pytest.raises(errors.UserError, match=part) as raised:
        fetch(served, folder, **options)
    assert '\n' not in str(raised.value)
    assert not (folder / 'model.tar.gz').exists()


def test_a_file_comes_whole_with_its_checksum(served, tmp_path):
    digest = hashlib.sha256(_CONTENT).hexdigest()
    assert fetch(served, tmp_path, sha256=digest.upper()) == digest
    assert (tmp_path / 'model.tar.gz').read_bytes() == _CONTENT
    assert os.listdir(str(tmp_path)) == ['model.tar.gz']
    assert served.ranges == [None]


def test_a_broken_connection_is_taken_up_where_it_broke(served, tmp_path):
    served.cuts = [300000, 100000, 0]
    waits = Waits()
    fetch(served, tmp_path, waits)
    assert (tmp_path / 'model.tar.gz').read_bytes() == _CONTENT
    assert served.ranges[0] is None and len(served.ranges) == 4
    begins = [int(asked[len('bytes='):-1]) for asked in served.ranges[1:]]
    assert 0 < begins[0] < begins[1] == begins[2] < len(_CONTENT)
    assert waits == [1, 1, 2]


def test_a_later_call_goes_on(served, tmp_path):
    served.cuts = [200000, 0, 0, 0, 0]
    fails(served, tmp_path, r'stopped after [\d,]+ of 700,000 bytes .*again to go on from there')
    kept = (tmp_path / 'model.tar.gz.part').stat().st_size
    assert 0 < kept <= 200000
    served.cuts = []
    fetch(served, tmp_path)
    assert served.ranges[-1] == 'bytes={}-'.format(kept)
    assert (tmp_path / 'model.tar.gz').read_bytes() == _CONTENT
    assert os.listdir(str(tmp_path)) == ['model.tar.gz']


def test_ctrl_c_says_how_to_go_on(served, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    told = []
    served.cuts = [200000]
    monkeypatch.setattr(downloads.logging, 'warning', lambda form, *values: told.append(
        form % values))
    with pytest.raises(KeyboardInterrupt):
        fetch(served, tmp_path, interrupt)
    assert 'of 700,000 bytes. The same command goes on from there' in told[-1]
    assert os.listdir(str(tmp_path)) != ['model.tar.gz']
    fetch(served, tmp_path)
    assert (tmp_path / 'model.tar.gz').read_bytes() == _CONTENT


@pytest.mark.parametrize('change', ['tag', 'no ranges'])
def test_it_begins_anew_where_it_cannot_go_on(served, tmp_path, change):
    served.cuts = [200000, 0, 0, 0]
    fails(served, tmp_path, 'stopped after')
    served.cuts = []
    other = _CONTENT[::-1]
    if change == 'tag':
        served.files['/model.tar.gz'], served.tag = other, '"second"'
    else:
        served.with_ranges = False
    fetch(served, tmp_path)
    assert (tmp_path / 'model.tar.gz').read_bytes() == (other if change == 'tag' else _CONTENT)


@pytest.mark.parametrize('extra', [b'', b'too much'])
def test_a_part_that_is_as_long_as_the_file(served, tmp_path, extra):
    # A call that was killed between the last byte and the renaming; or the file has shrunk.
    (tmp_path / 'model.tar.gz.part').write_bytes(_CONTENT + extra)
    fetch(served, tmp_path)
    assert (tmp_path / 'model.tar.gz').read_bytes() == _CONTENT
    assert len(served.ranges) == (2 if extra else 1)


def test_checksums_that_differ_throw_the_file_away(served, tmp_path):
    fails(served, tmp_path, 'the sha256 of the download is .*, expected 0000.*thrown away',
          sha256='0' * 64)
    served.with_checksum = True
    fetch(served, tmp_path)
    os.remove(str(tmp_path / 'model.tar.gz'))
    served.hashed = b'another'
    fails(served, tmp_path, 'the md5 of the download is')
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize('status, part', [(404, 'answers 404 Not Found'),
                                          (403, 'answers 403 Forbidden')])
def test_a_server_that_refuses(served, tmp_path, status, part):
    served.status = status
    fails(served, tmp_path, part)
    assert os.listdir(str(tmp_path)) == []


def test_no_server_no_address_no_folder(served, tmp_path):
    served.address = file_server.closed_address()
    fails(served, tmp_path, 'cannot be reached .*Is there a network')
    served.address = 'ftp://somewhere'
    fails(served, tmp_path, 'not an address; it starts with http')
    for wrong in ('http://[', 'http://a b', 'http://', 'https:///x'):
        served.address = wrong
        fails(served, tmp_path, 'http.*: cannot be reached')
    served.address = file_server.closed_address()
    fails(served, tmp_path / 'absent', 'Cannot write .*absent')
    assert os.listdir(str(tmp_path)) == []


def test_two_processes_do_not_write_one_file(served, tmp_path):
    with open(str(tmp_path / 'model.tar.gz.part'), 'ab') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        fails(served, tmp_path, 'another process is downloading it')
    fetch(served, tmp_path)


def test_reading_an_address_into_memory(served):
    address = served.address + '/model.tar.gz'
    assert downloads.read(address, len(_CONTENT)) == _CONTENT
    with pytest.raises(errors.UserError, match='larger than 699,999 bytes'):
        downloads.read(address, len(_CONTENT) - 1)
    served.cuts = [1000]
    with pytest.raises(errors.UserError, match='the connection broke'):
        downloads.read(address, len(_CONTENT))
    with pytest.raises(errors.UserError, match='answers 404'):
        downloads.read(served.address + '/absent', 10)
