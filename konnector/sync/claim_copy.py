"""The copy of a claimed object: what is in it, how it is known again, what brings it up to date.

A copy is built from an allow list. Secrets and ConfigMaps are compared exactly, so no digest of a Secret's
values is ever written anywhere; other kinds, which the other side may default, are compared like bound
objects.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CONFIGMAPS, SECRETS, Resource
from konnector.sync import copies, essence
from konnector.sync.claim_model import OWNER_OF, ClaimPlacement, ClaimPolicy, ClaimSet
from konnector.sync.model import Side

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    SECRETS.group_resource: ("type", "data", "immutable"),
    CONFIGMAPS.group_resource: ("data", "binaryData", "immutable"),
}
"""What crosses of the kinds with a known shape; their server fills in nothing else."""

_PAYLOAD: Final = ("data", "binaryData")

_LOCAL: Final = ("finalizers", "ownerReferences")
"""Metadata of a copy that belongs to its own cluster, never taken from the source."""


class Role(Enum):
    """What one of the two objects is."""

    ABSENT = auto()
    PLAIN = auto()
    """Carries no mark: somebody's own object."""
    SOURCE = auto()
    """Marked as owned by the side that it is on."""
    COPY = auto()
    """Our copy of the object on the other side."""
    COPY_BY_GO = auto()
    """Marked as owned by the other side, without marks of ours: a Go konnector's copy."""
    FOREIGN = auto()
    """Carries our kind of marks, but for another cluster, provider or source."""


class Change(Enum):
    """What a copy needs."""

    NONE = auto()
    UPDATE = auto()
    REPLACE = auto()
    """Something changed that the API server does not let change."""


def role(
    obj: Mapping[str, Any] | None,
    other: Mapping[str, Any] | None,
    side: Side,
    placement: ClaimPlacement,
    policy: ClaimPolicy,
) -> Role:
    """What an object is.

    Args:
        obj: the object.
        other: the object on the other side.
        side: where ``obj`` is.
        placement: the pair.
        policy: who we are.
    """
    if obj is None:
        return Role.ABSENT
    marks = meta.annotations(obj)
    owner = marks.get(keys.RESOURCE_OWNER, "")
    if not any(marks.get(key) for key in (keys.CONSUMER_CLUSTER, keys.SOURCE, keys.SOURCE_UID)):
        if owner == OWNER_OF[side]:
            return Role.SOURCE
        return Role.COPY_BY_GO if owner == OWNER_OF[side.other] else Role.PLAIN
    if marks.get(keys.CONSUMER_CLUSTER) != policy.cluster_id:
        return Role.FOREIGN
    if marks.get(keys.SOURCE) != placement.key(side.other):
        return Role.FOREIGN
    # The UID of the source is proof by itself: nobody else knows it. Without it, the provider has to be
    # the same.
    same_source = (
        other is not None and bool(meta.uid(other)) and marks.get(keys.SOURCE_UID) == meta.uid(other)
    )
    return Role.COPY if same_source or marks.get(keys.PROVIDER) == policy.provider_id else Role.FOREIGN


def build(
    source: Mapping[str, Any], side: Side, placement: ClaimPlacement, claims: ClaimSet, policy: ClaimPolicy
) -> Object:
    """The desired copy.

    Args:
        source: the object that is copied.
        side: where the **copy** goes.
        placement: the pair.
        claims: which labels cross.
        policy: who we are.

    Raises:
        ContentError: the content cannot be carried over.
    """
    body = _body(source, claims.resource)
    annotations = {
        keys.RESOURCE_OWNER: OWNER_OF[side.other],
        keys.CONSUMER_CLUSTER: policy.cluster_id,
        keys.SOURCE: placement.key(side.other),
        keys.SOURCE_UID: meta.uid(source),
        keys.PROVIDER: policy.provider_id,
    }
    if claims.resource.group_resource not in _FIELDS:
        annotations[keys.CONTENT_DIGEST] = essence.digest(body)
    metadata: Object = {
        "name": placement.name,
        "namespace": placement.namespace(side),
        "annotations": annotations,
    }
    selected = claims.rule.select(meta.labels(source))
    metadata["labels"] = {**selected, keys.COPY: policy.copy_label}
    return {
        "apiVersion": claims.resource.api_version,
        "kind": claims.resource.kind or source.get("kind"),
        "metadata": metadata,
        **body,
    }


def change(desired: Mapping[str, Any], copy: Mapping[str, Any], claims: ClaimSet) -> Change:
    """What brings an existing copy to the desired state.

    Raises:
        ContentError: one of them cannot be compared.
    """
    if claims.resource.group_resource not in _FIELDS:
        equal = copies.missing(desired, copy) is None
        return Change.NONE if equal and not _surplus_labels(desired, copy, claims) else Change.UPDATE
    wanted, found = _body(desired, claims.resource), _body(copy, claims.resource)
    if wanted.get("type") != found.get("type"):
        return Change.REPLACE
    payload_equal = all(essence.same(wanted.get(field), found.get(field)) for field in _PAYLOAD)
    if found.get("immutable") and not (payload_equal and wanted.get("immutable")):
        return Change.REPLACE
    equal = payload_equal and wanted.get("immutable") == found.get("immutable")
    if equal and copies.missing({"metadata": desired["metadata"]}, copy) is None:
        return Change.UPDATE if _surplus_labels(desired, copy, claims) else Change.NONE
    return Change.UPDATE


def same_content(source: Mapping[str, Any], copy: Mapping[str, Any], claims: ClaimSet) -> bool:
    """Whether a copy holds what the source does, apart from what its own cluster may have filled in.

    Raises:
        ContentError: one of them cannot be compared.
    """
    wanted, found = _body(source, claims.resource), _body(copy, claims.resource)
    if claims.resource.group_resource not in _FIELDS:
        return essence.difference(wanted, found) is None
    return all(essence.same(wanted.get(field), found.get(field)) for field in ("type", *_PAYLOAD))


def updated(desired: Object, copy: Mapping[str, Any], claims: ClaimSet, *, reset: bool) -> Object:
    """The object for a PUT: desired content on top of what the copy's own cluster keeps on it.

    Args:
        desired: from ``build``.
        copy: the copy as last seen; its UID and resource version become the lock.
        claims: says which labels are ours to decide.
        reset: drop labels and annotations that are not ours; for copies by Go, which carry the source's.
    """
    metadata = dict(desired["metadata"])
    metadata["uid"] = meta.uid(copy)
    metadata["resourceVersion"] = meta.resource_version(copy)
    if not reset:
        local = {k: v for k, v in meta.labels(copy).items() if not claims.rule.passes(k)}
        metadata["labels"] = local | metadata.get("labels", {})
        metadata["annotations"] = {**meta.annotations(copy), **metadata["annotations"]}
    for field in _LOCAL:
        value = meta.metadata(copy).get(field)
        if value:
            metadata[field] = value
    kept = {"status": copy["status"]} if "status" in copy else {}
    return {**desired, "metadata": metadata, **kept}


def _surplus_labels(desired: Mapping[str, Any], copy: Mapping[str, Any], claims: ClaimSet) -> bool:
    wanted = meta.labels(desired)
    return any(key not in wanted and claims.rule.passes(key) for key in meta.labels(copy))


def _body(obj: Mapping[str, Any], resource: Resource) -> Object:
    fields = _FIELDS.get(resource.group_resource)
    if fields is None:
        return essence.content(obj)
    # Empty and absent are the same to the server.
    return {field: obj[field] for field in fields if obj.get(field)}
