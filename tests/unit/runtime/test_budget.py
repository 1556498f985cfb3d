"""Informers without memory for more: no half list counts, no deletion is inferred, others go on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson
import pytest

from bind_agent.aio.clock import VirtualClock
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.codec import decode_meta
from bind_agent.kube.watch import WatchEvent
from bind_agent.runtime import budget as budgets
from bind_agent.runtime.budget import OVERHEAD, Budget, OverBudget
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.store import Entry
from tests.fakes.scripted import ScriptedClient, bookmark, event, gone, thing

pytestmark = pytest.mark.unit

THINGS = Resource("example.com", "v1", "things", kind="Thing")
ROOM = 4 * OVERHEAD
"""For one large object and no other."""


def large(name: str, version: int, **fields: Any) -> dict[str, Any]:
    return thing(name, version, spec="x" * 2000, **fields)


class Bench:
    """An informer of a cluster that is not trusted."""

    def __init__(self, limit: int = ROOM, **arguments: Any) -> None:
        self.client = ScriptedClient()
        self.clock = VirtualClock()
        self.budget = Budget(limit, remedy="raise --the-flag")
        arguments = {"streaming": False, "clock": self.clock, "budget": self.budget} | arguments
        self.informer = Informer(cast("Client", self.client), THINGS, **arguments)
        self.log: list[str] = []
        self.informer.add_handler(self._told)

    def _told(self, kind: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        assert entry is not None
        self.log.append(f"{kind} {entry.key} {entry.resource_version}")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.informer.run())
        try:
            await self.clock.advance(0)
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            self.accounts_agree()

    @property
    def held(self) -> dict[str, str]:
        return {entry.key: entry.resource_version for entry in self.informer.store.entries()}

    def accounts_agree(self) -> None:
        store = self.informer.store
        assert self.budget.used == store.bytes + OVERHEAD * len(store)
        assert self.budget.used <= self.budget.limit
        assert self.budget.halves == 0


# --- the first list -----------------------------------------------------------------------------------


async def test_a_first_list_that_does_not_fit_is_given_up_and_tried_again_much_later() -> None:
    bench = Bench()
    bench.client.lists.append(([large("a", 1), large("b", 2)], 5))
    bench.client.lists.append(([large("a", 1)], 6))
    async with bench.running():
        assert isinstance(bench.informer.last_error, OverBudget)
        assert str(bench.informer.last_error) == (
            "things.example.com is not taken in: all that is kept of one cluster may take 4096 bytes of memory. "
            "Nothing new of it is seen until there are fewer or smaller objects; or raise --the-flag"
        )
        assert not bench.informer.has_synced
        assert bench.held == {}
        assert bench.budget.used == 0
        assert bench.log == ["ADDED ns/a 1"]  # heard of while it was there; nobody is told that it is gone
        await bench.clock.advance(14)
        assert len(bench.client.listed) == 1
        await bench.clock.advance(17)
        assert bench.informer.has_synced
        assert bench.informer.last_error is None
        assert bench.held == {"ns/a": "1"}


async def test_what_fits_is_taken_in_as_ever() -> None:
    bench = Bench()
    bench.client.lists.append(([large("a", 1)], 5))
    bench.client.watches.append([event("MODIFIED", large("a", 6)), event("DELETED", large("a", 7)), None])
    async with bench.running():
        assert bench.informer.has_synced
        assert bench.informer.last_error is None
    assert bench.log == ["ADDED ns/a 1", "MODIFIED ns/a 6", "DELETED ns/a 6"]


async def test_a_cluster_that_is_trusted_has_no_bound() -> None:
    bench = Bench(budget=None)
    bench.client.lists.append(([large(f"n{n}", n) for n in range(100)], 500))
    task = asyncio.ensure_future(bench.informer.run())
    await bench.informer.wait_synced()
    assert len(bench.held) == 100
    bench.informer.end()
    task.cancel()
    await asyncio.wait([task])


async def test_the_bound_holds_while_pages_come_in() -> None:
    bench = Bench()
    read: list[int] = []
    items = orjson.dumps

    class Pages(ScriptedClient):
        async def pages(self, _resource: Any, **arguments: Any) -> Any:
            self.listed.append(arguments)
            from bind_agent.kube.lists import RawPage

            for number in range(1000):
                read.append(number)
                yield RawPage([items(large(f"n{number}", number))], "5", last=False)

    bench.informer._reflector._client = cast("Any", Pages())
    async with bench.running():
        assert read == [0, 1]
        assert bench.held == {}
        assert cast("Any", bench.informer._reflector._client).listed[0]["page_bytes"] == budgets.PAGE


async def test_a_streaming_list_that_does_not_fit_is_given_up_too() -> None:
    bench = Bench(streaming=True)
    bench.client.watches.append(
        [event("ADDED", large("a", 1)), event("ADDED", large("b", 2)), bookmark(5, ends_list=True), None]
    )
    async with bench.running():
        assert isinstance(bench.informer.last_error, OverBudget)
        assert not bench.informer.has_synced
        assert bench.held == {}
        assert bench.client.open[0].closed


async def test_a_streaming_list_without_an_end_ends() -> None:
    bench = Bench(streaming=True)
    same = [event("ADDED", large("a", version)) for version in range(100)]
    bench.client.watches.append([*same, None])
    async with bench.running():
        assert "does not end" in str(bench.informer.last_error)
        assert bench.held == {}


async def test_half_a_first_list_that_breaks_off_for_want_of_room_elsewhere_is_freed() -> None:
    bench = Bench(streaming=True)

    def half() -> None:
        share = bench.informer._share
        assert share is not None
        share.hold_half(10_000)

    bench.client.watches.append([event("ADDED", large("a", 1)), half, None])
    async with bench.running():
        assert isinstance(bench.informer.last_error, OverBudget)
        assert bench.held == {}
        assert bench.informer._share is not None
        bench.informer._share.hold_half(0)


async def test_what_others_are_told_does_not_make_a_list_come_sooner() -> None:
    bench = Bench()
    bench.client.lists.extend([([large("a", 1), large("b", 2)], 5)] * 2)
    async with bench.running():
        bench.informer.nudge()
        await bench.clock.advance(10)
        assert len(bench.client.listed) == 1


async def test_a_schema_that_changes_while_a_list_is_waited_for_changes_nothing() -> None:
    bench = Bench()
    bench.client.lists.extend([([large("a", 1), large("b", 2)], 5), ([large("a", 3)], 6)])
    async with bench.running():
        bench.informer._reflector._start_anew()
        await bench.clock.advance(10)
        assert len(bench.client.listed) == 1
        await bench.clock.advance(21)
        assert bench.held == {"ns/a": "3"}


async def test_the_pauses_grow_until_a_list_is_taken_in() -> None:
    bench = Bench()
    bench.client.lists.extend([([large("a", 1), large("b", 2)], 5)] * 20)
    async with bench.running():
        await bench.clock.advance(3600)
        assert 12 <= len(bench.client.listed) <= 20


# --- a collection that is known -----------------------------------------------------------------------


async def test_one_object_too_many_ends_the_watch_and_takes_nothing_away() -> None:
    bench = Bench()
    bench.client.lists.append(([large("a", 1)], 5))
    bench.client.watches.append(
        [event("ADDED", large("b", 6)), event("MODIFIED", large("a", 7)), None],
    )
    bench.client.lists.append(([large("a", 7), large("b", 6)], 8))
    bench.client.lists.append(([large("b", 6)], 9))
    async with bench.running():
        assert isinstance(bench.informer.last_error, OverBudget)
        assert bench.informer.has_synced
        assert bench.held == {"ns/a": "1"}
        assert bench.client.open[0].closed
        await bench.clock.advance(31)
        # What is known is brought up to date; there is no room for more as yet.
        assert bench.held == {"ns/a": "7"}
        assert isinstance(bench.informer.last_error, OverBudget)
        await bench.clock.advance(61)
        assert "DELETED ns/a 7" in bench.log
        await bench.clock.advance(121)
    assert bench.log[:2] == ["ADDED ns/a 1", "MODIFIED ns/a 7"]
    assert len([line for line in bench.log if line.startswith("DELETED")]) == 1


async def test_where_all_was_exchanged_what_is_gone_makes_room() -> None:
    bench = Bench()
    bench.client.lists.append(([large("a", 1)], 5))
    bench.client.watches.append([gone()])
    bench.client.lists.extend([([large("b", 8)], 9)] * 2)
    async with bench.running():
        await bench.clock.advance(1)
        assert isinstance(bench.informer.last_error, OverBudget)
        assert bench.log == ["ADDED ns/a 1", "DELETED ns/a 1"]
        await bench.clock.advance(31)
        assert bench.held == {"ns/b": "8"}
        assert bench.informer.last_error is None


async def test_a_list_that_breaks_off_after_a_refusal_infers_nothing() -> None:
    bench = Bench(limit=5000)
    bench.client.lists.append(([thing("a", 1), large("c", 2)], 5))
    bench.client.watches.append([gone()])
    bench.client.lists.append(([[large("b", 8)], [gone()]], 9))
    async with bench.running():
        await bench.clock.advance(1)
        assert bench.held == {"ns/a": "1", "ns/c": "2"}
    assert not [line for line in bench.log if line.startswith("DELETED")]


async def test_an_object_that_grows_too_far_stays_as_it_was_known() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1)], 5))
    bench.client.watches.append([event("MODIFIED", thing("a", 6, spec="x" * 4000)), None])
    bench.client.lists.append(([thing("a", 6, spec="x" * 4000)], 7))
    async with bench.running():
        assert bench.held == {"ns/a": "1"}
        await bench.clock.advance(31)
        assert bench.held == {"ns/a": "1"}
        assert bench.informer.has_synced
    assert bench.log == ["ADDED ns/a 1"]


async def test_one_made_anew_that_does_not_fit_is_gone_as_the_one_that_it_was() -> None:
    bench = Bench()
    bench.client.lists.append(([thing("a", 1, uid="first")], 5))
    bench.client.watches.append([event("ADDED", thing("a", 6, uid="second", spec="x" * 4000)), None])
    async with bench.running():
        assert bench.held == {}
    assert bench.log == ["ADDED ns/a 1", "DELETED ns/a 1"]


# --- objects beyond any size --------------------------------------------------------------------------


def raw_event(kind: Any, obj: dict[str, Any]) -> WatchEvent:
    raw = orjson.dumps(obj)
    return WatchEvent(kind, raw, decode_meta(raw))


async def test_an_object_that_no_server_stores_is_not_even_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bind_agent.runtime.informer.LARGEST", 1000)
    decoded: list[str] = []

    def note(obj: dict[str, Any]) -> dict[str, Any]:
        decoded.append(obj["metadata"]["name"])
        return obj

    bench = Bench(limit=100_000, transform=note)
    bench.client.lists.append(([thing("a", 1), thing("b", 2)], 5))
    bench.client.watches.append([raw_event("MODIFIED", large("a", 6)), None])
    bench.client.lists.append(([large("a", 6), thing("c", 7)], 8))
    async with bench.running():
        assert "no API server stores" in str(bench.informer.last_error)
        await bench.clock.advance(31)
        # It is there, if not as it is now; another one is not, which the list has shown.
        assert bench.held == {"ns/a": "1", "ns/c": "7"}
        assert isinstance(bench.informer.last_error, OverBudget)
    assert decoded == ["a", "b", "c"]


async def test_nonsense_beyond_any_size_is_refused_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bind_agent.runtime.informer.LARGEST", 1000)
    bench = Bench(limit=100_000)
    bench.client.lists.append(([cast("Any", b"[" * 2000)], 5))
    async with bench.running():
        assert isinstance(bench.informer.last_error, OverBudget)
        assert not bench.informer.has_synced


# --- several in one pool ------------------------------------------------------------------------------


class Namespaces:
    """A cluster with a script for each namespace."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.scripts = {namespace: ScriptedClient() for namespace in objects}
        for namespace, found in objects.items():
            self.scripts[namespace].watches.append(stream(*found))

    def watch(self, resource: Any, **arguments: Any) -> Any:
        return self.scripts[arguments["namespace"]].watch(resource, **arguments)


def stream(*objects: dict[str, Any]) -> list[Any]:
    return [*(event("ADDED", one) for one in objects), bookmark(5, ends_list=True), None]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_others_go_on_and_what_is_given_back_is_there_for_them() -> None:
    budget = Budget(8000)
    cluster = Namespaces(
        hostile=[large(f"n{n}", n, namespace="hostile") for n in range(10)],
        good=[large("a", 1, namespace="good")],
        late=[large("b", 1, namespace="late")],
    )
    async with InformerPool(cast("Any", cluster), budget=budget) as pool:
        hostile = pool.acquire(THINGS, namespace="hostile")
        good = pool.acquire(THINGS, namespace="good")
        await settle()
        assert isinstance(hostile.last_error, OverBudget)
        assert "things.example.com in namespace hostile" in str(hostile.last_error)
        assert (good.has_synced, good.last_error, len(good.store)) == (True, None, 1)
        late = pool.acquire(THINGS, namespace="late")
        await settle()
        assert (late.has_synced, late.last_error) == (True, None)
        assert budget.used > 6000
        pool.release(good)
        assert 3000 < budget.used < 4000
        pool.release(late)
        assert budget.used == 0


async def test_while_a_first_list_tries_in_vain_what_is_known_may_grow() -> None:
    bench = Bench(limit=4000)
    bench.client.lists.append(([large("a", 1)], 5))
    bench.client.watches.append([event("MODIFIED", thing("a", 6, spec="x" * 2500)), None])
    newcomer = bench.budget.share("others")
    async with bench.running():
        assert not newcomer.take(1)
        assert bench.held == {"ns/a": "6"}


def test_a_share_that_ended_takes_nothing_more() -> None:
    budget = Budget(100)
    share = budget.share("things")
    assert share.take(60)
    assert not share.take(60)
    share.close()
    assert budget.used == 0
    assert not share.take(1)


def test_halves_of_events_have_room_of_their_own() -> None:
    budget = Budget(800)
    one, other = budget.share("one"), budget.share("other")
    one.settle()
    assert one.take(800)
    one.hold_half(60)
    one.hold_half(90)
    with pytest.raises(OverBudget):
        other.hold_half(20)
    other.hold_half(0)
    one.hold_half(0)
    assert budget.halves == 0


@pytest.mark.parametrize(("limit", "words"), [(128 << 20, "may take 128 MiB"), (5000, "may take 5000 bytes")])
def test_the_bound_is_named(limit: int, words: str) -> None:
    assert words in str(Budget(limit).share("things").exceeded())
