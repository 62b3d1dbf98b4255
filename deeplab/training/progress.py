"""How a run goes, in numbers and in words."""
import collections
import contextlib
import time

# What is known about a step that is reported. Losses and rates are those of this very step.
Report = collections.namedtuple('Report', [
    'step', 'total_loss', 'losses', 'learning_rate', 'gradient_norm',
    'step_seconds',        # mean over the steps since the last report
    'images_per_second',
    'seconds_left'])


class StepClock(object):
    """Measures time a step, leaving out the first step and whatever `paused` covers.

    The first step of a session includes TensorFlow's own set-up and would spoil the mean.
    """

    def __init__(self, clock=time.time):
        self._clock = clock
        self._since = None
        self._steps = 0
        self._mean = None

    def tick(self, steps=1):
        """Notes the end of a step, during which `steps` were made by all workers together."""
        if self._since is None:
            self._since = self._clock()
        else:
            self._steps += steps

    @contextlib.contextmanager
    def paused(self):
        """Leaves out the time spent inside, on something else than steps."""
        began = self._clock()
        yield
        if self._since is not None:
            self._since += self._clock() - began

    def read(self):
        """Mean seconds a step since the last reading, or the last mean, or None before any."""
        if self._steps:
            now = self._clock()
            self._mean = (now - self._since) / self._steps
            self._since, self._steps = now, 0
        return self._mean


def duration(seconds):
    """Seconds as people read them: 59s, 12m05s, 3h02m."""
    seconds = int(round(seconds))
    if seconds < 60:
        return '{}s'.format(seconds)
    if seconds < 3600:
        return '{}m{:02d}s'.format(*divmod(seconds, 60))
    return '{}h{:02d}m'.format(seconds // 3600, seconds % 3600 // 60)


def line(report, last_step):
    """The log line of a report."""
    parts = ' + '.join('{} {:.4f}'.format(_short(name), value)
                       for name, value in sorted(report.losses.items()))
    text = 'step {}/{}  loss {:.4f} ({})  rate {:.3g}  gradient {:.3g}'.format(
        report.step, last_step, report.total_loss, parts, report.learning_rate,
        report.gradient_norm)
    if report.step_seconds is not None:
        text += '  {:.2f} s/step  {:.1f} images/s  {} left'.format(
            report.step_seconds, report.images_per_second, duration(report.seconds_left))
    return text


def _short(name):
    """semantic_merged_logits/mul_1 -> semantic_merged_logits; clone prefixes go as well."""
    if name == 'regularization_loss':
        return 'l2'
    parts = [part for part in name.split('/') if not part.startswith('clone_')]
    return parts[0]


def make_report(step, values, step_seconds, options):
    """A Report of a step.

    Args:
      step: number of steps done.
      values: what was fetched of a TrainGraph, as a dict.
      step_seconds: seconds a step, or None where not known yet.
      options: a TrainingOptions.
    """
    steps_left = options.training_number_of_steps - step
    return Report(
        step=step,
        total_loss=float(values['total_loss']),
        losses={name: float(value) for name, value in values['losses'].items()},
        learning_rate=float(values['learning_rate']),
        gradient_norm=float(values['gradient_norm']),
        step_seconds=step_seconds,
        images_per_second=step_seconds and options.train_batch_size / step_seconds,
        seconds_left=step_seconds and step_seconds * steps_left)
