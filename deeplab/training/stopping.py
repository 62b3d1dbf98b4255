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

    Attributes:
      signal: number of the signal received, or None.
    """

    def __init__(self):
        self.signal = None
        self._previous = {}

    def __enter__(self):
        # Python allows handlers in the main thread only; elsewhere there is nothing to note.
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _ASKING}
        return self

    def __exit__(self, *unused):
        self._restore()

    def _note(self, number, frame):
        self.signal = number
        self._restore()
        logging.warning('Received %s: saving after this step. Once more to stop at once.',
                        'Ctrl-C' if number == signal.SIGINT else 'SIGTERM')

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
