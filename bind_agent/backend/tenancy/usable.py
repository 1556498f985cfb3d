"""Waiting until a tenant can work, before its credential is handed out.

Roles and bindings take effect some milliseconds after they were written. The Go CLI gives up on the first
refusal, so nobody gets a credential that is not honoured yet.
"""

import asyncio
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
_REMEMBERED: Final = 16_384
"""Tenants whose rights were seen to work; they are not asked again."""


class Usable:
    """Knows which tenants' rights are in force."""

    def __init__(self, client: Client) -> None:
        """Set up.

        Args:
            client: of the provider cluster; its address is used, its credential is not.
        """
        self._client = client
        self._seen: LRUCache[str, bool] = LRUCache(maxsize=_REMEMBERED)

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
        if namespace in self._seen:
            return
        config = replace(self._client.config, credential=Credential(token=token))
        async with Client.open(config, user_agent=user_agent("backend")) as tenant:
            for _ in range(_TRIES):
                if await _may_request(tenant, namespace):
                    self._seen[namespace] = True
                    return
                await asyncio.sleep(_WAIT)
        raise TenancyError(
            f"the rights of {namespace} do not come into force: see the condition AccessGranted of its"
            " ClusterBinding"
        )


async def _may_request(tenant: Client, namespace: str) -> bool:
    try:
        review = await tenant.can_i(
            verb="create", group=EXPORT_REQUESTS.group, resource=EXPORT_REQUESTS.plural, namespace=namespace
        )
    except Unauthorized:
        # A token that was issued a moment ago, asked of another API server.
        return False
    return review.allowed
