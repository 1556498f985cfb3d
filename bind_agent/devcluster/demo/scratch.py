"""Temporary folders: what a killed process left behind, the next one removes."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: Short, because the path of a socket has room for 107 bytes; every user may enter it.
ROOT: Final = Path("/tmp")  # noqa: S108 - the folders in it are made by mkdtemp


@contextmanager
def folder(prefix: str, *, root: Path = ROOT) -> Iterator[Path]:
    """A new private folder for the length of a block.

    The process holds a lock on it, which the kernel gives back however the process ends. A folder of the same
    prefix and user without a lock is one that nobody needs any more.

    Args:
        prefix: beginning of its name; nothing else may use it in ``root``.
        root: where it is made.
    """
    _sweep(prefix, root)
    path, descriptor = _make(prefix, root)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _make(prefix: str, root: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        descriptor = _lock(path)
        if descriptor is not None:
            return path, descriptor
        # A sweep of another process found it before it was locked, and takes it away.


def _sweep(prefix: str, root: Path) -> None:
    for path in root.glob(f"{prefix}*"):
        with suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            descriptor = _lock(path)
            if descriptor is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(descriptor)


def _lock(path: Path) -> int | None:
    """Lock a folder; None when somebody else has it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # not removed between the two calls
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None
