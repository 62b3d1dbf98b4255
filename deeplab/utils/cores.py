"""What of the machine's processor this process may use."""
import os


def cpu_count() -> int:
    """Returns how many cores this process may use; a container's share where that is less."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
