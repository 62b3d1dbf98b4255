"""Starting from another checkpoint."""
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.utils import initialization
from deeplab.utils import train_utils

_LAST = ['logits', 'aspp']


def _build(classes, backbone='net'):
    tf.train.get_or_create_global_step()
    tf.get_variable(backbone + '/weights', [2, 3])
    tf.get_variable('aspp0/weights', [3])
    return tf.get_variable('logits/semantic/weights', [3, classes])


@pytest.fixture
def checkpoint(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        _build(21)
        tf.get_variable('other/weights', [1])
        session.run(tf.global_variables_initializer())
        for variable in tf.global_variables():
            variable.load(np.full(variable.shape.as_list(), 7), session)
        return tf.train.Saver().save(session, str(tmp_path / 'saved' / 'model.ckpt'), 5)


def _init_fn(path, classes, initialize_last_layer=True, logdir='', backbone='net',
             ignore_missing=True, last_layers=_LAST):
    _build(classes, backbone)
    return train_utils.get_model_init_fn(
        logdir, path, initialize_last_layer, last_layers, ignore_missing_vars=ignore_missing)


def _values_after(init_fn):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        init_fn(session)
        values = session.run({variable.op.name: variable for variable in tf.global_variables()})
    return {name: np.all(value == 7) for name, value in values.items()}


def test_everything_but_the_step_is_loaded(checkpoint):
    with tf.Graph().as_default():
        assert _values_after(_init_fn(checkpoint, 21)) == {
            'global_step': False, 'net/weights': True, 'aspp0/weights': True,
            'logits/semantic/weights': True}


@pytest.mark.parametrize('last_layers, aspp_loaded', [(_LAST, False), (['logits'], True)])
def test_last_layers_stay_out_on_request(checkpoint, last_layers, aspp_loaded):
    with tf.Graph().as_default():
        init_fn = _init_fn(checkpoint, 5, initialize_last_layer=False, last_layers=last_layers)
        assert _values_after(init_fn) == {
            'global_step': False, 'net/weights': True, 'aspp0/weights': aspp_loaded,
            'logits/semantic/weights': False}


def test_table_names_what_was_skipped_and_why(checkpoint):
    with tf.Graph().as_default():
        _build(5)
        tf.get_variable('brand_new', [1])
        tf.get_variable('net/weights/Momentum', [2, 3])
        text = '\n'.join(initialization.table(initialization.match(
            checkpoint, tf.global_variables(), ['global_step', 'logits'])))
    assert text.splitlines() == [
        '2 variables loaded, 1 skipped, 1 new; 1 in the checkpoint have no use here',
        '  skipped: logits/semantic/weights  [3, 21] in the checkpoint, [3, 5] here',
        '  new: brand_new  [1]',
        '  no use: other/weights']


def test_other_class_count_names_variable_shapes_and_flag(checkpoint):
    with tf.Graph().as_default():
        with pytest.raises(UserError) as caught:
            _init_fn(checkpoint, 5)
    for part in ('logits/semantic/weights', '[3, 21]', '[3, 5]', '--initialize_last_layer=false'):
        assert part in str(caught.value)


def test_folder_and_index_file_are_understood(checkpoint):
    for path in (os.path.dirname(checkpoint), checkpoint + '.index'):
        with tf.Graph().as_default():
            assert _values_after(_init_fn(path, 21))['net/weights']


def test_missing_variables(checkpoint):
    with tf.Graph().as_default():
        assert not _values_after(_init_fn(checkpoint, 21, backbone='elsewhere'))[
            'elsewhere/weights']
    with tf.Graph().as_default():
        with pytest.raises(UserError, match='elsewhere/weights'):
            _init_fn(checkpoint, 21, backbone='elsewhere', ignore_missing=False)


def test_nothing_in_common_is_an_error(checkpoint):
    with tf.Graph().as_default():
        tf.get_variable('alien', [1])
        with pytest.raises(UserError, match='none of the variables'):
            train_utils.get_model_init_fn('', checkpoint, True, _LAST, ignore_missing_vars=True)


@pytest.mark.parametrize('path', ['nowhere/model.ckpt-1', ''])
def test_no_such_checkpoint(tmp_path, path):
    with tf.Graph().as_default():
        with pytest.raises(UserError, match='tf_initial_checkpoint'):
            _init_fn(str(tmp_path / path), 21)


def test_without_initial_checkpoint_there_is_nothing_to_do(tmp_path):
    with tf.Graph().as_default():
        assert _init_fn(None, 21) is None


def test_a_run_with_checkpoints_is_resumed_instead(checkpoint, caplog):
    with tf.Graph().as_default():
        assert _init_fn(checkpoint, 21, logdir=os.path.dirname(checkpoint)) is None


def test_damaged_checkpoint_is_a_user_error(tmp_path):
    (tmp_path / 'model.ckpt.index').write_bytes(b'not an index')
    (tmp_path / 'model.ckpt.data-00000-of-00001').write_bytes(b'')
    with tf.Graph().as_default():
        with pytest.raises(UserError, match='cannot be read'):
            _init_fn(str(tmp_path / 'model.ckpt'), 21)
