"""What may be used once: login states, one-time codes, and sessions that were ended by a logout.

Replicas share nothing but the API server, and creating an object of a given name is atomic there: whoever
creates the Lease of a thing has used it, everybody else is too late. The name is a digest, so the Lease tells
nobody what was used. The leader removes Leases of things that would have ended by themselves.
"""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import LEASES
from bind_agent.backend import names
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AlreadyExists, KubeError
from bind_agent.runtime.faults import describe
from bind_agent.runtime.informer import Informer
from bind_agent.runtime.pool import InformerPool

log = structlog.get_logger(__name__)

_MICRO_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_SKEW: Final = timedelta(minutes=5)
"""Clocks of replicas may differ by as much without one of them taking for fresh what another one forgot."""
_EVERY: Final = 30.0
_AT_ONCE: Final = 200
"""Leases removed in one round, so that a flood of logins does not become one of deletions."""


class Spent:
    """Things that were used, as every replica sees them."""

    def __init__(
        self, client: Client, informer: Informer, namespace: str, *, replica: str = "", clock: Clock = SYSTEM
    ) -> None:
        """Set up; `watched` makes one with its informer.

        Args:
            client: of the provider cluster.
            informer: of our Leases in `namespace`.
            namespace: the backend's own.
            replica: noted as holder, for people who look.
            clock: for wall-clock times and waits.
        """
        self._client = client
        self._informer = informer
        self._namespace = namespace
        self._replica = replica
        self._clock = clock

    @classmethod
    def watched(
        cls, pool: InformerPool, namespace: str, *, replica: str = "", clock: Clock = SYSTEM
    ) -> "Spent":
        """With an informer of the pool."""
        informer = pool.acquire(LEASES, namespace=namespace, label_selector=names.SPENT)
        return cls(pool.client, informer, namespace, replica=replica, clock=clock)

    @property
    def ready(self) -> bool:
        """Whether what other replicas noted is known here."""
        return self._informer.has_synced

    def known(self, kind: str, thing: str) -> bool:
        """Whether a thing is known to be used; a use of this moment may not be known here yet."""
        return self._informer.store.get(f"{self._namespace}/{lease_name(kind, thing)}") is not None

    async def used(self, kind: str, thing: str) -> bool:
        """Whether a thing was used, asked of the API server.

        Raises:
            KubeError: it could not be asked.
        """
        name = lease_name(kind, thing)
        return (
            self.known(kind, thing)
            or await self._client.get_or_none(LEASES, name, namespace=self._namespace) is not None
        )

    async def use(self, kind: str, thing: str, until: datetime) -> bool:
        """Use a thing up.

        Args:
            kind: `state`, `code` or `session`.
            thing: its id.
            until: when it ends by itself.

        Returns:
            False when somebody else has used it before.

        Raises:
            KubeError: it is not known whether it is used now.
        """
        now = self._clock.now()
        wanted = lease(kind, thing, now, until, namespace=self._namespace, replica=self._replica)
        try:
            await self._client.create(LEASES, wanted)
        except AlreadyExists:
            return False
        return True

    async def prune(self) -> int:
        """Remove what has ended by itself.

        Returns:
            How many were removed.
        """
        now = self._clock.now()
        removed = 0
        for key in tuple(self._informer.store.keys()):
            entry = self._informer.store.get(key)
            if entry is None or not over(entry.object(), now):
                continue
            await self._client.delete(LEASES, meta.split_key(key)[1], namespace=self._namespace)
            removed += 1
            if removed >= _AT_ONCE:
                break
        return removed

    async def keep_clean(self) -> None:
        """Remove again and again what has ended; for the leader, until cancelled."""
        await self._informer.wait_synced()
        while True:
            try:
                more = await self.prune() >= _AT_ONCE
            except KubeError as error:
                log.warning("used login states cannot be removed now", error=describe(error))
                more = False
            await (asyncio.sleep(0) if more else self._clock.sleep(_EVERY))


def lease_name(kind: str, thing: str) -> str:
    """Name of the Lease that stands for a thing."""
    return names.SPENT_PREFIX + hashlib.sha256(f"{kind}\0{thing}".encode()).hexdigest()[:40]


def lease(kind: str, thing: str, now: datetime, until: datetime, *, namespace: str, replica: str) -> Object:
    """The Lease that stands for a thing."""
    spec = {
        "acquireTime": now.astimezone(UTC).strftime(_MICRO_TIME),
        "leaseDurationSeconds": max(1, int((until - now).total_seconds()) + 1),
    }
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {
            "name": lease_name(kind, thing),
            "namespace": namespace,
            "labels": {keys.MANAGED_BY: keys.MANAGER, names.SPENT: kind},
        },
        "spec": {**spec, **({"holderIdentity": replica} if replica else {})},
    }


def over(found: Object, now: datetime) -> bool:
    """Whether a thing has ended by itself, on every replica's clock. A Lease that cannot be read has."""
    spec = found.get("spec")
    try:
        begun = datetime.strptime(spec["acquireTime"], _MICRO_TIME).replace(tzinfo=UTC)  # type: ignore[index]
        lasts = timedelta(seconds=int(spec["leaseDurationSeconds"]))  # type: ignore[index]
        return begun + lasts + _SKEW < now
    except (KeyError, TypeError, ValueError, OverflowError):
        return True
