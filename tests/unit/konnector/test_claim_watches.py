"""What claim syncs watch: one service namespace that cannot be followed holds up no other."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bind_agent.api import keys, meta
from bind_agent.api.claims import ClaimSelector, PermissionClaim
from bind_agent.api.resource import SECRETS
from bind_agent.runtime.informer import Event
from bind_agent.runtime.store import Store, make_entry
from konnector.sync.bound_namespaces import BoundNamespaces
from konnector.sync.claims import ClaimSync
from konnector.sync.model import Side
from konnector.sync.reports import Reports

pytestmark = pytest.mark.unit

API = "things.g.example"


class Watch:
    """An informer whose first list comes when the test says so."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.store = Store()
        self.resource_version = ""
        self.handlers: list[Callable[..., None]] = []
        self.list_handlers: list[Callable[[], None]] = []
        self._synced = asyncio.Event()

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def add_handler(self, handler: Callable[..., None]) -> Callable[[], None]:
        self.handlers.append(handler)
        return lambda: self.handlers.remove(handler)

    def add_list_handler(self, handler: Callable[[], None]) -> Callable[[], None]:
        self.list_handlers.append(handler)
        return lambda: self.list_handlers.remove(handler)

    def list(self, *objects: dict[str, Any], version: str = "1") -> None:
        for obj in objects:
            entry = make_entry(obj)
            self.store.put(entry)
            for handler in self.handlers:
                handler(Event.ADDED, None, entry)
        self._synced.set()
        for told in self.list_handlers:
            told()
        self.resource_version = version


class Pool:
    """Hands informers out, one per namespace and selector."""

    def __init__(self, *, syncs_at_once: bool = False) -> None:
        self.watches: dict[tuple[str, str], Watch] = {}
        self.released: list[str] = []
        self._at_once = syncs_at_once

    def acquire(self, _: Any, *, namespace: str | None = None, label_selector: str = "") -> Watch:
        watch = self.watches[namespace or "", label_selector] = Watch(namespace or "")
        if self._at_once:
            watch.list()
        return watch

    def release(self, watch: Watch) -> None:
        self.released.append(watch.namespace)

    def of(self, namespace: str) -> Watch:
        return next(watch for (found, _), watch in self.watches.items() if found == namespace)


class Mapping:
    """Consumer namespaces `N` are service namespaces `cns-N`."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.bound = BoundNamespaces()
        for name in names:
            self.bound.change(API, name, 1)
        self.listener: Callable[[str, str | None], None] = lambda *_: None

    def mappings(self) -> dict[str, str]:
        return {name: f"cns-{name}" for name in self.names}

    def service_namespace(self, name: str) -> str | None:
        return self.mappings().get(name)

    def consumer_namespace(self, name: str) -> str | None:
        return name.removeprefix("cns-") if name.removeprefix("cns-") in self.names else None

    def subscribe(self, listener: Callable[[str, str | None], None]) -> Callable[[], None]:
        self.listener = listener
        for name, service_namespace in self.mappings().items():
            listener(name, service_namespace)
        return lambda: None

    def end(self, name: str) -> None:
        self.names.remove(name)
        self.listener(name, None)


class World:
    """A sync of Secrets that the provider owns, for the namespaces `shop` and `dead`."""

    def __init__(self) -> None:
        self.created: list[str] = []
        self.deleted: list[str] = []
        self.mapping = Mapping("shop", "dead")
        self.here, self.there = Pool(syncs_at_once=True), Pool()

        async def create(_: Any, obj: dict[str, Any]) -> dict[str, Any]:
            self.created.append(meta.key(obj))
            return {**obj, "metadata": {**obj["metadata"], "uid": "new", "resourceVersion": "9"}}

        client: Any = SimpleNamespace(create=create)
        app: Any = SimpleNamespace(
            client=client,
            pool=self.here,
            cluster_id="c",
            options=SimpleNamespace(workers=2),
            own_namespaces=frozenset({keys.CONSUMER_NAMESPACE}),
        )
        recorder: Any = SimpleNamespace(event=lambda *_, **__: None)
        pool: Any = self.there
        mapping: Any = self.mapping
        self.sync = ClaimSync(
            app, client, pool, mapping, SECRETS, provider_id="p", reports=Reports(recorder, "claim:secrets")
        )

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)


def claim(**selector: Any) -> PermissionClaim:
    return PermissionClaim(
        resource="secrets", version="v1", selector=ClaimSelector(owner=keys.OWNER_PROVIDER, **selector)
    )


def secret(key: str, **labels: str) -> dict[str, Any]:
    namespace, name = meta.split_key(key)
    metadata = {"namespace": namespace, "name": name, "uid": name, "resourceVersion": "1", "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": {"a": "YQ=="},
    }


async def test_a_namespace_that_cannot_be_listed_holds_up_no_other() -> None:
    world = World()
    world.sync.update({API: [claim()]})
    running = asyncio.create_task(world.sync.run())
    await world.settle()
    world.there.of("cns-shop").list(secret("cns-shop/creds"))
    await world.settle()
    assert world.created == ["shop/creds"]
    world.there.of("cns-dead").list(secret("cns-dead/creds"))
    await world.settle()
    assert world.created == ["shop/creds", "dead/creds"]
    running.cancel()


async def test_a_namespace_that_ends_before_it_was_listed_leaves_changes_of_claims_to_be_taken_over() -> None:
    world = World()
    world.sync.update({API: [claim()]})
    running = asyncio.create_task(world.sync.run())
    await world.settle()
    world.mapping.end("dead")
    await world.settle()
    assert world.there.released == ["cns-dead"]
    world.there.of("cns-shop").list(secret("cns-shop/creds"))
    world.sync.update({API: [claim(label_selectors=({"share": "yes"},))]})
    await world.settle()
    selected = world.there.watches["cns-shop", "share=yes"]
    selected.list(secret("cns-shop/more", share="yes"))
    await world.settle()
    assert "shop/more" in world.created
    assert world.there.released == ["cns-dead", "cns-shop"]
    running.cancel()


async def test_a_namespace_that_ends_before_it_was_watched_is_never_watched() -> None:
    world = World()
    world.sync.update({API: [claim()]})
    running = asyncio.create_task(world.sync.run())
    await world.settle()
    world.mapping.names.append("brief")
    world.mapping.listener("brief", "cns-brief")
    world.mapping.end("brief")
    await world.settle()
    assert {namespace for namespace, _ in world.there.watches} == {"cns-shop", "cns-dead"}
    running.cancel()


async def test_a_copy_that_came_and_went_unseen_is_made_again_after_the_next_list() -> None:
    world = World()
    world.sync.update({API: [claim()]})
    running = asyncio.create_task(world.sync.run())
    await world.settle()
    source = secret("cns-shop/creds")
    source["metadata"]["annotations"] = {keys.RESOURCE_OWNER: keys.OWNER_PROVIDER}
    world.there.of("cns-shop").list(source)
    await world.settle()
    assert world.created == ["shop/creds"]
    (copies,) = world.here.watches.values()
    copies.list(version="8")  # of before the copy was made: it may be there
    await world.settle()
    assert world.created == ["shop/creds"]
    copies.list(version="12")
    await world.settle()
    assert world.created == ["shop/creds", "shop/creds"]
    running.cancel()


async def test_what_a_sync_depends_on() -> None:
    world = World()
    world.sync.update({API: [claim()]})
    running = asyncio.create_task(world.sync.run())
    await world.settle()
    assert [side for side, _ in world.sync.followed()] == [Side.CONSUMER, Side.PROVIDER, Side.PROVIDER]
    running.cancel()


async def test_claimed_objects_wait_for_a_bound_object_in_their_namespace() -> None:
    world = World()
    world.mapping.bound.change(API, "shop", -1)
    world.sync.update({API: [claim()]})
    running = asyncio.create_task(world.sync.run())
    await world.settle()
    world.there.of("cns-shop").list(secret("cns-shop/creds"))
    world.there.of("cns-dead").list(secret("cns-dead/creds"))
    await world.settle()
    assert world.created == ["dead/creds"]
    world.mapping.bound.change(API, "shop", 1)
    await world.settle()
    assert world.created == ["dead/creds", "shop/creds"]
    running.cancel()


async def test_a_claim_flows_where_its_own_api_has_an_object() -> None:
    world = World()
    world.sync.update({API: [], "others.g.example": [claim()], "third.g.example": []})
    running = asyncio.create_task(world.sync.run())
    await world.settle()
    world.there.of("cns-shop").list(secret("cns-shop/creds"))
    world.there.of("cns-dead").list(secret("cns-dead/creds"))
    await world.settle()
    assert world.created == []
    world.mapping.bound.change("others.g.example", "dead", 1)
    await world.settle()
    assert world.created == ["dead/creds"]
    running.cancel()
