"""Whatever a server does to a watch, the store ends up as the server, and the events tell the way there."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bind_agent.aio.clock import VirtualClock
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import ConnectionFailed
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.store import Entry
from tests.fakes.scripted import ScriptedClient, Step, bookmark, event, gone, thing

pytestmark = pytest.mark.property

THINGS = Resource("example.com", "v1", "things", kind="Thing")

NAMES = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES),
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("recreate"), NAMES),
        st.tuples(st.sampled_from(["bookmark", "close", "reset", "expire", "miss"]), st.just("")),
    ),
    max_size=40,
)


class World:
    """A server with history: writes a script of connections for an informer that follows it."""

    def __init__(self, *, streaming: bool) -> None:
        self.client = ScriptedClient()
        self.streaming = streaming
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 10
        self.steps: list[Step] = []
        self.missed = False

    def connect(self) -> None:
        """Begin a list and a watch as of now."""
        self.steps = []
        if self.streaming:
            self.steps.extend(event("ADDED", obj) for obj in self.objects.values())
            self.steps.append(bookmark(self.version, ends_list=True))
        else:
            self.client.lists.append((list(self.objects.values()), self.version))
        self.client.watches.append(self.steps)
        self.missed = False

    def resume(self) -> None:
        self.steps = []
        self.client.watches.append(self.steps)

    def change(self, kind: Any, obj: dict[str, Any]) -> None:
        if not self.missed:
            self.steps.append(event(kind, obj))

    def play(self, step: str, name: str) -> None:
        self.version += 1
        known = self.objects.get(name)
        match step:
            case "write":
                uid = known["metadata"]["uid"] if known else f"uid-{self.version}"
                self.objects[name] = thing(name, self.version, uid=uid, spec=self.version)
                self.change("MODIFIED" if known else "ADDED", self.objects[name])
            case "delete" if known:
                del self.objects[name]
                self.change(
                    "DELETED",
                    {**known, "metadata": {**known["metadata"], "resourceVersion": str(self.version)}},
                )
            case "recreate" if known:
                self.play("delete", name)
                self.play("write", name)
            case "bookmark" if not self.missed:
                self.steps.append(bookmark(self.version))
            case "miss":
                # What happens from here on is lost; only a list can tell.
                self.missed = True
            case "close" | "reset" if not self.missed:
                # Something was received on each connection, or two short ones would (rightly) lead to a list.
                self.steps.append(bookmark(self.version))
                if step == "reset":
                    self.steps.append(ConnectionFailed("reset"))
                self.resume()
            case "expire":
                self.steps.append(gone())
                self.connect()

    def end(self) -> None:
        if self.missed:
            self.steps.append(gone())
            self.connect()
        self.steps.append(None)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.booleans())
def test_the_store_ends_up_as_the_server(steps: list[tuple[str, str]], streaming: bool) -> None:
    world = World(streaming=streaming)
    world.play("write", "a")
    world.connect()
    for step, name in steps:
        world.play(step, name)
    world.end()
    mirror: dict[str, str] = {}

    def follow(kind: Event, old: Entry | None, new: Entry | None) -> None:
        # The events alone lead from nothing to the end, each one fitting to what was told before.
        if kind is Event.ADDED:
            assert old is None
            assert new is not None
            assert new.key not in mirror
            mirror[new.key] = new.resource_version
        elif kind is Event.MODIFIED:
            assert old is not None
            assert new is not None
            assert old.uid == new.uid
            assert mirror[old.key] == old.resource_version
            assert int(old.resource_version) < int(new.resource_version)
            mirror[new.key] = new.resource_version
        else:
            assert old is not None
            assert new is None
            assert mirror.pop(old.key) == old.resource_version

    async def run() -> None:
        clock = VirtualClock()
        informer = Informer(cast("Client", world.client), THINGS, streaming=streaming, clock=clock)
        failures: list[BaseException] = []

        def told(kind: Event, old: Entry | None, new: Entry | None) -> None:
            try:
                follow(kind, old, new)
            except BaseException as error:
                failures.append(error)

        informer.add_handler(told)
        task = asyncio.ensure_future(informer.run())
        for _ in range(len(steps) + 4):
            await clock.advance(31)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert not failures, failures
        truth = {f"ns/{name}": obj["metadata"]["resourceVersion"] for name, obj in world.objects.items()}
        assert {entry.key: entry.resource_version for entry in informer.store.entries()} == truth
        assert mirror == truth

    asyncio.run(run())
