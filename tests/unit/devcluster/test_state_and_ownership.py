"""What one process knows of a playground that another one runs."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bind_agent.devcluster import detached, folders
from bind_agent.devcluster.binaries import ControlPlane
from bind_agent.devcluster.cluster import ClusterOptions
from bind_agent.devcluster.daemon import Order, forget, owned, owning
from bind_agent.devcluster.errors import PlaygroundError
from bind_agent.devcluster.state import STATE_FILE, ClusterState, ProcessId, ServerState, State

pytestmark = pytest.mark.unit

GONE = ProcessId(2**22 + 1, 1, "another boot")


def state(directory: Path, owner: ProcessId) -> State:
    return State(
        owner=owner,
        supervisor=GONE,
        clusters=(ClusterState("c", "https://127.0.0.1:1", str(directory / "c.kubeconfig"), None),),
        servers=(ServerState("etcd", GONE, "/log"), ServerState("c/kube-apiserver", GONE, "/log")),
        kubectl="/bin/kubectl",
    )


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = state(tmp_path, ProcessId.of(os.getpid()))
    written.write(tmp_path)
    assert State.read(tmp_path) == written


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "owner": {"pid": "x"}}']
)
def test_a_spoilt_state_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE_FILE).write_text(text)
    assert State.read(tmp_path) is None
    assert not detached.status(tmp_path).running


def test_a_process_is_known_by_its_start_time_too() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        process = ProcessId.of(child.pid)
        recycled = replace(process, start=process.start - 1)
        rebooted = replace(process, boot="another")
        assert process.alive
        assert not recycled.alive
        assert not rebooted.alive
        assert not recycled.signal(signal.SIGKILL)
        assert not rebooted.signal(signal.SIGKILL)
        assert child.poll() is None
        assert process.signal(signal.SIGKILL)
        assert child.wait(5) == -signal.SIGKILL
        assert not process.alive
        assert not process.signal(signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        ProcessId.of(child.pid)
    child.wait()


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    assert not owned(tmp_path)
    with owning(tmp_path):
        assert owned(tmp_path)
        with (
            pytest.raises(
                PlaygroundError, match=r"runs in .* already: see `kubectl bind dev status --dir /.*`"
            ),
            owning(tmp_path),
        ):
            pass
        with pytest.raises(PlaygroundError, match=r"stop it with `kubectl bind dev down --dir /.*`"):
            detached.up(Order(tmp_path, [ClusterOptions("a")]), ControlPlane(tmp_path, "nowhere"))
        with pytest.raises(PlaygroundError, match="just starting or ending"):
            detached.down(tmp_path)
    assert not owned(tmp_path)


@pytest.mark.parametrize("place", ["/proc/playground", "/dev/null/playground"])
def test_a_directory_that_cannot_be_made_is_said_in_a_sentence(place: str) -> None:
    directory = Path(place)
    with pytest.raises(PlaygroundError, match=r"cannot be made .*: name another one with --dir"):
        detached.up(Order(directory, [ClusterOptions("a")]), ControlPlane(directory, "nowhere"))
    with pytest.raises(PlaygroundError, match="cannot be made"), owning(directory):
        pass


def test_the_usual_directory_needs_no_option(tmp_path: Path) -> None:
    environment = {folders.PLAYGROUND_VARIABLE: str(tmp_path)}
    assert folders.option(tmp_path, environment) == ""
    assert folders.option(tmp_path / "a b", environment) == f" --dir '{tmp_path}/a b'"


def test_what_a_crash_left_is_cleared_away_and_nothing_outside(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    outside = tmp_path / "outside.kubeconfig"
    for path in (outside, directory / "c.kubeconfig", directory / "notes.txt"):
        path.write_text("")
    left = state(directory, GONE)
    clusters = [
        left.clusters[0],
        replace(left.clusters[0], kubeconfig=str(outside)),
        replace(left.clusters[0], kubeconfig=str(directory / "notes.txt")),
    ]
    replace(left, clusters=tuple(clusters)).write(directory)
    assert detached.down(directory) is False
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]
    assert outside.exists()
    forget(directory)


def test_a_dead_owner_is_not_running(tmp_path: Path) -> None:
    state(tmp_path, GONE).write(tmp_path)
    seen = detached.status(tmp_path)
    assert (seen.running, seen.owner, seen.clusters) == (False, None, ())
    with pytest.raises(PlaygroundError, match=r"no playground runs in .* `kubectl bind dev up --dir /"):
        detached.kubeconfig_of(tmp_path, "c")


def test_a_living_owner_is_shown_with_its_servers(tmp_path: Path) -> None:
    state(tmp_path, ProcessId.of(os.getpid())).write(tmp_path)
    seen = detached.status(tmp_path)
    assert seen.running
    assert seen.etcd is None
    assert seen.clusters[0].servers == {"c/kube-apiserver": None}
    assert not seen.clusters[0].ready
    assert detached.kubeconfig_of(tmp_path, "c") == (Path("/bin/kubectl"), tmp_path / "c.kubeconfig")
    with pytest.raises(PlaygroundError, match=r"there is no cluster 'x' in .*; there are: c"):
        detached.kubeconfig_of(tmp_path, "x")


def test_an_order_reaches_the_background_process_unchanged(tmp_path: Path) -> None:
    order = Order(tmp_path, [ClusterOptions("a", audit=True, apiserver_flags=["--x=1"])], keep_data=True)
    programs = ControlPlane(tmp_path / "bin", "own build")
    assert detached.decode(detached.encode(order, programs)) == (order, programs)
