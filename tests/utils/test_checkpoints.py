"""Checkpoints are found, checked and restored; what is wrong with them is said."""
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import errors
from deeplab.utils import checkpoints


def _save(folder, steps=(5,), classes=3):
    """Saves a tiny network's checkpoints; returns the prefixes."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        with tf.variable_scope('logits/semantic'):
            tf.get_variable('weights', [1, 1, 2, classes])
        tf.get_variable('backbone/weights', [3])
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        prefixes = []
        for step in steps:
            session.run(tf.assign(tf.train.get_global_step(), step))
            prefixes.append(saver.save(session, str(folder / 'model.ckpt'), global_step=step))
    return prefixes


def _variables(classes=3, width=3, extra=False, depth=2):
    with tf.variable_scope('logits/semantic'):
        logits = tf.get_variable('weights', [1, 1, depth, classes])
    found = [logits, tf.get_variable('backbone/weights', [width])]
    return found + ([tf.get_variable('decoder/weights', [1])] if extra else [])


def test_newest_is_found_by_folder_prefix_or_file(tmp_path):
    prefixes = _save(tmp_path, steps=(5, 40, 300))
    assert checkpoints.find_checkpoint(str(tmp_path)) == prefixes[-1]
    assert checkpoints.find_checkpoint(prefixes[0]) == prefixes[0]
    assert checkpoints.find_checkpoint(prefixes[0] + '.index') == prefixes[0]
    assert checkpoints.list_checkpoints(str(tmp_path)) == prefixes
    assert checkpoints.step_of(prefixes[1]) == 40


def test_a_moved_folder_and_one_without_its_state_file_still_work(tmp_path):
    (tmp_path / 'a').mkdir()
    _save(tmp_path / 'a', steps=(5, 300))
    shutil.move(str(tmp_path / 'a'), str(tmp_path / 'b'))
    wanted = os.path.join(str(tmp_path / 'b'), 'model.ckpt-300')
    assert checkpoints.find_checkpoint(str(tmp_path / 'b')) == wanted
    os.remove(os.path.join(str(tmp_path / 'b'), 'checkpoint'))
    assert checkpoints.find_checkpoint(str(tmp_path / 'b')) == wanted


def test_a_copied_folder_is_its_own(tmp_path):
    (tmp_path / 'a').mkdir()
    _save(tmp_path / 'a')
    shutil.copytree(str(tmp_path / 'a'), str(tmp_path / 'b'))
    assert checkpoints.find_checkpoint(str(tmp_path / 'b')) == os.path.join(
        str(tmp_path / 'b'), 'model.ckpt-5')


@pytest.mark.parametrize('name, message', [
    ('empty', 'holds no checkpoint'), ('absent', 'no such folder or checkpoint')])
def test_an_empty_folder_and_an_absent_one_are_users_mistakes(tmp_path, name, message):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(errors.UserError, match=message) as caught:
        checkpoints.find_checkpoint(str(tmp_path / name), flag='checkpoint_path')
    assert '--checkpoint_path' in str(caught.value)


def test_another_number_of_classes_names_variable_both_shapes_and_flag(tmp_path):
    prefix, = _save(tmp_path, classes=21)
    with pytest.raises(errors.UserError) as caught:
        checkpoints.check_checkpoint(prefix, _variables(classes=11), class_flag='--num_classes')
    for part in ('logits/semantic/weights', '[1, 1, 2, 21]', '[1, 1, 2, 11]', '--num_classes=21'):
        assert part in str(caught.value)


def test_logits_of_another_depth_are_not_taken_for_other_classes(tmp_path):
    prefix, = _save(tmp_path)
    with pytest.raises(errors.UserError, match='Give the flags the checkpoint was trained with'):
        checkpoints.check_checkpoint(prefix, _variables(depth=4))


def test_another_width_and_missing_variables_are_named(tmp_path):
    prefix, = _save(tmp_path)
    with pytest.raises(errors.UserError, match=r'backbone/weights has shape \[3\] there and \[4\]'):
        checkpoints.check_checkpoint(prefix, _variables(width=4))
    tf.reset_default_graph()
    with pytest.raises(errors.UserError, match='lacks 1 of the 3 variables.*decoder/weights'):
        checkpoints.check_checkpoint(prefix, _variables(extra=True))


def test_restoring_gives_the_saved_values(tmp_path):
    prefix, = _save(tmp_path)
    variables = _variables()
    with tf.Session() as session:
        checkpoints.restore(session, prefix, variables)
        got = session.run(variables)
    reader = checkpoints.read(prefix)
    np.testing.assert_array_equal(got[0], reader.get_tensor('logits/semantic/weights'))
    np.testing.assert_array_equal(got[1], reader.get_tensor('backbone/weights'))


def test_a_damaged_checkpoint_is_a_users_mistake(tmp_path):
    prefix, = _save(tmp_path)
    data, = [name for name in os.listdir(str(tmp_path)) if '.data-' in name]
    with open(str(tmp_path / data), 'r+b') as handle:
        handle.truncate(3)
    variables = _variables()
    with tf.Session() as session, pytest.raises(errors.UserError, match='model.ckpt-5'):
        checkpoints.restore(session, prefix, variables)
    with open(prefix + '.index', 'wb') as handle:
        handle.write(b'nonsense')
    with pytest.raises(errors.UserError, match='cannot be read'):
        checkpoints.read(prefix)
