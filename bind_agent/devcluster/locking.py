"""A lock between processes: one prepares the cache, the others wait and then find it prepared."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bind_agent.devcluster.progress import Progress

_POLL = 0.2


@contextmanager
def exclusive(path: Path, progress: Progress, *, waiting: str) -> Iterator[None]:
    """Hold the lock of a file for as long as the block runs.

    The kernel gives it back when the process ends, however it ends, so it cannot be left locked.

    Args:
        path: The lock file; created when missing, never removed (a removed one would be locked twice).
        progress: Where waiting is reported to.
        waiting: What is said when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try(descriptor):
            with progress.ticking(waiting):
                while not _try(descriptor):
                    time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
