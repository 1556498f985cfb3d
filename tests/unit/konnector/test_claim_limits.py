"""A provider may have so many claimed objects on the app cluster: no more are made, what is there goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.resource import CONFIGMAPS, SECRETS, Resource
from bind_agent.kube.errors import Forbidden
from konnector.limit_options import Limits
from konnector.sync.bound_namespaces import BoundNamespaces
from konnector.sync.claim_quota import Quota
from konnector.sync.claims import ClaimSync
from konnector.sync.model import Reason
from konnector.sync.reports import Reports
from tests.fakes.parts import NotedEvents, StillInformer, StillPool, app_cluster

pytestmark = pytest.mark.unit

API = "things.g.example"


class Mapping:
    """One namespace, with an object of the API."""

    def __init__(self) -> None:
        self.bound = BoundNamespaces()
        self.bound.change(API, "shop", 1)

    def mappings(self) -> dict[str, str]:
        return {"shop": "cns-shop"}

    def service_namespace(self, name: str) -> str | None:
        return self.mappings().get(name)

    def consumer_namespace(self, name: str) -> str | None:
        return "shop" if name == "cns-shop" else None

    def subscribe(self, listener: Any) -> Any:
        listener("shop", "cns-shop")
        return lambda: None


class Writes:
    """The app cluster: what is written shows on the watch."""

    def __init__(self, pool: StillPool) -> None:
        self.pool = pool
        self.version = 100
        self.denied = False

    def _shown(self, resource: Resource) -> StillInformer:
        return next(one for (plural, _), one in self.pool.made.items() if plural == resource.plural)

    async def create(self, resource: Resource, obj: Object) -> Object:
        if self.denied:
            raise Forbidden("no", code=403, reason="Forbidden")
        self.version += 1
        added = {"uid": f"u{self.version}", "resourceVersion": str(self.version)}
        stored = {**obj, "metadata": {**obj["metadata"], **added}}
        self._shown(resource).put(stored)
        return stored

    async def replace(self, resource: Resource, obj: Object) -> Object:
        return await self.create(resource, obj)

    async def delete(self, resource: Resource, name: str, *, namespace: str, **_: Any) -> None:
        self._shown(resource).remove(f"{namespace}/{name}")

    async def get_or_none(self, _resource: Resource, _name: str, *, namespace: str) -> None:
        assert namespace


class World:
    """A provider and its claimed objects."""

    def __init__(self, limits: Limits, *, quota: Quota | None = None, kind: Resource = SECRETS) -> None:
        self.here, self.there = StillPool(), StillPool()
        self.app = Writes(self.here)
        self.quota = quota or Quota(limits)
        self.events = NotedEvents()
        self.kind = kind
        cluster = app_cluster(self.app, workers=2)
        object.__setattr__(cluster, "pool", self.here)
        self.sync = ClaimSync(
            cluster,
            cast("Any", self.app),
            cast("Any", self.there),
            cast("Any", Mapping()),
            kind,
            provider_id="p",
            reports=Reports(cast("Any", self.events), f"claim:{kind.plural}"),
            quota=self.quota,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        selector = ClaimSelector(owner=keys.OWNER_PROVIDER)
        claim = PermissionClaim(resource=self.kind.plural, version="v1", selector=selector)
        self.sync.update({API: [claim]})
        task = asyncio.ensure_future(self.sync.run())
        try:
            await self.settle()
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def settle(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    @property
    def sources(self) -> StillInformer:
        return next(one for (_, where), one in self.there.made.items() if where.startswith("cns-shop"))

    async def make(self, name: str, data: str = "YQ==", version: int = 1) -> None:
        metadata = {"namespace": "cns-shop", "name": name, "uid": name, "resourceVersion": str(version)}
        obj = {"apiVersion": "v1", "kind": self.kind.kind, "metadata": metadata, "data": {"a": data}}
        self.sources.put(obj)
        await self.settle()

    async def end(self, name: str) -> None:
        self.sources.remove(f"cns-shop/{name}")
        await self.settle()

    @property
    def copied(self) -> dict[str, str]:
        (shown,) = self.here.made.values()
        found = [entry.object() for entry in shown.store.entries()]
        return {meta.name(obj): obj["data"]["a"] for obj in found}

    @property
    def says(self) -> str:
        found = self.sync.reports.hindrance
        return found[1] if found is not None and found[0] == Reason.LIMIT else ""


async def test_no_more_are_made_than_allowed_and_the_binding_says_so() -> None:
    world = World(Limits(claimed_copies=2))
    async with world.running():
        for name in "abcd":
            await world.make(name)
        assert set(world.copied) == {"a", "b"}
        assert world.says.startswith(
            "the provider has as much on the app cluster as it may, 2 claimed objects;"
        )
        assert "raise --max-claimed-copies" in world.says
        # No event for each of any number of objects.
        assert world.events.events == []
        assert world.sync.reports.refused == {}


async def test_what_is_there_is_kept_up_to_date_and_taken_back_and_makes_room() -> None:
    world = World(Limits(claimed_copies=2))
    async with world.running():
        for name in "abcd":
            await world.make(name)
        await world.make("a", "Yg==", 2)
        assert world.copied == {"a": "Yg==", "b": "YQ=="}
        await world.end("a")
        assert set(world.copied) == {"b", "c"}
        assert world.says
        await world.end("b")
        assert set(world.copied) == {"c", "d"}
        assert world.says == ""
        assert world.quota.copies == 2


async def test_one_that_waits_and_is_not_wanted_any_more_holds_nobody_up() -> None:
    world = World(Limits(claimed_copies=1))
    async with world.running():
        for name in "abc":
            await world.make(name)
        await world.end("b")
        await world.end("a")
        assert set(world.copied) == {"c"}
        assert world.says == ""
        await world.end("c")
        assert (world.copied, world.quota.copies, world.quota.bytes) == ({}, 0, 0)


async def test_below_the_bound_nothing_is_said() -> None:
    world = World(Limits(claimed_copies=3))
    async with world.running():
        for name in "abc":
            await world.make(name)
        assert set(world.copied) == {"a", "b", "c"}
        assert world.sync.reports.hindrance is None


async def test_bytes_are_bounded_too_when_a_copy_grows() -> None:
    world = World(Limits(claimed_bytes=5000))
    async with world.running():
        await world.make("a")
        await world.make("b", "x" * 3000)
        await world.make("a", "x" * 3000, 2)
        assert world.copied["a"] == "YQ=="
        assert "5000 of claimed objects" in world.says
        assert "--max-claimed-bytes" in world.says
        # What shrinks always goes, and makes room.
        await world.make("b", "eA==", 2)
        assert world.copied["b"] == "eA=="
        await world.settle()
        assert world.copied["a"] == "x" * 3000
        assert world.says == ""
        assert world.quota.bytes < 5000


async def test_copies_of_an_earlier_run_count() -> None:
    first = World(Limits(claimed_copies=2))
    async with first.running():
        await first.make("a")
        await first.make("b")
    again = World(Limits(claimed_copies=2))
    again.here.made, again.there.made = first.here.made, first.there.made
    async with again.running():
        await again.make("c")
        assert set(again.copied) == {"a", "b"}
        assert again.quota.copies == 2
    assert again.quota.copies == 0


async def test_objects_of_the_app_cluster_itself_do_not_count() -> None:
    world = World(Limits(claimed_copies=1))
    async with world.running():
        (shown,) = world.here.made.values()
        for name in ("x", "y"):
            metadata = {"namespace": "shop", "name": name, "uid": name, "resourceVersion": "3"}
            shown.put({"metadata": metadata, "data": {"a": ""}})
        await world.make("a")
        assert set(world.copied) == {"a", "x", "y"}
        assert world.quota.copies == 1


async def test_all_kinds_of_a_provider_share_the_bound() -> None:
    quota = Quota(Limits(claimed_copies=2))
    secrets, maps = World(Limits(), quota=quota), World(Limits(), quota=quota, kind=CONFIGMAPS)
    async with secrets.running(), maps.running():
        await secrets.make("a")
        await maps.make("a")
        await secrets.make("b")
        assert set(secrets.copied) == {"a"}
        await maps.end("a")
        await secrets.settle()
        assert set(secrets.copied) == {"a", "b"}


async def test_a_copy_that_was_refused_does_not_count() -> None:
    world = World(Limits(claimed_copies=5))
    async with world.running():
        world.app.denied = True
        await world.make("a")
        assert world.quota.copies == 0


@pytest.mark.parametrize("size", [10, 2000])
def test_a_bound_of_nothing_lets_nothing_through(size: int) -> None:
    quota = Quota(Limits(claimed_copies=0))
    assert quota.refusal("a", size)
    assert not Quota(Limits()).refusal("a", size)


def test_what_was_never_held_makes_no_room() -> None:
    quota, woken = Quota(Limits(claimed_copies=1)), list[str]()
    quota.hold("a", 10)
    quota.wait("b", lambda: woken.append("b"))
    quota.release("other")
    assert woken == []
    quota.release("a")
    assert woken == ["b"]
