"""Starting a training run from the weights of another checkpoint."""
import collections

from absl import logging
import tensorflow.compat.v1 as tf

from deeplab.errors import UserError
from deeplab.utils import checkpoints

# How a checkpoint and a graph fit together; all lists are sorted by name.
Match = collections.namedtuple('Match', [
    'loaded',      # variables in both, of the same shape
    'mismatched',  # (variable, checkpoint shape): in both, shapes differ
    'skipped',     # (variable, checkpoint shape or None): left out on request
    'new',         # variables that the checkpoint does not hold
    'unused',      # names in the checkpoint that no variable of the graph has
])

_SLOTS = ('Momentum', 'Adam', 'Adam_1', 'beta1_power', 'beta2_power')


def _under(name, scopes):
    return any(name.startswith(scope) for scope in scopes)


def _shape(variable):
    return variable.get_shape().as_list()


def match(checkpoint_path, variables, skipped_scopes=()):
    """Compares a checkpoint with a graph's variables.

    Args:
      checkpoint_path: checkpoint prefix.
      variables: variables to look for.
      skipped_scopes: variables whose name starts with one of these are not to be loaded.

    Returns:
      A Match.

    Raises:
      UserError: where the checkpoint cannot be read.
    """
    saved = dict(checkpoints.read(checkpoint_path).get_variable_to_shape_map())
    found = Match([], [], [], [], [])
    for variable in sorted(variables, key=lambda variable: variable.op.name):
        name = variable.op.name
        shape = saved.pop(name, None)
        if _under(name, skipped_scopes):
            found.skipped.append((variable, shape))
        elif shape is None:
            found.new.append(variable)
        elif shape != _shape(variable):
            found.mismatched.append((variable, shape))
        else:
            found.loaded.append(variable)
    found.unused.extend(sorted(saved))
    return found


def table(found, limit=12):
    """Lines that tell what was loaded, skipped and new, for the log."""
    skipped = ['{}  {} in the checkpoint, {} here'.format(
        variable.op.name, shape, _shape(variable))
               for variable, shape in found.skipped if shape and variable.op.name != 'global_step']
    fresh = found.new + [variable for variable, shape in found.skipped if not shape]
    new = ['{}  {}'.format(variable.op.name, _shape(variable)) for variable in fresh
           if not _is_slot(variable.op.name) and variable.op.name != 'global_step']
    lines = ['{} variables loaded, {} skipped, {} new; {} in the checkpoint have no use '
             'here'.format(len(found.loaded), len(skipped), len(new), len(found.unused))]
    for title, rows in (('skipped', skipped), ('new', new), ('no use', found.unused)):
        lines.extend('  {}: {}'.format(title, row) for row in rows[:limit])
        if len(rows) > limit:
            lines.append('  {}: and {} more'.format(title, len(rows) - limit))
    return lines


def _is_slot(name):
    return name.rsplit('/', 1)[-1] in _SLOTS


def _refuse_mismatch(checkpoint_path, found, last_layers):
    variable, shape = found.mismatched[0]
    others = len(found.mismatched) - 1
    if any(_under(variable.op.name, last_layers) for variable, _ in found.mismatched):
        advice = ('To train these layers anew, as for another number of classes, pass '
                  '--initialize_last_layer=false (and --last_layers_contain_logits_only=true to '
                  'still load the rest of the head).')
    else:
        advice = ('The checkpoint is of another network: check --model_variant, '
                  '--depth_multiplier and the other model flags.')
    raise UserError('{} of --tf_initial_checkpoint={} has shape {}, but {} here{}. {}'.format(
        variable.op.name, checkpoint_path, shape, _shape(variable),
        ' ({} more differ)'.format(others) if others else '', advice))


def check_resumable(checkpoint_path, variables):
    """Checks that a run's checkpoint fits the graph before it is resumed from.

    Args:
      checkpoint_path: checkpoint prefix.
      variables: all variables of the graph that are saved.

    Raises:
      UserError: where a variable is missing or has another shape.
    """
    found = match(checkpoint_path, variables)
    if found.mismatched:
        variable, shape = found.mismatched[0]
        problem = '{} has shape {} there and {} here'.format(
            variable.op.name, shape, _shape(variable))
    elif found.new:
        problem = 'it lacks {} of the {} variables, such as {}'.format(
            len(found.new), len(variables), found.new[0].op.name)
    else:
        return
    raise UserError(
        'Cannot resume from {}: {}. Give the flags this run was started with, or another '
        '--train_logdir with --tf_initial_checkpoint={} to start from its weights.'.format(
            checkpoint_path, problem, checkpoint_path))


def get_model_init_fn(train_logdir,
                      tf_initial_checkpoint,
                      initialize_last_layer,
                      last_layers,
                      ignore_missing_vars=False):
    """A function that loads the initial checkpoint's weights into a session.

    All global variables of the graph are looked for but `global_step`, optimizer slots included.

    Args:
      train_logdir: folder of this run's checkpoints; where it has one already, that one is resumed
        from and the initial checkpoint ignored, with a warning.
      tf_initial_checkpoint: checkpoint prefix, or a folder to take the latest one of, or None.
      initialize_last_layer: also load the last layers.
      last_layers: name scopes of the last layers.
      ignore_missing_vars: whether variables that the checkpoint does not hold keep their initial
        values (True) or are an error; optimizer slots may always be missing.

    Returns:
      A function of a tf.Session, or None where there is nothing to load.

    Raises:
      UserError: no such checkpoint; a variable with another shape than the checkpoint's; with
        `ignore_missing_vars` False, variables that the checkpoint does not hold.
    """
    resumed = checkpoints.latest_checkpoint(train_logdir) if train_logdir else None
    if not tf_initial_checkpoint:
        if not resumed:
            logging.info('No initial checkpoint: all weights start from their initialisers.')
        return None
    if resumed:
        logging.warning(
            'Ignoring --tf_initial_checkpoint=%s: %s is resumed. To start from the initial '
            'checkpoint, use an empty --train_logdir.', tf_initial_checkpoint, resumed)
        return None

    path = checkpoints.find_checkpoint(tf_initial_checkpoint, 'tf_initial_checkpoint')
    skipped = ['global_step'] + ([] if initialize_last_layer else list(last_layers))
    found = match(path, tf.global_variables(), skipped)
    if found.mismatched:
        _refuse_mismatch(path, found, last_layers)
    missing = [variable for variable in found.new if not _is_slot(variable.op.name)]
    if missing and not ignore_missing_vars:
        raise UserError('--tf_initial_checkpoint={} does not hold {} of the variables, such as {}. '
                        'It is of another network or of a classification network '
                        '(--restore_from_seg_model=false).'.format(
                            path, len(missing), missing[0].op.name))
    if not found.loaded:
        raise UserError('--tf_initial_checkpoint={} holds none of the variables of this network. '
                        'It has {}...; check --model_variant.'.format(
                            path, ', '.join(found.unused[:3])))
    logging.info('Weights from %s:\n%s', path, '\n'.join(table(found)))
    saver = tf.train.Saver(found.loaded, name='initial_checkpoint')
    return lambda session: saver.restore(session, path)
