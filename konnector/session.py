"""Everything for one provider: client, informers, controllers, heartbeat."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.resource import EXPORTS, SERVICE_NAMESPACES
from bind_agent.kube.client import Client
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.runtime.informer import Informer, InformerPool
from konnector.appcluster import AppCluster
from konnector.controllers.binding_status import BindingStatus
from konnector.controllers.exports import Exports
from konnector.controllers.heartbeat import Heartbeat
from konnector.controllers.schema import Schemas
from konnector.sync.namespaces import ServiceNamespaces

log = structlog.get_logger(__name__)

_MONITOR_SECONDS = 1.0
_TOLERATED_SECONDS = 5.0


class ProviderSession:
    """One provider, as seen with one tenant's credential."""

    def __init__(
        self,
        app: AppCluster,
        kubeconfig: ProviderKubeconfig,
        *,
        bindings: Informer,
        secrets: Informer,
        namespaces: Informer,
        status: BindingStatus,
    ) -> None:
        """Prepare; nothing is connected before ``run``.

        Args:
            app: the app cluster.
            kubeconfig: how to reach the provider.
            bindings: informer of all bindings.
            secrets: informer of the consumer's kubeconfig Secrets.
            namespaces: informer of the consumer's namespaces.
            status: where conditions of bindings are stated.
        """
        self._app = app
        self._kubeconfig = kubeconfig
        self._all_bindings = bindings
        self._secrets = secrets
        self._namespaces = namespaces
        self._status = status
        self._binding_keys: frozenset[str] = frozenset()
        self._secret_keys: frozenset[str] = frozenset()
        self._client: Client | None = None
        self._schemas: Schemas | None = None
        self._exports: Exports | None = None

    def update(
        self, kubeconfig: ProviderKubeconfig, bindings: frozenset[str], secrets: frozenset[str]
    ) -> None:
        """Take changed bindings and a rotated credential over, without dropping work."""
        self._secret_keys = secrets
        if kubeconfig.digest != self._kubeconfig.digest:
            self._kubeconfig = kubeconfig
            if self._client is not None:
                log.info("credential rotated", server=kubeconfig.server)
                self._client.update_credential(kubeconfig.config())
        changed = bindings ^ self._binding_keys
        self._binding_keys = bindings
        for key in changed:
            if self._schemas is not None:
                self._schemas.controller.enqueue(key)
            if self._exports is not None:
                self._exports.controller.enqueue(meta.split_key(key)[1])

    @property
    def bindings(self) -> frozenset[str]:
        """Keys of the bindings that are served."""
        return self._binding_keys

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ExceptionGroup: something failed that no controller handles; the hub starts the session again.
        """
        log.info(
            "provider session starts", server=self._kubeconfig.server, namespace=self._kubeconfig.namespace
        )
        client = Client.open(
            self._kubeconfig.config(), user_agent="konnector", max_in_flight=self._app.options.max_in_flight
        )
        async with client, InformerPool(client) as pool:
            self._client = client
            try:
                await self._serve(client, pool)
            finally:
                self._client = self._schemas = self._exports = None

    async def _serve(self, client: Client, pool: InformerPool) -> None:
        cluster_namespace = self._kubeconfig.namespace
        exports = pool.acquire(EXPORTS, namespace=cluster_namespace)
        records = pool.acquire(SERVICE_NAMESPACES, namespace=cluster_namespace)
        with (
            self._heartbeat(client, pool) as heartbeat,
            self._mapping(client, cluster_namespace, records) as mapping,
        ):
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self._monitor([exports, records, heartbeat.cluster_bindings]), name="monitor"
                )
                for informer in (exports, records, heartbeat.cluster_bindings):
                    await informer.wait_synced()
                self._state(conditions.true(ConditionType.INFORMERS_SYNCED))
                self._schemas = Schemas(
                    self._app,
                    exports,
                    self._all_bindings,
                    cluster_namespace,
                    served=lambda: self._binding_keys,
                    status=self._status,
                    pretty_name=heartbeat.pretty_name,
                )
                self._exports = Exports(
                    self._app,
                    client,
                    pool,
                    exports,
                    self._all_bindings,
                    mapping,
                    cluster_namespace,
                    provider_id=self._kubeconfig.identity,
                    served=lambda: self._binding_keys,
                    status=self._status,
                )
                with self._schemas, self._exports:
                    heartbeat.cluster_bindings.add_handler(lambda *_: self._enqueue_all())
                    group.create_task(heartbeat.controller.run(), name="heartbeat")
                    group.create_task(mapping.controller.run(), name="service-namespaces")
                    group.create_task(self._schemas.controller.run(), name="schema")
                    self._enqueue_all()
                    await self._exports.run()

    def _enqueue_all(self) -> None:
        for key in self._binding_keys:
            if self._schemas is not None:
                self._schemas.controller.enqueue(key)
            if self._exports is not None:
                self._exports.controller.enqueue(meta.split_key(key)[1])

    @contextmanager
    def _heartbeat(self, client: Client, pool: InformerPool) -> Iterator[Heartbeat]:
        heartbeat = Heartbeat(
            self._app,
            client,
            pool,
            current=lambda: self._kubeconfig,
            secret_keys=lambda: self._secret_keys,
            consumer_secrets=self._secrets,
            state=self._state,
        )
        try:
            yield heartbeat
        finally:
            heartbeat.close()

    @contextmanager
    def _mapping(
        self, client: Client, cluster_namespace: str, records: Informer
    ) -> Iterator[ServiceNamespaces]:
        mapping = ServiceNamespaces(self._app, client, cluster_namespace, records, self._namespaces)
        try:
            yield mapping
        finally:
            mapping.close()

    def _state(self, condition: Condition) -> None:
        self._status.state(self._binding_keys, condition)

    async def _monitor(self, informers: list[Informer]) -> None:
        """Say when the provider cannot be followed, and when it can again; looks at memory only."""
        failing_since: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_MONITOR_SECONDS)
            errors = [str(i.last_error) for i in informers if i.last_error is not None]
            unsynced = not all(i.has_synced for i in informers)
            if not errors and not unsynced:
                failing_since = None
                self._state(conditions.true(ConditionType.INFORMERS_SYNCED))
                continue
            failing_since = failing_since or loop.time()
            if loop.time() - failing_since >= _TOLERATED_SECONDS:
                self._state(
                    conditions.false(
                        ConditionType.INFORMERS_SYNCED,
                        Reason.INFORMER_SYNC_TIMEOUT,
                        Severity.ERROR,
                        f"cannot follow {self._kubeconfig.server}: {errors[0] if errors else 'no answer yet'}",
                    )
                )
