"""Whose a provider object is (design 4.2).

Nothing is updated or deleted that is not proven ours. The proof is the marks on the copy, held against the
mapping and the source's UID; a mark that says something else is a conflict, not a licence.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.api.guards import is_protected_namespace
from konnector.sync import patches
from konnector.sync.model import Marks, Placement, Policy


class Standing(Enum):
    """What a provider object is to us."""

    OURS = auto()
    """Our copy of this very consumer object."""
    OURS_BY_GO = auto()
    """Marked by a Go konnector only (`bound`, no UID), inside our own service namespace: ours."""
    EARLIER_LIFE = auto()
    """Our copy of an object that had the same name and is gone: its data is not shown to the new one."""
    UNMARKED = auto()
    """Made by somebody else."""
    FOREIGN = auto()
    """Marked for another cluster, another source or another cluster namespace."""


def read_marks(obj: Mapping[str, Any]) -> Marks:
    """The marks on an object; what is missing reads as empty."""
    annotations = meta.annotations(obj)
    return Marks(
        bound=keys.BOUND in annotations,
        cluster=annotations.get(keys.CONSUMER_CLUSTER, ""),
        source=annotations.get(keys.SOURCE, ""),
        source_uid=annotations.get(keys.SOURCE_UID, ""),
        digest=annotations.get(keys.CONTENT_DIGEST, ""),
    )


def copy_marks(consumer: Mapping[str, Any], placement: Placement, policy: Policy) -> dict[str, str]:
    """The annotations that prove the provider's copy ours, without the digest."""
    marks = {
        keys.BOUND: keys.TRUE,
        keys.CONSUMER_CLUSTER: policy.cluster_id,
        keys.SOURCE: placement.consumer_key,
        keys.SOURCE_UID: meta.uid(consumer),
    }
    if placement.cluster_scoped:
        marks[keys.CLUSTER_NAMESPACE] = placement.cluster_namespace
    return marks


def judge(
    provider: Mapping[str, Any], consumer: Mapping[str, Any] | None, placement: Placement, policy: Policy
) -> Standing:
    """What the provider object at this placement is to us.

    Args:
        provider: the object found there.
        consumer: the consumer object of that key, None when there is none.
        placement: where the copy belongs.
        policy: says which cluster we are.
    """
    marks = read_marks(provider)
    tenant = meta.annotation(provider, keys.CLUSTER_NAMESPACE)
    # A cluster-scoped name alone proves nothing: the prefix of one tenant can begin another's (threats A33).
    elsewhere = placement.cluster_scoped and tenant != placement.cluster_namespace
    if not marks.bound and not marks.is_own:
        return Standing.FOREIGN if elsewhere and tenant else Standing.UNMARKED
    if elsewhere:
        return Standing.FOREIGN
    if not marks.is_own:
        return Standing.OURS_BY_GO
    if marks.cluster != policy.cluster_id or marks.source != placement.consumer_key:
        return Standing.FOREIGN
    if consumer is not None and marks.source_uid not in {"", meta.uid(consumer)}:
        return Standing.EARLIER_LIFE
    return Standing.OURS


def describes(consumer: Mapping[str, Any], provider: Mapping[str, Any]) -> bool:
    """Whether the consumer object says that it was made from this very provider object (adoption)."""
    return bool(meta.uid(provider)) and meta.annotation(consumer, keys.SOURCE_UID) == meta.uid(provider)


def may_adopt(provider: Mapping[str, Any], placement: Placement) -> bool:
    """Whether an unmarked provider object lies where adoption looks: what is there is meant for this tenant."""
    if placement.cluster_scoped:
        # Only the mark says that a cluster-scoped object is meant for this tenant (spec W-K17).
        return meta.annotation(provider, keys.CLUSTER_NAMESPACE) == placement.cluster_namespace
    namespace, _ = meta.split_key(placement.consumer_key)
    return not is_protected_namespace(namespace)


def adopted_by_go(consumer: Mapping[str, Any], provider: Mapping[str, Any], placement: Placement) -> bool:
    """Whether a consumer object and an unmarked provider object look like what a Go konnector has adopted.

    Go marks the consumer object only, and the provider's not before the next change of the spec (spec 6.7.5). To be
    asked only under the policy `adopt`: an object that a provider's person has put in the place of a copy looks the
    same, and Go takes that for the copy, too. An adoption of ours says which provider object it was made from.
    """
    return (
        patches.is_guarded(consumer)
        and not meta.annotation(consumer, keys.SOURCE_UID)
        and may_adopt(provider, placement)
    )
