"""Writing the status of an object, as all controllers of this wire do it (spec 3.12)."""

from typing import Any, Final

from bind_agent.api import meta
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client

_SERVERS_OWN: Final = frozenset({"resourceVersion", "generation", "managedFields"})


async def write_status(client: Client, resource: Resource, old: meta.Object, new: meta.Object) -> meta.Object:
    """Send what differs between the status of two versions of an object; nothing when they are equal.

    The merge patch names UID and resourceVersion of the observed object, so a status that somebody else
    wrote meanwhile, or an object that was created again, is never overwritten.

    Args:
        client: of the cluster that holds the object.
        resource: its kind.
        old: the object as observed.
        new: the same with the status that it should have.

    Returns:
        The object as stored, or `old` when nothing was sent.

    Raises:
        ValueError: something else than the status differs; one write changes one of both.
        Conflict: the object changed meanwhile; reconcile again.
        KubeError: the write failed.
    """
    patch = status_patch(old, new)
    if patch is None:
        return old
    return await client.merge_patch(
        resource, meta.name(old), patch, namespace=meta.namespace(old) or None, subresource="status"
    )


def status_patch(old: meta.Object, new: meta.Object) -> meta.Object | None:
    """The merge patch from the status of `old` to that of `new`; None when they are equal.

    Raises:
        ValueError: something else differs.
    """
    if _without_status(old) != _without_status(new):
        raise ValueError("a status write cannot change anything else")
    before, after = old.get("status") or {}, new.get("status") or {}
    change = merge_patch(before, after)
    if not change:
        return None
    return {
        "metadata": {"uid": meta.uid(old), "resourceVersion": meta.resource_version(old)},
        "status": change,
    }


def merge_patch(before: Any, after: Any) -> Any:
    """The JSON merge patch (RFC 7386) that turns one value into another; `{}` between equal mappings.

    A null in `after` means absent: a merge patch has no other way to say it. Lists are replaced as a whole.
    """
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    patch: dict[str, Any] = {
        key: None for key in before if after.get(key) is None and before[key] is not None
    }
    for key, value in after.items():
        if value is None or (key in before and before[key] == value):
            continue
        # Below a key that was no mapping there is nothing to merge with, but nulls have no meaning there
        # either.
        patch[key] = merge_patch(before.get(key), value)
    return patch


def _without_status(obj: meta.Object) -> meta.Object:
    metadata = {key: value for key, value in meta.metadata(obj).items() if key not in _SERVERS_OWN}
    return {**obj, "status": None, "metadata": metadata}
