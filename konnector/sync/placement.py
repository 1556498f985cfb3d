"""Where the copy of an object lives, and whose object a copy's name stands for (spec 6.7.1, 6.7.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api import keys, meta, naming, translation
from bind_agent.api.guards import is_protected_service_namespace
from konnector.sync import patches
from konnector.sync.model import (
    EnsureServiceNamespace,
    Placement,
    Reason,
    Recheck,
    Refuse,
    ReleaseFinalizer,
    Step,
)

WAIT_SECONDS: Final = 5.0
"""The answer of the backend arrives as an event; this is only for when that event is lost."""


@dataclass(frozen=True, slots=True)
class Unplaced:
    """There is no place for a copy, now or ever.

    Attributes:
        steps: what to do about it.
        final: whether waiting does not help; no copy can exist then.
    """

    steps: tuple[Step, ...]
    final: bool = False

    def steps_for(self, consumer: Mapping[str, Any] | None) -> tuple[Step, ...]:
        """What to do for one consumer object.

        An object that we guard waits for its place even while it is being deleted: its copy has to be
        looked for.
        """
        if consumer is None:
            return ()
        if not meta.is_deleting(consumer):
            return self.steps
        if not meta.has_finalizer(consumer, keys.SYNCER_FINALIZER):
            return ()
        if self.final:
            return (
                ReleaseFinalizer(
                    meta.uid(consumer), meta.resource_version(consumer), patches.release(consumer)
                ),
            )
        return self.steps


def place(
    consumer_key: str,
    record: Mapping[str, Any] | None,
    *,
    cluster_namespace: str,
    cluster_namespace_uid: str = "",
    cluster_scoped: bool = False,
) -> Placement | Unplaced:
    """Find the place of an object's copy.

    Args:
        consumer_key: key of the consumer object.
        record: the APIServiceNamespace of its namespace, None when there is none; not looked at for
            cluster-scoped kinds.
        cluster_namespace: the tenant's namespace on the provider.
        cluster_namespace_uid: its UID.
        cluster_scoped: whether the kind is cluster-scoped.

    Returns:
        The place, or what to do while there is none: ask for a service namespace and wait (the backend
        answers with ``status.namespace``), or refuse a place that a provider must not choose (threats A25,
        A34).
    """
    namespace, name = meta.split_key(consumer_key)
    if cluster_scoped:
        try:
            prefixed = translation.up_name(name, cluster_namespace)
        except naming.NameTooLongError as error:
            return Unplaced((Refuse(Reason.REJECTED, str(error)),), final=True)
        return Placement(
            consumer_key, "", prefixed, cluster_namespace, cluster_namespace_uid, cluster_scoped=True
        )
    waiting = (EnsureServiceNamespace(namespace), Recheck(WAIT_SECONDS))
    if record is None or meta.name(record) != namespace:
        return Unplaced(waiting)
    status = record.get("status")
    target = status.get("namespace") if isinstance(status, Mapping) else None
    if not isinstance(target, str) or not target:
        return Unplaced(waiting)
    if unusable := unusable_answer(namespace, target, cluster_namespace=cluster_namespace):
        return Unplaced((Refuse(Reason.PROTECTED, unusable),))
    return Placement(consumer_key, target, name, cluster_namespace, cluster_namespace_uid)


def unusable_answer(name: str, answer: str, *, cluster_namespace: str, taken_by: str = "") -> str:
    """Why an answer of the provider is not used, empty when it is fine (threats A25, A34).

    Args:
        name: the consumer's namespace.
        answer: ``status.namespace`` of its record.
        cluster_namespace: the tenant's namespace.
        taken_by: the consumer namespace that has this service namespace already; ``name`` when it is free,
            empty when that is not asked.
    """
    if not naming.is_label(answer):
        wrong = "it is not the name of a namespace"
    elif is_protected_service_namespace(answer, cluster_namespace):
        wrong = f"{answer} must not be used"
    elif taken_by not in {"", name}:
        wrong = f"{answer} is that of namespace {taken_by} already"
    else:
        return ""
    return (
        f"the service namespace that the provider gives {name} is refused: {wrong}; ask the provider to correct "
        f"status.namespace of {keys.KIND_SERVICE_NAMESPACE} {name}"
    )


def consumer_key(
    provider_key: str,
    *,
    mapping: Mapping[str, str],
    cluster_namespace: str,
    cluster_scoped: bool = False,
) -> str | None:
    """The consumer's key for an object of the provider.

    Args:
        provider_key: key on the provider.
        mapping: service namespace to consumer namespace.
        cluster_namespace: the tenant's namespace.
        cluster_scoped: whether the kind is cluster-scoped.

    Returns:
        The key, or None when the object lies outside of what is ours.
    """
    namespace, name = meta.split_key(provider_key)
    if cluster_scoped:
        return translation.down_name(name, cluster_namespace)
    target = mapping.get(namespace)
    return meta.join_key(target, name) if target else None
