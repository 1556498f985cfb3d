"""Building the object of the other side, from what may cross; never by deleting what may not (A16)."""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from konnector.sync import essence, ownership
from konnector.sync.model import Placement, Policy


def provider_copy(consumer: Mapping[str, Any], placement: Placement, policy: Policy) -> tuple[Object, str]:
    """The full desired copy as an apply configuration, not yet locked.

    Args:
        consumer: the source.
        placement: where the copy lives.
        policy: which metadata crosses.

    Returns:
        The object and the digest of its content, which it also carries.

    Raises:
        ContentError: the content cannot be carried over.
    """
    body = essence.content(consumer)
    labels = policy.metadata.select(meta.labels(consumer))
    annotations = policy.metadata.select(meta.annotations(consumer))
    digest = essence.digest([body, labels, annotations])
    annotations |= ownership.copy_marks(consumer, placement, policy)
    annotations[keys.CONTENT_DIGEST] = digest
    metadata: Object = {"name": placement.provider_name}
    if placement.provider_namespace:
        metadata["namespace"] = placement.provider_namespace
    if labels:
        metadata["labels"] = labels
    metadata["annotations"] = annotations
    if placement.cluster_scoped and placement.cluster_namespace_uid:
        metadata["ownerReferences"] = [_namespace_reference(placement)]
    return {
        "apiVersion": consumer.get("apiVersion"),
        "kind": consumer.get("kind"),
        "metadata": metadata,
        **body,
    }, digest


def adopted(provider: Mapping[str, Any], placement: Placement, policy: Policy) -> Object:
    """The consumer object for an object that was made on the provider.

    It carries the finalizer from the start, and says from which provider object it was made, so that
    exactly that one is marked as its copy. Owner references and finalizers of the provider stay there
    (spec W-K8).
    """
    namespace, name = meta.split_key(placement.consumer_key)
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    labels = policy.metadata.select(meta.labels(provider))
    if labels:
        metadata["labels"] = labels
    metadata["annotations"] = policy.metadata.select(meta.annotations(provider)) | {
        keys.BOUND: keys.TRUE,
        keys.SOURCE: placement.provider_key,
        keys.SOURCE_UID: meta.uid(provider),
    }
    metadata["finalizers"] = [keys.SYNCER_FINALIZER]
    return {
        "apiVersion": provider.get("apiVersion"),
        "kind": provider.get("kind"),
        "metadata": metadata,
        **essence.content(provider),
    }


def missing(desired: Mapping[str, Any], actual: Mapping[str, Any]) -> str | None:
    """Where a desired copy is not found in what is there: a path, or None.

    Owner references are a set of entries by UID; everything else is compared as ``essence.difference`` does.
    """
    found = essence.difference(essence.content(desired), essence.content(actual))
    if found is not None:
        return found
    wanted = meta.metadata(desired)
    for field, there in (("labels", meta.labels(actual)), ("annotations", meta.annotations(actual))):
        found = essence.difference(wanted.get(field, {}), there)
        if found is not None:
            return f".metadata.{field}{found}"
    owners = meta.owner_references(actual)
    for reference in wanted.get("ownerReferences", ()):
        if all(essence.difference(reference, owner) is not None for owner in owners):
            return ".metadata.ownerReferences"
    return None


def _namespace_reference(placement: Placement) -> Object:
    # Spec 6.7.2: neither controller nor blockOwnerDeletion.
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "name": placement.cluster_namespace,
        "uid": placement.cluster_namespace_uid,
    }
