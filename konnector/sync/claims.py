"""Sync of the claimed objects of one kind: events to keys, keys to plans, plans to requests (design 4.4).

Only what may matter is watched: on the side of the sources what the claims select (by the server, where it can), on
the side of the copies what carries our copy label. An object at the place of a copy that is none of these is found by
the refused creation, looked at once, and left alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog

from bind_agent.api import keys, meta, selectors
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Unauthorized
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.store import Entry
from konnector.clusters import AppCluster
from konnector.sync import claim_model, model, remedies
from konnector.sync.claim_model import ClaimPlacement, ClaimPolicy, ClaimSet, ClaimStep
from konnector.sync.claim_plan import plan_claim
from konnector.sync.model import Side
from konnector.sync.namespaces import ServiceNamespaces
from konnector.sync.patience import recheck_after
from konnector.sync.recent import RecentWrites
from konnector.sync.reports import Reports

log = structlog.get_logger(__name__)

EVERYTHING = ""

_ROUNDS = 4
GRACE_SECONDS = 2.0
"""A right that is missing for so long is told."""


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


class _ReplanError(Exception):
    """A step found the world changed; ``live`` is what was found on a side."""

    def __init__(self, side: Side | None = None, live: Object | None = None) -> None:
        super().__init__()
        self.side = side
        self.live = live


class ClaimSync:
    """The claimed objects of one kind between the app cluster and one provider.

    Attributes:
        resource: the kind.
        reports: what is refused now.
    """

    def __init__(
        self,
        app: AppCluster,
        provider: Client,
        pool: InformerPool,
        mapping: ServiceNamespaces,
        resource: Resource,
        *,
        provider_id: str,
        reports: Reports,
    ) -> None:
        """Start with no claims; nothing is watched before ``update`` and ``run``.

        Args:
            app: the app cluster.
            provider: client of the provider.
            pool: informers on the provider.
            mapping: consumer namespaces to service namespaces.
            resource: the claimed kind.
            provider_id: identity of the provider as it was reached.
            reports: where refusals are reported.
        """
        self.resource = resource
        self._app = app
        self._clients = {Side.CONSUMER: app.client, Side.PROVIDER: provider}
        self._pool = pool
        self._mapping = mapping
        self.reports = reports
        self._policy = ClaimPolicy(cluster_id=app.cluster_id, provider_id=provider_id)
        self._copies = f"{keys.COPY}={self._policy.copy_label}"
        self._claims = ClaimSet(resource)
        self._binding = ""
        self._watched = Watched(frozenset(), frozenset())
        self._consumer: dict[str, Informer] = {}
        self._provider: dict[tuple[str, str], Informer] = {}
        self._removers: dict[int, Callable[[], None]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._recent = {Side.CONSUMER: RecentWrites(), Side.PROVIDER: RecentWrites()}
        self._changed = asyncio.Event()
        self._synced = False
        name = f"claims-{resource.group_resource}"
        self.controller = Controller(name, self._reconcile, workers=app.options.workers)

    def update(
        self, claims: list[PermissionClaim], *, held: Iterable[PermissionClaim] = (), binding: str = ""
    ) -> None:
        """Take changed claims over; what is proven ours and no claim selects any more is retracted.

        Args:
            claims: those in force, of all bindings.
            held: those that rest: what they select stays as it is.
            binding: name of a binding that they come from, for messages.
        """
        self._binding = binding
        wanted = ClaimSet.of(self.resource, claims, self._app.own_namespaces, held)
        if wanted != self._claims:
            self._claims = wanted
            self._changed.set()

    def followed(self) -> Iterator[tuple[Side, Informer]]:
        """The watches that this depends on."""
        for informer in self._consumer.values():
            yield Side.CONSUMER, informer
        for informer in self._provider.values():
            yield Side.PROVIDER, informer

    async def run(self) -> None:
        """Sync until cancelled; all informers are given back."""
        remove = None
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self.controller.run(), name=self.controller.name)
                remove = self._mapping.subscribe(self._on_mapping)
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._rewatch()
        finally:
            if remove is not None:
                remove()
            for key in list(self._consumer):
                self._release(self._app.pool, self._consumer.pop(key))
            for pair in list(self._provider):
                self._release(self._pool, self._provider.pop(pair))

    # --- what is watched ----------------------------------------------------------------------------------

    async def _rewatch(self) -> None:
        """Watch what the claims of now need; the old watches go only when the new ones are complete.

        Each service namespace goes its own way: one that cannot be listed holds up no other.
        """
        wanted = watched(self._claims.claims, self._copies)
        if not wanted.consumer:
            # With no claims left the copies stay watched, so that they can be retracted.
            wanted = Watched(frozenset({self._copies}), frozenset({self._copies}))
        self._synced = False
        self._watched = wanted
        for selector in wanted.consumer:
            if selector not in self._consumer:
                informer = self._app.pool.acquire(self.resource, label_selector=selector)
                self._consumer[selector] = informer
                self._removers[id(informer)] = informer.add_handler(self._on_consumer)
        for selector in wanted.consumer:
            await self._consumer[selector].wait_synced()
        self._synced = True
        for selector in [s for s in self._consumer if s not in wanted.consumer]:
            self._release(self._app.pool, self._consumer.pop(selector), keys_again=True)
        for consumer_namespace, service_namespace in self._mapping.mappings().items():
            self._start_following(consumer_namespace, service_namespace)

    def _acquire_namespace(self, service_namespace: str) -> list[Informer]:
        """What is wanted of one service namespace, watched from now on."""
        for selector in self._watched.provider:
            if (service_namespace, selector) not in self._provider:
                informer = self._pool.acquire(
                    self.resource, namespace=service_namespace, label_selector=selector
                )
                self._provider[service_namespace, selector] = informer
                self._removers[id(informer)] = informer.add_handler(self._on_provider)
        return [self._provider[service_namespace, selector] for selector in self._watched.provider]

    def _release(self, pool: InformerPool, informer: Informer, *, keys_again: bool = False) -> None:
        self._removers.pop(id(informer))()
        if keys_again:
            for key in informer.store.keys():
                self._enqueue(Side.CONSUMER if pool is self._app.pool else Side.PROVIDER, key)
        pool.release(informer)

    def _on_mapping(self, consumer_namespace: str, service_namespace: str | None) -> None:
        if service_namespace is not None:
            self._start_following(consumer_namespace, service_namespace)
            return
        for ended in {n for n, _ in self._provider if self._mapping.consumer_namespace(n) is None}:
            self._following.pop(ended).cancel()
            self._release_others(ended, frozenset())

    def _start_following(self, consumer_namespace: str, service_namespace: str) -> None:
        present = self._following.pop(service_namespace, None)
        if present is not None:
            present.cancel()
        self._following[service_namespace] = self._group.create_task(
            self._follow(consumer_namespace, service_namespace), name=f"follow-{service_namespace}"
        )

    async def _follow(self, consumer_namespace: str, service_namespace: str) -> None:
        """Watch one service namespace as the claims of now need it, and look at all that is there."""
        for informer in self._acquire_namespace(service_namespace):
            await informer.wait_synced()
        self._release_others(service_namespace, self._watched.provider)
        self._enqueue_namespace(consumer_namespace)

    def _release_others(self, service_namespace: str, wanted: frozenset[str]) -> None:
        pairs = [p for p in self._provider if p[0] == service_namespace and p[1] not in wanted]
        for pair in pairs:
            self._release(self._pool, self._provider.pop(pair), keys_again=True)

    # --- events -------------------------------------------------------------------------------------------

    def _on_consumer(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        self._on_event(Side.CONSUMER, event, new or old)

    def _on_provider(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        self._on_event(Side.PROVIDER, event, new or old)

    def _on_event(self, side: Side, event: Event, entry: Entry | None) -> None:
        if entry is None:
            return
        if event is Event.DELETED:
            self._recent[side].deleted(entry.key, entry.uid)
        elif not self._recent[side].changed(entry.key, entry.resource_version):
            return
        self._enqueue(side, entry.key)

    def _enqueue(self, side: Side, key: str) -> None:
        namespace, name = meta.split_key(key)
        if side is Side.PROVIDER:
            namespace = self._mapping.consumer_namespace(namespace) or ""
        if namespace and self._mapping.service_namespace(namespace) is not None:
            self.controller.enqueue(meta.join_key(namespace, name))

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

    # --- one object ---------------------------------------------------------------------------------------

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = meta.split_key(key)
        service_namespace = self._mapping.service_namespace(namespace)
        if service_namespace is None or not self._is_complete(service_namespace):
            return None  # the mapping's or the watch's completion enqueues the key again
        placement = ClaimPlacement(namespace, service_namespace, name)
        live: dict[Side, Object | None] = {}
        for _ in range(_ROUNDS):
            both = {side: live[side] if side in live else self._read(side, placement) for side in Side}
            steps = plan_claim(
                both[Side.CONSUMER], both[Side.PROVIDER], placement, self._claims, self._policy
            )
            try:
                return await self._carry_out(key, steps, placement)
            except _ReplanError as replan:
                if replan.side is not None:
                    live[replan.side] = replan.live
        return Result(after=1.0)

    def _is_complete(self, service_namespace: str) -> bool:
        return self._synced and all(
            (informer := self._provider.get((service_namespace, selector))) is not None
            and informer.has_synced
            for selector in self._watched.provider
        )

    def _informers(self, side: Side, placement: ClaimPlacement) -> list[Informer]:
        if side is Side.CONSUMER:
            return list(self._consumer.values())
        namespace = placement.provider_namespace
        return [informer for (of, _), informer in self._provider.items() if of == namespace]

    def _entry(self, side: Side, placement: ClaimPlacement) -> Entry | None:
        key = placement.key(side)
        found = [e for i in self._informers(side, placement) if (e := i.store.get(key)) is not None]
        return max(found, key=lambda e: int(e.resource_version or 0), default=None)

    def _read(self, side: Side, placement: ClaimPlacement) -> Object | None:
        return self._recent[side].read(placement.key(side), self._entry(side, placement))

    async def _carry_out(
        self, key: str, steps: tuple[ClaimStep, ...], placement: ClaimPlacement
    ) -> Result | None:
        for step in steps:
            if isinstance(step, model.Refuse):
                # Nothing is watched at the place of a copy but copies: only looking tells when it is free.
                lasted = self.reports.lasted(key, self._now())
                self.reports.refuse(key, self._subject(placement), step.reason, step.message)
                return Result(after=recheck_after(lasted))
            try:
                await self._execute(step, placement)
            except (Forbidden, Unauthorized) as error:
                return self._denied(key, step.side, placement, error)
            except (Conflict, Invalid, NotFound) as error:
                for side in Side:
                    self._recent[side].forget(placement.key(side))
                if isinstance(error, AlreadyExists):
                    await self._look(step.side, placement)
                if isinstance(error, Invalid):
                    message = f"the other cluster does not take it: {error}"
                    self.reports.refuse(key, self._subject(placement), model.Reason.REJECTED, message)
                    return None
                if isinstance(error, NotFound):
                    raise _ReplanError(step.side, None) from error
                raise
        self.reports.clear(key)
        return None

    def _denied(
        self, key: str, side: Side, placement: ClaimPlacement, error: Forbidden | Unauthorized
    ) -> Result:
        """A right or the credential is missing: say so once it lasts; roles take a moment to reach a server."""
        lasted = self.reports.lasted(key, self._now())
        if lasted < GRACE_SECONDS or (isinstance(error, Unauthorized) and side is Side.CONSUMER):
            raise error
        if isinstance(error, Forbidden):
            reason = model.Reason.DENIED
            message = remedies.denied(side, error.message, self._binding, root=self._app.root)
        else:
            reason, message = model.Reason.CREDENTIAL, remedies.rejected(error.message)
        self.reports.refuse(key, self._subject(placement), reason, message)
        return Result(after=recheck_after(lasted))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _look(self, side: Side, placement: ClaimPlacement) -> None:
        """Look at what the watch does not show.

        Raises:
            _ReplanError: always, with what was found.
        """
        namespace = placement.namespace(side)
        live = await self._clients[side].get_or_none(self.resource, placement.name, namespace=namespace)
        raise _ReplanError(side, live)

    async def _execute(self, step: ClaimStep, placement: ClaimPlacement) -> None:
        side = step.side  # type: ignore[union-attr]  # refusals do not come here
        client, namespace, name = self._clients[side], placement.namespace(side), placement.name
        match step:
            case claim_model.CreateCopy(object=copy):
                self._note(side, placement, await client.create(self.resource, copy))
            case claim_model.UpdateCopy(object=copy):
                self._note(side, placement, await client.replace(self.resource, copy))
            case claim_model.ReplaceCopy(uid=uid, resource_version=version, object=copy):
                await client.delete(
                    self.resource, name, namespace=namespace, uid=uid, resource_version=version
                )
                self._recent[side].gone(placement.key(side), uid, self._entry(side, placement))
                self._note(side, placement, await client.create(self.resource, copy))
            case claim_model.DeleteCopy(uid=uid, resource_version=version):
                answer = await client.delete(
                    self.resource, name, namespace=namespace, uid=uid, resource_version=version
                )
                if answer is None or answer.get("kind") == "Status":
                    self._recent[side].gone(placement.key(side), uid, self._entry(side, placement))
            case claim_model.MarkSource(patch=patch):
                answer = await client.merge_patch(self.resource, name, patch, namespace=namespace)
                self._note(side, placement, answer)
            case model.ConfirmAbsence(uid=uid):
                live = await client.get_or_none(self.resource, name, namespace=namespace)
                if live is not None and (not uid or meta.uid(live) == uid):
                    raise _ReplanError(side, live)

    def _note(self, side: Side, placement: ClaimPlacement, answer: Object) -> None:
        informers = self._informers(side, placement)
        progress = min((i.resource_version or "0" for i in informers), key=int, default="0")
        self._recent[side].remember(placement.key(side), answer, self._entry(side, placement), progress)

    def _subject(self, placement: ClaimPlacement) -> Object:
        """What an event about a claimed object is about: names only."""
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"namespace": placement.consumer_namespace, "name": placement.name},
        }
