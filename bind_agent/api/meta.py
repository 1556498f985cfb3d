"""Accessors for decoded API objects.

Objects are plain mappings and come from the other side: a missing or wrongly typed field reads as empty,
never as an exception, so that one malformed object cannot stop a controller.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

Object: TypeAlias = dict[str, Any]
"""A decoded API object that its holder may change."""

_EMPTY: Final[Mapping[str, Any]] = {}


def metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `metadata` mapping, empty when absent or malformed."""
    value = obj.get("metadata")
    return value if isinstance(value, Mapping) else _EMPTY


def _text(obj: Mapping[str, Any], field: str) -> str:
    value = metadata(obj).get(field)
    return value if isinstance(value, str) else ""


def _texts(obj: Mapping[str, Any], field: str) -> Mapping[str, str]:
    value = metadata(obj).get(field)
    if not isinstance(value, Mapping):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}


def name(obj: Mapping[str, Any]) -> str:
    """`metadata.name`, or empty."""
    return _text(obj, "name")


def namespace(obj: Mapping[str, Any]) -> str:
    """`metadata.namespace`, or empty for cluster-scoped objects."""
    return _text(obj, "namespace")


def uid(obj: Mapping[str, Any]) -> str:
    """`metadata.uid`, or empty for objects that no server has seen."""
    return _text(obj, "uid")


def resource_version(obj: Mapping[str, Any]) -> str:
    """`metadata.resourceVersion`, or empty."""
    return _text(obj, "resourceVersion")


def creation_timestamp(obj: Mapping[str, Any]) -> str:
    """`metadata.creationTimestamp` (RFC 3339), or empty."""
    return _text(obj, "creationTimestamp")


def deletion_timestamp(obj: Mapping[str, Any]) -> str:
    """`metadata.deletionTimestamp` (RFC 3339), or empty while the object is not being deleted."""
    return _text(obj, "deletionTimestamp")


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Whether deletion has begun; the object stays until its finalizers are gone."""
    return bool(deletion_timestamp(obj))


def generation(obj: Mapping[str, Any]) -> int:
    """`metadata.generation`, 0 when the server does not count it for this kind."""
    value = metadata(obj).get("generation")
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """`metadata.labels`; entries that are not text are left out."""
    return _texts(obj, "labels")


def annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """`metadata.annotations`; entries that are not text are left out."""
    return _texts(obj, "annotations")


def annotation(obj: Mapping[str, Any], key: str) -> str:
    """One annotation, or empty."""
    value = metadata(obj).get("annotations")
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def finalizers(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """`metadata.finalizers` in order."""
    value = metadata(obj).get("finalizers")
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list | tuple) else ()


def has_finalizer(obj: Mapping[str, Any], finalizer: str) -> bool:
    """Whether the finalizer is on the object."""
    return finalizer in finalizers(obj)


def owner_references(obj: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """`metadata.ownerReferences`; entries that are not mappings are left out."""
    value = metadata(obj).get("ownerReferences")
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def controller_reference(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference with `controller: true`, if there is one."""
    return next((ref for ref in owner_references(obj) if ref.get("controller") is True), None)


def is_owned_by(obj: Mapping[str, Any], owner_uid: str) -> bool:
    """Whether an owner reference carries that UID; an empty UID owns nothing."""
    return bool(owner_uid) and any(ref.get("uid") == owner_uid for ref in owner_references(obj))


def key(obj: Mapping[str, Any]) -> str:
    """Key of the object in stores and queues: `namespace/name`, or `name` when cluster-scoped."""
    return join_key(namespace(obj), name(obj))


def join_key(object_namespace: str, object_name: str) -> str:
    """Build a key; an empty namespace means cluster-scoped."""
    return f"{object_namespace}/{object_name}" if object_namespace else object_name


def split_key(value: str) -> tuple[str, str]:
    """Split a key into (namespace, name); the namespace is empty when the key has no slash."""
    head, _, tail = value.rpartition("/")
    return head, tail
