"""Everything for one provider and one app cluster: clients, informers, controllers, heartbeat."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from bind_agent.aio.backoff import Backoff, Policy
from bind_agent.api import conditions, meta
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.resource import EXPORTS, NAMESPACES, SERVICE_NAMESPACES
from bind_agent.kube.errors import KubeError
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.runtime.informer import Informer
from konnector.clusters import AppCluster, Ends
from konnector.controllers.binding_status import BindingStatus
from konnector.controllers.credential import OfferedCredential
from konnector.controllers.exports import Exports
from konnector.controllers.heartbeat import Heartbeat
from konnector.controllers.schema import Schemas
from konnector.controllers.troubles import Followed
from konnector.mode import Place
from konnector.monitor import Monitor
from konnector.secrets import Secrets
from konnector.sync.model import Side
from konnector.sync.namespaces import ServiceNamespaces

log = structlog.get_logger(__name__)


class ProviderSession:
    """One provider, as seen with one tenant's rights, and one app cluster."""

    def __init__(
        self,
        place: Place,
        kubeconfig: ProviderKubeconfig,
        *,
        bindings: Informer,
        secrets: Secrets,
        status: BindingStatus,
    ) -> None:
        """Prepare; nothing is connected before ``run``.

        Args:
            place: where the konnector runs.
            kubeconfig: how to reach the far cluster.
            bindings: informer of all bindings.
            secrets: the kubeconfig Secrets at home.
            status: where conditions of bindings are stated.
        """
        self._place = place
        self._kubeconfig = kubeconfig
        self._all_bindings = bindings
        self._secrets = secrets
        self._status = status
        self._binding_keys: frozenset[str] = frozenset()
        self._secret_keys: frozenset[str] = frozenset()
        self._again = asyncio.Event()
        self._ends: Ends | None = None
        self._monitor: Monitor | None = None
        self._schemas: Schemas | None = None
        self._exports: Exports | None = None

    def update(
        self, kubeconfig: ProviderKubeconfig, bindings: frozenset[str], secrets: frozenset[str]
    ) -> None:
        """Take changed bindings and a rotated credential over, without dropping work."""
        self._secret_keys = secrets
        if kubeconfig.digest != self._kubeconfig.digest:
            self._kubeconfig = kubeconfig
            if self._ends is not None:
                log.info("credential rotated", server=kubeconfig.server)
                self._ends.far_client.update_credential(kubeconfig.config())
                self._ends.doubt()
                self._try_again()
        changed = bindings ^ self._binding_keys
        self._binding_keys = bindings
        self._enqueue(changed)

    def _try_again(self) -> None:
        """What failed because of the old credential need not wait for its time."""
        self._again.set()
        for informer in self._ends.far_pool.informers() if self._ends is not None else ():
            informer.nudge()
        if self._exports is not None:
            self._exports.recheck()

    @property
    def bindings(self) -> frozenset[str]:
        """Keys of the bindings that are served."""
        return self._binding_keys

    @property
    def connected(self) -> bool:
        """Whether both ends are followed at this moment."""
        return self._exports is not None and self._monitor is not None and self._monitor.connected

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ExceptionGroup: something failed that no controller handles; the hub starts the session again.
        """
        log.info("session starts", server=self._kubeconfig.server, namespace=self._kubeconfig.namespace)
        async with self._place.connect(self._kubeconfig) as ends:
            self._ends = ends
            try:
                await self._serve(ends)
            finally:
                self._ends = self._monitor = self._schemas = self._exports = None

    async def _serve(self, ends: Ends) -> None:
        provider = ends.provider
        exports = provider.pool.acquire(EXPORTS, namespace=provider.namespace)
        records = provider.pool.acquire(SERVICE_NAMESPACES, namespace=provider.namespace)
        with self._namespaces(ends.app) as namespaces, self._heartbeat(ends) as heartbeat:
            base = [Followed(Side.PROVIDER, one) for one in (exports, records, heartbeat.cluster_bindings)]
            self._monitor = Monitor(
                ends,
                self._status,
                (*base, Followed(Side.CONSUMER, namespaces)),
                bindings=lambda: self._binding_keys,
                exports=lambda: self._exports,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self._monitor.run(), name="monitor")
                group.create_task(heartbeat.controller.run(), name="heartbeat")
                app = await self._identify(ends.app, self._monitor)
                if ends.guard is not None:
                    group.create_task(ends.guard.watch(app.client, app.cluster_id), name="guard")
                for informer in (exports, records, heartbeat.cluster_bindings, namespaces):
                    await informer.wait_synced()
                self._status.state(self._binding_keys, conditions.true(ConditionType.INFORMERS_SYNCED))
                mapping = ServiceNamespaces(app, provider.copies, provider.namespace, records, namespaces)
                self._schemas = Schemas(
                    app,
                    exports,
                    self._all_bindings,
                    provider.namespace,
                    served=lambda: self._binding_keys,
                    status=self._status,
                    pretty_name=heartbeat.pretty_name,
                )
                self._exports = Exports(
                    app,
                    provider,
                    exports,
                    self._all_bindings,
                    mapping,
                    served=lambda: self._binding_keys,
                    status=self._status,
                )
                with mapping, self._schemas, self._exports:
                    heartbeat.cluster_bindings.add_handler(lambda *_: self._enqueue(self._binding_keys))
                    group.create_task(mapping.controller.run(), name="service-namespaces")
                    group.create_task(self._schemas.controller.run(), name="schema")
                    self._enqueue(self._binding_keys)
                    await self._exports.run()

    async def _identify(self, app: AppCluster, monitor: Monitor) -> AppCluster:
        """Ask the app cluster who it is, for as long as it takes: copies are marked with its identity."""
        backoff = Backoff(Policy(first=0.5, cap=15.0))
        while True:
            try:
                identified = await app.identified()
            except KubeError as error:
                monitor.unidentified = error
                wait = backoff.next()
                log.warning("cannot ask the app cluster who it is", error=str(error), again_in=round(wait, 1))
            else:
                monitor.unidentified = None
                return identified
            self._again.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._again.wait()
            except TimeoutError:
                continue

    def _enqueue(self, binding_keys: frozenset[str]) -> None:
        for key in binding_keys:
            if self._schemas is not None:
                self._schemas.controller.enqueue(key)
            if self._exports is not None:
                self._exports.controller.enqueue(meta.split_key(key)[1])

    @contextmanager
    def _namespaces(self, app: AppCluster) -> Iterator[Informer]:
        informer = app.pool.acquire(NAMESPACES)
        try:
            yield informer
        finally:
            app.pool.release(informer)

    @contextmanager
    def _heartbeat(self, ends: Ends) -> Iterator[Heartbeat]:
        credential = (
            OfferedCredential(
                self._place.home,
                ends.provider,
                self._secrets,
                current=lambda: self._kubeconfig,
                secret_keys=lambda: self._secret_keys,
            )
            if self._place.provider_rotates
            else None
        )
        heartbeat = Heartbeat(
            ends.provider,
            self._place.home.options,
            credential=credential,
            state=lambda condition: self._monitor.state(condition) if self._monitor is not None else None,
        )
        try:
            yield heartbeat
        finally:
            heartbeat.close()
