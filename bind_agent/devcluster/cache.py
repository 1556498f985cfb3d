"""Entries of the user's cache: complete, proven folders of programs, or nothing.

An entry is filled beside its place, gets a manifest with the SHA-256 and size of each file, and is renamed
into place: what was interrupted never looks like an entry. It is checked each time it is used. Hashing 130 MB
at every start would cost half a second, so files whose size and change times are those of the last full check
are taken as unchanged; any other file is hashed again. Last, a program is run: a cache that was copied from
another kind of machine shows itself there.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bind_agent.devcluster.errors import ControlPlaneUnavailableError
from bind_agent.devcluster.versions import PROGRAMS

MANIFEST = "manifest.json"
_STAMPS = "checked.json"
_FORMAT = 1
_STAGING = ".staging-"
_PROBE_TIMEOUT = 30.0
#: How each program tells its version.
_PROBES = {
    "etcd": ("--version",),
    "kube-apiserver": ("--version",),
    "kube-controller-manager": ("--version",),
    "kubectl": ("version", "--client"),
}


def sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe(program: Path, name: str) -> str:
    """Run a program for its version and return what it prints.

    Args:
        program: The executable.
        name: Which of `versions.PROGRAMS` it is.

    Raises:
        ControlPlaneUnavailableError: It cannot be run.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a program that was looked for
            [str(program), *_PROBES[name]], capture_output=True, text=True, timeout=_PROBE_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ControlPlaneUnavailableError(f"{program} cannot be run: {error}") from error
    return done.stdout.strip()


class _BrokenError(Exception):
    """An entry is not what it was when it was stored."""


class Entry:
    """One folder of the cache.

    Attributes:
        path: Its place, whether or not it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def program(self, name: str) -> Path:
        """Where a program lies."""
        return self.path / "bin" / name

    def problem(self) -> str | None:
        """Say what is wrong with the entry; None when it is good, empty text when there is none at all."""
        if not self.path.exists():
            return ""
        try:
            self._check_files(self._manifest())
            missing = [name for name in PROGRAMS if not os.access(self.program(name), os.X_OK)]
            if missing:
                return f"bin/{missing[0]} is missing or cannot be executed"
            # After a build one file serves as all four; running it once shows that it runs.
            for name in {self.program(name).resolve(): name for name in PROGRAMS}.values():
                probe(self.program(name), name)
        except (_BrokenError, ControlPlaneUnavailableError) as error:
            return str(error)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"its manifest cannot be read ({error})"
        return None

    def _check_files(self, files: dict[str, Any]) -> None:
        stamps = self._stamps()
        known = dict(stamps)
        for name, expected in files.items():
            path = self.path / name
            try:
                stamp = _stamp(path)
                if stamp[0] != expected["size"]:
                    raise _BrokenError(f"{name} has {stamp[0]} bytes, not {expected['size']}")
                if known.get(name) != stamp and sha256(path) != expected["sha256"]:
                    raise _BrokenError(f"{name} has another checksum than when it was stored")
            except OSError as error:
                raise _BrokenError(f"{name} cannot be read ({error.strerror})") from error
            stamps[name] = stamp
        if stamps != known:
            self._write_stamps(stamps)

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Give a folder to fill, with an empty folder ``bin``.

        It becomes the entry when the block ends without an error, and vanishes otherwise. To be called under
        the cache's lock; left-overs of interrupted runs are removed.
        """
        parent = self.path.parent
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.glob(f"{_STAGING}*"):
            shutil.rmtree(old, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=parent))
        try:
            (staging / "bin").mkdir()
            yield staging
            self._seal(staging)
            if self.path.exists():
                # Not removed in place: servers of another playground may be running from it.
                self.path.rename(staging.with_name(f"{staging.name}-replaced"))
            staging.rename(self.path)
        finally:
            for left in parent.glob(f"{staging.name}*"):
                shutil.rmtree(left, ignore_errors=True)

    def _seal(self, folder: Path) -> None:
        files: dict[str, Any] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                files[str(path.relative_to(folder))] = {"size": path.stat().st_size, "sha256": sha256(path)}
        (folder / MANIFEST).write_text(json.dumps({"format": _FORMAT, "files": files}, indent=2))

    def _manifest(self) -> dict[str, Any]:
        manifest = json.loads((self.path / MANIFEST).read_text())
        if manifest["format"] != _FORMAT:
            raise ValueError(f"format {manifest['format']}")
        files = manifest["files"]
        if not isinstance(files, dict) or not files:
            raise ValueError("no files")
        return files

    def _stamps(self) -> dict[str, Any]:
        try:
            stamps = json.loads((self.path / _STAMPS).read_text())
        except (OSError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def _write_stamps(self, stamps: dict[str, Any]) -> None:
        # A cache that cannot be written to is hashed every time, and good otherwise.
        with suppress(OSError):
            temporary = self.path / f".{_STAMPS}.{os.getpid()}"
            temporary.write_text(json.dumps(stamps))
            temporary.replace(self.path / _STAMPS)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
