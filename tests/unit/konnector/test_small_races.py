"""Moments that are rare and would otherwise leave something behind for good."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from bind_agent.api import conditions, keys
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.kube.errors import Conflict, ServerError
from bind_agent.runtime.informer import Event
from bind_agent.runtime.store import Store, make_entry
from konnector.controllers import heartbeat, schema
from konnector.options import Options
from konnector.sync.namespaces import ServiceNamespaces
from tests.fakes.parts import provider

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Informer:
    """A collection that is filled by hand."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.store = Store()
        self.resource_version = "1"
        self.has_synced = True
        self.last_error = None
        self.handlers: list[Callable[..., None]] = []
        for obj in objects:
            self.store.put(make_entry(obj))

    def add_handler(self, handler: Callable[..., None]) -> Callable[[], None]:
        self.handlers.append(handler)
        for entry in self.store.entries():
            handler(Event.ADDED, None, entry)
        return lambda: self.handlers.remove(handler)

    def add_list_handler(self, handler: Callable[[], None]) -> Callable[[], None]:
        """It never lists again."""
        return lambda: None

    async def wait_synced(self) -> None:
        """It is."""

    def put(self, obj: dict[str, Any]) -> None:
        entry = make_entry(obj)
        old = self.store.put(entry)
        for handler in self.handlers:
            handler(Event.MODIFIED if old else Event.ADDED, old, entry)

    def delete(self, key: str) -> None:
        old = self.store.remove(key)
        for handler in self.handlers:
            handler(Event.DELETED, old, None)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_sync_that_is_ending_does_not_keep_a_mapping_from_the_others() -> None:
    namespace = {"metadata": {"name": "shop", "uid": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    marks = {keys.CONSUMER_CLUSTER: "c", keys.SOURCE_UID: "n"}
    record: dict[str, Any] = {
        "metadata": {"name": "shop", "namespace": "cns", "uid": "r", "annotations": marks},
        "status": {"namespace": "cns-shop"},
    }
    app: Any = SimpleNamespace(cluster_id="c")
    records: Any = Informer(record)
    namespaces: Any = Informer(namespace)
    nothing: Any = None
    mapping = ServiceNamespaces(app, nothing, "cns", records, namespaces)
    heard: list[tuple[str, str | None]] = []

    def ending(*_: object) -> None:
        raise RuntimeError("the task group is shutting down")

    mapping.subscribe(ending)
    mapping.subscribe(lambda *what: heard.append(what))
    running = asyncio.create_task(mapping.controller.run())
    await settle()
    assert heard == [("shop", "cns-shop")]
    running.cancel()


@pytest.mark.parametrize(
    ("error", "told"),
    [(Conflict("changed", code=409), []), (ServerError("broken", code=500), ["False"])],
    ids=["conflict", "failure"],
)
async def test_only_a_real_failure_of_the_heartbeat_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: list[str]
) -> None:
    stated: list[Condition] = []
    binding = {"metadata": {"name": keys.CLUSTER_BINDING_NAME, "namespace": "cns"}, "spec": {}}
    informer = Informer(binding)
    pool: Any = SimpleNamespace(acquire=lambda *_, **__: informer, release=lambda _: None)
    beating = heartbeat.Heartbeat(provider(pool=pool), Options(), credential=None, state=stated.append)

    async def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr(heartbeat, "write_status", refused)
    running = asyncio.create_task(beating.controller.run())
    await settle()
    running.cancel()
    assert sorted({condition.status for condition in stated}) == told


def test_a_time_without_a_zone_counts_as_none() -> None:
    valid = conditions.true(ConditionType.SECRET_VALID)
    found = {"metadata": {}, "status": {"lastHeartbeatTime": "2026-01-01T00:00:00"}}
    desired, _ = heartbeat.beat(found, [valid], now=NOW, interval=300.0, version="v1")
    assert desired["status"]["lastHeartbeatTime"] == "2026-01-01T00:00:00Z"


async def test_a_crd_that_was_deleted_as_we_wrote_it_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "dbs.example.com"
    owner = {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "name": name, "uid": "b"}
    binding = {"metadata": {"name": name, "namespace": "klutch-bind", "uid": "b"}}
    wanted: dict[str, Any] = {
        "metadata": {"name": name, "ownerReferences": [owner]},
        "spec": {"group": "example.com"},
    }
    monkeypatch.setattr(schema, "desired_crd", lambda *_, **__: wanted)
    crds = Informer()
    made: list[str] = []

    async def create(_: Any, obj: dict[str, Any], **__: Any) -> dict[str, Any]:
        made.append(obj["metadata"]["name"])
        metadata = {**obj["metadata"], "uid": f"crd-{len(made)}", "resourceVersion": str(10 * len(made))}
        return {**obj, "metadata": metadata}

    pool = SimpleNamespace(acquire=lambda *_, **__: crds, release=lambda _: None)
    app: Any = SimpleNamespace(pool=pool, client=SimpleNamespace(create=create), control_plane="")
    status: Any = SimpleNamespace(state=lambda *_: None, state_provider=lambda *_: None)
    export = {"metadata": {"name": name, "namespace": "cns"}}
    schemas = schema.Schemas(
        app,
        Informer(export),  # type: ignore[arg-type]
        Informer(binding),  # type: ignore[arg-type]
        "cns",
        served=lambda: frozenset({f"klutch-bind/{name}"}),
        status=status,
        pretty_name=str,
    )
    with schemas:
        running = asyncio.create_task(schemas.controller.run())
        await settle()
        assert made == [name]
        # Both are seen before anything is looked at again.
        crds.put({**wanted, "metadata": {**wanted["metadata"], "uid": "crd-1", "resourceVersion": "10"}})
        crds.delete(name)
        await settle()
        assert made == [name, name]
        running.cancel()
