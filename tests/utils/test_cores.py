import os
import sys

import pytest

from deeplab.utils import cores


def test_counts_the_cores_of_this_process(monkeypatch):
    assert 1 <= cores.cpu_count() <= os.cpu_count()
    monkeypatch.delattr(os, 'sched_getaffinity', raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert cores.cpu_count() == 1


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='no affinity on ' + sys.platform)
def test_keeps_to_its_share():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores.cpu_count() == 1
    finally:
        os.sched_setaffinity(0, before)
