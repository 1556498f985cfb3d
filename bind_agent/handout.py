"""Writing a credential to a file: whole or not at all, for its owner only, never through a link."""

import os
import secrets
from pathlib import Path


class HandoutError(Exception):
    """The file cannot be written safely; the message says why."""


def write(path: Path, data: bytes) -> None:
    """Write a file with mode 0600.

    The content goes into a new file beside the target, which then takes its place, so nobody ever reads half
    of it or finds it with another mode.

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
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise HandoutError(f"cannot write {path}: {error.strerror}") from None
