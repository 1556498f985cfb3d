"""What becomes of an APIServiceNamespace and its service namespace: pure (spec 4.9; W-B14, W-S11; A30, A34).

A service namespace is ours when its record (annotation `klutch.anynines.com/api-service-namespace`) names
exactly this cluster namespace and this consumer namespace. Nothing else counts: not its name, not the status.
Tenants can write neither record nor status.

The finalizer on the APIServiceNamespace makes deletion an observed fact: the service namespace goes first, so
a consumer namespace that is created again never sees the data of the earlier one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bind_agent.api import keys, meta, naming
from bind_agent.backend.tenancy.rotation import parse_time

WAIT: Final = 2.0
"""Seconds until a namespace that is being deleted is looked at again, should its event be missed."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Hold the APIServiceNamespace before anything is made for it."""


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Make the service namespace, with its record from the first moment."""

    name: str


@dataclass(frozen=True, slots=True)
class BindTenant:
    """Make sure that the tenant's account has its role in the service namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Tell the konnector the name."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteNamespace:
    """Delete a service namespace that is proven ours, and only this very one."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class ReleaseFinalizer:
    """Nothing is left: let the APIServiceNamespace go."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before something else has ended."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """A person has to decide."""

    reason: str
    message: str


Step: TypeAlias = (
    AddFinalizer
    | CreateNamespace
    | BindTenant
    | SetStatus
    | DeleteNamespace
    | ReleaseFinalizer
    | Wait
    | Refuse
)

NAMESPACE_CONFLICT: Final = "NamespaceConflict"
NAMESPACE_INVALID: Final = "NamespaceInvalid"
RECORD_LOST: Final = "MappingLost"


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known about one key.

    Attributes:
        cluster_namespace: `<cns>`.
        name: name of the APIServiceNamespace, which is that of the consumer namespace.
        mapping: the APIServiceNamespace; None when a GET confirmed that there is none.
        recorded: all namespaces whose record names this key, by age.
        by_name: existing namespaces that the steps may come across, by name.
        kind_since: creation time of the CRD of APIServiceNamespaces (RFC 3339), or empty.
        kind_leaving: that CRD is being deleted, and with it every mapping at once.
    """

    cluster_namespace: str
    name: str
    mapping: Mapping[str, Any] | None
    recorded: Sequence[Mapping[str, Any]]
    by_name: Mapping[str, Mapping[str, Any]]
    kind_since: str = ""
    kind_leaving: bool = False


def candidates(cluster_namespace: str, name: str, mapping: Mapping[str, Any] | None) -> list[str]:
    """Names of namespaces that `plan` wants to know about."""
    wanted = [
        naming.service_namespace(cluster_namespace, name),
        naming.service_namespace_alternative(cluster_namespace, name),
    ]
    present = assigned(mapping) if mapping is not None else ""
    return [present, *wanted] if present and present not in wanted else wanted


def assigned(mapping: Mapping[str, Any]) -> str:
    """`status.namespace`, or empty."""
    status = mapping.get("status")
    found = status.get("namespace") if isinstance(status, Mapping) else None
    return found if isinstance(found, str) else ""


def plan(seen: Observed) -> tuple[Step, ...]:
    """Decide; the steps are executed in order."""
    if seen.mapping is None or meta.is_deleting(seen.mapping):
        return _leave(seen)
    if not meta.has_finalizer(seen.mapping, keys.SERVICE_NAMESPACE_FINALIZER):
        return (AddFinalizer(),)
    return _arrive(seen, seen.mapping)


def _arrive(seen: Observed, mapping: Mapping[str, Any]) -> tuple[Step, ...]:
    if not naming.is_label(seen.name):
        return (
            Refuse(NAMESPACE_INVALID, f"{seen.name} cannot be the name of a namespace: delete this object"),
        )
    target = assigned(mapping) or _choose(seen)
    if target is None:
        return (_conflict(seen, naming.service_namespace(seen.cluster_namespace, seen.name)),)
    present = seen.by_name.get(target)
    if present is None:
        return (CreateNamespace(target), BindTenant(target), SetStatus(target))
    if not _ours(seen, present):
        return (_conflict(seen, target),)
    if meta.is_deleting(present):
        return (Wait(WAIT),)
    return (BindTenant(target), SetStatus(target))


def _choose(seen: Observed) -> str | None:
    # A namespace with our record is the one that the data is in, whatever it is called.
    for namespace in seen.recorded:
        return meta.name(namespace)
    return naming.choose_service_namespace(
        seen.cluster_namespace, seen.name, lambda candidate: _record(seen.by_name.get(candidate))
    )


def _leave(seen: Observed) -> tuple[Step, ...]:
    held = seen.mapping is not None and meta.has_finalizer(seen.mapping, keys.SERVICE_NAMESPACE_FINALIZER)
    release: tuple[Step, ...] = (ReleaseFinalizer(),) if held else ()
    if seen.kind_leaving:
        # Not one consumer asked for this: somebody removes our CRD. Their data stays.
        return (*release, *_lost(seen, "the CRD of APIServiceNamespaces is being deleted"))
    if seen.mapping is None and _mapping_was_lost(seen):
        return _lost(seen, "its APIServiceNamespace went with an earlier CRD")
    doomed = [namespace for namespace in seen.recorded if not meta.is_deleting(namespace)]
    if doomed:
        deletes = [DeleteNamespace(meta.name(one), meta.uid(one)) for one in doomed]
        return (*deletes, Wait(WAIT)) if held else tuple(deletes)
    if seen.recorded and held:
        return (Wait(WAIT),)
    return release


def _mapping_was_lost(seen: Observed) -> bool:
    """Whether the kind is younger than a namespace made for it: then the mapping was lost, not deleted."""
    since = parse_time(seen.kind_since)
    if since is None:
        return True
    born = [parse_time(meta.creation_timestamp(one)) for one in seen.recorded]
    return any(one is None or one < since for one in born)


def _lost(seen: Observed, why: str) -> tuple[Step, ...]:
    if not seen.recorded:
        return ()
    kept = ", ".join(meta.name(one) for one in seen.recorded)
    return (Refuse(RECORD_LOST, f"{why}: {kept} is kept; delete it by hand when nobody needs its content"),)


def _conflict(seen: Observed, name: str) -> Refuse:
    record = naming.service_namespace_record(seen.cluster_namespace, seen.name)
    return Refuse(
        NAMESPACE_CONFLICT,
        f"namespace {name} exists and is not recorded as ours: remove or rename it, or, if it does"
        " belong to this"
        f" tenant, annotate it with {keys.API_SERVICE_NAMESPACE}={record}",
    )


def _ours(seen: Observed, namespace: Mapping[str, Any]) -> bool:
    return _record(namespace) == naming.service_namespace_record(seen.cluster_namespace, seen.name)


def _record(namespace: Mapping[str, Any] | None) -> str | None:
    return None if namespace is None else meta.annotation(namespace, keys.API_SERVICE_NAMESPACE)
