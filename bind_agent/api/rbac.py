"""The rights that one binding gives the konnector on the app cluster: generated, minimal, in one place.

The konnector has no wildcard. Each binding brings a ClusterRole of its own, made from the bound resource and
the accepted claims, which the control plane adds to the konnector's aggregated role (label
`keys.AGGREGATE_TO_KONNECTOR`). Whoever changes what the konnector does on the consumer changes the verbs
here; the static part stands in ``manifests/konnector`` and its folder ``base``.

Remark on reach: RBAC knows neither label selectors nor owners, so a role is as narrow as RBAC allows and the
konnector enforces the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bind_agent.api import keys
from bind_agent.api.meta import Object
from bind_agent.api.naming import label_value
from bind_agent.api.resource import CLUSTERROLES, Resource

ROLE_PREFIX: Final = "klutch-bind-binding-"
"""The ClusterRole of a binding is called this plus the binding's name."""

BOUND_VERBS: Final = ("get", "list", "watch", "patch")
"""On bound objects: they are watched; finalizer and bound mark are patches. The konnector never creates or
deletes them, except that adoption creates."""

BOUND_STATUS_VERBS: Final = ("patch",)

READ_VERBS: Final = ("get", "list", "watch")
"""On claimed objects, whoever owns them."""

PROVIDER_OWNED_VERBS: Final = ("create", "update", "delete")
"""On top of reading, where the provider owns: the konnector keeps copies here."""

UNDECIDED_VERBS: Final = ("patch",)
"""On top of all others, where a claim names no owner: then the owner is marked on the source."""

Rule = dict[str, list[str]]
"""One RBAC rule: `apiGroups`, `resources`, `verbs` and perhaps `resourceNames`, each sorted."""


def consumer_rules(
    resource: Resource, claims: Iterable[Mapping[str, Any]], *, adopt: bool = False
) -> list[Rule]:
    """What the konnector may do on the app cluster for one binding.

    Args:
        resource: the bound resource.
        claims: permission claims as on the wire (spec 3.2.4); those with state ``Rejected`` give no rights.
        adopt: whether objects that exist only on the provider are created on the consumer.

    Returns:
        Rules in a stable order without doubles: the bound resource, its status, then the claimed kinds sorted
        by group and resource. Where a claim lists names, writing is limited to these names; reading and
        creating cannot be (RBAC does not match names on list, watch and create).
    """
    rules = [
        _rule(resource.group, resource.plural, (*BOUND_VERBS, "create") if adopt else BOUND_VERBS),
        _rule(resource.group, f"{resource.plural}/status", BOUND_STATUS_VERBS),
    ]
    kinds: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for claim in claims:
        if claim.get("state") != "Rejected":
            kinds.setdefault((str(claim.get("group") or ""), str(claim["resource"])), []).append(claim)
    for (group, plural), same_kind in sorted(kinds.items()):
        rules.extend(_claim_rules(group, plural, same_kind))
    return rules


def _claim_rules(group: str, plural: str, claims: Sequence[Mapping[str, Any]]) -> list[Rule]:
    anywhere: set[str] = set(READ_VERBS)
    by_name: dict[str, set[str]] = {}
    for claim in claims:
        verbs = set(_write_verbs(claim))
        names = _names(claim)
        if not names:
            anywhere |= verbs
            continue
        if "create" in verbs:
            anywhere.add("create")
            verbs.discard("create")
        for name in names:
            by_name.setdefault(name, set()).update(verbs)
    rules = [_rule(group, plural, anywhere)]
    narrowed: dict[frozenset[str], list[str]] = {}
    for name, verbs in by_name.items():
        if beyond := frozenset(verbs - anywhere):
            narrowed.setdefault(beyond, []).append(name)
    for verbs_of_names, names_of_verbs in sorted(narrowed.items(), key=lambda item: sorted(item[1])):
        rules.append(_rule(group, plural, verbs_of_names) | {"resourceNames": sorted(names_of_verbs)})
    return rules


def _write_verbs(claim: Mapping[str, Any]) -> tuple[str, ...]:
    owner = _selector(claim).get("owner")
    if owner == keys.OWNER_PROVIDER:
        return PROVIDER_OWNED_VERBS
    if owner == keys.OWNER_CONSUMER:
        return ()
    return (*PROVIDER_OWNED_VERBS, *UNDECIDED_VERBS)


def _names(claim: Mapping[str, Any]) -> list[str]:
    """The names a claim is limited to; empty when it takes any name."""
    names = _selector(claim).get("names")
    if not isinstance(names, list) or "*" in names:
        return []
    return [name for name in names if isinstance(name, str)]


def _selector(claim: Mapping[str, Any]) -> Mapping[str, Any]:
    selector = claim.get("selector")
    return selector if isinstance(selector, Mapping) else {}


def _rule(group: str, resource: str, verbs: Iterable[str]) -> Rule:
    return {"apiGroups": [group], "resources": [resource], "verbs": sorted(set(verbs))}


def binding_label(binding: str) -> str:
    """Value of the label `keys.BINDING_LABEL`: the binding's name, or its digest where the name is too long.

    Args:
        binding: name of the binding, `P.G`.
    """
    return label_value(binding)


def binding_cluster_role(
    binding: str, resource: Resource, claims: Iterable[Mapping[str, Any]], *, adopt: bool = False
) -> Object:
    """The ClusterRole of one binding, to be applied on the app cluster before the binding itself.

    Args:
        binding: name of the binding, `P.G`.
        resource: the bound resource.
        claims: as for `consumer_rules`.
        adopt: as for `consumer_rules`.
    """
    return {
        "apiVersion": CLUSTERROLES.api_version,
        "kind": CLUSTERROLES.kind,
        "metadata": {
            "name": ROLE_PREFIX + binding,
            "labels": {
                keys.MANAGED_BY: keys.MANAGER,
                keys.AGGREGATE_TO_KONNECTOR: keys.TRUE,
                keys.BINDING_LABEL: binding_label(binding),
            },
        },
        "rules": consumer_rules(resource, claims, adopt=adopt),
    }
