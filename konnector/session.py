"""Everything for one provider: client, informers, controllers, heartbeat."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Status
from bind_agent.api.resource import EXPORTS, SERVICE_NAMESPACES
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.intake import ProviderKubeconfig
from bind_agent.kube.transport import SLOW
from bind_agent.runtime.informer import Informer, InformerPool
from konnector.appcluster import AppCluster
from konnector.controllers.binding_status import BindingStatus
from konnector.controllers.exports import Exports
from konnector.controllers.heartbeat import Heartbeat
from konnector.controllers.schema import Schemas
from konnector.controllers.troubles import (
    Followed,
    Trouble,
    informers_synced,
    objects_in_sync,
    of_client,
    of_watch,
)
from konnector.sync.model import Side
from konnector.sync.namespaces import ServiceNamespaces
from konnector.sync.patience import Patience

log = structlog.get_logger(__name__)

_MONITOR_SECONDS = 1.0
TOLERATED_SECONDS = 4.0
"""Trouble that passes by itself within so many seconds is not told."""


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
        self._said: dict[str, Condition] = {}
        self._patience = Patience()
        self._failing: set[Informer] = set()
        self._troubled = False
        self._client: Client | None = None
        self._pool: InformerPool | None = None
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
                self._try_again()
        changed = bindings ^ self._binding_keys
        self._binding_keys = bindings
        for key in changed:
            if self._schemas is not None:
                self._schemas.controller.enqueue(key)
            if self._exports is not None:
                self._exports.controller.enqueue(meta.split_key(key)[1])

    def _try_again(self) -> None:
        """What failed because of the old credential need not wait for its time."""
        for informer in self._pool.informers() if self._pool is not None else ():
            informer.nudge()
        if self._exports is not None:
            self._exports.recheck()

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
            self._kubeconfig.config(),
            user_agent=user_agent("konnector"),
            max_in_flight=self._app.options.max_in_flight,
            cluster="provider",
            fence=self._app.fence,
        )
        async with client, InformerPool(client, cluster="provider") as pool:
            self._client, self._pool = client, pool
            try:
                await self._serve(client, pool)
            finally:
                self._client = self._pool = self._schemas = self._exports = None

    async def _serve(self, client: Client, pool: InformerPool) -> None:
        cluster_namespace = self._kubeconfig.namespace
        exports = pool.acquire(EXPORTS, namespace=cluster_namespace)
        records = pool.acquire(SERVICE_NAMESPACES, namespace=cluster_namespace)
        with (
            self._heartbeat(client, pool) as heartbeat,
            self._mapping(client, cluster_namespace, records) as mapping,
        ):
            async with asyncio.TaskGroup() as group:
                base = (exports, records, heartbeat.cluster_bindings)
                group.create_task(self._monitor(client, pool, base), name="monitor")
                for informer in base:
                    await informer.wait_synced()
                self._status.state(self._binding_keys, conditions.true(ConditionType.INFORMERS_SYNCED))
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
        """State a condition on all bindings, those that come later included."""
        self._said[condition.type] = condition
        self._status.state(self._binding_keys, condition)

    async def _monitor(self, client: Client, pool: InformerPool, base: tuple[Informer, ...]) -> None:
        """Say what cannot be followed or written, and when it can again; looks at memory only."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_MONITOR_SECONDS)
            self._encourage(client, pool)
            for key in self._binding_keys:
                self._status.state([key], *self._said.values())
                self._look(key, client, base, loop.time())

    def _encourage(self, client: Client, pool: InformerPool) -> None:
        """One that reaches the provider again is a sign for all that wait for their next attempt."""
        failing = {informer for informer in pool.informers() if informer.last_error is not None}
        if self._failing - failing or (self._troubled and client.trouble is None):
            for informer in failing:
                informer.nudge()
        self._failing, self._troubled = failing, client.trouble is not None

    def _look(self, key: str, client: Client, base: tuple[Informer, ...], now: float) -> None:
        name, server = meta.split_key(key)[1], self._kubeconfig.server
        followed = [Followed(Side.PROVIDER, informer) for informer in base]
        hindrances: list[Trouble] = []
        if self._exports is not None:
            followed += self._exports.followed(name)
            hindrances += self._exports.hindrances(name)
        calls = of_client(client.trouble, client.waiting, slow=SLOW, server=server)
        watches = (of_watch(one, name, server) for one in followed)
        troubles = [trouble for trouble in (calls, *watches) if trouble is not None]
        # A call that waits for its answer has lasted already.
        tolerated = 0.0 if client.waiting >= SLOW else TOLERATED_SECONDS
        self._judge(key, informers_synced(troubles), now, tolerated)
        self._judge(key, objects_in_sync(hindrances), now, TOLERATED_SECONDS)

    def _judge(self, key: str, found: Condition, now: float, tolerated: float) -> None:
        """State what was found; trouble has to last for a while."""
        subject = (key, found.type)
        if found.status == Status.TRUE:
            self._patience.over(subject)
            if found.type == ConditionType.INFORMERS_SYNCED or self._status.stated(key, found.type):
                self._status.state([key], found)
        elif self._patience.lasted(subject, now) >= tolerated:
            self._status.state([key], found)
