"""The backend's own access to the credential of a tenant.

Secrets are nobody's business cluster-wide, the backend's neither: it binds a small static ClusterRole to
itself in each cluster namespace, and has no right on Secrets elsewhere.
"""

import asyncio
from datetime import datetime, timedelta
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


_OLD: Final = timedelta(seconds=30)
"""A binding of this age is in force."""


async def ensure_binding(
    client: Client, rights: Rights, cns: str, *, known: Object | None, fresh: bool = False
) -> None:
    """RoleBinding of the own account in a tenant's namespace; a person or admin needs none.

    Args:
        client: of the provider cluster.
        rights: who we are.
        cns: the tenant's namespace.
        known: the binding as last seen, or None.
        fresh: the namespace was made a moment ago by us, so nothing is in it.

    Raises:
        NameTaken: a binding of that name binds another role.
        KubeError: a request failed.
    """
    account = (await rights.account()).service_account
    if account is not None:
        if fresh:
            rights.reached.pop(cns, None)
        await ensure(client, access.backend_binding(cns, account), known, ask=not fresh)


async def settle(
    rights: Rights, cns: str, *, since: datetime | None = None, now: datetime | None = None
) -> None:
    """Wait until the API server honours the binding, so that the first request is not refused.

    After some seconds without it the caller goes on, and the server's refusal says what is missing.

    Args:
        rights: who we are, and where our access was seen to work; that is not asked again.
        cns: the tenant's namespace.
        since: when the binding was made, if that is known.
        now: time with a zone; with `since`.

    Raises:
        KubeError: the server could not be asked.
    """
    if cns in rights.reached:
        return
    if since is not None and now is not None and now - since > _OLD:
        rights.reached[cns] = True
        return
    for _ in range(_TRIES):
        if await rights.may("create", SECRETS, namespace=cns):
            rights.reached[cns] = True
            return
        await asyncio.sleep(_WAIT)
