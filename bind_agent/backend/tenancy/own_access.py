"""The backend's own access to the credential of a tenant.

Secrets are nobody's business cluster-wide, the backend's neither: it binds a small static ClusterRole to
itself in each cluster namespace, and has no right on Secrets elsewhere.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import ROLEBINDINGS, SECRETS
from bind_agent.backend import access
from bind_agent.backend.grants import ensure
from bind_agent.backend.rights import Rights
from bind_agent.backend.tenancy.rotation import parse_time
from bind_agent.kube.client import Client

_TRIES: Final = 200
_WAIT: Final = 0.1
"""An API server takes some milliseconds to notice a new RoleBinding of its own, a busy one seconds."""

_OLD: Final = timedelta(seconds=30)
"""A binding of this age is in force."""


async def ensure_binding(
    client: Client, rights: Rights, cns: str, *, known: Object | None, fresh: bool = False
) -> Object | None:
    """RoleBinding of the own account in a tenant's namespace; a person or admin needs none.

    Args:
        client: of the provider cluster.
        rights: who we are.
        cns: the tenant's namespace.
        known: the binding as last seen, or None.
        fresh: the namespace was made a moment ago by us, so nothing is in it.

    Returns:
        The binding as it was found, for `settle`; None when it was written just now, or is not needed.

    Raises:
        NameTaken: a binding of that name binds another role.
        KubeError: a request failed.
    """
    account = (await rights.account()).service_account
    if account is None:
        return None
    wanted = access.backend_binding(cns, account)
    if known is None and not fresh:
        known = await client.get_or_none(ROLEBINDINGS, meta.name(wanted), namespace=cns)
    written = await ensure(client, wanted, known, ask=False)
    return None if written else known


async def settle(rights: Rights, cns: str, binding: Object | None, *, now: datetime) -> None:
    """Wait until the API server honours the binding, so that the first request is not refused.

    After some seconds without it the caller goes on, and the server's refusal says what is missing.

    Args:
        rights: who we are, and which binding was seen to work; that one is not asked about again. A tenant that was
            deleted and comes back under the same name has another one.
        cns: the tenant's namespace.
        binding: what `ensure_binding` found.
        now: time with a zone.

    Raises:
        KubeError: the server could not be asked.
    """
    uid = "" if binding is None else meta.uid(binding)
    if uid and rights.reached.get(cns) == uid:
        return
    since = None if binding is None else parse_time(meta.creation_timestamp(binding))
    if since is None or now - since <= _OLD:
        await _honoured(rights, cns)
    if uid:
        rights.reached[cns] = uid


async def _honoured(rights: Rights, cns: str) -> None:
    for _ in range(_TRIES):
        if await rights.may("create", SECRETS, namespace=cns):
            return
        await asyncio.sleep(_WAIT)
