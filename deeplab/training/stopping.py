"""Ctrl-C and SIGTERM end a run after the step at hand, so that it can save."""
import signal
import threading

from absl import logging

_ASKING = (signal.SIGINT, signal.SIGTERM)


class StopRequest(object):
    """Context manager that notes the first SIGINT or SIGTERM; a second one acts as ever.

        with StopRequest() as stop:
            while not stop.signal:
                ...

    It can be entered again, also within itself; a signal noted before stays noted.

    Args:
      promise: what happens after the first signal, for the log.

    Attributes:
      signal: number of the signal received, or None.
    """

    def __init__(self, promise='saving after this step'):
        self.signal = None
        self._promise = promise
        self._previous = {}
        self._depth = 0

    def __enter__(self):
        self._depth += 1
        # Python allows handlers in the main thread only; elsewhere there is nothing to note.
        if self._depth == 1 and threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _ASKING}
        return self

    def __exit__(self, *unused):
        self._depth -= 1
        if not self._depth:
            self._restore()

    def _note(self, number, frame):
        self.signal = number
        self._restore()
        logging.warning('Received %s: %s. Once more to stop at once.',
                        'Ctrl-C' if number == signal.SIGINT else 'SIGTERM', self._promise)

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
