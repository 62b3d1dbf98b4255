"""Errors whose text is meant for the person at the command line."""
import difflib


class UserError(ValueError):
    """A mistake in flags, files or data that the user can put right.

    The message is one line: which flag or file, what was found, what is expected, what to do. The
    entry points print it on stderr without a traceback (see `deeplab.cli.run`), notebooks show it
    without one too.
    """

    def _render_traceback_(self):
        """Returns the lines IPython shows of the error."""
        return ['error: ' + ' '.join(str(self).split())]


def nearest(name: str, known) -> str:
    """Returns ' Did you mean X?' for the most similar of `known`, or '' when none is similar."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return ' Did you mean {!r}?'.format(close[0]) if close else ''
