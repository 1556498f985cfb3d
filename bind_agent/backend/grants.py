"""Writing roles and bindings: created when missing, changed when different, never taken from others."""

from collections.abc import Mapping
from typing import Any

import structlog

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, Resource
from bind_agent.backend import access
from bind_agent.backend.echo import Echo
from bind_agent.kube.client import Client
from bind_agent.kube.errors import AlreadyExists

log = structlog.get_logger(__name__)

_RESOURCES = {one.kind: one for one in (CLUSTERROLES, CLUSTERROLEBINDINGS, ROLEBINDINGS)}


class NameTaken(Exception):  # noqa: N818 - says what is the case
    """An object of this name belongs to somebody else; the message names it and what to do."""


async def ensure(
    client: Client,
    wanted: Object,
    known: Mapping[str, Any] | None,
    *,
    ask: bool = True,
    echo: Echo | None = None,
) -> bool:
    """Bring one role or binding about.

    Args:
        client: of the provider cluster.
        wanted: the object as it should be.
        known: it as last seen by the informer of labelled objects; None when unseen, which includes objects
            that a Go backend made.
        ask: whether the server is asked about an unseen one; off where nobody else can have made it.
        echo: remembers own writes between calls, where `known` comes from an informer.

    Returns:
        Whether something was written.

    Raises:
        NameTaken: an object of this name belongs to somebody else.
        Forbidden: the server refuses to hand on these rights.
        KubeError: any other failure; Conflict when somebody else was faster.
    """
    resource = _RESOURCES[wanted["kind"]]
    name, namespace = meta.name(wanted), meta.namespace(wanted) or None
    mark = f"{resource.plural}/{meta.key(wanted)}"
    if echo is not None and echo.pending(mark, known):
        return False
    actual = known
    if actual is None and ask:
        actual = await client.get_or_none(resource, name, namespace=namespace)
    if actual is None:
        log.info("creating", kind=resource.kind, name=name, namespace=namespace)
        try:
            await client.create(resource, wanted, namespace=namespace)
        except AlreadyExists:
            actual = await client.get(resource, name, namespace=namespace)
        else:
            return True
    if access.belongs_to_other(actual, wanted):
        raise NameTaken(
            f"{resource.kind} {meta.key(wanted)} exists and belongs to somebody else: delete it,"
            " the backend makes"
            " its own"
        )
    if access.same_grant(actual, wanted):
        return False
    if actual.get("roleRef") != wanted.get("roleRef"):
        return await _exchange(client, resource, wanted, actual)
    log.info("updating", kind=resource.kind, name=name, namespace=namespace)
    stored = await client.replace(resource, merged(actual, wanted), namespace=namespace)
    if echo is not None:
        echo.written(mark, actual, stored)
    return True


def merged(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """The object to send: its own metadata, our label and owner added, our content."""
    metadata = dict(meta.metadata(actual))
    metadata["labels"] = {**meta.labels(actual), **meta.labels(wanted)}
    owners = list(meta.owner_references(wanted))
    uids = {owner["uid"] for owner in owners}
    if rest := [ref for ref in meta.owner_references(actual) if ref.get("uid") not in uids]:
        owners = [*rest, *owners]
    if owners:
        metadata["ownerReferences"] = owners
    return {**wanted, "metadata": metadata}


async def _exchange(client: Client, resource: Resource, wanted: Object, actual: Mapping[str, Any]) -> bool:
    """A binding's role cannot be changed: another one takes its place."""
    name, namespace = meta.name(wanted), meta.namespace(wanted) or None
    log.info("replacing", kind=resource.kind, name=name, namespace=namespace)
    await client.delete(resource, name, namespace=namespace, uid=meta.uid(actual))
    await client.create(resource, wanted, namespace=namespace)
    return True
