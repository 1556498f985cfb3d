"""How often missing rights are asked for again. Excluded: that their coming is noticed (integration tests)."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from bind_agent.aio.clock import VirtualClock
from bind_agent.api.meta import Object
from bind_agent.backend.controllers.export import ExportReconciler
from bind_agent.backend.controllers.patience import Patience
from bind_agent.backend.exports import Policy, Problem
from bind_agent.backend.rights import Rights

pytestmark = pytest.mark.unit

MINUTE = 60.0


class Server:
    """Answers what we may do, and keeps what is written."""

    def __init__(self, *exports: str) -> None:
        self.clock = VirtualClock()
        self.asked = 0
        self.rules: list[Object] = []
        self.exports: dict[str, Object] = {name: export(name) for name in exports}
        self.rights = Rights(self, clock=self.clock)  # type: ignore[arg-type]
        self.context: Any = SimpleNamespace(
            client=self,
            clock=self.clock,
            rights=self.rights,
            policy=Policy(),
            draft=self.draft,
            recorder=SimpleNamespace(event=lambda *_, **__: None),
            views=SimpleNamespace(
                export=self.exports.get,
                tenant=lambda _: {"metadata": {"name": "ns"}},
                crds=SimpleNamespace(store={"dbs.a.example"}),
                templates_of=lambda _: [],
                cluster_roles=SimpleNamespace(store={}),
                cluster_role_bindings=None,
            ),
        )

    async def create(self, *_: object) -> Object:
        self.asked += 1
        return {"status": {"resourceRules": self.rules}}

    async def draft(self, *_: object) -> Problem:
        return Problem("TemplateNotFound", "there is none")

    async def merge_patch(self, _: object, name: str, patch: Object, **__: object) -> Object:
        key = next(key for key, one in self.exports.items() if one["metadata"]["name"] == name)
        found = self.exports[key]
        version = str(int(found["metadata"]["resourceVersion"]) + 1)
        metadata = {**found["metadata"], "resourceVersion": version}
        self.exports[key] = {**found, "metadata": metadata, "status": patch["status"]}
        return self.exports[key]

    async def live(self, reconciler: ExportReconciler, seconds: float) -> int:
        """Reconcile whenever it is due; how often the server was asked."""
        before, end = self.asked, self.clock.monotonic() + seconds
        due = dict.fromkeys(self.exports, self.clock.monotonic())
        while due and (key := min(due, key=lambda one: due[one])) and due[key] <= end:
            await self.clock.advance(max(0.0, due[key] - self.clock.monotonic()))
            result = await reconciler.reconcile(key)
            if result is None or result.after is None:
                del due[key]
            else:
                due[key] = self.clock.monotonic() + result.after
        await self.clock.advance(max(0.0, end - self.clock.monotonic()))
        return self.asked - before


def export(name: str) -> Object:
    return {
        "metadata": {"name": "dbs.a.example", "namespace": name, "uid": name, "resourceVersion": "1"},
        "spec": {"group": "a.example", "names": {"plural": "dbs"}},
    }


RULES = [{"apiGroups": ["a.example"], "resources": ["dbs"], "verbs": ["*"]}]


async def test_rights_that_stay_missing_are_asked_for_less_and_less() -> None:
    server = Server("ns/dbs.a.example")
    reconciler = ExportReconciler(server.context)
    assert 2 <= await server.live(reconciler, 20) <= 5
    assert await server.live(reconciler, 60 * MINUTE) <= 100
    # And are noticed within about a minute when no event tells of them.
    server.rules = RULES
    assert await server.live(reconciler, MINUTE) == 1
    assert await server.live(reconciler, 60 * MINUTE) <= 1


async def test_many_exports_ask_together() -> None:
    server = Server(*(f"ns{number}/dbs.a.example" for number in range(50)))
    reconciler = ExportReconciler(server.context)
    await server.live(reconciler, 10 * MINUTE)
    assert await server.live(reconciler, 60 * MINUTE) <= 100


async def test_a_change_begins_anew() -> None:
    server = Server("ns/dbs.a.example")
    reconciler = ExportReconciler(server.context)
    await server.live(reconciler, 20 * MINUTE)
    server.rights.changed()
    assert await server.live(reconciler, 20) >= 2


class TestPatience:
    def test_it_grows_to_about_a_minute(self) -> None:
        clock = VirtualClock()
        waits = []
        patience = Patience(clock)
        for _ in range(8):
            waits.append(patience.wait("a", "missing").total_seconds())
            clock._elapsed += waits[-1]
        assert waits[0] <= 7.5
        assert all(20 <= one <= 60 for one in waits[-3:])

    def test_looking_in_between_costs_no_patience(self) -> None:
        """Events bring a key back at any time."""
        clock = VirtualClock()
        patience = Patience(clock)
        first = patience.wait("a", "missing")
        for _ in range(20):
            assert patience.wait("a", "missing") == first
        clock._elapsed += 1
        assert patience.wait("a", "missing") == first - timedelta(seconds=1)

    def test_something_else_that_is_missing_and_what_came_begin_anew(self) -> None:
        clock = VirtualClock()
        patience = Patience(clock)
        for _ in range(8):
            clock._elapsed += patience.wait("a", "missing").total_seconds()
        assert patience.wait("a", "another").total_seconds() <= 7.5
        for _ in range(8):
            clock._elapsed += patience.wait("a", "another").total_seconds()
        patience.forget("a")
        assert patience.wait("a", "another").total_seconds() <= 7.5
        assert patience.wait("b", "another").total_seconds() <= 7.5
