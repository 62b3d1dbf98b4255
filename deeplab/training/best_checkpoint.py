"""Evaluation during training: keeps the best checkpoint, and stops when nothing gets better."""
import collections
import glob
import json
import os

from absl import logging

from deeplab.errors import UserError
from deeplab.utils import image_files

FOLDER = 'best'
FIGURES = 'best.json'
_CONFIGURATION = 'train_config.json'

# What an evaluation of a checkpoint came to. figures: plain values for JSON, among them the score
# to go by; scalars: {tag: number} for TensorBoard and the lines of metrics; text: for the log.
Evaluation = collections.namedtuple('Evaluation', ['figures', 'scalars', 'text'])


class BestKeeper(object):
    """Evaluates checkpoints as they are made and keeps the best one under `best/`.

    Beside it lies `best.json`: the figures of the best, and the score of every evaluation so far,
    from which a resumed run goes on.

    Args:
      folder: training folder; the best checkpoint goes into its subfolder `best`.
      evaluate: function of a checkpoint's prefix and of a function that tells whether to give up;
        returns an Evaluation, or None where it gave up.
      every_steps: steps between two evaluations; the last step is evaluated in any case.
      last_step: number of training steps.
      score: name of the figure to go by; higher is better.
      patience: evaluations without a better score after which training stops; 0 never does.
      setting: dict of plain values on what is evaluated and how. Scores of another setting cannot
        be compared: a resumed run then begins to look for the best anew.

    Raises:
      UserError: `best.json` is there and cannot be read.
    """

    def __init__(self, folder, evaluate, every_steps, last_step, score='mean_iou', patience=0,
                 setting=None):
        self._folder = os.path.join(folder, FOLDER)
        self._evaluate = evaluate
        self._every_steps = every_steps
        self._last_step = last_step
        self._score = score
        self._patience = patience
        self._setting = setting or {}
        self._best = {}
        self._scores = {}  # {step: score}
        self._load()

    def _load(self):
        path = os.path.join(self._folder, FIGURES)
        if not os.path.exists(path):
            return
        try:
            with open(path) as stream:
                state = json.load(stream)
            setting, best = state['setting'], state['best']
            scores = {int(step): float(score) for step, score in state['evaluations']}
            best = best and dict(best, **{'step': int(best['step']),
                                          self._score: float(best[self._score])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError('{} cannot be read ({}: {}). Remove the folder to look for the best '
                            'checkpoint anew.'.format(path, type(error).__name__, error))
        if setting != self._setting:
            logging.warning(
                'The best checkpoint so far, in %s, was found by another evaluation (%s, now %s): '
                'the search begins anew.', self._folder, _settings(setting),
                _settings(self._setting))
            return
        self._best, self._scores = best, scores

    def start(self, step):
        """Begins with `step` steps done; 0 forgets an earlier run in the same folder."""
        if not step and self._scores:
            logging.warning('%s is of an earlier run: the first evaluation of this one replaces '
                            'it.', self._folder)
            self._best, self._scores = {}, {}

    def due(self, step, before=None):
        """Whether an evaluation follows `step`; `before` is the one seen last, if not step - 1.

        In a cluster other workers may have made the steps in between.
        """
        before = step - 1 if before is None else before
        return step // self._every_steps > before // self._every_steps or step >= self._last_step

    def is_missing(self, step):
        """Whether a run that is resumed at `step` was ended before its evaluation there."""
        return step > 0 and self.due(step) and step not in self._scores

    @property
    def without_progress(self):
        """Number of evaluations since the best."""
        return sum(step > self._best['step'] for step in self._scores) if self._best else 0

    @property
    def stops_early(self):
        """Whether `patience` has run out."""
        return bool(self._patience) and self.without_progress >= self._patience

    def explain_stop(self):
        """Returns why training ends before its last step."""
        return ('No better {} in {} evaluations (--patience={}): training ends. Best: {:.4f} at '
                'step {}, in {}.'.format(self._score, self.without_progress, self._patience,
                                         self._best[self._score], self._best['step'],
                                         self._folder))

    def evaluate(self, checkpoint, step, should_stop=lambda: False):
        """Evaluates a checkpoint and keeps it where it is the best so far.

        Args:
          checkpoint: prefix.
          step: number of steps it was trained for.
          should_stop: function that tells whether to give up.

        Returns:
          The Evaluation, or None where it was given up.

        Raises:
          UserError: the checkpoint cannot be kept, as on a full disk.
        """
        result = self._evaluate(checkpoint, should_stop)
        if result is None:
            return None
        value = float(result.figures[self._score])
        is_best = not self._best or value > self._best[self._score]
        self._scores[step] = value
        if is_best:
            self._best = dict(result.figures, step=step, checkpoint=os.path.basename(checkpoint))
        self._make_folder()
        outdated = self._keep(checkpoint) if is_best else []
        self._save_state()
        for path in outdated:
            os.remove(path)
        return result._replace(text='{}  {}'.format(result.text, self._standing(is_best)))

    def _standing(self, is_best):
        return '(best so far)' if is_best else '(best: {:.4f} at step {})'.format(
            self._best[self._score], self._best['step'])

    def _make_folder(self):
        try:
            os.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise UserError('Cannot make the folder {}: {}.'.format(self._folder, error.strerror))

    def _keep(self, checkpoint):
        """Copies a checkpoint here; the paths of the files it replaces."""
        name = os.path.basename(checkpoint)
        # With a dot before it: what a killed process left of its copying.
        outdated = [os.path.join(self._folder, other) for other in os.listdir(self._folder)
                    if other.lstrip('.').startswith('model.ckpt-')
                    and not other.startswith(name + '.')]
        sources = glob.glob(glob.escape(checkpoint) + '.*')
        sources += [os.path.join(os.path.dirname(checkpoint), _CONFIGURATION)]
        for source in sources:
            if os.path.exists(source):
                image_files.copy_file(
                    source, os.path.join(self._folder, os.path.basename(source)))
        image_files.write_text(
            os.path.join(self._folder, 'checkpoint'),
            'model_checkpoint_path: "{0}"\nall_model_checkpoint_paths: "{0}"\n'.format(name))
        return outdated

    def _save_state(self):
        state = {
            'best': self._best,
            'score': self._score,
            'evaluations': [list(item) for item in sorted(self._scores.items())],
            'setting': self._setting}
        image_files.write_text(os.path.join(self._folder, FIGURES),
                               json.dumps(state, indent=1, sort_keys=True) + '\n')


def _settings(setting):
    return ', '.join('{} {}'.format(name, value) for name, value in sorted(setting.items()))
