"""Finds the control plane programs, wherever this machine can have them from.

In this order: a folder that was named (``$KUBEBUILDER_ASSETS``, the layout of setup-envtest), the user's
cache, the official releases, a build from our own Go module. The first that gives a complete set is taken.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bind_agent.devcluster import folders, gobuild
from bind_agent.devcluster.cache import Entry, probe
from bind_agent.devcluster.errors import ControlPlaneUnavailableError, IncompleteAssetsError
from bind_agent.devcluster.locking import exclusive
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.release import ETCD_BASE, KUBERNETES_BASE, ReleaseServer
from bind_agent.devcluster.versions import ETCD, KUBERNETES, PROGRAMS, target

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
DOWNLOAD_VARIABLE = "BIND_AGENT_DOWNLOAD"
KUBERNETES_BASE_VARIABLE = "BIND_AGENT_KUBERNETES_RELEASES"
ETCD_BASE_VARIABLE = "BIND_AGENT_ETCD_RELEASES"
_OFF = frozenset({"0", "no", "off", "false"})


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The programs of a control plane.

    Attributes:
        folder: Where all four lie, under their own names.
        origin: Where they come from, for people.
    """

    folder: Path
    origin: str

    @property
    def etcd(self) -> Path:
        """The store."""
        return self.folder / "etcd"

    @property
    def kube_apiserver(self) -> Path:
        """The API server."""
        return self.folder / "kube-apiserver"

    @property
    def kube_controller_manager(self) -> Path:
        """The controller-manager."""
        return self.folder / "kube-controller-manager"

    @property
    def kubectl(self) -> Path:
        """The client for people."""
        return self.folder / "kubectl"

    def versions(self) -> Mapping[str, str]:
        """Ask each program for its version (first line).

        Raises:
            ControlPlaneUnavailableError: One cannot be run.
        """
        return {name: probe(self.folder / name, name).partition("\n")[0] for name in PROGRAMS}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where programs may come from.

    Attributes:
        assets: Folder with all programs; nothing else is tried when it is given.
        cache: The user's cache folder.
        download: Whether official releases may be fetched.
        releases: The servers they are fetched from.
    """

    assets: Path | None = None
    cache: Path = field(default_factory=folders.cache)
    download: bool = True
    releases: ReleaseServer = field(default_factory=ReleaseServer)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ, *, assets: Path | None = None, download: bool = True
    ) -> Self:
        """Read the sources from the environment.

        Args:
            environment: ``KUBEBUILDER_ASSETS``, ``BIND_AGENT_CACHE`` (``XDG_CACHE_HOME``),
                ``BIND_AGENT_DOWNLOAD`` (``off`` forbids downloads), ``BIND_AGENT_KUBERNETES_RELEASES`` and
                ``BIND_AGENT_ETCD_RELEASES`` (base URLs of mirrors).
            assets: Explicit folder, wins over the environment.
            download: False forbids downloads whatever the environment says.
        """
        named = environment.get(ASSETS_VARIABLE)
        return cls(
            assets=assets or (Path(named).expanduser() if named else None),
            cache=folders.cache(environment),
            download=download and environment.get(DOWNLOAD_VARIABLE, "").strip().lower() not in _OFF,
            releases=ReleaseServer(
                kubernetes=environment.get(KUBERNETES_BASE_VARIABLE) or KUBERNETES_BASE,
                etcd=environment.get(ETCD_BASE_VARIABLE) or ETCD_BASE,
            ),
        )


def find_control_plane(
    sources: Sources | None = None,
    progress: Progress | None = None,
    *,
    build: Callable[..., None] = gobuild.build,
) -> ControlPlane:
    """Find the programs, fetching or building them when need be.

    Blocks, for minutes when they have to be built. Of several processes that need them at once, one prepares
    the cache.

    Args:
        sources: Where to look; from the environment when None.
        progress: Where it reports to; standard error when None.
        build: Builds them into a folder.

    Raises:
        ControlPlaneUnavailableError: No source gave them; the text names each one and its reason.
    """
    sources = sources or Sources.from_environment()
    progress = progress or Progress.stderr()
    if sources.assets is not None:
        return from_assets(sources.assets.absolute())
    entries = _entries(sources.cache)
    for entry, origin in entries.values():
        if entry.problem() is None:
            return ControlPlane(entry.path / "bin", origin)
    try:
        return _locked(sources, entries, progress, build)
    except OSError as error:
        raise ControlPlaneUnavailableError(
            f"the cache {sources.cache} cannot be used: {error}; make room or name another folder with "
            f"{folders.CACHE_VARIABLE}"
        ) from error


def from_assets(folder: Path) -> ControlPlane:
    """Take the programs from a folder.

    Raises:
        IncompleteAssetsError: One is missing or not executable.
    """
    missing = [name for name in PROGRAMS if not os.access(folder / name, os.X_OK) or (folder / name).is_dir()]
    if missing:
        raise IncompleteAssetsError(
            f"{folder} lacks {', '.join(missing)}: put what is missing there, of the same Kubernetes version "
            "(setup-envtest leaves out kube-controller-manager), or unset "
            f"{ASSETS_VARIABLE} to have all of them downloaded or built"
        )
    return ControlPlane(folder, f"folder {folder}")


def _entries(cache: Path) -> dict[str, tuple[Entry, str]]:
    system, machine = target()
    base = cache / "control-plane"
    name = f"kubernetes-{KUBERNETES}-etcd-{ETCD}-{system}-{machine}"
    return {
        "release": (
            Entry(base / f"{name}-release"),
            f"official release of Kubernetes {KUBERNETES} and etcd {ETCD}",
        ),
        "build": (
            Entry(base / f"{name}-build-{gobuild.source_digest()}"),
            f"own build of Kubernetes {KUBERNETES} and etcd {ETCD}",
        ),
    }


def _locked(
    sources: Sources, entries: Mapping[str, tuple[Entry, str]], progress: Progress, build: Callable[..., None]
) -> ControlPlane:
    with exclusive(
        sources.cache / "control-plane.lock",
        progress,
        waiting="another process prepares the control plane programs; waiting for it",
    ):
        # Somebody else may have prepared it while we waited.
        for entry, origin in entries.values():
            problem = entry.problem()
            if problem is None:
                return ControlPlane(entry.path / "bin", origin)
            if problem:
                progress.say(f"the cached {origin} in {entry.path} is broken and made anew: {problem}")
        return _prepare(sources, entries, progress, build)


def _prepare(
    sources: Sources, entries: Mapping[str, tuple[Entry, str]], progress: Progress, build: Callable[..., None]
) -> ControlPlane:
    reasons = [f"the cache {sources.cache} has no usable set"]
    entry, origin = entries["release"]
    if sources.download:
        try:
            with entry.filling() as folder:
                sources.releases.fetch(folder, progress)
                _prove(folder)
        except ControlPlaneUnavailableError as error:
            reasons.append(f"no download of the official release: {error}")
            progress.say(f"{reasons[-1]}; building instead")
        else:
            return ControlPlane(entry.path / "bin", origin)
    else:
        reasons.append(f"downloads are switched off ({DOWNLOAD_VARIABLE} or --no-download)")
    entry, origin = entries["build"]
    try:
        with entry.filling() as folder:
            build(folder, progress, toolchains=sources.cache / "toolchains")
            _prove(folder)
    except ControlPlaneUnavailableError as error:
        reasons.append(str(error))
        raise ControlPlaneUnavailableError(
            "\n - ".join(["the control plane programs are not to be had:", *reasons])
            + f"\nSet {ASSETS_VARIABLE} to a folder with {', '.join(PROGRAMS)}, allow the download, "
            "or put Go on PATH and allow it to fetch modules."
        ) from error
    return ControlPlane(entry.path / "bin", origin)


def _prove(folder: Path) -> None:
    for name in PROGRAMS:
        probe(folder / "bin" / name, name)
