"""Elections on a small fake server, in short real time. Real servers: tests/integration/runtime."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from bind_agent.kube.client import Client
from bind_agent.kube.errors import AbsenceUnproven, ConnectionFailed, Forbidden, KubeError, NotFound
from bind_agent.runtime.leader import LeaderElector, LostLease, boot_time, next_step, unique_identity
from bind_agent.runtime.lease import Record
from tests.fakes.scripted import FakeObjects

pytestmark = pytest.mark.unit

KEY = ("system", "klutch-bind")


class Time:
    """The boot clock, which a test can let jump: the process was stopped for a while."""

    def __init__(self) -> None:
        self.jump = 0.0

    def __call__(self) -> float:
        return boot_time() + self.jump


class Candidate:
    """An elector whose work notes when it runs."""

    def __init__(self, server: FakeObjects, identity: str, **arguments: Any) -> None:
        self.time = Time()
        arguments = {"lease": 0.5, "renew": 0.3, "retry": 0.04, "boot": self.time} | arguments
        self.elector = LeaderElector(cast("Client", server), "system", "klutch-bind", identity, **arguments)
        self.started = 0
        self.ended = 0
        self.after: Callable[[], Awaitable[None]] | None = None

    @property
    def working(self) -> bool:
        return self.started > self.ended

    async def work(self) -> None:
        self.started += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self.after is not None:
                await self.after()
            self.ended += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.ensure_future(self.elector.run(self.work))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


def record(server: FakeObjects) -> Record:
    return Record.of(server.objects[KEY])


async def until(condition: Callable[[], bool], limit: float = 5.0) -> None:
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110 - there is no event for everything that tests look at
            await asyncio.sleep(0.005)


async def test_it_leads_renews_and_releases() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    with pytest.raises(LostLease):
        candidate.elector.check()
    async with candidate.running():
        await until(lambda: candidate.working)
        candidate.elector.check()
        assert candidate.elector.is_leader
        first = record(server)
        assert (first.holder, first.transitions) == ("a", 0)
        await until(lambda: record(server).renewed > first.renewed)
        assert record(server).acquired == first.acquired
    assert (candidate.started, candidate.ended) == (1, 1)
    assert not candidate.elector.is_leader
    assert (record(server).holder, record(server).duration) == ("", 1.0)


async def test_a_released_lease_is_taken_at_once() -> None:
    server = FakeObjects()
    # A lease that was not released would outlast the patience of `until` by far.
    first, second = (Candidate(server, name, lease=60.0, renew=40.0) for name in ("a", "b"))
    async with first.running():
        await until(lambda: first.working)
        async with second.running():
            await asyncio.sleep(0.1)
            assert not second.working
            await stop(first)
            await until(lambda: second.working)
            assert record(server).transitions == 1


async def stop(candidate: Candidate) -> None:
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if getattr(coroutine, "__qualname__", "") == "LeaderElector.run":
            frame = getattr(coroutine, "cr_frame", None)
            if frame is not None and frame.f_locals.get("self") is candidate.elector:
                task.cancel()
                await asyncio.wait([task])


async def test_a_lease_whose_holder_vanished_is_taken_after_its_duration_by_the_own_clock() -> None:
    server = FakeObjects()
    far = "2999-01-01T00:00:00.000000Z"
    abandoned = Record("dead", 1.0, far, far, 3)
    lease = {"metadata": {"name": "klutch-bind", "namespace": "system"}, "spec": abandoned.spec()}
    await server.create(None, lease, namespace="system")
    candidate = Candidate(server, "b")
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with candidate.running():
        await until(lambda: candidate.working)
        assert loop.time() - began >= 0.95
        assert record(server).transitions == 4


@pytest.mark.parametrize(
    "fault",
    [ConnectionFailed("reset"), Forbidden("no", code=403), KubeError("odd")],
    ids=lambda value: type(value).__name__,
)
async def test_work_ends_before_the_lease_when_renewals_fail_and_starts_again_after(fault: KubeError) -> None:
    server = FakeObjects()
    # Work ends after `renew`; the patience of `until` is over long before `lease`.
    candidate = Candidate(server, "a", lease=60.0)
    async with candidate.running():
        await until(lambda: candidate.working)
        server.fault = lambda verb: fault if verb == "update" else None
        await until(lambda: candidate.ended == 1)
        with pytest.raises(LostLease):
            candidate.elector.check()
        assert record(server).holder == "a"
        server.fault = lambda _: None
        # Its own record is recognised, nobody else can have led meanwhile: no waiting.
        await until(lambda: candidate.working)
        assert (candidate.started, candidate.ended) == (2, 1)
        assert record(server).transitions == 0


async def test_a_server_that_hangs_ends_the_work_in_time_too() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    async with candidate.running():
        await until(lambda: candidate.working)
        server.open_gate.clear()
        await until(lambda: candidate.ended == 1, limit=0.45)
        server.open_gate.set()
        await until(lambda: candidate.started == 2)


async def test_one_lost_answer_does_not_end_the_work() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    async with candidate.running():
        await until(lambda: candidate.working)
        replace = server.replace
        lost = iter([True, True])

        async def loses_answers(*arguments: Any, **more: Any) -> Any:
            stored = await replace(*arguments, **more)
            if next(lost, False):
                raise ConnectionFailed("reset")
            return stored

        server.replace = loses_answers  # type: ignore[method-assign]
        before = record(server).renewed
        await asyncio.sleep(0.6)
        assert next(lost, None) is None
        assert record(server).renewed > before
        assert (candidate.started, candidate.ended) == (1, 0)


@pytest.mark.parametrize("proven", [True, False])
async def test_only_a_lease_that_is_known_to_be_gone_is_made_anew(proven: bool) -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a", renew=5.0, lease=8.0)
    async with candidate.running():
        await until(lambda: candidate.working)
        before = record(server).renewed
        kind = NotFound if proven else AbsenceUnproven
        faults = iter([kind("404", code=404)])
        if proven:
            server.objects.pop(KEY)
        server.calls.clear()
        server.fault = lambda verb: next(faults, None) if verb == "update" else None
        await until(lambda: KEY in server.objects and record(server).renewed > before)
        # Creating a Lease that is there would look as if somebody else had taken it.
        assert (
            ("create", "klutch-bind") in server.calls
            if proven
            else ("create", "klutch-bind") not in server.calls
        )
        assert candidate.working


async def test_a_lease_taken_by_somebody_else_ends_the_work_at_once() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a", renew=5.0, lease=8.0)
    async with candidate.running():
        await until(lambda: candidate.working)
        lease = server.objects[KEY]
        lease["spec"]["holderIdentity"] = "thief"
        await server.replace(None, lease, namespace="system")
        await until(lambda: candidate.ended == 1, limit=1.0)
        assert not candidate.elector.hung
        with pytest.raises(LostLease):
            candidate.elector.check()


async def test_two_processes_with_one_identity_do_not_lead_together() -> None:
    server = FakeObjects()
    first, second = Candidate(server, "same"), Candidate(server, "same")
    async with first.running():
        await until(lambda: first.working)
        async with second.running():
            for _ in range(40):
                await asyncio.sleep(0.02)
                assert not (first.working and second.working)
            assert first.working


async def test_a_record_under_the_own_name_by_another_hand_ends_the_work() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "same", renew=5.0, lease=8.0)
    async with candidate.running():
        await until(lambda: candidate.working)
        lease = server.objects[KEY]
        lease["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
        await server.replace(None, lease, namespace="system")
        await until(lambda: candidate.ended == 1, limit=1.0)


async def test_a_lease_that_is_removed_is_created_again_unless_somebody_was_faster() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    async with candidate.running():
        await until(lambda: candidate.working)
        server.objects.clear()
        await until(lambda: KEY in server.objects)
        assert candidate.working
        server.objects.clear()
        lease = {"metadata": {"name": "klutch-bind"}, "spec": Record("b", 15.0, "x", "x", 0).spec()}
        await server.create(None, lease, namespace="system")
        await until(lambda: candidate.ended == 1)


async def test_a_process_that_was_stopped_finds_out_before_it_writes() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    async with candidate.running():
        await until(lambda: candidate.working)
        candidate.time.jump = 60.0
        # Nothing has run yet since the process woke up, and the answer is right already.
        assert not candidate.elector.is_leader
        with pytest.raises(LostLease):
            candidate.elector.check()
        await until(lambda: candidate.ended == 1)


async def test_an_answer_that_took_too_long_does_not_make_a_leader() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    create = server.create

    async def slow(*arguments: Any, **more: Any) -> Any:
        stored = await create(*arguments, **more)
        candidate.time.jump += 60.0
        return stored

    server.create = slow  # type: ignore[method-assign]
    async with candidate.running():
        await until(lambda: KEY in server.objects)
        await asyncio.sleep(0.01)
        assert candidate.started == 0
        await until(lambda: candidate.working)


async def test_work_that_does_not_end_is_reported_and_the_lease_is_not_released() -> None:
    server = FakeObjects()
    reports = []
    candidate = Candidate(server, "a", on_hung=lambda: reports.append(1))
    free = asyncio.Event()
    candidate.after = lambda: cast("Awaitable[None]", free.wait())
    with capture_logs() as logs:
        async with candidate.running():
            await until(lambda: candidate.working)
            assert candidate.elector.healthy()
            server.fault = lambda verb: ConnectionFailed("reset") if verb == "update" else None
            await until(lambda: candidate.elector.hung)
            assert reports == [1]
            assert not candidate.elector.healthy()
            server.fault = lambda _: None
            await asyncio.sleep(0.3)
            # No new term while the old work goes on.
            assert candidate.started == 1
            free.set()
            await until(lambda: candidate.started == 2)
            assert candidate.elector.healthy()
    assert [entry for entry in logs if entry["log_level"] == "error"]


async def test_renewals_go_on_while_cancelled_work_ends() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")

    async def slowly() -> None:
        await asyncio.sleep(0.8)
        candidate.elector.check()

    candidate.after = slowly
    async with candidate.running() as task:
        await until(lambda: candidate.working)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert candidate.ended == 1
    assert not candidate.elector.hung
    assert record(server).holder == ""


async def test_a_second_cancellation_cuts_the_clean_up_short_and_still_releases() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    candidate.after = lambda: asyncio.sleep(60)
    async with candidate.running() as task:
        await until(lambda: candidate.working)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert record(server).holder == ""


async def test_work_that_returns_ends_the_term_and_the_run() -> None:
    server = FakeObjects()
    elector = LeaderElector(cast("Client", server), "system", "klutch-bind", "a")

    async def once() -> None:
        await asyncio.sleep(0)

    await asyncio.wait_for(elector.run(once), 5)
    assert record(server).holder == ""


async def test_an_error_of_the_work_comes_out_after_the_release() -> None:
    server = FakeObjects()
    elector = LeaderElector(cast("Client", server), "system", "klutch-bind", "a")

    async def fails() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await asyncio.wait_for(elector.run(fails), 5)
    assert record(server).holder == ""


async def test_a_release_that_fails_is_no_failure() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")
    async with candidate.running():
        await until(lambda: candidate.working)
        server.fault = lambda verb: ConnectionFailed("reset") if verb == "update" else None
    assert record(server).holder == "a"


async def test_an_error_of_work_being_stopped_is_told_not_raised() -> None:
    server = FakeObjects()
    candidate = Candidate(server, "a")

    async def fails() -> None:
        raise LostLease("writer noticed")

    candidate.after = fails
    with capture_logs() as logs:
        async with candidate.running():
            await until(lambda: candidate.working)
            candidate.time.jump = 60.0
            await until(lambda: candidate.started == 2)
    assert any("writer noticed" in entry.get("error", "") for entry in logs)


async def test_elections_wait_out_a_server_that_is_away() -> None:
    server = FakeObjects()
    server.fault = lambda _: ConnectionFailed("refused")
    candidate = Candidate(server, "a")
    async with candidate.running():
        await asyncio.sleep(0.1)
        assert candidate.started == 0
        assert len(server.calls) < 6
        server.fault = lambda _: None
        await until(lambda: candidate.working)


@pytest.mark.parametrize("times", [(15, 15, 2), (15, 10, 10), (15, 10, 0)], ids=str)
def test_times_that_cannot_be_safe_are_refused(times: tuple[float, float, float]) -> None:
    lease, renew, retry = times
    with pytest.raises(ValueError, match="must hold"):
        LeaderElector(cast("Client", FakeObjects()), "n", "l", "a", lease=lease, renew=renew, retry=retry)


def test_identities_are_unique() -> None:
    assert unique_identity() != unique_identity()
    assert LeaderElector(cast("Client", FakeObjects()), "n", "l").identity


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Forbidden("cannot get leases", code=403), True),
        (NotFound("namespaces not found", code=404), True),
        (ConnectionFailed("refused"), False),
        (TimeoutError(), False),
    ],
)
def test_an_election_that_cannot_be_won_says_what_to_do(error: BaseException, told: bool) -> None:
    found = next_step(error, "kube-system")
    assert bool(found) is told
    if told:
        for words in ("kube-system", "--lease-namespace", "--no-leader-elect"):
            assert words in found["next"]


async def test_the_next_step_is_in_the_log() -> None:
    server = FakeObjects()
    server.fault = lambda _: Forbidden("cannot get leases", code=403)
    with capture_logs() as logs:
        async with Candidate(server, "a").running():
            await until(lambda: bool(logs))
    assert logs[0]["lease"] == "system/klutch-bind"
    assert "--lease-namespace" in logs[0]["next"]
