"""Evaluation during training: keeps the best checkpoint, and stops when nothing gets better."""
import glob
import json
import os
import shutil

from absl import logging

FOLDER = 'best'
FIGURES = 'best.json'


class BestKeeper(object):
    """Evaluates checkpoints as they are made and keeps the best one under `best/`.

    Args:
      folder: training folder; the best checkpoint goes into its subfolder `best`.
      evaluate: function of a checkpoint prefix, giving a dict of scores.
      every_steps: steps between two evaluations.
      score: name of the score to go by; higher is better.
      patience: evaluations without a better score after which training stops; 0 never does.
    """

    def __init__(self, folder, evaluate, every_steps, score='miou', patience=0):
        self._folder = os.path.join(folder, FOLDER)
        self._evaluate = evaluate
        self._every_steps = every_steps
        self._score = score
        self._patience = patience
        state = self._load()
        self._best = state.get(score)
        self._without_progress = state.get('evaluations_since', 0)

    def _load(self):
        path = os.path.join(self._folder, FIGURES)
        if not os.path.exists(path):
            return {}
        with open(path) as stream:
            return json.load(stream)

    def due(self, step):
        """Whether an evaluation follows this step."""
        return step % self._every_steps == 0

    @property
    def stops_early(self):
        """Whether `patience` has run out."""
        return bool(self._patience) and self._without_progress >= self._patience

    def evaluate(self, checkpoint, step):
        """Evaluates a checkpoint, keeps it where it is the best so far; its scores."""
        scores = self._evaluate(checkpoint)
        value = scores[self._score]
        if self._best is None or value > self._best:
            self._best = value
            self._without_progress = 0
            self._keep(checkpoint)
            self._save_figures(dict(scores, step=step, checkpoint=os.path.basename(checkpoint)))
            logging.info('Best so far: %s %.4f at step %d', self._score, value, step)
        else:
            self._without_progress += 1
            self._save_figures(dict(self._load()))
            if self.stops_early:
                logging.info('No better %s in %d evaluations (--patience): stopping.', self._score,
                             self._without_progress)
        return scores

    def _keep(self, checkpoint):
        os.makedirs(self._folder, exist_ok=True)
        name = os.path.basename(checkpoint)
        previous = glob.glob(os.path.join(glob.escape(self._folder), 'model.ckpt-*'))
        for source in glob.glob(glob.escape(checkpoint) + '.*'):
            target = os.path.join(self._folder, os.path.basename(source))
            shutil.copyfile(source, target + '.tmp')
            os.replace(target + '.tmp', target)
        configuration = os.path.join(os.path.dirname(checkpoint), 'train_config.json')
        if os.path.exists(configuration):
            shutil.copyfile(configuration, os.path.join(self._folder, 'train_config.json'))
        self._write('checkpoint', 'model_checkpoint_path: "{0}"\n'
                    'all_model_checkpoint_paths: "{0}"\n'.format(name))
        for path in previous:
            if not os.path.basename(path).startswith(name + '.'):
                os.remove(path)

    def _save_figures(self, figures):
        figures['evaluations_since'] = self._without_progress
        self._write(FIGURES, json.dumps(figures, indent=2, sort_keys=True) + '\n')

    def _write(self, name, text):
        path = os.path.join(self._folder, name)
        with open(path + '.tmp', 'w') as stream:
            stream.write(text)
        os.replace(path + '.tmp', path)
