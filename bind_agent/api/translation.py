"""Cluster-scoped objects between the two clusters: consumer `X` is provider `<cns>-X` (spec 6.7.2).

The functions change metadata only and never their argument; the parts below `metadata` are shared with it.
"""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.naming import SUBDOMAIN_LIMIT, NameTooLongError


class TranslationError(ValueError):
    """The object does not belong to the cluster namespace, or carries no sign of it."""


def up_name(name: str, cluster_namespace: str) -> str:
    """Provider name of a consumer's cluster-scoped object.

    Raises:
        NameTooLongError: over 253 characters.
    """
    result = f"{cluster_namespace}-{name}"
    if len(result) > SUBDOMAIN_LIMIT:
        message = (
            f"{name!r} is too long to be mirrored: with the prefix {cluster_namespace!r} it has "
            f"{len(result)} characters, {SUBDOMAIN_LIMIT} are allowed; choose a shorter name"
        )
        raise NameTooLongError(message)
    return result


def down_name(name: str, cluster_namespace: str) -> str | None:
    """Consumer name of a provider's object, None when the name lacks the prefix and is thus none of ours."""
    prefix = f"{cluster_namespace}-"
    rest = name.removeprefix(prefix)
    return rest if rest and rest != name else None


def to_provider(obj: Mapping[str, Any], cluster_namespace: str, namespace_uid: str) -> Object:
    """The object under its provider name, marked with the cluster namespace and owned by it.

    Args:
        obj: the consumer's object.
        cluster_namespace: `<cns>`.
        namespace_uid: UID of that Namespace on the provider; the owner reference makes the copy go with it.

    Raises:
        TranslationError: the object is marked for another cluster namespace.
        NameTooLongError: the prefixed name is over the limit.
    """
    marked = meta.annotation(obj, keys.CLUSTER_NAMESPACE)
    if marked not in {"", cluster_namespace}:
        message = f"the object is marked for cluster namespace {marked!r}, not {cluster_namespace!r}"
        raise TranslationError(message)
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": cluster_namespace, "uid": namespace_uid}
    others = [dict(ref) for ref in meta.owner_references(obj) if not _is_owner(ref, cluster_namespace)]
    return _with_metadata(
        obj,
        name=up_name(meta.name(obj), cluster_namespace),
        annotations={**meta.annotations(obj), keys.CLUSTER_NAMESPACE: cluster_namespace},
        ownerReferences=[*others, owner],
    )


def to_consumer(obj: Mapping[str, Any]) -> Object:
    """The object under its consumer name, without mark and owner reference of the cluster namespace.

    Raises:
        TranslationError: the mark is missing, or the name lacks the prefix that goes with it.
    """
    cluster_namespace = meta.annotation(obj, keys.CLUSTER_NAMESPACE)
    if not cluster_namespace:
        message = f"the annotation {keys.CLUSTER_NAMESPACE} is missing"
        raise TranslationError(message)
    name = down_name(meta.name(obj), cluster_namespace)
    if name is None:
        message = f"the name {meta.name(obj)!r} does not begin with {cluster_namespace + '-'!r}"
        raise TranslationError(message)
    kept = {k: v for k, v in meta.annotations(obj).items() if k != keys.CLUSTER_NAMESPACE}
    owners = [dict(ref) for ref in meta.owner_references(obj) if not _is_owner(ref, cluster_namespace)]
    return _with_metadata(obj, name=name, annotations=kept, ownerReferences=owners)


def _is_owner(reference: Mapping[str, Any], cluster_namespace: str) -> bool:
    return (
        reference.get("apiVersion") == "v1"
        and reference.get("kind") == "Namespace"
        and reference.get("name") == cluster_namespace
    )


def _with_metadata(obj: Mapping[str, Any], **changes: Any) -> Object:
    # Empty maps and lists are left out, so that going up and down again gives back what was there.
    merged = {**meta.metadata(obj), **changes}
    return {**obj, "metadata": {k: v for k, v in merged.items() if k not in changes or v}}
