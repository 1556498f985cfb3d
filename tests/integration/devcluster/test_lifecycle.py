"""Playgrounds begin with nothing and end with nothing, whatever ends them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from bind_agent.devcluster import (
    ClusterOptions,
    ControlPlane,
    DevClusterError,
    Playground,
    Sources,
    cluster,
    find_control_plane,
)
from bind_agent.devcluster.errors import PlaygroundError, ServerError
from bind_agent.devcluster.ports import free_port
from bind_agent.devcluster.progress import Progress
from bind_agent.devcluster.state import ProcessId
from tests.fakes.eventually import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

#: Runs a playground, tells what it consists of, and then blocks.
PARENT = """
import asyncio, json, os, sys, time
from bind_agent.devcluster import Playground
async def main():
    async with Playground("one") as playground:
        pids = [server.pid for server in playground.servers]
        print(json.dumps([playground.supervisor_pid, pids, str(playground.directory)]), flush=True)
        if "fork" in sys.argv and os.fork() == 0:
            time.sleep(60)  # a child that holds every descriptor of its parent
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def gone(processes: list[ProcessId], *, seconds: float = 15) -> None:
    await eventually(lambda: not any(process.alive for process in processes), seconds=seconds)


def content(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def identify(playground: Playground) -> list[ProcessId]:
    pids = [playground.supervisor_pid, *(server.pid for server in playground.servers)]
    return [ProcessId.of(pid) for pid in pids if pid is not None]


async def has_namespace(playground: Playground, name: str) -> bool:
    return (await playground["one"].request("GET", f"/api/v1/namespaces/{name}"))[0] == 200


async def make_namespace(playground: Playground, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert (await playground["one"].request("POST", "/api/v1/namespaces", body))[0] == 201


def test_a_second_search_uses_the_cache(control_plane: ControlPlane) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    begin = time.monotonic()
    found = find_control_plane(Sources.from_environment(download=False), Progress(None), build=never)
    assert found == control_plane
    assert time.monotonic() - begin < 30
    assert "v1.36" in found.versions()["kube-apiserver"]


async def test_stopping_leaves_nothing(control_plane: ControlPlane) -> None:
    async with Playground("one", control_plane=control_plane) as playground:
        processes, directory = identify(playground), playground.directory
        assert len(processes) == 4
        assert all(process.alive for process in processes)
        assert playground["one"].kubeconfig.parent == directory
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not any(process.alive for process in processes)
    assert not directory.exists()
    await playground.stop()


@pytest.mark.parametrize("how", ["killed", "killed-with-a-forked-child"])
async def test_killing_the_program_leaves_nothing(control_plane: ControlPlane, how: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        *(["fork"] if "fork" in how else []),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    supervisor, pids, directory = json.loads(await parent.stdout.readline())
    processes = [ProcessId.of(pid) for pid in (supervisor, *pids)]
    try:
        parent.kill()  # not waited for: that takes until the forked child lets go of the pipe
        await gone(processes)
        await eventually(lambda: not Path(directory).exists())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        while not parent.stdout.at_eof():
            await parent.stdout.read()


async def test_killing_the_supervisor_ends_the_servers(control_plane: ControlPlane) -> None:
    playground = Playground("one", control_plane=control_plane)
    await playground.start()
    processes = identify(playground)
    try:
        processes[0].signal(signal.SIGKILL)
        await gone(processes)
        await eventually(lambda: not any(server.running for server in playground.servers))
        with pytest.raises(DevClusterError, match="start the playground again"):
            await playground["one"].apiserver.start()
    finally:
        await playground.stop()


async def test_nothing_of_an_earlier_run_is_used_unless_asked(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    for _ in range(2):
        async with Playground("one", control_plane=control_plane, directory=tmp_path) as playground:
            assert not await has_namespace(playground, "earlier")
            await make_namespace(playground, "earlier")
        assert content(tmp_path) == []


async def test_kept_data_is_used_again_at_the_same_address(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    keep = {"control_plane": control_plane, "directory": tmp_path, "keep_data": True}
    async with Playground("one", **keep) as playground:  # type: ignore[arg-type]
        await make_namespace(playground, "kept")
        first = playground["one"]
        server, ca_pem = first.server, first.ca_pem
    with pytest.raises(PlaygroundError, match="told to keep: use it again with --keep-data"):
        await Playground("one", control_plane=control_plane, directory=tmp_path).start()
    async with Playground("one", **keep) as playground:  # type: ignore[arg-type]
        assert await has_namespace(playground, "kept")
        assert (playground["one"].server, playground["one"].ca_pem) == (server, ca_pem)


async def test_a_port_that_was_taken_meanwhile_is_replaced(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief:
        taken = thief.getsockname()[1]
        drawn = iter([taken, free_port()])
        monkeypatch.setattr(cluster, "free_port", lambda: next(drawn))
        async with Playground("one", control_plane=control_plane) as playground:
            assert playground["one"].port != taken
            assert str(playground["one"].port) in playground["one"].kubeconfig.read_text()


async def test_a_port_that_was_asked_for_and_is_taken_is_an_error(control_plane: ControlPlane) -> None:
    port = free_port()
    async with Playground(ClusterOptions("one", port=port), control_plane=control_plane) as playground:
        assert playground["one"].port == port
        processes = identify(playground)
        with pytest.raises(ServerError, match="address already in use"):
            await playground.add(ClusterOptions("two", port=port))
    await gone(processes, seconds=1)


async def test_a_playground_that_cannot_start_leaves_nothing(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    options = [ClusterOptions("good"), ClusterOptions("bad", apiserver_flags=["--no-such"])]
    playground = Playground(*options, control_plane=control_plane, directory=tmp_path)
    with pytest.raises(ServerError, match="unknown flag") as caught:
        await playground.start()
    assert not any(server.running for server in playground.servers)
    assert caught.value.log.exists()  # a named directory keeps the logs of a failure
    assert content(tmp_path) == ["data"]
