"""Finds real data and goldens that lie beside the repository, and skips where they do not."""
import os

import pytest

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                     'shared')


def path(relative: str) -> str:
    """Returns the absolute path of a shared file or folder, or skips the test."""
    found = os.path.join(ROOT, relative)
    if not os.path.exists(found):
        pytest.skip('shared data not found beside the repository: ' + relative)
    return found
