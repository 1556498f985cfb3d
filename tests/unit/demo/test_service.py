"""Failures that a real server and cluster do not give on demand: what is reported, and when to try again.

Excluded: what works (`tests/integration/postgres`).
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.devcluster.demo import plan
from bind_agent.devcluster.demo.databases import ServerError
from bind_agent.devcluster.demo.objects import Address
from bind_agent.devcluster.demo.plan import Database, Role, Seen, Step
from bind_agent.devcluster.demo.service import Outcome, Service
from bind_agent.devcluster.demo.status import condition
from bind_agent.kube.errors import ConnectionFailed

pytestmark = pytest.mark.unit


class FakeServer:
    """Takes any plan for done; fails on demand."""

    server_version = "18.1"

    def __init__(self) -> None:
        self.down = False
        self.failure: ServerError | None = None
        self.seen = Seen(role=None, database=None)
        self.done: list[str] = []

    @asynccontextmanager
    async def session(self) -> AsyncIterator["FakeServer"]:
        if self.down:
            raise ServerError("ServerUnreachable", "cannot connect", retry=3.0)
        yield self

    async def observe(self, name: str) -> Seen:
        if self.done:
            role = Role(plan.mark("u-1"), can_login=True, connection_limit=5, parameters={}, verifier=None)
            self.seen = Seen(role, Database(name, "", is_open=False))
        return self.seen

    async def execute(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if self.failure is not None:
                raise self.failure
            self.done.append(step.what)


class FakeCluster:
    """Keeps objects by kind and name; fails on demand."""

    def __init__(self) -> None:
        self.down = False
        self.objects: dict[tuple[str, str], Object] = {}

    async def get_or_none(
        self, resource: Resource, name: str, *, namespace: str | None = None
    ) -> Object | None:
        del namespace
        if self.down:
            raise ConnectionFailed("connection refused")
        return self.objects.get((resource.kind, name))

    async def create(self, resource: Resource, obj: Object, *, namespace: str | None = None) -> Object:
        del namespace
        self.objects[resource.kind, obj["metadata"]["name"]] = obj
        return obj

    async def merge_patch(
        self, resource: Resource, name: str, patch: Object, *, namespace: str | None = None
    ) -> Object:
        raise AssertionError(f"nothing differs: {resource.kind} {name} {patch} {namespace}")

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, uid: str | None = None
    ) -> Object | None:
        del namespace, uid
        return self.objects.pop((resource.kind, name))


class Bench:
    def __init__(self) -> None:
        self.server, self.cluster = FakeServer(), FakeCluster()
        databases: Any = self.server
        self.service = Service(databases, Address("h", 1, "disable"), self.cluster)

    async def ensure(self, obj: Object) -> Outcome:
        return await self.service.ensure(obj)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def obj(status: Object | None = None, **spec: Any) -> Object:
    metadata = {"name": "orders", "namespace": "shop", "uid": "u-1", "generation": 1}
    return {"metadata": metadata, "spec": spec, "status": status or {}}


async def test_all_is_well_twice(bench: Bench) -> None:
    first = await bench.ensure(obj())
    assert (first.status["phase"], first.retry) == ("Ready", None)
    assert first.event is not None
    assert first.event.reason == "Provisioned"
    second = await bench.ensure(obj(first.status))
    assert second == Outcome(status={})
    assert (await bench.service.remove(obj(first.status))) == Outcome(status={})
    assert bench.cluster.objects == {}


@pytest.mark.parametrize(("was_ready", "phase"), [(False, "Pending"), (True, "Failed")])
@pytest.mark.parametrize(
    ("side", "reason", "type_"),
    [("server", "ServerUnreachable", "DatabaseReady"), ("cluster", "ClusterError", "CredentialsReady")],
)
async def test_a_side_that_is_away_is_waited_for(
    bench: Bench, was_ready: bool, phase: str, side: str, reason: str, type_: str
) -> None:
    before = (await bench.ensure(obj())).status if was_ready else {}
    getattr(bench, side).down = True
    outcome = await bench.ensure(obj(before))
    assert outcome.retry
    assert outcome.event is not None
    assert outcome.event.warning
    after = before | outcome.status
    assert after["phase"] == phase
    assert condition(after, type_)["reason"] == condition(after, "Ready")["reason"] == reason
    again = await bench.ensure(obj(after))
    assert (again.status, again.event) == ({}, None)  # the same trouble is not told twice
    getattr(bench, side).down = False
    assert (after | (await bench.ensure(obj(after))).status)["phase"] == "Ready"


async def test_an_object_that_the_crd_should_have_refused_is_reported_and_can_be_removed(
    bench: Bench,
) -> None:
    outcome = await bench.ensure(obj(connectionLimit=-1))
    assert (outcome.status["phase"], condition(outcome.status, "Ready")["reason"]) == (
        "Failed",
        "InvalidSpec",
    )
    assert bench.server.done == []
    assert (await bench.service.remove(obj(outcome.status, connectionLimit=-1))) == Outcome(status={})


async def test_a_blocked_deletion_is_reported_and_goes_on_later(bench: Bench) -> None:
    ready = (await bench.ensure(obj())).status
    bench.server.failure = ServerError("ServerError", "cannot drop the role: it owns things", retry=5.0)
    outcome = await bench.service.remove(obj(ready))
    assert (outcome.status["phase"], outcome.message) == ("Deleting", "cannot drop the role: it owns things")
    assert condition(outcome.status, "Ready")["reason"] == "DeletionBlocked"
    assert outcome.retry
    bench.server.failure = None
    assert (await bench.service.remove(obj(ready | outcome.status))) == Outcome(status={})
    assert bench.server.done[-1] == "drop the role"


async def test_a_foreign_object_stays_when_the_object_is_removed(bench: Bench) -> None:
    foreign = {"metadata": {"name": "orders-credentials", "uid": "x"}}
    bench.cluster.objects["Secret", "orders-credentials"] = foreign
    outcome = await bench.ensure(obj())
    assert condition(outcome.status, "Ready")["reason"] == "SecretConflict"
    assert bench.server.done == []
    await bench.service.remove(obj())
    assert bench.cluster.objects == {("Secret", "orders-credentials"): foreign}
