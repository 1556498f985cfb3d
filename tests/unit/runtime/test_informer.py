"""Informers on a scripted client, in virtual time. Real servers: tests/integration/runtime."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from bind_agent.aio.clock import VirtualClock
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import ConnectionFailed, Forbidden, KubeError, MalformedAnswer
from bind_agent.obs import metrics
from bind_agent.runtime import reflector
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.queue import LOW, NORMAL
from bind_agent.runtime.store import Entry
from tests.fakes.scripted import ScriptedClient, Step, bookmark, event, gone, no_streaming, thing

pytestmark = pytest.mark.unit

THINGS = Resource("example.com", "v1", "things", kind="Thing")


class Told:
    """What a handler was told, readable."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self.log: list[str] = []
        self.priorities: list[int] = []

    def __call__(self, kind: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        assert entry is not None
        before = old.resource_version if old else "-"
        after = new.resource_version if new else "-"
        self.log.append(f"{kind} {entry.key} {before}>{after}")
        self.priorities.append(self.informer.priority)


class Bench:
    """An informer, its script, its clock and what its handler was told."""

    def __init__(self, **arguments: Any) -> None:
        self.client = ScriptedClient()
        self.clock = VirtualClock()
        arguments = {"streaming": False, "clock": self.clock} | arguments
        self.informer = Informer(cast("Client", self.client), THINGS, **arguments)
        self.told = Told(self.informer)
        self.informer.add_handler(self.told)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.informer.run())
        try:
            await self.clock.advance(0)
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_list_then_watch() -> None:
    bench = Bench()
    bench.client.lists.append(([[thing("a", 1)], [thing("b", 2)]], 5))
    bench.client.watches.append(
        [
            event("ADDED", thing("c", 6)),
            event("MODIFIED", thing("a", 7)),
            event("DELETED", thing("b", 8)),
            None,
        ]
    )
    async with bench.running():
        await bench.informer.wait_synced()
        await bench.clock.advance(0)
        assert bench.told.log == [
            "ADDED ns/a ->1",
            "ADDED ns/b ->2",
            "ADDED ns/c ->6",
            "MODIFIED ns/a 1>7",
            "DELETED ns/b 2>-",
        ]
        assert sorted(bench.informer.store) == ["ns/a", "ns/c"]
        assert bench.informer.resource_version == "8"
        assert bench.client.opened[0]["resource_version"] == "5"
    assert bench.client.open[-1].closed


async def test_the_first_list_is_of_low_priority_and_changes_are_not() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    bench.client.watches.append([event("ADDED", thing("b", 6)), None])
    async with bench.running():
        pass
    assert bench.told.priorities == [LOW, NORMAL]


async def test_a_handler_added_later_gets_what_is_there() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    late = Told(bench.informer)
    async with bench.running():
        remove = bench.informer.add_handler(late)
        assert (late.log, late.priorities) == (["ADDED ns/a ->1"], [LOW])
        remove()
        remove()
        bench.informer.change(event("ADDED", thing("b", 6)))
    assert len(late.log) == 1
    assert len(bench.told.log) == 2


async def test_410_lists_again_and_tells_the_difference() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("kept", 1), thing("changed", 2), thing("dropped", 3)], 5))
    bench.client.watches.append([gone()])
    bench.client.lists.append(([thing("kept", 1), thing("changed", 8), thing("new", 9)], 10))
    async with bench.running():
        bench.told.log.clear()
        bench.told.priorities.clear()
        await bench.clock.advance(1)
        assert bench.told.log == ["MODIFIED ns/changed 2>8", "ADDED ns/new ->9", "DELETED ns/dropped 3>-"]
        assert set(bench.told.priorities) == {NORMAL}
        assert [call["resource_version"] for call in bench.client.opened] == ["5", "10"]
        assert bench.informer.last_error is None


async def test_each_complete_list_is_told_after_what_it_showed() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    bench.client.watches.append([event("ADDED", thing("b", 6)), gone()])
    bench.client.lists.append(([thing("a", 1)], 10))
    lists: list[tuple[str, ...]] = []

    def broken() -> None:
        raise RuntimeError("its own problem")

    bench.informer.add_list_handler(broken)
    remove = bench.informer.add_list_handler(lambda: lists.append(tuple(bench.informer.store)))
    async with bench.running():
        assert lists == [("ns/a",)]
        await bench.clock.advance(1)
        assert lists == [("ns/a",), ("ns/a",)]
        assert bench.told.log[-1] == "DELETED ns/b 6>-"
        assert bench.informer.resource_version == "10"
        remove()
        remove()
        bench.informer.begin()
        bench.informer.complete()
    assert len(lists) == 2


async def test_an_object_created_again_unseen_is_deleted_then_added() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1, uid="first")], 5))
    bench.client.watches.append([gone()])
    bench.client.lists.append(([thing("a", 8, uid="second")], 10))
    async with bench.running():
        await bench.clock.advance(1)
    assert bench.told.log == ["ADDED ns/a ->1", "DELETED ns/a 1>-", "ADDED ns/a ->8"]


async def test_a_lost_connection_resumes_without_a_list() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    bench.client.watches.append([event("MODIFIED", thing("a", 6)), ConnectionFailed("reset")])
    bench.client.watches.append([ConnectionFailed("refused")])
    bench.client.watches.append([event("MODIFIED", thing("a", 9)), None])
    async with bench.running():
        assert isinstance(bench.informer.last_error, ConnectionFailed)
        await bench.clock.advance(5)
        assert [call["resource_version"] for call in bench.client.opened] == ["5", "6", "6"]
        assert bench.informer.lists == 1
        assert bench.informer.last_error is None
    assert bench.told.log[-1] == "MODIFIED ns/a 6>9"


async def test_bookmarks_move_the_version_and_tell_nobody() -> None:
    bench = Bench()
    bench.client.lists.append(([], 5))
    bench.client.watches.append([bookmark(70)])
    async with bench.running():
        await bench.clock.advance(1)
        assert [call["resource_version"] for call in bench.client.opened] == ["5", "70"]
        # Once bookmarks are known to come, their absence is noticed within minutes.
        assert [call["inactivity"] for call in bench.client.opened] == [None, reflector.SILENCE]
    assert bench.told.log == []


async def test_an_event_of_the_same_version_is_told_once() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    bench.client.watches.append([event("ADDED", thing("a", 1)), event("DELETED", thing("unknown", 6)), None])
    async with bench.running():
        pass
    assert bench.told.log == ["ADDED ns/a ->1"]


async def test_two_barren_watches_lead_to_a_list() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    nothing: list[Step] = []
    bench.client.watches.extend([nothing, nothing])
    bench.client.lists.append(([thing("a", 9)], 10))
    async with bench.running():
        await bench.clock.advance(5)
        assert bench.informer.lists == 2
    assert bench.told.log == ["ADDED ns/a ->1", "MODIFIED ns/a 1>9"]


async def test_a_list_broken_off_deletes_nothing() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1), thing("b", 2)], 5))
    bench.client.watches.append([gone()])
    first_page: list[Any] = [thing("a", 1)]
    bench.client.lists.append(([first_page, [gone()]], 10))
    bench.client.lists.append(ConnectionFailed("reset"))
    bench.client.lists.append(([thing("b", 2)], 11))
    async with bench.running():
        await bench.clock.advance(0.3)
        assert sorted(bench.informer.store) == ["ns/a", "ns/b"]
        await bench.clock.advance(30)
        # What was on a page of the broken list counts for nothing in the next one.
        assert sorted(bench.informer.store) == ["ns/b"]
    assert bench.told.log[-1] == "DELETED ns/a 1>-"


async def test_missing_rights_are_told_and_waited_out() -> None:
    bench = Bench()
    error = Forbidden("things is forbidden", code=403, reason="Forbidden")
    bench.client.lists.extend([error] * 8)
    bench.client.lists.append(([thing("a", 1)], 5))
    async with bench.running():
        await bench.clock.advance(2)
        assert bench.informer.last_error is error
        assert not bench.informer.has_synced
        assert len(bench.client.listed) < 6
        await bench.clock.advance(120)
        assert bench.informer.has_synced
        assert bench.informer.last_error is None


async def test_lists_that_fail_late_are_slowed_down_like_any_other() -> None:
    bench = Bench()
    calls = []

    async def slow_pages(_: object, **__: object) -> AsyncIterator[object]:
        calls.append(bench.clock.monotonic())
        await bench.clock.sleep(12)
        raise gone() if len(calls) % 2 else ConnectionFailed("reset")
        yield

    bench.client.pages = slow_pages  # type: ignore[method-assign, assignment]
    async with bench.running():
        await bench.clock.advance(400)
    waits = [after - before - 12 for before, after in itertools.pairwise(calls)]
    assert waits[-1] > 14


async def test_a_nudge_ends_the_wait() -> None:
    bench = Bench()
    bench.client.lists.extend([Forbidden("no", code=403)] * 8)
    async with bench.running():
        await bench.clock.advance(60)
        calls = len(bench.client.listed)
        bench.client.lists.clear()
        bench.client.lists.append(([], 5))
        bench.informer.nudge()
        await bench.clock.advance(0)
        assert len(bench.client.listed) == calls + 1
        assert bench.informer.has_synced


async def test_streaming_list() -> None:
    bench = Bench(streaming=True)
    bench.client.watches.append(
        [
            event("ADDED", thing("a", 1)),
            event("ADDED", thing("b", 2)),
            bookmark(5, ends_list=True),
            event("ADDED", thing("c", 6)),
            gone(),
        ]
    )
    bench.client.watches.append(
        [
            event("ADDED", thing("a", 1)),
            event("ADDED", thing("c", 6)),
            event("DELETED", thing("c", 8)),
            bookmark(9, ends_list=True),
            None,
        ]
    )
    async with bench.running():
        assert bench.informer.has_synced
        assert bench.told.priorities == [LOW, LOW, NORMAL]
        await bench.clock.advance(1)
        assert bench.client.listed == []
        assert [call["initial_events"] for call in bench.client.opened] == [True, True]
        assert bench.told.log[3:] == ["DELETED ns/c 6>-", "DELETED ns/b 2>-"]
        assert list(bench.informer.store) == ["ns/a"]


@pytest.mark.parametrize("end", [[], [ConnectionFailed("reset")]], ids=["closed", "reset"])
async def test_a_streaming_list_broken_off_deletes_nothing(end: list[Step]) -> None:
    bench = Bench(streaming=True)
    bench.client.watches.append(
        [event("ADDED", thing("a", 1)), event("ADDED", thing("b", 2)), bookmark(5, ends_list=True), gone()]
    )
    bench.client.watches.append([event("ADDED", thing("a", 1)), *end])
    bench.client.watches.append([event("ADDED", thing("b", 2)), bookmark(9, ends_list=True), None])
    async with bench.running():
        await bench.clock.advance(0.2)
        assert sorted(bench.informer.store) == ["ns/a", "ns/b"]
        await bench.clock.advance(5)
        assert sorted(bench.informer.store) == ["ns/b"]


async def test_a_server_without_streaming_lists_gets_a_paged_one_at_once() -> None:
    bench = Bench(streaming=True)
    bench.client.watches.append([no_streaming()])
    bench.client.lists.append(([thing("a", 1)], 5))
    async with bench.running():
        assert bench.informer.has_synced
        assert bench.informer.last_error is None
        assert bench.client.opened[1]["initial_events"] is False


async def test_a_streaming_list_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "STREAM_PATIENCE", 0.02)
    bench = Bench(streaming=True)
    bench.client.watches.append([event("ADDED", thing("a", 1)), None])
    bench.client.lists.append(([thing("a", 1)], 5))
    async with bench.running():
        await asyncio.sleep(0.05)
        await bench.clock.advance(5)
        assert bench.informer.has_synced
        assert len(bench.client.listed) == 1


async def test_selectors_and_namespace_reach_the_server() -> None:
    bench = Bench(namespace="ns", label_selector="a=b", field_selector="metadata.name=x", page_size=7)
    bench.client.lists.append(([], 5))
    async with bench.running():
        expected = {"namespace": "ns", "label_selector": "a=b", "field_selector": "metadata.name=x"}
        assert bench.client.listed == [{**expected, "page_size": 7, "page_bytes": None}]
        assert expected.items() <= bench.client.opened[0].items()


async def test_objects_that_cannot_be_kept_are_skipped() -> None:
    bench = Bench(namespace="ns")
    odd: list[Any] = [
        thing("a", 1),
        thing("elsewhere", 2, namespace="other"),
        {"metadata": {}},
        thing("a/b", 3),
        thing("x", 3, namespace="ns/y"),
        b"[]",
        b"{",
        thing("b", 4),
    ]
    bench.client.lists.append((odd, 5))
    with capture_logs() as logs:
        async with bench.running():
            assert sorted(bench.informer.store) == ["ns/a", "ns/b"]
            assert bench.informer.has_synced
    assert len(logs) == 6


async def test_a_handler_that_fails_keeps_nobody_else_from_being_told() -> None:
    bench = Bench()

    def fails(*_: object) -> None:
        raise ValueError("s3cr3t")

    bench.informer.add_handler(fails)
    second = Told(bench.informer)
    bench.informer.add_handler(second)
    bench.client.lists.append(([thing("a", 1)], 5))
    with capture_logs() as logs:
        async with bench.running():
            pass
    assert bench.told.log == second.log == ["ADDED ns/a ->1"]
    assert "s3cr3t" not in repr(logs)


async def test_malformed_streams_and_defects_are_waited_out() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))

    def defect() -> None:
        raise RuntimeError("defect")

    bench.client.watches.append([MalformedAnswer("not an event")])
    bench.client.watches.append([defect])
    bench.client.lists.append(([thing("a", 2)], 9))
    async with bench.running():
        await bench.clock.advance(10)
        # After a malformed event it resumes; after a defect of ours it trusts nothing and lists.
        assert [call["resource_version"] for call in bench.client.opened] == ["5", "5", "9"]


async def test_it_goes_on_when_it_is_run_again() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    async with bench.running():
        pass
    async with bench.running():
        assert [call["resource_version"] for call in bench.client.opened] == ["5", "5"]
    assert bench.informer.lists == 1


async def test_managed_fields_are_kept_on_request_only() -> None:
    obj = thing("a", 1, metadata={"managedFields": [{"manager": "x"}]})
    for keep in (False, True):
        bench = Bench(keep_managed_fields=keep)
        bench.client.lists.append(([obj], 5))
        async with bench.running():
            entry = bench.informer.store.get("ns/a")
        assert entry is not None
        assert ("managedFields" in entry.object()["metadata"]) is keep


async def test_transform_indexes_and_digest_are_used() -> None:
    def spec_only(obj: dict[str, Any]) -> bytes:
        return repr(obj.get("spec")).encode()

    bench = Bench(
        transform=lambda obj: {**obj, "seen": True},
        indexes={"name": lambda obj: [obj["metadata"]["name"]]},
        digest=spec_only,
    )
    bench.client.lists.append(([thing("a", 1, spec=1)], 5))
    async with bench.running():
        assert bench.informer.store.by_index("name", "a") == {"ns/a"}
        entry = bench.informer.store.get("ns/a")
    assert entry is not None
    assert entry.object()["seen"] is True
    assert entry.digest == b"1"


async def test_metrics_tell_size_and_health() -> None:
    bench = Bench(cluster="t-informer")
    bench.client.lists.append(([thing("a", 1)], 5))
    async with bench.running():
        body, _ = metrics.exposition()
        labels = b'{cluster="t-informer",resource="things.example.com"}'
        assert b"klutch_bind_store_objects" + labels + b" 1.0" in body
        assert b"klutch_bind_informer_synced" + labels + b" 1.0" in body
    body, _ = metrics.exposition()
    assert b"klutch_bind_store_objects" + labels + b" 0.0" in body


# --- pool -----------------------------------------------------------------------------------------


async def test_a_pool_shares_what_is_the_same_and_stops_it_with_the_last_holder() -> None:
    client = ScriptedClient()
    client.lists.extend([([thing("a", 1)], 5)] * 3)
    client.watches.extend([[no_streaming()], [None]] * 3)
    async with InformerPool(cast("Client", client)) as pool:
        first = pool.acquire(THINGS, label_selector="a=b")
        assert pool.acquire(THINGS, label_selector="a=b", indexes={"x": lambda _: ["v"]}) is first
        other = pool.acquire(THINGS, label_selector="a=c")
        assert other is not first
        assert pool.acquire(THINGS, transform=lambda obj: obj) is not first
        await asyncio.wait_for(first.wait_synced(), 5)
        assert first.store.by_index("x", "v") == {"ns/a"}
        pool.release(first)
        assert first in pool.informers()
        pool.release(first)
        assert first not in pool.informers()
        await asyncio.sleep(0.01)
        assert any(watch.closed for watch in client.open)
        assert len(pool) == 2
        pool.release(first)
    assert len(pool) == 0
    assert all(watch.closed for watch in client.open)
    pool.release(other)


async def test_a_pool_that_does_not_run_gives_nothing() -> None:
    pool = InformerPool(cast("Client", ScriptedClient()))
    with pytest.raises(RuntimeError, match="not running"):
        pool.acquire(THINGS)
    async with pool:
        pass
    with pytest.raises(RuntimeError, match="not running"):
        pool.acquire(THINGS)


async def test_one_informer_that_cannot_connect_does_not_disturb_the_others() -> None:
    client = ScriptedClient()
    async with InformerPool(cast("Client", client)) as pool:
        broken = pool.acquire(THINGS)
        client.watches.append([KubeError("away")])
        await asyncio.sleep(0.01)
        client.watches.append([bookmark(5, ends_list=True), None])
        fine = pool.acquire(THINGS, label_selector="x")
        await asyncio.wait_for(fine.wait_synced(), 5)
        assert broken.last_error is not None
