"""Waiting until a tenant can work, before its credential is handed out.

Roles and bindings take effect some milliseconds after they were written. The Go CLI gives up on the first
refusal, so nobody gets a credential that is not honoured yet.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from cachetools import LRUCache

from bind_agent.api.resource import EXPORT_REQUESTS
from bind_agent.backend.tenancy.directory import TenancyError
from bind_agent.kube.client import Client, user_agent
from bind_agent.kube.credentials import Credential
from bind_agent.kube.errors import Unauthorized

_TRIES: Final = 100
_WAIT: Final = 0.1
_CONNECTIONS: Final = 8
"""At once; a handshake costs more than many questions."""
_REMEMBERED: Final = 16_384
"""Tokens that were seen to work; they are not asked again. Not their tenants: one that was deleted and comes back has
the same name, and rights that are not in force yet."""


class Usable:
    """Knows which tokens' rights are in force."""

    def __init__(self, client: Client) -> None:
        """Set up.

        Args:
            client: of the provider cluster; its address is used, its credential is not.
        """
        self._client = client
        self._shared: Client | None = None
        self._waiting = 0
        self._seen: LRUCache[bytes, bool] = LRUCache(maxsize=_REMEMBERED)

    async def wait(self, namespace: str, token: str) -> None:
        """Wait until the API server lets the tenant do its first request.

        The tenant itself asks, with its own token, so the backend needs no right to ask about others.

        Args:
            namespace: the tenant's.
            token: the one that is about to be handed out.

        Raises:
            TenancyError: the rights do not come into force.
            KubeError: the server could not be asked.
        """
        seen = hashlib.sha256(token.encode()).digest()
        if seen in self._seen:
            return
        async with self._connection() as shared:
            tenant = shared.bearing(token)
            for _ in range(_TRIES):
                if await _may_request(tenant, namespace):
                    self._seen[seen] = True
                    return
                await asyncio.sleep(_WAIT)
        raise TenancyError(
            f"the rights of {namespace} do not come into force: see the condition AccessGranted of its"
            " ClusterBinding"
        )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        """Connections that show no credential of their own, shared by all who wait at the same time.

        Those of the backend will not do: a client certificate would count more than a tenant's token.
        """
        if self._shared is None:
            config = replace(self._client.config, credential=Credential())
            self._shared = Client.open(config, user_agent=user_agent("backend"), max_in_flight=_CONNECTIONS)
        self._waiting += 1
        try:
            yield self._shared
        finally:
            self._waiting -= 1
            if not self._waiting:
                shared, self._shared = self._shared, None
                await shared.close()


async def _may_request(tenant: Client, namespace: str) -> bool:
    try:
        review = await tenant.can_i(
            verb="create", group=EXPORT_REQUESTS.group, resource=EXPORT_REQUESTS.plural, namespace=namespace
        )
    except Unauthorized:
        # A token that was issued a moment ago, asked of another API server.
        return False
    return review.allowed
