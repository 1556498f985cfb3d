"""Releases are fetched, checked and cached; what goes wrong is noticed quickly and leaves nothing."""

import io
import socket
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bind_agent.devcluster import release
from bind_agent.devcluster.binaries import Sources, find_control_plane
from bind_agent.devcluster.errors import (
    BuildError,
    ChecksumError,
    ControlPlaneUnavailableError,
    DownloadError,
)
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.release import Patience, ReleaseServer
from bind_agent.devcluster.versions import ETCD, KUBERNETES, PROGRAMS
from tests.fakes.release_server import Fault, script
from tests.fakes.release_server import ReleaseServer as FakeServer

pytestmark = pytest.mark.protocol

HASTE = Patience(connect=0.5, silence=0.4, window=0.6, rate=1000)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


def sources(server: FakeServer, cache: Path, *, download: bool = True) -> Sources:
    releases = ReleaseServer(kubernetes=server.kubernetes, etcd=server.etcd, patience=HASTE)
    return Sources(cache=cache, download=download, releases=releases)


def no_build(*_: object, **__: object) -> None:
    raise BuildError("no compiler today")


def fake_build(folder: Path, _: Progress, *, toolchains: Path) -> None:
    (folder / "bin" / "controlplane").write_bytes(script("built"))
    (folder / "bin" / "controlplane").chmod(0o755)
    for name in PROGRAMS:
        (folder / "bin" / name).symlink_to("controlplane")


def fetch(server: FakeServer, folder: Path, patience: Patience = HASTE) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    releases = ReleaseServer(kubernetes=server.kubernetes, etcd=server.etcd, patience=patience)
    releases.fetch(folder, Progress(None))


def test_a_release_is_fetched_once_and_then_comes_from_the_cache(
    server: FakeServer, tmp_path: Path, output: io.StringIO
) -> None:
    found = find_control_plane(sources(server, tmp_path), Progress(output), build=no_build)
    assert found.origin == f"official release of Kubernetes {KUBERNETES} and etcd {ETCD}"
    assert found.versions() == {
        "etcd": f"etcd {ETCD}",
        **{name: f"{name} {KUBERNETES}" for name in PROGRAMS if name != "etcd"},
    }
    assert "100 % of" in output.getvalue()
    asked = len(server.asked)
    assert asked == 8
    again = find_control_plane(sources(server, tmp_path), Progress(output), build=no_build)
    assert again == found
    assert len(server.asked) == asked


def test_a_broken_cache_entry_is_fetched_anew(
    server: FakeServer, tmp_path: Path, output: io.StringIO
) -> None:
    found = find_control_plane(sources(server, tmp_path), Progress(output), build=no_build)
    found.kube_apiserver.write_bytes(found.kube_apiserver.read_bytes()[:-1])
    again = find_control_plane(sources(server, tmp_path), Progress(output), build=no_build)
    assert again == found
    assert "is broken and made anew: bin/kube-apiserver has" in output.getvalue()
    assert again.versions()["kube-apiserver"] == f"kube-apiserver {KUBERNETES}"


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        pytest.param(Fault.MISSING, DownloadError, "HTTP 404", id="missing"),
        pytest.param(Fault.BROKEN, DownloadError, "HTTP 503", id="server-error"),
        pytest.param(Fault.CHANGED, ChecksumError, "was changed or cut off", id="changed"),
        pytest.param(Fault.CUT, DownloadError, "broke off after", id="cut"),
        pytest.param(Fault.CUT_UNANNOUNCED, ChecksumError, "was changed or cut off", id="cut-unannounced"),
        pytest.param(Fault.SILENT, DownloadError, "cannot be reached", id="silent"),
        pytest.param(Fault.STALLS, DownloadError, "broke off after", id="stalls"),
        pytest.param(Fault.TRICKLES, DownloadError, "comes too slowly", id="trickles"),
    ],
)
@pytest.mark.parametrize("which", ["program", "archive"])
def test_a_fault_is_noticed_quickly(
    server: FakeServer, tmp_path: Path, fault: Fault, kind: type[Exception], words: str, which: str
) -> None:
    files = server.files
    files.faults[files.programs["kubectl"] if which == "program" else files.archive] = fault
    begin = time.monotonic()
    with pytest.raises(kind, match=words):
        fetch(server, tmp_path)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>sign in to the guest network</html>", b"0" * 63, b"not here  " + b"0" * 64],
    ids=["empty", "a-page", "too-short", "reversed"],
)
def test_without_a_published_checksum_nothing_is_fetched(
    server: FakeServer, tmp_path: Path, content: bytes
) -> None:
    server.files.files[server.files.programs["kubectl"] + ".sha256"] = content
    with pytest.raises(DownloadError, match=r"no SHA-256 is published for .*kubectl"):
        fetch(server, tmp_path)
    assert not list((tmp_path / "bin").iterdir())


def test_the_checksum_of_another_archive_does_not_count(server: FakeServer, tmp_path: Path) -> None:
    server.files.files[server.files.sums] = b"0" * 64 + b"  etcd-of-something-else.tar.gz\n"
    with pytest.raises(DownloadError, match=r"no SHA-256 is published for .*tar\.gz"):
        fetch(server, tmp_path)


def test_a_file_without_end_is_cut_off(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "_FILE_BYTES", 1000)
    with pytest.raises(DownloadError, match="is larger than 1000 bytes"):
        fetch(server, tmp_path)


def test_a_slow_network_that_goes_on_is_good_enough(server: FakeServer, tmp_path: Path) -> None:
    server.files.publish(server.files.programs["kubectl"], b"#!/bin/sh\n" + b"#" * 20)
    server.files.faults[server.files.programs["kubectl"]] = Fault.TRICKLES
    fetch(server, tmp_path, Patience(connect=1, silence=1, window=0.3, rate=1))
    assert (tmp_path / "bin" / "kubectl").read_bytes() == b"#!/bin/sh\n" + b"#" * 20


def test_an_archive_without_the_program_is_refused(server: FakeServer, tmp_path: Path) -> None:
    server.files.publish_etcd({"../../etcd": script("elsewhere"), "etcd": script("at the top")})
    with pytest.raises(DownloadError, match="does not hold"):
        fetch(server, tmp_path)
    assert not (tmp_path / "bin" / "etcd").exists()


def test_a_link_in_place_of_the_program_is_refused(server: FakeServer, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo(f"{server.files.folder}/etcd")
        link.type, link.linkname = tarfile.SYMTYPE, "/bin/sh"
        archive.addfile(link)
    server.files.publish(server.files.archive, buffer.getvalue())
    checksum = server.files.files[f"{server.files.archive}.sha256"]
    server.files.files[server.files.sums] = checksum + f"  {server.files.folder}.tar.gz".encode()
    with pytest.raises(DownloadError):
        fetch(server, tmp_path)


def test_bytes_that_are_no_archive_are_refused(server: FakeServer, tmp_path: Path) -> None:
    server.files.publish(server.files.archive, b"\x1f\x8bnot really")
    checksum = server.files.files[f"{server.files.archive}.sha256"]
    server.files.files[server.files.sums] = checksum + f"  {server.files.folder}.tar.gz".encode()
    with pytest.raises(DownloadError, match="does not hold"):
        fetch(server, tmp_path)


def test_a_refusing_network_is_noticed_at_once_and_the_programs_are_built(
    tmp_path: Path, output: io.StringIO
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        refusing = Sources(cache=tmp_path, releases=ReleaseServer(kubernetes=address, etcd=address))
        begin = time.monotonic()
        found = find_control_plane(refusing, Progress(output), build=fake_build)
    assert time.monotonic() - begin < 20
    assert found.origin.startswith("own build")
    assert "cannot be reached" in output.getvalue()
    assert "building instead" in output.getvalue()


def test_a_program_that_cannot_be_run_is_not_stored(server: FakeServer, tmp_path: Path) -> None:
    server.files.publish(server.files.programs["kube-apiserver"], b"\x7fELF of another machine")
    with pytest.raises(ControlPlaneUnavailableError, match="kube-apiserver cannot be run"):
        find_control_plane(sources(server, tmp_path), Progress(None), build=no_build)
    assert list((tmp_path / "control-plane").iterdir()) == []


def test_nothing_is_asked_for_when_downloads_are_off(server: FakeServer, tmp_path: Path) -> None:
    found = find_control_plane(sources(server, tmp_path, download=False), Progress(None), build=fake_build)
    assert found.origin.startswith("own build")
    assert server.asked == []


def test_when_everything_fails_each_reason_and_the_next_step_is_named(
    server: FakeServer, tmp_path: Path
) -> None:
    server.files.faults[server.files.sums] = Fault.MISSING
    with pytest.raises(ControlPlaneUnavailableError) as caught:
        find_control_plane(sources(server, tmp_path), Progress(None), build=no_build)
    text = str(caught.value)
    assert "SHA256SUMS is answered with HTTP 404" in text
    assert "no compiler today" in text
    assert "Set KUBEBUILDER_ASSETS to a folder with" in text


def test_mirrors_are_read_from_the_environment(server: FakeServer, tmp_path: Path) -> None:
    environment = {
        "BIND_AGENT_CACHE": str(tmp_path),
        "BIND_AGENT_KUBERNETES_RELEASES": server.kubernetes + "/",
        "BIND_AGENT_ETCD_RELEASES": server.etcd,
    }
    found = find_control_plane(Sources.from_environment(environment), Progress(None), build=no_build)
    assert found.folder.is_relative_to(tmp_path)
    assert found.origin.startswith("official release")
