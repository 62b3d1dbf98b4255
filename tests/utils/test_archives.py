"""Archives: packed and unpacked, and everything that must not be unpacked."""
import io
import os
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from deeplab import errors
from deeplab.utils import archives

_CONTENT = {'a.txt': b'first', 'deep/er/b.bin': bytes(range(256)) * 40, 'deep/c': b''}


def make_folder(folder):
    for name, content in _CONTENT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / 'empty').mkdir()
    return str(folder)


def content_of(folder):
    return {os.path.relpath(os.path.join(parent, name), str(folder)):
            open(os.path.join(parent, name), 'rb').read()
            for parent, _, files in os.walk(str(folder)) for name in files}


def write_tar(path, members, mode='w'):
    """Writes a tar file of (name, content) or (TarInfo, content)."""
    with tarfile.open(str(path), mode) as archive:
        for info, content in members:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def special(name, kind, target=''):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info, b''


def refused(path, folder, part, **options):
    """Checks that unpacking fails with one clear line, and leaves nothing behind."""
    before = sorted(os.listdir(str(folder.parent)))
    with pytest.raises(errors.UserError, match=part) as raised:
        archives.unpack(str(path), str(folder), **options)
    assert '\n' not in str(raised.value)
    assert sorted(os.listdir(str(folder.parent))) == before


@pytest.mark.parametrize('ending', archives.ENDINGS)
def test_what_is_packed_comes_out_again(tmp_path, ending):
    source = make_folder(tmp_path / 'source')
    os.chmod(os.path.join(source, 'a.txt'), 0o755)
    path = str(tmp_path / ('packed' + ending))
    assert sorted(archives.pack(source, path)) == sorted(list(_CONTENT) + ['empty'])
    assert archives.is_archive(path)
    names = archives.unpack(path, str(tmp_path / 'out'))
    assert names == sorted(_CONTENT)
    assert content_of(tmp_path / 'out') == _CONTENT
    assert (tmp_path / 'out' / 'empty').is_dir()
    assert os.stat(str(tmp_path / 'out' / 'a.txt')).st_mode & stat.S_IXUSR
    assert not os.stat(str(tmp_path / 'out' / 'deep' / 'c')).st_mode & stat.S_IXUSR
    assert sorted(os.listdir(str(tmp_path))) == ['out', 'packed' + ending, 'source']


def test_the_kind_is_read_in_the_file_not_in_its_name(tmp_path):
    source = make_folder(tmp_path / 'source')
    archives.pack(source, str(tmp_path / 'x.zip'))
    os.rename(str(tmp_path / 'x.zip'), str(tmp_path / 'download'))
    assert archives.is_archive(str(tmp_path / 'download'))
    archives.unpack(str(tmp_path / 'download'), str(tmp_path / 'out'))
    assert content_of(tmp_path / 'out') == _CONTENT
    (tmp_path / 'plain').write_bytes(b'words' * 100)
    assert not archives.is_archive(str(tmp_path / 'plain'))
    assert not archives.is_archive(str(tmp_path))


def test_files_and_folders_of_a_list_go_inside(tmp_path):
    source = make_folder(tmp_path / 'source')
    (tmp_path / 'single').write_bytes(b'1')
    path = str(tmp_path / 'list.tar.gz')
    archives.pack([source, str(tmp_path / 'single')], path, inside='top')
    archives.unpack(path, str(tmp_path / 'out'))
    assert content_of(tmp_path / 'out') == dict(
        {'top/' + name: content for name, content in _CONTENT.items()}, **{'top/single': b'1'})


def test_packing_leaves_out_its_own_archive_and_files_before_1980(tmp_path):
    source = make_folder(tmp_path / 'source')
    os.utime(os.path.join(source, 'a.txt'), (0, 0))
    path = os.path.join(source, 'self.zip')
    for _ in range(2):
        assert 'self.zip' not in archives.pack(source, path)
    archives.unpack(path, str(tmp_path / 'out'))
    assert content_of(tmp_path / 'out') == _CONTENT


@pytest.mark.parametrize('name, source, part', [
    ('x.rar', 'source', 'ends in one of .zip, .tar'),
    ('x.zip', 'absent', 'absent: there is no such file or folder to pack'),
    ('no/such/x.zip', 'source', 'Cannot write .*No such file')])
def test_packing_says_what_is_wrong(tmp_path, name, source, part):
    make_folder(tmp_path / 'source')
    with pytest.raises(errors.UserError, match=part):
        archives.pack(str(tmp_path / source), str(tmp_path / name))
    assert os.listdir(str(tmp_path)) == ['source']


def test_packing_refuses_two_files_of_one_name_and_dead_links(tmp_path):
    make_folder(tmp_path / 'source')
    (tmp_path / 'a.txt').write_bytes(b'other')
    with pytest.raises(errors.UserError, match='would both be a.txt'):
        archives.pack([str(tmp_path / 'source'), str(tmp_path / 'a.txt')], str(tmp_path / 'x.zip'))
    os.symlink('nowhere', str(tmp_path / 'source' / 'link'))
    with pytest.raises(errors.UserError, match='link: neither file nor folder'):
        archives.pack(str(tmp_path / 'source'), str(tmp_path / 'x.zip'))


@pytest.mark.parametrize('name', [
    '../out.txt', 'a/../../out.txt', '/tmp/out.txt', '..\\out.txt', 'C:\\out.txt', 'a/..'])
@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_names_that_lead_out_are_refused(tmp_path, name, kind):
    path = tmp_path / ('bad.' + kind)
    if kind == 'zip':
        with zipfile.ZipFile(str(path), 'w') as archive:
            archive.writestr('good.txt', b'1')
            archive.writestr(name, b'2')
    else:
        write_tar(path, [('good.txt', b'1'), (name, b'2')])
    refused(path, tmp_path / 'out', r'bad.{}: the archive holds .*leads out of the folder'.format(
        kind))


@pytest.mark.parametrize('members, part', [
    ([special('link', tarfile.SYMTYPE, '/etc')], "the link 'link' to '/etc', outside"),
    ([special('link', tarfile.SYMTYPE, '../x')], 'outside the folder'),
    # Each link looks harmless; the second goes through the first.
    ([special('in/a', tarfile.SYMTYPE, '..'), special('in/b', tarfile.SYMTYPE, 'a/..')],
     "the link 'in/b' to 'a/..', outside"),
    ([special('a', tarfile.SYMTYPE, '.'), ('a/file', b'1')], 'a file of the name of its folder'),
    ([special('hard', tarfile.LNKTYPE, '../x')], 'leads out of the folder'),
    ([special('hard', tarfile.LNKTYPE, 'absent')], 'which is not in it'),
    ([special('null', tarfile.CHRTYPE)], "'null', neither file nor folder"),
    ([special('pipe', tarfile.FIFOTYPE)], "'pipe', neither file nor folder"),
    ([('x', b'1'), ('./x', b'2')], "'./x' twice"),
    ([('x', b'1'), special('x', tarfile.SYMTYPE, 'y')], "'x' twice"),
    ([('x', b'1'), ('x/y', b'2')], 'a file of the name of its folder')])
def test_links_out_devices_and_duplicates_are_refused(tmp_path, members, part):
    refused(write_tar(tmp_path / 'bad.tar', members), tmp_path / 'out', part)


def test_links_within_the_archive_are_kept(tmp_path):
    path = write_tar(tmp_path / 'good.tar', [
        special('link', tarfile.SYMTYPE, 'deep/file'), ('deep/file', b'1'),
        special('deep/back', tarfile.SYMTYPE, '../deep'), special('same', tarfile.LNKTYPE,
                                                                  'deep/file')])
    archives.unpack(path, str(tmp_path / 'out'))
    for name in ('link', 'same', 'deep/back/file'):
        assert (tmp_path / 'out' / name).read_bytes() == b'1'


def test_a_link_out_of_a_zip_is_refused(tmp_path):
    path = str(tmp_path / 'bad.zip')
    with zipfile.ZipFile(path, 'w') as archive:
        info = zipfile.ZipInfo('link')
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, '../../etc')
    refused(path, tmp_path / 'out', 'outside the folder')


def test_the_size_is_limited_by_what_comes_out(tmp_path):
    path = str(tmp_path / 'bomb.tar.gz')
    write_tar(path, [('zeros', b'\0' * 3000000)], 'w:gz')
    assert os.path.getsize(path) < 10000
    refused(path, tmp_path / 'out', 'more than 2,000,000 bytes', max_bytes=2000000)
    assert archives.unpack(path, str(tmp_path / 'out'), max_bytes=3000000) == ['zeros']


@pytest.mark.parametrize('ending', archives.ENDINGS)
def test_archives_cut_short_anywhere_are_refused(tmp_path, ending):
    whole = str(tmp_path / ('whole' + ending))
    archives.pack(make_folder(tmp_path / 'source'), whole)
    content = open(whole, 'rb').read()
    cut = tmp_path / ('cut' + ending)
    # A plain tar file ends in padding that nothing depends on, beyond its first block of zeros.
    end = len(content.rstrip(b'\0')) + 300 if ending == '.tar' else len(content)
    for length in np.unique(np.linspace(0, end - 1, 60).astype(int)):
        cut.write_bytes(content[:length])
        refused(cut, tmp_path / 'out', r'cut\{}: the archive \([\d,]+ bytes\) is broken or only '
                                       'half downloaded'.format(ending))


@pytest.mark.parametrize('ending', ['.zip', '.tar', '.tar.gz', '.tar.bz2'])
def test_broken_bytes_never_surprise(tmp_path, ending):
    whole = str(tmp_path / ('whole' + ending))
    archives.pack(make_folder(tmp_path / 'source'), whole)
    content = np.fromfile(whole, np.uint8)
    random = np.random.RandomState(5)
    broken = tmp_path / ('broken' + ending)
    outcomes = set()
    for trial in range(60):
        bad = content.copy()
        bad[random.randint(0, len(bad), 4)] = random.randint(0, 256, 4)
        bad.tofile(str(broken))
        try:
            archives.unpack(str(broken), str(tmp_path / 'out{}'.format(trial)))
            outcomes.add('unpacked')
        except errors.UserError:
            outcomes.add('refused')
    assert 'refused' in outcomes


def test_other_mistakes_are_named(tmp_path):
    (tmp_path / 'page.tar.gz').write_bytes(b'<html>404</html>' * 100)
    refused(tmp_path / 'page.tar.gz', tmp_path / 'out', 'page.tar.gz: the archive .* is broken')
    refused(tmp_path / 'absent.zip', tmp_path / 'out', 'absent.zip: there is no such file')
    source = make_folder(tmp_path / 'source')
    path = str(tmp_path / 'good.zip')
    archives.pack(source, path)
    refused(path, tmp_path / 'source', '--archive=good.zip: .*source is there already and not '
                                       'empty', title='--archive=good.zip')
    assert content_of(source) == _CONTENT
    (tmp_path / 'out').mkdir()
    assert archives.unpack(path, str(tmp_path / 'out')) == sorted(_CONTENT)
