"""Work done in threads beside the network: encoding pictures, reading the next ones."""
import collections
import concurrent.futures

# Pillow encodes and decodes without Python's lock, so a few threads keep up with most networks.
_THREADS = 2
_MOST_PENDING = 16
_MOST_AHEAD = 4


class Writers:
    """Runs functions soon, in threads; their errors come out at a later call."""

    def __init__(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS)
        self._pending = collections.deque()

    def submit(self, function, *arguments):
        """Runs a function soon; waits where too much is pending already."""
        self._pending.append(self._pool.submit(function, *arguments))
        while len(self._pending) > _MOST_PENDING:
            self._pending.popleft().result()

    def finish(self):
        """Waits for everything; raises the first error."""
        while self._pending:
            self._pending.popleft().result()
        self._pool.shutdown()


def read_ahead(function, items):
    """Yields (item, future of function(item)) in order, a few calls ahead in a thread."""
    items = iter(items)
    ahead = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        while True:
            while len(ahead) < _MOST_AHEAD:
                try:
                    item = next(items)
                except StopIteration:
                    break
                ahead.append((item, pool.submit(function, item)))
            if not ahead:
                return
            yield ahead.popleft()
