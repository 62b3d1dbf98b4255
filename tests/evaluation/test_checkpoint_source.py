"""Tests of deeplab.evaluation.checkpoint_source."""
import os
import tarfile
import zipfile

import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.evaluation import checkpoint_source
from deeplab.utils import archives


def save(folder, *steps):
    """Writes checkpoints of one variable; returns their prefixes."""
    os.makedirs(str(folder), exist_ok=True)
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable('value', initializer=1.0)
        session.run(variable.initializer)
        saver = tf.train.Saver(max_to_keep=None)
        return [saver.save(session, os.path.join(str(folder), 'model.ckpt'), global_step=step)
                for step in steps]


class Clock:
    """Time that passes while sleeping only; runs what is due on the way."""

    def __init__(self, due=()):
        self.now = 0.0
        self.due = list(due)

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        while self.due and self.due[0][0] <= self.now:
            self.due.pop(0)[1]()


def wait(folder, clock, **options):
    arguments = dict(interval_secs=0, timeout_secs=20)
    arguments.update(options)
    return [os.path.basename(prefix) for prefix in checkpoint_source.new_checkpoints(
        str(folder), sleep=clock.sleep, clock=clock.time, **arguments)]


def test_all_checkpoints_in_order_of_steps(tmp_path):
    save(tmp_path, 900, 1000)
    assert [os.path.basename(prefix) for prefix in
            checkpoint_source.all_checkpoints(str(tmp_path))] == [
                'model.ckpt-900', 'model.ckpt-1000']
    only = str(tmp_path / 'model.ckpt-900')
    assert checkpoint_source.all_checkpoints(only) == [only]
    (tmp_path / 'empty').mkdir()
    with pytest.raises(errors.UserError, match='empty'):
        checkpoint_source.all_checkpoints(str(tmp_path / 'empty'))


def test_waiting_yields_new_checkpoints_until_the_timeout(tmp_path):
    save(tmp_path, 1)
    clock = Clock([(5, lambda: save(tmp_path, 2)), (30, lambda: save(tmp_path, 3))])
    # The third comes 25 seconds after the second: too late.
    assert wait(tmp_path, clock) == ['model.ckpt-1', 'model.ckpt-2']
    assert 25 <= clock.now <= 27


def test_waiting_keeps_the_interval_and_takes_the_newest(tmp_path):
    save(tmp_path, 1)
    clock = Clock([(5, lambda: save(tmp_path, 2)), (6, lambda: save(tmp_path, 3))])
    assert wait(tmp_path, clock, interval_secs=10) == ['model.ckpt-1', 'model.ckpt-3']


def test_waiting_ends_after_the_limit_or_with_the_training(tmp_path):
    save(tmp_path, 1)
    clock = Clock([(5, lambda: save(tmp_path, 2)), (9, lambda: save(tmp_path, 3))])
    assert wait(tmp_path, clock, limit=2) == ['model.ckpt-1', 'model.ckpt-2']
    assert clock.now <= 6
    clock = Clock()
    assert wait(tmp_path, clock, is_last=lambda prefix: prefix.endswith('-2')) == ['model.ckpt-2']
    assert clock.now == 0


def test_a_folder_that_comes_later_and_one_that_never_comes(tmp_path):
    clock = Clock([(3, lambda: save(tmp_path / 'run', 7))])
    assert wait(tmp_path / 'run', clock, limit=1) == ['model.ckpt-7']
    with pytest.raises(errors.UserError, match='no checkpoint came within 20 seconds'):
        wait(tmp_path / 'never', Clock())


@pytest.mark.parametrize('kind', ['tar.gz', 'zip'])
def test_archives_are_unpacked_and_removed(tmp_path, kind):
    save(tmp_path / 'run', 5)
    archive = str(tmp_path / ('model.' + kind))
    if kind == 'zip':
        with zipfile.ZipFile(archive, 'w') as stream:
            for name in os.listdir(str(tmp_path / 'run')):
                stream.write(str(tmp_path / 'run' / name), 'deep/inside/' + name)
    else:
        with tarfile.open(archive, 'w:gz') as stream:
            stream.add(str(tmp_path / 'run'), 'inside')
    with checkpoint_source.unpacked(archive) as folder:
        assert os.path.basename(checkpoint_source.all_checkpoints(folder)[0]) == 'model.ckpt-5'
    assert not os.path.exists(folder)


def test_members_cannot_leave_the_folder(tmp_path):
    save(tmp_path / 'run', 5)
    archive = str(tmp_path / 'model.zip')
    with zipfile.ZipFile(archive, 'w') as stream:
        for name in os.listdir(str(tmp_path / 'run')):
            stream.write(str(tmp_path / 'run' / name), '../../../' + name)
    with pytest.raises(errors.UserError, match='--checkpoint_dir=.*leads out of the folder'):
        with checkpoint_source.unpacked(archive):
            pass


def test_an_archive_cut_short_is_named(tmp_path):
    save(tmp_path / 'run', 5)
    archive = tmp_path / 'model.tar.gz'
    archives.pack(str(tmp_path / 'run'), str(archive))
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(errors.UserError, match='model.tar.gz: .*only half downloaded'):
        with checkpoint_source.unpacked(str(archive)):
            pass


def test_archives_without_checkpoint_and_other_paths(tmp_path):
    archive = str(tmp_path / 'other.zip')
    with zipfile.ZipFile(archive, 'w') as stream:
        stream.writestr('readme.txt', 'nothing')
    with pytest.raises(errors.UserError, match='other.zip: the archive holds no checkpoint'):
        with checkpoint_source.unpacked(archive):
            pass
    prefix, = save(tmp_path, 3)
    for path in (str(tmp_path), prefix, prefix + '.index', str(tmp_path / 'absent')):
        with checkpoint_source.unpacked(path) as given:
            assert given == path
