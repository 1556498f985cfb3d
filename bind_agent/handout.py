"""Writing a credential to a file: whole or not at all, for its owner only, never through a link."""

import contextlib
import os
import secrets
from pathlib import Path


class HandoutError(Exception):
    """The file cannot be written safely; the message says why."""


def write(path: Path, data: bytes) -> None:
    """Write a file with mode 0600.

    The content goes into a new file beside the target, which then takes its place, so nobody ever reads half
    of it or finds it with another mode. However the attempt ends, nothing but the target is left; only a process
    that is killed outright can leave the new file, which is the owner's alone as well.

    Args:
        path: the file; an existing regular file is replaced.
        data: what it shall hold.

    Raises:
        HandoutError: the target is a symbolic link or no regular file, or its folder cannot be written.
    """
    if path.is_symlink():
        raise HandoutError(f"{path} is a symbolic link, which is not followed: name the file itself")
    if path.exists() and not path.is_file():
        raise HandoutError(f"{path} is not a regular file")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _fill(part, data)
        part.replace(path)
    except FileExistsError as error:
        # Somebody else's file has the part's name; it is not ours to remove.
        raise _unwritten(path, error) from None
    except BaseException as error:
        # Ctrl-C comes here as well: what is left otherwise is a credential under a name that nobody looks for.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritten(path, error) from None
        raise


def _fill(part: Path, data: bytes) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _unwritten(path: Path, error: OSError) -> HandoutError:
    return HandoutError(f"cannot write {path}: {error.strerror}")
