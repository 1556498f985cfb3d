"""Sync of the claimed objects of one kind: events to keys, keys to plans, plans to requests (design 4.4).

What is watched is in ``watched_claims``. An object at the place of a copy that is not watched is found by the refused
creation, looked at once, and left alone.
"""

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeGuard

import structlog

from bind_agent.api import keys, meta
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import (
    AbsenceUnproven,
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
)
from bind_agent.obs import metrics
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.queue import LOW
from bind_agent.runtime.store import Entry
from konnector.clusters import AppCluster
from konnector.limit_options import Limits
from konnector.sync import claim_model, model, remedies
from konnector.sync.claim_model import ClaimPlacement, ClaimPolicy, ClaimSet, ClaimStep
from konnector.sync.claim_plan import plan_claim
from konnector.sync.claim_quota import Quota
from konnector.sync.claim_room import ClaimRoom
from konnector.sync.model import Side
from konnector.sync.namespaces import ServiceNamespaces
from konnector.sync.pacing import Pacing
from konnector.sync.patience import recheck_after
from konnector.sync.recent import RecentWrites
from konnector.sync.reports import Reports
from konnector.sync.watched_claims import ClaimWatches, Watched, watched

log = structlog.get_logger(__name__)

_ROUNDS = 5
_BEYOND_SECONDS = 300.0
"""What is beyond the quota is woken when there is room; this is for room that nobody told of."""
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
        alone: Callable[[], bool] = lambda: False,
        pacing: Pacing | None = None,
        quota: Quota | None = None,
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
            alone: whether no other provider is bound in the app cluster, as far as that is known.
            pacing: of the writes that the provider causes on the app cluster.
            quota: what the provider's objects may take there.
        """
        self.resource = resource
        self._app = app
        self._clients = {Side.CONSUMER: app.client, Side.PROVIDER: provider}
        self._mapping = mapping
        self.reports = reports
        self._pacing = pacing or Pacing()
        self._policy = ClaimPolicy(cluster_id=app.cluster_id, provider_id=provider_id)
        self._copies = f"{keys.COPY}={self._policy.copy_label}"
        self._alone = alone
        self._claims = ClaimSet(resource)
        self._by_api: dict[str, tuple[PermissionClaim, ...]] = {}
        self._crossing: dict[frozenset[str], ClaimSet] = {}
        self._binding = ""
        self._recent = {Side.CONSUMER: RecentWrites(), Side.PROVIDER: RecentWrites()}
        self._changed = asyncio.Event()
        self._changed.set()  # with no claims at all there may be copies to take back
        name = f"claims-{resource.group_resource}"
        self.controller = Controller(name, self._reconcile, workers=app.options.workers)
        self._watches = ClaimWatches(
            app.pool,
            pool,
            mapping,
            resource,
            is_news=self._is_news,
            listed=lambda side, namespace: self._recent[side].listed(namespace),
            enqueue=self.controller.enqueue,
        )
        self._room = ClaimRoom(
            quota or Quota(Limits()),
            resource,
            self._policy.copy_label,
            shown=self._watches.on_consumer,
            wake=functools.partial(self.controller.enqueue, priority=LOW),
            reports=reports,
        )

    def update(
        self,
        claims: Mapping[str, Iterable[PermissionClaim]],
        *,
        held: Iterable[PermissionClaim] = (),
        binding: str = "",
    ) -> None:
        """Take changed claims over; what is proven ours and no claim selects any more is retracted.

        Args:
            claims: those in force, by the API (`plural.group`) that they were accepted for; they flow in namespaces
                that have an object of it.
            held: those that rest: what they select stays as it is.
            binding: name of a binding that they come from, for messages.
        """
        self._binding = binding
        by_api = {api: tuple(found) for api, found in claims.items()}
        wanted = self._set(by_api, held)
        if (wanted, by_api) != (self._claims, self._by_api):
            self._claims, self._by_api = wanted, by_api
            self._crossing.clear()
            self._changed.set()

    def _set(
        self, by_api: Mapping[str, Iterable[PermissionClaim]], held: Iterable[PermissionClaim] = ()
    ) -> ClaimSet:
        return ClaimSet.of(
            self.resource, itertools.chain.from_iterable(by_api.values()), self._app.own_namespaces, held
        )

    def _crossing_in(self, namespace: str) -> ClaimSet:
        """The claims whose API has an object in a namespace of the consumer."""
        apis = self._mapping.bound.apis(namespace) & frozenset(self._by_api)
        if apis == self._by_api.keys():
            return self._claims
        if apis not in self._crossing:
            self._crossing[apis] = self._set({api: self._by_api[api] for api in apis})
        return self._crossing[apis]

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
            self._room.close()

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
        if side is Side.CONSUMER:
            self._room.look(entry.key)
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
        policy = replace(self._policy, alone=self._alone())
        for _ in range(_ROUNDS):
            both = {side: live[side] if side in live else self._read(side, placement) for side in Side}
            self._room.known(key, both[Side.CONSUMER])
            steps = plan_claim(
                both[Side.CONSUMER],
                both[Side.PROVIDER],
                placement,
                self._claims,
                policy,
                crossing=self._crossing_in(namespace),
            )
            try:
                if self.reports.is_conflict(key):
                    # What was in the way probably still is: a look tells, and writes nothing.
                    for side in _creates(steps) - live.keys():
                        await self._look(side, placement)
                return await self._carry_out(key, steps, placement)
            except _ReplanError as replan:
                if replan.side is not None:
                    live[replan.side] = replan.live
        return Result(after=1.0)

    def _read(self, side: Side, placement: ClaimPlacement) -> Object | None:
        watches = self._watches
        return self._recent[side].read(
            placement.key(side), watches.entry(side, placement), watches.progress(side, placement)
        )

    async def _carry_out(
        self, key: str, steps: tuple[ClaimStep, ...], placement: ClaimPlacement
    ) -> Result | None:
        for step in steps:
            if isinstance(step, model.Refuse):
                # Nothing is watched at the place of a copy but copies: only looking tells when it is free.
                lasted = self.reports.lasted(key, self._now())
                self.reports.refuse(key, self._subject(placement), step.reason, step.message)
                return Result(after=recheck_after(lasted))
            if _copies_down(step):
                if self._room.refuses(key, step.object):
                    return Result(after=_BEYOND_SECONDS)
                if pause := self._pause(key):
                    return Result(after=pause)
                self._room.take(key, step.object)
            try:
                await self._execute(step, placement)
            except (Forbidden, Unauthorized, AbsenceUnproven) as error:
                self._room.look(key)
                return self._denied(key, step.side, placement, error)
            except (Conflict, Invalid, NotFound) as error:
                self._room.look(key)
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
        self._room.settled(key)
        return None

    def _pause(self, key: str) -> float:
        """Seconds for which a copy has to wait, because the provider changes its source too fast."""
        pause = self._pacing.ask((self.resource, key), self._now())
        if pause:
            metrics.WRITES_HELD(f"claim:{self.resource.group_resource}").inc()
        return pause

    def _denied(
        self,
        key: str,
        side: Side,
        placement: ClaimPlacement,
        error: Forbidden | Unauthorized | AbsenceUnproven,
    ) -> Result:
        """A right, the credential or the kind is missing: say so once it lasts; roles take a moment to arrive."""
        lasted = self.reports.lasted(key, self._now())
        if lasted < GRACE_SECONDS or (isinstance(error, Unauthorized) and side is Side.CONSUMER):
            raise error
        if isinstance(error, Forbidden) and not error.missing_right:
            # About this object alone: its words must not go into the condition of the binding.
            reason, message = model.Reason.REJECTED, remedies.not_taken(side, error.message)
        elif isinstance(error, Forbidden):
            reason = model.Reason.DENIED
            message = remedies.denied(side, error.message, self._binding, root=self._app.root)
        elif isinstance(error, AbsenceUnproven):
            reason = model.Reason.NOT_SERVED
            message = remedies.unproven(side, self.resource, error.message)
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


def _creates(steps: Iterable[ClaimStep]) -> set[Side]:
    """The sides on which a copy would be made."""
    return {step.side for step in steps if isinstance(step, claim_model.CreateCopy)}


def _copies_down(
    step: ClaimStep,
) -> TypeGuard[claim_model.CreateCopy | claim_model.UpdateCopy | claim_model.ReplaceCopy]:
    """Whether a step writes content of the provider's to the app cluster."""
    return (
        isinstance(step, claim_model.CreateCopy | claim_model.UpdateCopy | claim_model.ReplaceCopy)
        and step.side is Side.CONSUMER
    )
