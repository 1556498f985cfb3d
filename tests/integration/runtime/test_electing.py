"""Elections on real API servers: hand-over, servers and processes that stop, and a candidate of client-go."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bind_agent.api.resource import CONFIGMAPS, LEASES
from bind_agent.devcluster import Cluster, ControlPlane
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.runtime.leader import LeaderElector
from bind_agent.runtime.lease import Record
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.eventually import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

NAME = "klutch-bind"
QUICK = {"lease": 3.0, "renew": 2.0, "retry": 0.3}


class Candidate:
    """An elector whose work notes when it runs; `together` counts moments with two at work."""

    at_work: set[str] = set()  # noqa: RUF012 - shared on purpose
    together = 0

    def __init__(self, client: Client, namespace: str, identity: str, **times: float) -> None:
        self.elector = LeaderElector(client, namespace, NAME, identity, **(QUICK | times))
        self.identity = identity
        self.terms = 0

    @property
    def working(self) -> bool:
        return self.identity in self.at_work

    async def work(self) -> None:
        self.terms += 1
        self.at_work.add(self.identity)
        Candidate.together += len(self.at_work) > 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.at_work.discard(self.identity)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.ensure_future(self.elector.run(self.work))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture(autouse=True)
def _alone() -> Any:
    Candidate.at_work.clear()
    Candidate.together = 0
    yield
    assert Candidate.together == 0


async def record(client: Client, namespace: str) -> Record:
    return Record.of(await client.get(LEASES, NAME, namespace=namespace))


async def test_hand_over_by_release(client: Client, namespace: str) -> None:
    # A lease that was not released would outlast the patience of `eventually`.
    long = QUICK | {"lease": 300.0}
    first, second = (Candidate(client, namespace, name, **long) for name in ("first", "second"))
    async with second.running() as second_task, contextlib.AsyncExitStack() as stack:
        await eventually(lambda: second.working)
        held = await record(client, namespace)
        assert (held.holder, held.duration, held.transitions) == ("second", 300.0, 0)
        await stack.enter_async_context(first.running())
        await asyncio.sleep(1)
        assert not first.working
        assert (await record(client, namespace)).renewed > held.renewed
        second_task.cancel()
        await asyncio.wait([second_task])
        await eventually(lambda: first.working)
        taken = await record(client, namespace)
        assert (taken.holder, taken.transitions) == ("first", 1)
    released = await record(client, namespace)
    assert (released.holder, released.duration, released.transitions) == ("", 1.0, 1)


async def test_a_leader_that_is_cut_off_stops_before_another_one_starts(
    provider: Cluster, client: Client, namespace: str
) -> None:
    async with ChaosProxy("127.0.0.1", provider.port) as proxy:
        config = from_kubeconfig(provider.kubeconfig_text().replace(f":{provider.port}", f":{proxy.port}"))
        async with Client.open(config, user_agent="cut-off") as behind:
            first, second = Candidate(behind, namespace, "first"), Candidate(client, namespace, "second")
            async with first.running():
                await eventually(lambda: first.working)
                async with second.running():
                    proxy.hang()
                    proxy.break_connections()
                    await eventually(lambda: not first.working)
                    assert not second.working
                    await eventually(lambda: second.working)
                    proxy.flow()
                    await asyncio.sleep(1)
                    assert not first.working
                # Released by the second one, and the first one is still a candidate.
                await eventually(lambda: first.working)
                assert first.terms == 2
                assert (await record(client, namespace)).transitions == 2


async def test_a_paused_server_ends_all_work_and_one_leads_afterwards(
    fragile: Cluster, fragile_client: Client
) -> None:
    first, second = (Candidate(fragile_client, "default", name, lease=30.0) for name in ("first", "second"))
    async with first.running():
        await eventually(lambda: first.working)
        async with second.running():
            await fragile.apiserver.pause()
            try:
                # Sooner than the lease would end, whatever the machine is busy with.
                await eventually(lambda: not first.working, seconds=QUICK["renew"] + 20)
                await asyncio.sleep(3)
                assert not Candidate.at_work
            finally:
                await fragile.apiserver.resume()
            await eventually(lambda: len(Candidate.at_work) == 1, seconds=40)
            await asyncio.sleep(1)
            assert len(Candidate.at_work) == 1


async def test_a_restarted_server_disturbs_nobody_for_long(fragile: Cluster, fragile_client: Client) -> None:
    only = Candidate(fragile_client, "default", "only", lease=15.0, renew=10.0, retry=0.5)
    async with only.running():
        await eventually(lambda: only.working, seconds=30)
        before = (await record(fragile_client, "default")).renewed
        await fragile.apiserver.kill()
        await fragile.apiserver.start()
        await fragile.wait_ready()

        async def renewed() -> bool:
            return (await record(fragile_client, "default")).renewed > before

        await eventually(renewed)
        assert only.terms == 1


class Process:
    """`tests.fakes.leading_process` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().strip())

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, cluster: Cluster, namespace: str, identity: str) -> AsyncIterator["Process"]:
        times = [str(value) for value in QUICK.values()]
        arguments = [str(cluster.kubeconfig), namespace, identity, *times]
        made = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.fakes.leading_process",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        process = cls(made)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                made.kill()
            await made.wait()
            await process._reading


async def test_a_stopped_process_that_wakes_up_writes_nothing(
    provider: Cluster, client: Client, namespace: str
) -> None:
    """SIGSTOP for longer than the lease, another leader meanwhile, SIGCONT: no write of the old one."""
    written = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "written"}}
    await client.create(CONFIGMAPS, written, namespace=namespace)
    identity = f"sleeper-{namespace}"
    async with Process.running(provider, namespace, identity) as sleeper:
        await eventually(lambda: "leading" in sleeper.lines)

        async def has_written() -> bool:
            data = (await client.get(CONFIGMAPS, "written", namespace=namespace)).get("data") or {}
            return int(data.get("number", 0)) > 3

        await eventually(has_written)
        sleeper.process.send_signal(signal.SIGSTOP)
        other = Candidate(client, namespace, "other")
        async with other.running():
            await eventually(lambda: other.working)
            await client.merge_patch(CONFIGMAPS, "written", {"data": {"by": "other"}}, namespace=namespace)
            # What was on its way before the stop has long arrived; from here on every write counts.
            mark = provider.audit_mark()
            sleeper.process.send_signal(signal.SIGCONT)
            await eventually(lambda: "ended" in sleeper.lines)
            await asyncio.sleep(1)
            late = [
                event
                for event in provider.audit_requests(since=mark)
                if event.user_agent == identity and event.resource == "configmaps" and event.code < 400
            ]
            assert late == []
            data = (await client.get(CONFIGMAPS, "written", namespace=namespace))["data"]
            assert data["by"] == "other"
        # It is a candidate again and may write as soon as it leads.
        await eventually(lambda: sleeper.lines.count("leading") == 2)


@contextlib.asynccontextmanager
async def go_candidate(
    control_plane: ControlPlane, cluster: Cluster, namespace: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program of Kubernetes itself, with client-go's leader election, on the same Lease."""
    arguments = [
        f"--kubeconfig={cluster.kubeconfig}",
        "--controllers=ttl-controller",
        "--secure-port=0",
        "--leader-elect=true",
        "--leader-elect-lease-duration=3s",
        "--leader-elect-renew-deadline=2s",
        "--leader-elect-retry-period=500ms",
        f"--leader-elect-resource-name={NAME}",
        f"--leader-elect-resource-namespace={namespace}",
    ]
    process = await asyncio.create_subprocess_exec(
        str(control_plane.kube_controller_manager),
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_go_programs_and_ours_take_turns(
    control_plane: ControlPlane, provider: Cluster, client: Client, namespace: str
) -> None:
    def is_go(holder: str) -> bool:
        return holder.startswith(f"{socket.gethostname()}_")

    async def held_by_go() -> bool:
        return is_go((await record(client, namespace)).holder)

    ours = Candidate(client, namespace, "ours")
    async with contextlib.AsyncExitStack() as stack:
        task = await stack.enter_async_context(ours.running())
        await eventually(lambda: ours.working)
        go = await stack.enter_async_context(go_candidate(control_plane, provider, namespace))
        # Go reads our record and keeps away.
        await asyncio.sleep(5)
        assert ours.working
        assert (await record(client, namespace)).holder == "ours"
        # It takes a lease that we released ...
        task.cancel()
        await asyncio.wait([task])
        await eventually(held_by_go)
        taken = await record(client, namespace)
        assert taken.transitions == 1
        # ... and we wait for its lease to expire when it is gone.
        again = Candidate(client, namespace, "again")
        await stack.enter_async_context(again.running())
        await asyncio.sleep(4)
        assert not again.working
        go.kill()
        await go.wait()
        await eventually(lambda: again.working)
        assert (await record(client, namespace)).transitions == 2
