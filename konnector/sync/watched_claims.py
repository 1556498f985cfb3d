"""What is watched for the claims of one kind, on both sides (design 4.4).

Only what may matter is watched: on the side of the sources what the claims select (by the server, where it can), on
the side of the copies what carries our copy label.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bind_agent.api import keys, meta, selectors
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.resource import Resource
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.store import Entry
from konnector.sync.claim_model import ClaimPlacement
from konnector.sync.model import Side
from konnector.sync.namespaces import ServiceNamespaces

EVERYTHING = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """Label selectors to watch on each side."""

    consumer: frozenset[str]
    provider: frozenset[str]


def watched(claims: Iterable[PermissionClaim], copies: str) -> Watched:
    """What has to be watched for claims of one kind.

    A side is watched for sources when objects may flow away from it, and for our copies when they may arrive.

    Args:
        claims: the claims in force.
        copies: label selector of our copies.
    """
    sources: dict[str, set[str]] = {keys.OWNER_CONSUMER: set(), keys.OWNER_PROVIDER: set()}
    for claim in claims:
        for owner in (claim.selector.owner,) if claim.selector.owner else tuple(sources):
            sources[owner].add(selectors.server_side(claim.selector.label_selectors))
    sides = {}
    for here, there in (
        (keys.OWNER_CONSUMER, keys.OWNER_PROVIDER),
        (keys.OWNER_PROVIDER, keys.OWNER_CONSUMER),
    ):
        wanted = set(sources[here]) | ({copies} if sources[there] else set())
        sides[here] = frozenset({EVERYTHING} if EVERYTHING in wanted else wanted)
    return Watched(sides[keys.OWNER_CONSUMER], sides[keys.OWNER_PROVIDER])


class ClaimWatches:
    """The informers of one claimed kind.

    One per selector in the app cluster, and one per selector and service namespace at the provider; these go with the
    namespaces that are mapped.
    """

    def __init__(
        self,
        app: InformerPool,
        provider: InformerPool,
        mapping: ServiceNamespaces,
        resource: Resource,
        *,
        is_news: Callable[[Side, Event, Entry], bool],
        listed: Callable[[Side, str | None], Iterable[str]],
        enqueue: Callable[[str], None],
    ) -> None:
        """Nothing is watched before ``follow``.

        Args:
            app: informers on the app cluster.
            provider: informers on the provider.
            mapping: consumer namespaces to service namespaces.
            resource: the claimed kind.
            is_news: whether an event tells more than is known.
            listed: told of a complete list; gives the keys, as they are on that side, that may have changed unseen.
            enqueue: takes the consumer key of an object that has to be looked at.
        """
        self._resource = resource
        self._pools = {Side.CONSUMER: app, Side.PROVIDER: provider}
        self._mapping = mapping
        self._is_news = is_news
        self._listed = listed
        self._hand_on = enqueue
        self._wanted = Watched(frozenset(), frozenset())
        self._consumer: dict[str, Informer] = {}
        self._provider: dict[tuple[str, str], Informer] = {}
        self._removers: dict[int, tuple[Callable[[], None], ...]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._opened: set[str] = set()
        self._synced = False

    # --- what is known ------------------------------------------------------------------------------------

    def all(self) -> Iterator[tuple[Side, Informer]]:
        """The watches that the claims depend on."""
        for informer in self._consumer.values():
            yield Side.CONSUMER, informer
        for informer in self._provider.values():
            yield Side.PROVIDER, informer

    def is_complete(self, service_namespace: str) -> bool:
        """Whether all is known that decides about the objects of a service namespace."""
        return self._synced and all(
            (informer := self._provider.get((service_namespace, selector))) is not None
            and informer.has_synced
            for selector in self._wanted.provider
        )

    def entry(self, side: Side, placement: ClaimPlacement) -> Entry | None:
        """The newest that the watches of a side show of an object."""
        key = placement.key(side)
        found = [e for i in self._informers(side, placement) if (e := i.store.get(key)) is not None]
        return max(found, key=lambda e: int(e.resource_version or 0), default=None)

    def on_consumer(self, key: str) -> Entry | None:
        """The same for an object on the app cluster, by its key."""
        namespace, name = meta.split_key(key)
        return self.entry(Side.CONSUMER, ClaimPlacement(namespace, "", name))

    def progress(self, side: Side, placement: ClaimPlacement) -> str:
        """The resource version that every watch that may show an object has reached."""
        informers = self._informers(side, placement)
        return min((i.resource_version or "0" for i in informers), key=int, default="0")

    def _informers(self, side: Side, placement: ClaimPlacement) -> list[Informer]:
        if side is Side.CONSUMER:
            return list(self._consumer.values())
        namespace = placement.provider_namespace
        return [informer for (of, _), informer in self._provider.items() if of == namespace]

    # --- what is watched ----------------------------------------------------------------------------------

    async def follow(self, group: asyncio.TaskGroup, wanted: Watched) -> None:
        """Watch what is wanted of now; the old watches go only when the new ones are complete.

        Each service namespace goes its own way: one that cannot be listed holds up no other.

        Args:
            group: for the tasks that look after a service namespace each.
            wanted: what is needed from now on.
        """
        self._synced = False
        self._wanted = wanted
        for selector in wanted.consumer:
            if selector not in self._consumer:
                informer = self._pools[Side.CONSUMER].acquire(self._resource, label_selector=selector)
                self._consumer[selector] = informer
                self._hear(Side.CONSUMER, informer)
        for selector in wanted.consumer:
            await self._consumer[selector].wait_synced()
        self._synced = True
        for selector in [s for s in self._consumer if s not in wanted.consumer]:
            self._release(Side.CONSUMER, self._consumer.pop(selector), keys_again=True)
        for consumer_namespace, service_namespace in self._mapping.mappings().items():
            self.begin(group, consumer_namespace, service_namespace)

    def begin(self, group: asyncio.TaskGroup, consumer_namespace: str, service_namespace: str) -> None:
        """Watch one service namespace as the claims of now need it, and look at all that is there."""
        present = self._following.pop(service_namespace, None)
        if present is not None:
            present.cancel()
        self._following[service_namespace] = group.create_task(
            self._begin(consumer_namespace, service_namespace), name=f"follow-{service_namespace}"
        )

    def end_unmapped(self) -> None:
        """Let go of the service namespaces that are not mapped any more."""
        for ended in [n for n in self._following if self._mapping.consumer_namespace(n) is None]:
            self._following.pop(ended).cancel()
            self._release_others(ended, frozenset())

    def close(self) -> None:
        """Give all informers back."""
        for key in list(self._consumer):
            self._release(Side.CONSUMER, self._consumer.pop(key))
        for pair in list(self._provider):
            self._release(Side.PROVIDER, self._provider.pop(pair))

    async def _begin(self, consumer_namespace: str, service_namespace: str) -> None:
        for informer in self._acquire(service_namespace):
            await informer.wait_synced()
        self._release_others(service_namespace, self._wanted.provider)
        self._enqueue_namespace(consumer_namespace)

    def _acquire(self, service_namespace: str) -> list[Informer]:
        """What is wanted of one service namespace, watched from now on."""
        for selector in self._wanted.provider:
            if (service_namespace, selector) not in self._provider:
                informer = self._pools[Side.PROVIDER].acquire(
                    self._resource, namespace=service_namespace, label_selector=selector
                )
                self._provider[service_namespace, selector] = informer
                self._hear(Side.PROVIDER, informer)
        return [self._provider[service_namespace, selector] for selector in self._wanted.provider]

    def _release_others(self, service_namespace: str, wanted: frozenset[str]) -> None:
        pairs = [p for p in self._provider if p[0] == service_namespace and p[1] not in wanted]
        for pair in pairs:
            self._release(Side.PROVIDER, self._provider.pop(pair), keys_again=True)

    def _release(self, side: Side, informer: Informer, *, keys_again: bool = False) -> None:
        for remove in self._removers.pop(id(informer)):
            remove()
        if keys_again:
            for key in informer.store.keys():
                self._enqueue(side, key)
        self._pools[side].release(informer)

    # --- what has to be looked at -------------------------------------------------------------------------

    def _hear(self, side: Side, informer: Informer) -> None:
        def on_event(event: Event, old: Entry | None, new: Entry | None) -> None:
            self._on_event(side, event, new or old)

        def on_list() -> None:
            for key in self._listed(side, informer.namespace):
                self._enqueue(side, key)

        self._removers[id(informer)] = informer.add_handler(on_event), informer.add_list_handler(on_list)

    def _on_event(self, side: Side, event: Event, entry: Entry | None) -> None:
        if entry is not None and self._is_news(side, event, entry):
            self._enqueue(side, entry.key)

    def _enqueue(self, side: Side, key: str) -> None:
        namespace, name = meta.split_key(key)
        if side is Side.PROVIDER:
            namespace = self._mapping.consumer_namespace(namespace) or ""
        if namespace and self._mapping.service_namespace(namespace) is not None:
            self._hand_on(meta.join_key(namespace, name))

    def open(self, namespace: str) -> None:
        """A namespace has its first object of an API: look at what was not to cross, once for all."""
        if not self._opened:
            asyncio.get_running_loop().call_soon(self._look_at_opened)
        self._opened.add(namespace)

    def _look_at_opened(self) -> None:
        opened, self._opened = self._opened, set()
        for side, informer in self.all():
            for key in informer.store.keys():
                namespace = meta.split_key(key)[0]
                here = namespace if side is Side.CONSUMER else self._mapping.consumer_namespace(namespace)
                if here in opened:
                    self._enqueue(side, key)

    def _enqueue_namespace(self, consumer_namespace: str) -> None:
        service_namespace = self._mapping.service_namespace(consumer_namespace)
        for informer in self._consumer.values():
            for key in informer.store.keys():
                if key.startswith(f"{consumer_namespace}/"):
                    self._enqueue(Side.CONSUMER, key)
        for (namespace, _), informer in self._provider.items():
            if namespace == service_namespace:
                for key in informer.store.keys():
                    self._enqueue(Side.PROVIDER, key)
