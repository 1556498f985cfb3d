"""Where the programs are looked for, in which order. Fetching itself: tests/protocol/devcluster."""

import io
from pathlib import Path

import pytest

from bind_agent.devcluster import folders
from bind_agent.devcluster.binaries import Sources, find_control_plane, from_assets
from bind_agent.devcluster.errors import BuildError, ControlPlaneUnavailableError, IncompleteAssetsError
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.versions import PROGRAMS, target

pytestmark = pytest.mark.unit


class Builder:
    """Builds instantly and counts how often."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    def __call__(self, folder: Path, progress: Progress, *, toolchains: Path) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        program(folder / "bin" / "controlplane")
        for name in PROGRAMS:
            (folder / "bin" / name).symlink_to("controlplane")


def program(path: Path, text: str = "v1") -> None:
    path.write_text(f"#!/bin/sh\necho {text}\n")
    path.chmod(0o755)


def sources(cache: Path, **more: object) -> Sources:
    return Sources(cache=cache, download=False, **more)  # type: ignore[arg-type]


def test_a_named_folder_wins_over_everything(tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in PROGRAMS:
        program(assets / name, name)
    build = Builder()
    found = find_control_plane(sources(tmp_path / "cache", assets=assets), Progress(None), build=build)
    assert found.folder == assets
    assert found.versions()["kubectl"] == "kubectl"
    assert build.calls == 0
    assert not (tmp_path / "cache").exists()


def test_a_named_folder_without_a_manager_is_refused_with_the_next_step(tmp_path: Path) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        program(tmp_path / name)
    with pytest.raises(
        IncompleteAssetsError, match="lacks kube-controller-manager: put what is missing there"
    ):
        from_assets(tmp_path)


@pytest.mark.parametrize("kind", ["missing", "folder", "not-executable"])
def test_a_named_folder_needs_four_executables(tmp_path: Path, kind: str) -> None:
    for name in PROGRAMS[1:]:
        program(tmp_path / name)
    if kind == "folder":
        (tmp_path / "etcd").mkdir()
    elif kind == "not-executable":
        (tmp_path / "etcd").write_text("text")
    with pytest.raises(IncompleteAssetsError, match="lacks etcd"):
        from_assets(tmp_path)


def test_what_was_built_is_in_the_cache_afterwards(tmp_path: Path) -> None:
    build = Builder()
    first = find_control_plane(sources(tmp_path), Progress(None), build=build)
    assert find_control_plane(sources(tmp_path), Progress(None), build=build) == first
    assert build.calls == 1


def test_a_failed_build_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ControlPlaneUnavailableError, match="out of memory"):
        find_control_plane(sources(tmp_path), Progress(None), build=Builder(BuildError("out of memory")))
    assert list((tmp_path / "control-plane").iterdir()) == []
    assert find_control_plane(sources(tmp_path), Progress(None), build=Builder()).folder.exists()


def test_a_cache_that_cannot_be_written_is_named_with_the_next_step(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ControlPlaneUnavailableError, match="name another folder with BIND_AGENT_CACHE"):
        find_control_plane(sources(blocked), Progress(None), build=Builder())


def test_a_broken_entry_is_said_and_built_anew(tmp_path: Path) -> None:
    build = Builder()
    found = find_control_plane(sources(tmp_path), Progress(None), build=build)
    (found.folder / "kubectl").unlink()
    output = io.StringIO()
    assert find_control_plane(sources(tmp_path), Progress(output), build=build) == found
    assert build.calls == 2
    assert "broken and made anew: bin/kubectl is missing" in output.getvalue()


@pytest.mark.parametrize("word", ["off", "0", "No", " false "])
def test_downloads_are_switched_off_by_a_word(word: str) -> None:
    assert not Sources.from_environment({"BIND_AGENT_DOWNLOAD": word}).download


@pytest.mark.parametrize("word", ["", "on", "1"])
def test_downloads_stay_on_otherwise(word: str) -> None:
    assert Sources.from_environment({"BIND_AGENT_DOWNLOAD": word}).download
    assert not Sources.from_environment({"BIND_AGENT_DOWNLOAD": word}, download=False).download


def test_an_explicit_folder_wins_over_the_environment() -> None:
    environment = {"KUBEBUILDER_ASSETS": "/from/environment"}
    assert Sources.from_environment(environment).assets == Path("/from/environment")
    assert Sources.from_environment(environment, assets=Path("/explicit")).assets == Path("/explicit")
    assert Sources.from_environment({}).assets is None


def test_the_cache_honours_its_variables() -> None:
    assert folders.cache({"BIND_AGENT_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}) == Path("/own")
    assert folders.cache({"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/bind-agent")
    assert folders.cache({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "bind-agent"
    assert folders.cache({}) == Path.home() / ".cache" / "bind-agent"


def test_the_playground_honours_its_variables() -> None:
    assert folders.playground({"BIND_AGENT_DEV_DIR": "/own"}) == Path("/own")
    assert folders.playground({"XDG_STATE_HOME": "/xdg"}) == Path("/xdg/bind-agent/dev")
    assert folders.playground({}) == Path.home() / ".local" / "state" / "bind-agent" / "dev"


def test_machines_are_named_as_releases_name_them() -> None:
    assert target("linux", "x86_64") == ("linux", "amd64")
    assert target("linux", "aarch64") == ("linux", "arm64")


@pytest.mark.parametrize(
    ("system", "machine"), [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "riscv64")]
)
def test_other_machines_are_refused_with_the_next_step(system: str, machine: str) -> None:
    with pytest.raises(ControlPlaneUnavailableError, match="use a Linux machine"):
        target(system, machine)
