"""Objects that came, went or stayed without an event: a list brings them back into view."""

import asyncio
from typing import Any, cast

import pytest

from bind_agent.api.meta import Object
from bind_agent.api.resource import CRDS, Resource
from konnector.controllers.crds import CrdWatches
from konnector.sync.bound_namespaces import BoundNamespaces
from konnector.sync.brake import Brake
from konnector.sync.model import Policy, Side
from konnector.sync.objects import ObjectSync, Tenant
from konnector.sync.reports import Reports
from tests.fakes.parts import CannedClient, NotedEvents, StillPool, app_cluster
from tests.fakes.sync_world import CLUSTER_ID, CNS, PLACEMENT, guarded

pytestmark = pytest.mark.unit

KIND = Resource("mangodb.com", "v1", "mangodbs", kind="MangoDB")
KEY, THERE = PLACEMENT.consumer_key, PLACEMENT.provider_key


class Mapping:
    """The namespace of the consumer object is mapped, and stays so."""

    def __init__(self) -> None:
        self.bound = BoundNamespaces()

    def subscribe(self, listener: Any) -> Any:
        listener("shop", PLACEMENT.provider_namespace)
        return lambda: None

    def refusal(self, _: str) -> str:
        return ""

    def service_namespace(self, name: str) -> str | None:
        return PLACEMENT.provider_namespace if name == "shop" else None

    def consumer_namespace(self, name: str) -> str | None:
        return "shop" if name == PLACEMENT.provider_namespace else None


class World:
    """The running sync of one kind; each apply makes the copy anew, at the next version."""

    def __init__(self) -> None:
        self.applied = 0
        app = app_cluster(CannedClient(json_patch=guarded(version="13")))
        pool = StillPool()
        self.here = cast("StillPool", app.pool).acquire(KIND)
        self.there = pool.acquire(KIND, namespace=PLACEMENT.provider_namespace)
        self.here.resource_version = self.there.resource_version = "90"
        self.provider = CannedClient(apply=self._apply)
        self.sync = ObjectSync(
            app,
            Tenant(cast("Any", self.provider), cast("Any", pool), CNS, "cns-uid"),
            cast("Any", Mapping()),
            KIND,
            Policy(CLUSTER_ID),
            cluster_wide=False,
            brake=Brake(),
            on_brake=lambda: None,
            reports=Reports(cast("Any", NotedEvents()), KIND.group_resource),
        )

    def _apply(self, _: Any, desired: Object, **__: Any) -> Object:
        self.applied += 1
        metadata = {**desired["metadata"], "uid": f"copy-{self.applied}"}
        return {**desired, "metadata": metadata | {"resourceVersion": str(99 + self.applied)}}


async def settle() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


async def test_a_copy_that_came_and_went_unseen_is_made_again_after_the_next_list() -> None:
    world = World()
    running = asyncio.create_task(world.sync.run())
    world.here.put(guarded())
    await settle()
    assert world.applied == 1
    # A list of before the copy was made: the watch that follows it shows the copy, and nothing is done.
    world.there.list_again("99")
    await settle()
    assert world.applied == 1
    # Somebody deleted the copy while nothing was watched, and the history has expired.
    world.there.list_again("110")
    await settle()
    assert world.applied == 2
    running.cancel()


async def test_an_object_that_a_list_shows_was_not_gone() -> None:
    world = World()
    running = asyncio.create_task(world.sync.run())
    await settle()
    world.here.put(guarded())
    recent = world.sync._execution.recent[Side.CONSUMER]
    recent.gone(KEY, "consumer-uid", world.here.store.get(KEY))
    await settle()
    assert world.applied == 0
    world.here.list_again("95")
    await settle()
    assert world.applied == 1
    assert len(recent) == 0
    running.cancel()


def test_a_list_has_a_crd_looked_at_again() -> None:
    pool = StillPool()
    told: list[tuple[str, bool]] = []
    watches = CrdWatches(cast("Any", pool), lambda *what: told.append(what))
    watches.watch("things.g")
    informer = pool.made[CRDS.plural, "/metadata.name=things.g"]
    informer.list_again("5")
    assert told == [("things.g", False)]
    watches.close()
    assert (informer.handlers, informer.list_handlers, pool.released) == ([], [], [informer])
