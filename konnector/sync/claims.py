"""Sync of the claimed objects of one kind: events to keys, keys to plans, plans to requests (design 4.4).

What is watched is in ``claim_watches``. An object at the place of a copy that is not watched is found by the refused
creation, looked at once, and left alone.
"""

import asyncio
import functools
from collections.abc import Callable, Iterable, Iterator

import structlog

from bind_agent.api import keys, meta
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
from konnector.sync.claim_watches import ClaimWatches, Watched, watched
from konnector.sync.model import Side
from konnector.sync.namespaces import ServiceNamespaces
from konnector.sync.patience import recheck_after
from konnector.sync.recent import RecentWrites
from konnector.sync.reports import Reports

log = structlog.get_logger(__name__)

_ROUNDS = 4
GRACE_SECONDS = 2.0
"""A right that is missing for so long is told."""


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
        self._mapping = mapping
        self.reports = reports
        self._policy = ClaimPolicy(cluster_id=app.cluster_id, provider_id=provider_id)
        self._copies = f"{keys.COPY}={self._policy.copy_label}"
        self._claims = ClaimSet(resource)
        self._binding = ""
        self._recent = {Side.CONSUMER: RecentWrites(), Side.PROVIDER: RecentWrites()}
        self._changed = asyncio.Event()
        self._changed.set()  # with no claims at all there may be copies to take back
        name = f"claims-{resource.group_resource}"
        self.controller = Controller(name, self._reconcile, workers=app.options.workers)
        self._watches = ClaimWatches(
            app.pool, pool, mapping, resource, is_news=self._is_news, enqueue=self.controller.enqueue
        )

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
        return self._watches.all()

    async def run(self) -> None:
        """Sync until cancelled; all informers are given back."""
        removers: list[Callable[[], None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.controller.run(), name=self.controller.name)
                removers.append(self._mapping.bound.subscribe(self._watches.open))
                removers.append(self._mapping.subscribe(functools.partial(self._on_mapping, group)))
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._watches.follow(group, self._wanted())
        finally:
            for remove in removers:
                remove()
            self._watches.close()

    def _wanted(self) -> Watched:
        """What the claims of now need; with none left the copies stay watched, so that they can be retracted."""
        wanted = watched(self._claims.claims, self._copies)
        return wanted if wanted.consumer else Watched(frozenset({self._copies}), frozenset({self._copies}))

    def _on_mapping(
        self, group: asyncio.TaskGroup, consumer_namespace: str, service_namespace: str | None
    ) -> None:
        if service_namespace is None:
            self._watches.end_unmapped()
        else:
            self._watches.begin(group, consumer_namespace, service_namespace)

    def _is_news(self, side: Side, event: Event, entry: Entry) -> bool:
        """Whether an event shows more than an own write."""
        if event is Event.DELETED:
            self._recent[side].deleted(entry.key, entry.uid)
            return True
        return self._recent[side].changed(entry.key, entry.resource_version)

    # --- one object ---------------------------------------------------------------------------------------

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = meta.split_key(key)
        service_namespace = self._mapping.service_namespace(namespace)
        if service_namespace is None or not self._watches.is_complete(service_namespace):
            return None  # the mapping's or the watch's completion enqueues the key again
        placement = ClaimPlacement(namespace, service_namespace, name)
        live: dict[Side, Object | None] = {}
        for _ in range(_ROUNDS):
            both = {side: live[side] if side in live else self._read(side, placement) for side in Side}
            steps = plan_claim(
                both[Side.CONSUMER],
                both[Side.PROVIDER],
                placement,
                self._claims,
                self._policy,
                bound=namespace in self._mapping.bound,
            )
            try:
                return await self._carry_out(key, steps, placement)
            except _ReplanError as replan:
                if replan.side is not None:
                    live[replan.side] = replan.live
        return Result(after=1.0)

    def _read(self, side: Side, placement: ClaimPlacement) -> Object | None:
        return self._recent[side].read(placement.key(side), self._watches.entry(side, placement))

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
                self._recent[side].gone(placement.key(side), uid, self._watches.entry(side, placement))
                self._note(side, placement, await client.create(self.resource, copy))
            case claim_model.DeleteCopy(uid=uid, resource_version=version):
                answer = await client.delete(
                    self.resource, name, namespace=namespace, uid=uid, resource_version=version
                )
                if answer is None or answer.get("kind") == "Status":
                    self._recent[side].gone(placement.key(side), uid, self._watches.entry(side, placement))
            case claim_model.MarkSource(patch=patch):
                answer = await client.merge_patch(self.resource, name, patch, namespace=namespace)
                self._note(side, placement, answer)
            case model.ConfirmAbsence(uid=uid):
                live = await client.get_or_none(self.resource, name, namespace=namespace)
                if live is not None and (not uid or meta.uid(live) == uid):
                    raise _ReplanError(side, live)

    def _note(self, side: Side, placement: ClaimPlacement, answer: Object) -> None:
        watches = self._watches
        self._recent[side].remember(
            placement.key(side), answer, watches.entry(side, placement), watches.progress(side, placement)
        )

    def _subject(self, placement: ClaimPlacement) -> Object:
        """What an event about a claimed object is about: names only."""
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"namespace": placement.consumer_namespace, "name": placement.name},
        }
