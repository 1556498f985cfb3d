"""Sync of the objects of one bound resource: events to keys, keys to plans, plans to execution.

One reconciler per object key looks at both sides, so the two directions cannot race; the queue never hands a key
out twice at once. Own writes are remembered until the watch shows them (``recent``), so nothing is sent twice.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AbsenceUnproven, Forbidden, Unauthorized
from bind_agent.obs import metrics
from bind_agent.runtime.controller import Controller, Result
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.reflector import NEW_SCHEMA_SECONDS
from bind_agent.runtime.store import Entry
from konnector.clusters import AppCluster
from konnector.sync import model, remedies
from konnector.sync.brake import Brake
from konnector.sync.execution import Execution, RefusedByServerError, ReplanError, side_of
from konnector.sync.model import Placement, Policy, Side, Step
from konnector.sync.namespaces import ServiceNamespaces
from konnector.sync.pacing import Pacing
from konnector.sync.patience import recheck_after
from konnector.sync.placement import Unplaced, consumer_key, place
from konnector.sync.plan import plan
from konnector.sync.reports import Reports

log = structlog.get_logger(__name__)

GRACE_SECONDS = 2.0
"""A right that is missing for so long is told."""
_NEW_SCHEMA_SECONDS = NEW_SCHEMA_SECONDS + 1.0
"""By then the informers have listed again."""
_ANSWER_SECONDS = 10.0
"""A provider that has not named a namespace after so long is told."""
_ROUNDS = 4
"""Plans in one reconcile: a step that changes what is known (an object gone at once) is followed by a new plan."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """The provider's side of one session.

    Attributes:
        client: the provider's API server.
        pool: informers on it.
        namespace: the tenant's cluster namespace.
        namespace_uid: its UID, for owner references of cluster-scoped copies (spec 6.7.2).
    """

    client: Client
    pool: InformerPool
    namespace: str
    namespace_uid: str


class ObjectSync:
    """The objects of one resource between the app cluster and one provider.

    Attributes:
        resource: the bound resource at the synced version.
        reports: what is refused now.
    """

    def __init__(
        self,
        app: AppCluster,
        tenant: Tenant,
        mapping: ServiceNamespaces,
        resource: Resource,
        policy: Policy,
        *,
        cluster_wide: bool,
        brake: Brake,
        on_brake: Callable[[], None],
        reports: Reports,
        pacing: Pacing | None = None,
    ) -> None:
        """Acquire the consumer's informer; the provider's follow the mapping.

        Args:
            app: the app cluster.
            tenant: the provider's side.
            mapping: consumer namespaces to service namespaces.
            resource: the bound resource at the synced version; its scope is the CRD's.
            policy: what ``plan`` may do.
            cluster_wide: watch the provider with one watch over all namespaces (spec 6.6.4 step 3).
            brake: stops mass deletion for the binding.
            on_brake: called when the brake holds a deletion.
            reports: where refusals are reported.
            pacing: of the writes that the provider causes on the app cluster.
        """
        self.resource = resource
        self._app = app
        self._tenant = tenant
        self._mapping = mapping
        self._policy = policy
        self._cluster_wide = cluster_wide or not resource.namespaced
        self.reports = reports
        self._pacing = pacing or Pacing()
        self._consumer: Informer = app.pool.acquire(resource)
        self._provider: dict[str, Informer] = {}
        self._tally = mapping.bound.tally(resource.group_resource)
        self._group: asyncio.TaskGroup | None = None
        self._execution = Execution(
            app.client,
            tenant.client,
            resource,
            consumer=self._consumer,
            provider_informer=self._provider_informer,
            brake=brake,
            on_brake=on_brake,
        )
        name = f"objects-{resource.group_resource}"
        self.controller = Controller(name, self._reconcile, workers=app.options.workers)

    def followed(self) -> Iterator[tuple[Side, Informer]]:
        """The watches that this depends on."""
        yield Side.CONSUMER, self._consumer
        for informer in self._provider.values():
            yield Side.PROVIDER, informer

    def refresh(self) -> None:
        """The schema has changed: what was told and planned meanwhile may lack new fields."""
        for _, informer in self.followed():
            informer.refresh()
        if self._group is not None:
            self._group.create_task(self._look_again(), name=f"new-schema-{self.resource.plural}")

    async def _look_again(self) -> None:
        # A delayed key would lose its delay to the next event, hence a wait of its own.
        await asyncio.sleep(_NEW_SCHEMA_SECONDS)
        self._enqueue_namespace("")

    def recheck(self, keys: Iterable[str]) -> None:
        """Look at objects again, for instance after the brake was released."""
        for key in keys:
            self.controller.enqueue(key)

    async def run(self) -> None:
        """Sync until cancelled; all informers are given back."""
        removers: list[Callable[[], None]] = []
        try:
            await self._consumer.wait_synced()
            removers.append(self._consumer.add_handler(self._on_consumer))
            removers.append(self._consumer.add_list_handler(self._on_consumer_list))
            async with asyncio.TaskGroup() as group:
                self._group = group
                if self._cluster_wide:
                    group.create_task(self._follow(""), name=f"follow-{self.resource.plural}")
                if self.resource.namespaced:
                    removers.append(self._mapping.subscribe(self._on_mapping))
                group.create_task(self.controller.run(), name=self.controller.name)
        finally:
            self._group = None
            for remove in removers:
                remove()
            self._tally.end()
            for informer in self._provider.values():
                self._tenant.pool.release(informer)
            self._provider.clear()
            self._app.pool.release(self._consumer)

    def _on_consumer(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is None:
            return
        self._tally.count(event, meta.split_key(entry.key)[0])
        if self._is_news(Side.CONSUMER, event, entry):
            self.controller.enqueue(entry.key, priority=self._consumer.priority)

    def _on_provider(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is None:
            return
        key = self._consumer_key(entry.key)
        if key is not None and self._is_news(Side.PROVIDER, event, entry):
            self.controller.enqueue(key)

    def _on_consumer_list(self) -> None:
        self.recheck(self._execution.recent[Side.CONSUMER].listed(self._consumer.namespace))

    def _on_provider_list(self, informer: Informer) -> None:
        for provider_key in self._execution.recent[Side.PROVIDER].listed(informer.namespace):
            if (key := self._consumer_key(provider_key)) is not None:
                self.controller.enqueue(key)

    def _is_news(self, side: Side, event: Event, entry: Entry) -> bool:
        if event is Event.DELETED:
            self._execution.recent[side].deleted(entry.key, entry.uid)
            return True
        return self._execution.recent[side].changed(entry.key, entry.resource_version)

    def _on_mapping(self, consumer_namespace: str, service_namespace: str | None) -> None:
        if service_namespace is None:
            for ended in [n for n in self._provider if n and self._mapping.consumer_namespace(n) is None]:
                self._tenant.pool.release(self._provider.pop(ended))
        elif not self._cluster_wide and service_namespace not in self._provider:
            # What waits for the namespace goes on when its informer has synced.
            assert self._group is not None  # noqa: S101 - mappings are heard of while running
            self._group.create_task(self._follow(service_namespace), name=f"follow-{service_namespace}")
            return
        self._enqueue_namespace(consumer_namespace)

    async def _follow(self, service_namespace: str) -> None:
        """Watch one service namespace, or all of them (empty)."""
        informer = self._tenant.pool.acquire(self.resource, namespace=service_namespace or None)
        self._provider[service_namespace] = informer
        await informer.wait_synced()
        if self._provider.get(service_namespace) is not informer:
            return  # the mapping ended meanwhile
        informer.add_handler(self._on_provider)
        informer.add_list_handler(lambda: self._on_provider_list(informer))
        self._enqueue_namespace(self._mapping.consumer_namespace(service_namespace) or "")

    def _enqueue_namespace(self, consumer_namespace: str) -> None:
        """Look at all objects of one consumer namespace, or at all (empty)."""
        prefix = f"{consumer_namespace}/" if consumer_namespace else ""
        for key in self._consumer_keys():
            if key.startswith(prefix):
                self.controller.enqueue(key)

    def _consumer_keys(self) -> Iterator[str]:
        return iter(tuple(self._consumer.store.keys()))

    def _consumer_key(self, provider_key: str) -> str | None:
        if not self.resource.namespaced:
            return consumer_key(
                provider_key, mapping={}, cluster_namespace=self._tenant.namespace, cluster_scoped=True
            )
        namespace, name = meta.split_key(provider_key)
        consumer_namespace = self._mapping.consumer_namespace(namespace)
        return meta.join_key(consumer_namespace, name) if consumer_namespace else None

    def _provider_informer(self, placed: Placement) -> Informer | None:
        informer = self._provider.get("" if self._cluster_wide else placed.provider_namespace)
        return informer if informer is not None and informer.has_synced else None

    async def _reconcile(self, key: str) -> Result | None:
        for _ in range(_ROUNDS):
            placed = self._place(key)
            if isinstance(placed, Unplaced):
                return await self._wait_for_place(key, placed)
            if self._provider_informer(placed) is None:
                return None  # its sync enqueues the key again
            consumer, provider = self._execution.read(key, placed)
            if consumer is None and provider is None:
                self._execution.keep(key)
                self._execution.forget(key)
                self.reports.clear(key)
                return None
            memory = self._execution.memory(key)
            steps = plan(consumer, provider, placed, self._policy, memory, now=self._now())
            if not any(isinstance(step, model.DeleteProvider) for step in steps):
                self._execution.keep(key)
            try:
                return await self._carry_out(key, steps, placed)
            except ReplanError:
                continue
        return Result(after=1.0)

    async def _carry_out(self, key: str, steps: tuple[Step, ...], placed: Placement) -> Result | None:
        result: Result | None = None
        refused = False
        for step in steps:
            match step:
                case model.Recheck(after=after):
                    result = Result(after=after)
                case model.Refuse(reason=reason, message=message):
                    refused = True
                    self._refuse(key, reason, message)
                case model.PatchConsumerStatus() if pause := self._pause(key):
                    result = Result(after=pause)
                case _:
                    try:
                        ended = await self._execution.execute(key, step, placed)
                    except RefusedByServerError as error:
                        self._refuse(key, model.Reason.REJECTED, str(error))
                        return None
                    except (Forbidden, Unauthorized, AbsenceUnproven) as error:
                        return self._denied(key, side_of(step), error)
                    if ended is not None:
                        return ended
        if not refused:
            self.reports.clear(key)
        return result

    def _pause(self, key: str) -> float:
        """Seconds for which a status has to wait, because the provider changes it too fast."""
        pause = self._pacing.ask((self.resource, key), self._now())
        if pause:
            metrics.WRITES_HELD(self.resource.group_resource).inc()
        return pause

    def _denied(self, key: str, side: Side, error: Forbidden | Unauthorized | AbsenceUnproven) -> Result:
        """A right, the credential or the kind is missing: say so once it lasts; roles take a moment to arrive."""
        lasted = self.reports.lasted(key, self._now())
        if lasted < GRACE_SECONDS or (isinstance(error, Unauthorized) and side is Side.CONSUMER):
            raise error
        if isinstance(error, Forbidden) and not error.missing_right:
            # About this object alone: its words must not go into the condition of the binding.
            self._refuse(key, model.Reason.REJECTED, remedies.not_taken(side, error.message))
        elif isinstance(error, Forbidden):
            message = remedies.denied(side, error.message, self.resource.group_resource, root=self._app.root)
            self._refuse(key, model.Reason.DENIED, message)
        elif isinstance(error, AbsenceUnproven):
            message = remedies.unproven(side, self.resource, error.message)
            self._refuse(key, model.Reason.NOT_SERVED, message)
        else:
            self._refuse(key, model.Reason.CREDENTIAL, remedies.rejected(error.message))
        return Result(after=recheck_after(lasted))

    async def _wait_for_place(self, key: str, unplaced: Unplaced) -> Result | None:
        consumer, _ = self._execution.read(key, None)
        if consumer is None:
            self._execution.forget(key)
            self.reports.clear(key)
            return None
        result: Result | None = None
        for step in unplaced.steps_for(consumer):
            match step:
                case model.EnsureServiceNamespace(namespace=namespace):
                    self._mapping.want(namespace)
                case model.Refuse(reason=reason, message=message):
                    self._refuse(key, reason, message)
                case model.ReleaseFinalizer(patch=release):
                    namespace, name = meta.split_key(key)
                    await self._app.client.merge_patch(
                        self.resource, name, release, namespace=namespace or None
                    )
                case model.Recheck():
                    result = self._waiting(key)
        return result

    def _waiting(self, key: str) -> Result | None:
        """The mapping's event enqueues the key; who waits for it longer than usual is told."""
        left = _ANSWER_SECONDS - self.reports.lasted(key, self._now())
        if left > 0:
            return Result(after=left + 0.1)
        namespace, _ = meta.split_key(key)
        self._refuse(key, model.Reason.UNPLACED, remedies.unplaced(namespace, self._tenant.namespace))
        return None

    def _place(self, key: str) -> Placement | Unplaced:
        record: Object | None = None
        if self.resource.namespaced:
            namespace, _ = meta.split_key(key)
            if refusal := self._mapping.refusal(namespace):
                return Unplaced((model.Refuse(model.Reason.PROTECTED, refusal),))
            service_namespace = self._mapping.service_namespace(namespace)
            if service_namespace is not None:
                record = {"metadata": {"name": namespace}, "status": {"namespace": service_namespace}}
        return place(
            key,
            record,
            cluster_namespace=self._tenant.namespace,
            cluster_namespace_uid=self._tenant.namespace_uid,
            cluster_scoped=not self.resource.namespaced,
        )

    def _refuse(self, key: str, reason: str, message: str) -> None:
        entry = self._consumer.store.get(key)
        self.reports.refuse(
            key, entry.object() if entry is not None else self._stand_in(key), reason, message
        )

    def _stand_in(self, key: str) -> Object:
        """Enough of an object that is not (yet) here for an event about it."""
        namespace, name = meta.split_key(key)
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"namespace": namespace, "name": name},
        }

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
