"""Tests of deeplab.evaluation.inputs."""
import io
import os

import pytest

from deeplab import errors
from deeplab.evaluation import inputs
from tests import tiny_run


@pytest.fixture(name='photos')
def _photos(tmp_path):
    for name in ('b.png', 'a.jpg', 'a.png', 'notes.md', os.path.join('deep', 'c.JPG')):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiny_run.encode(tiny_run.photograph(4, 5)))
    return tmp_path / 'photos'


def names(pictures):
    return [picture.name for picture in pictures]


def test_folders_are_searched_to_the_bottom_and_names_kept_apart(photos):
    found = inputs.find([str(photos)])
    assert names(found) == ['a', 'a_png', 'b', os.path.join('deep', 'c')]
    assert found[0].source == str(photos / 'a.jpg')


def test_globs_files_and_repetitions(photos):
    found = inputs.find([str(photos / '*.png'), str(photos / 'b.png'), str(photos / 'a.jpg')])
    assert names(found) == ['a', 'b', 'a_jpg']
    assert len(inputs.find([str(photos / '**' / '*.JPG')])) == 1
    # A file whose name looks like a glob is itself.
    odd = photos / 'odd[1].png'
    odd.write_bytes(b'')
    assert names(inputs.find([str(odd)])) == ['odd[1]']


def test_equal_names_of_two_folders(photos, tmp_path):
    for folder in 'xyz':
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'same.png').write_bytes(b'')
    found = inputs.find([str(tmp_path / folder) for folder in 'xyz'])
    assert names(found) == ['same', 'same_png', 'same-2']


def test_lists_start_here_or_beside_themselves(photos, tmp_path):
    listing = photos / 'list.txt'
    listing.write_text('# chosen\nb.png\n\n{}\n*.jpg\n'.format(photos / 'deep'))
    assert names(inputs.find([str(listing)])) == ['b', 'c', 'a']
    assert names(inputs.find(['-'], io.BytesIO(listing.read_bytes()[9:].replace(
        b'b.png', str(photos / 'b.png').encode()).replace(b'*.jpg', b'')))) == ['b', 'c']


def test_a_picture_on_standard_input():
    image = tiny_run.photograph(4, 5)
    found = inputs.find(['-'], io.BytesIO(tiny_run.encode(image)))
    assert names(found) == ['stdin'] and found[0].title == 'stdin'
    assert (inputs.read(found[0]) == image).all()
    cut = inputs.find(['-'], io.BytesIO(tiny_run.encode(image)[:40]))
    with pytest.raises(errors.UserError, match='stdin: not a readable picture'):
        inputs.read(cut[0])


def test_missing_files_are_left_to_the_reading(tmp_path):
    found = inputs.find([str(tmp_path / 'absent.png')])
    with pytest.raises(errors.UserError, match='absent.png: there is no such file'):
        inputs.read(found[0])


def test_what_is_empty_is_told(tmp_path):
    (tmp_path / 'empty.txt').write_text('# nothing\n')
    for item, message in ((str(tmp_path / '*.gif'), 'nothing matches'),
                          (str(tmp_path / 'absent.txt'), 'cannot be read'),
                          (str(tmp_path / 'empty.txt'), 'the list is empty')):
        with pytest.raises(errors.UserError, match=message):
            inputs.find([item])
    (tmp_path / 'empty.txt').unlink()
    with pytest.raises(errors.UserError, match='holds no picture'):
        inputs.find([str(tmp_path)])
    with pytest.raises(errors.UserError, match='neither a picture nor a list'):
        inputs.find(['-'], io.BytesIO(b'\xff\xfe\xfa'))
    with pytest.raises(errors.UserError, match='names no picture'):
        inputs.find([])
