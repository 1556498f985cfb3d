"""What is synced for which binding, and in which shape: pure decisions of the exports controller (spec 6.6.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bind_agent.api import conditions, keys, meta, naming
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from konnector.schema import owner


@dataclass(frozen=True, slots=True)
class Shape:
    """What a running sync depends on; another shape needs another sync.

    Attributes:
        resource: the resource at the synced version, with the CRD's scope.
        cluster_wide: one provider watch over all namespaces.
        status_subresource: whether that version has one.
        take_over: the binding's conflict policy is Adopt.
        paused: the binding is paused.
    """

    resource: Resource
    cluster_wide: bool
    status_subresource: bool
    take_over: bool
    paused: bool


def choose_binding(
    bindings: Mapping[str, Object], crd: Object | None, *, control_plane: str = ""
) -> tuple[str | None, Object | None, Object | None]:
    """The binding that an API is synced for: the one that owns the CRD.

    Another binding of the same name, in a namespace of its own, never takes over what that one has.

    Args:
        bindings: the served bindings of that name, by key.
        crd: the CRD of that name on the app cluster, if there is one.
        control_plane: identity of the cluster that holds the bindings, when that is not the app cluster.

    Returns:
        Key and binding, both None without any, and the CRD; None when it is somebody else's, whose objects are none
        of our business.
    """
    for key in sorted(bindings):
        if crd is not None and owner.is_owned_by(crd, bindings[key], control_plane=control_plane):
            return key, bindings[key], crd
    first = min(bindings, default=None)
    return first, bindings[first] if first is not None else None, None


def shape_of(export: Object, binding: Object, crd: Object) -> Shape | None:
    """What the sync of an export needs, None while its CRD is not established or no version is served.

    The first served version of the export is the one that is synced (spec 13). What is synced at all is said by the
    CRD, which has passed every check: an export that was changed afterwards would otherwise have the konnector sync
    any kind that it has rights for, the Secrets of the app cluster among them.
    """
    # A CRD that is being deleted waits for its objects, and these wait for us to take the finalizer off.
    if not conditions.is_true(conditions.of(crd), ConditionType.ESTABLISHED):
        return None
    offered: dict[str, Any] = export.get("spec") or {}
    spec: dict[str, Any] = crd.get("spec") or {}
    names = spec.get("names") or {}
    group, plural = spec.get("group", ""), names.get("plural", "")
    said = (offered.get("group"), (offered.get("names") or {}).get("plural"))
    if said != (group, plural) or meta.name(export) != f"{plural}.{group}":
        return None
    if not naming.is_bindable_group(group):
        return None
    served = {one["name"]: one for one in spec.get("versions") or [] if one.get("served")}
    wanted = (one.get("name") for one in offered.get("versions") or [] if one.get("served"))
    version = next((served[name] for name in wanted if name in served), None)
    if version is None:
        return None
    namespaced = spec.get("scope") == "Namespaced"
    return Shape(
        resource=Resource(group, version["name"], plural, namespaced, names.get("kind", "")),
        cluster_wide=not namespaced or offered.get("informerScope") == "Cluster",
        status_subresource="status" in (version.get("subresources") or {}),
        take_over=meta.annotation(binding, keys.CONFLICT_POLICY) == keys.CONFLICT_ADOPT,
        paused=meta.annotation(binding, keys.PAUSED) == keys.TRUE,
    )
