"""Whatever comes of a cluster that is not trusted: the budget holds, and only what is gone is told to be gone."""

from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.runtime.budget import OVERHEAD, Budget, OverBudget
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry
from tests.fakes.scripted import event, thing

pytestmark = pytest.mark.property

THINGS = Resource("example.com", "v1", "things", kind="Thing")
NAMES = st.sampled_from("abcdef")
SIZES = st.integers(0, 6000)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "unseen write"]), NAMES, SIZES),
        st.tuples(st.sampled_from(["delete", "unseen delete", "recreate"]), NAMES, SIZES),
        st.tuples(st.sampled_from(["list", "half a list"]), st.just(""), st.integers(0, 6)),
    ),
    max_size=50,
)


class World:
    """A server, and an informer that is fed by hand."""

    def __init__(self, limit: int) -> None:
        self.budget = Budget(limit)
        self.informer = Informer(cast("Client", None), THINGS, budget=self.budget)
        self.informer.add_handler(self._told)
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.list_due = True

    def _told(self, kind: Event, old: Entry | None, new: Entry | None) -> None:
        if kind is Event.DELETED:
            assert old is not None
            live = self.objects.get(old.key.partition("/")[2])
            assert live is None or live["metadata"]["uid"] != old.uid

    def play(self, step: str, name: str, size: int) -> None:
        self.version += 1
        known = self.objects.get(name)
        match step:
            case "list":
                self.feed(len(self.objects), complete=True)
            case "half a list":
                self.feed(size, complete=False)
            case "write" | "unseen write":
                uid = known["metadata"]["uid"] if known else f"uid-{self.version}"
                self.objects[name] = thing(name, self.version, uid=uid, spec="x" * size)
                self.change("MODIFIED" if known else "ADDED", self.objects[name], seen=step == "write")
            case "delete" | "unseen delete" if known:
                del self.objects[name]
                self.change("DELETED", known, seen=step == "delete")
            case "recreate" if known:
                self.play("unseen delete", name, 0)
                self.play("write", name, size)

    def change(self, kind: Any, obj: dict[str, Any], *, seen: bool) -> None:
        if not seen:
            self.list_due = True
        elif not self.list_due:
            self.try_it(lambda: self.informer.change(event(kind, obj)))

    def feed(self, count: int, *, complete: bool) -> None:
        def all_of_it() -> None:
            self.informer.begin()
            for obj in list(self.objects.values())[:count]:
                self.informer.present(orjson.dumps(obj))
            if complete:
                self.informer.complete()
                self.list_due = False

        self.list_due = True
        self.try_it(all_of_it)

    def try_it(self, step: Any) -> None:
        try:
            step()
        except OverBudget:
            self.list_due = True
            self.informer.give_up()

    def check(self) -> None:
        store = self.informer.store
        assert self.budget.used == store.bytes + OVERHEAD * len(store)
        assert self.budget.used <= self.budget.limit
        if not self.list_due:
            assert self.informer.has_synced
            versions = {f"ns/{n}": o["metadata"]["resourceVersion"] for n, o in self.objects.items()}
            assert {entry.key: entry.resource_version for entry in store.entries()} == versions


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 30_000))
def test_the_budget_holds_and_nothing_is_inferred_from_it(
    steps: list[tuple[str, str, int]], limit: int
) -> None:
    world = World(limit)
    for step in steps:
        world.play(*step)
        world.check()
    # Once there is little enough, two lists do, whatever was before: one makes room, one takes in.
    world.objects = {name: obj for name, obj in world.objects.items() if name == "a"}
    for _ in range(2):
        world.feed(len(world.objects), complete=True)
    world.check()
    if limit >= 9000:
        assert not world.list_due


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_with_room_enough_it_is_as_if_there_were_no_budget(steps: list[tuple[str, str, int]]) -> None:
    world = World(1_000_000)
    for step in [("list", "", 0), *steps]:
        world.play(*step)
        world.check()
        assert world.informer.has_synced
