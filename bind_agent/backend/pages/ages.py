"""How old the credentials of a list of clusters are, without a request for each view.

Only the Secret of a tenant says so, and Secrets are not watched. What was read is kept until something that is
watched says that it has changed, until it is due for renewal, or for some minutes.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

import structlog
from cachetools import LRUCache, TTLCache

from bind_agent.aio.clock import Clock
from bind_agent.api import conditions, meta
from bind_agent.backend import names
from bind_agent.backend.tenancy.directory import Tenant
from bind_agent.backend.tenancy.rotation import Credential
from bind_agent.kube.errors import KubeError
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

PATIENCE: Final = 3.0
"""Seconds that a page waits for the figures of credentials; it is shown without them then."""

_KEPT: Final = 8192
_FRESH: Final = timedelta(minutes=10).total_seconds()
_AT_ONCE: Final = 8
_MARKS: Final = (names.CREDENTIAL_CHANGED, names.REVOKED, names.ADMITTED)


class Keeper(Protocol):
    """Knows credentials (`Tenants`)."""

    async def credential(self, tenant: Tenant) -> Credential:
        """What is in force for a tenant, without the token itself."""
        ...


class Ages:
    """Remembers what the Secrets of tenants say about themselves; never a token."""

    def __init__(self) -> None:
        """Start empty."""
        self._known: TTLCache[tuple[object, ...], Credential] = TTLCache(maxsize=_KEPT, ttl=_FRESH)
        self._keys: LRUCache[tuple[str, str, str], tuple[object, ...]] = LRUCache(maxsize=_KEPT)

    async def of(
        self, tenants: Sequence[Tenant], *, keeper: Keeper, clock: Clock, patience: float = PATIENCE
    ) -> list[Credential | None]:
        """The credential of each tenant; None for one that cannot be looked at now.

        Args:
            tenants: as they are watched.
            keeper: reads what is not known.
            clock: for wall-clock times.
            patience: seconds for all of them together.
        """
        now = clock.now()
        keys = [self._key(one) for one in tenants]
        found = [self._known.get(key) for key in keys]
        missing = [
            number
            for number, state in enumerate(found)
            if state is None or (state.renew is not None and state.renew <= now)
        ]
        room = asyncio.Semaphore(_AT_ONCE)

        async def read(number: int) -> None:
            tenant, found[number] = tenants[number], None
            async with room:
                state = await keeper.credential(tenant)
            found[number] = self._known[keys[number]] = state

        tasks = [asyncio.create_task(read(number)) for number in missing]
        try:
            async with asyncio.timeout(patience):
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, KubeError):
                        log.info("a credential could not be looked at", error=describe(result))
                    elif isinstance(result, BaseException):
                        raise result
        except TimeoutError:
            log.info("credentials could not be looked at in time", count=len(missing))
        finally:
            for task in tasks:
                task.cancel()
        return found

    def _key(self, tenant: Tenant) -> tuple[object, ...]:
        """Another one once a person, an operator or a controller has changed the credential."""
        binding = tenant.binding or {}
        version = (tenant.uid, meta.uid(binding), meta.resource_version(binding))
        found = self._keys.get(version)
        if found is None or not version[-1]:
            issued = conditions.get(conditions.of(binding), names.CREDENTIAL_ISSUED)
            marks = (meta.annotation(binding, mark) for mark in _MARKS)
            found = (tenant.namespace, tenant.uid, issued.status if issued else "", *marks)
            self._keys[version] = found
        return found
