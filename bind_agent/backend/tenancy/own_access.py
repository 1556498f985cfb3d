"""The backend's own access to the credential of a tenant.

Secrets are nobody's business cluster-wide, the backend's neither: it binds a small static ClusterRole to
itself in each cluster namespace, and has no right on Secrets elsewhere.
"""

import asyncio
from typing import Final

from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS
from bind_agent.backend import access
from bind_agent.backend.grants import ensure
from bind_agent.backend.rights import Rights
from bind_agent.kube.client import Client

_TRIES: Final = 100
_WAIT: Final = 0.1
"""An API server takes some milliseconds to notice a new RoleBinding of its own."""


async def ensure_binding(client: Client, rights: Rights, cns: str, *, known: Object | None) -> None:
    """RoleBinding of the own account in a tenant's namespace; a person or admin needs none.

    Args:
        client: of the provider cluster.
        rights: who we are.
        cns: the tenant's namespace.
        known: the binding as last seen, or None.

    Raises:
        NameTaken: a binding of that name binds another role.
        KubeError: a request failed.
    """
    account = (await rights.account()).service_account
    if account is not None:
        await ensure(client, access.backend_binding(cns, account), known)


async def settle(rights: Rights, cns: str) -> None:
    """Wait until the API server honours the binding, so that the first request is not refused.

    After some seconds without it the caller goes on, and the server's refusal says what is missing.

    Raises:
        KubeError: the server could not be asked.
    """
    for _ in range(_TRIES):
        if await rights.may("create", SECRETS, namespace=cns):
            return
        await asyncio.sleep(_WAIT)
