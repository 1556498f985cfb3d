"""What a tenant may do with exported and claimed kinds, and what the backend may hand on: pure.

Three objects per tenant come from here (spec 8.2):

* ClusterRole `klutch-binder-<cns>`: exported and claimed kinds. It is bound by a RoleBinding in each service
  namespace and nowhere else, so a claim on Secrets reaches the tenant's own namespaces only.
* ClusterRole `klutch-binder-<cns>-cluster` with the ClusterRoleBinding `klutch-binder-<cns>`: only kinds that
  are exported cluster-wide (scope Cluster, or informer scope Cluster), never a claimed kind. They exist only
  while there is such an export.
* RoleBinding `klutch-binder` in `<cns>` to the static ClusterRole of the same name.

A konnector of the Go project with informer scope Cluster watches exported kinds cluster-wide and claimed
kinds per service namespace (an API server always fills `selector.namespaces`), so the split gives it all that
it uses.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bind_agent.api import guards, keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS
from bind_agent.backend import names

Rule: TypeAlias = dict[str, list[str]]
"""One RBAC rule: `apiGroups`, `resources`, `verbs`, each sorted."""

VERBS: Final = ("create", "delete", "get", "list", "patch", "update", "watch")
"""What a konnector does with an exported or claimed kind (spec 8.2); no subresource is among it."""

_RBAC_GROUP: Final = CLUSTERROLES.group
_CONTENT: Final = ("rules", "subjects", "roleRef")


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A kind by group and plural."""

    group: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, slots=True)
class ExportNeeds:
    """What one export asks rights for.

    Attributes:
        exported: the exported kind.
        cluster_wide: whether it is watched in all namespaces (informer scope Cluster or cluster-scoped).
        claimed: kinds of its claims.
    """

    exported: Kind
    cluster_wide: bool
    claimed: frozenset[Kind]

    @property
    def kinds(self) -> frozenset[Kind]:
        """All of them."""
        return self.claimed | {self.exported}


@dataclass(frozen=True, slots=True)
class HeldRights:
    """What the backend itself may do in every namespace.

    Attributes:
        rules: as a SelfSubjectRulesReview reports them.
        complete: False when the server has authorizers that cannot list their rules; then only trying tells.
    """

    rules: tuple[Mapping[str, Any], ...]
    complete: bool = True


def needs_of(export: Mapping[str, Any], allowed: Collection[str]) -> ExportNeeds:
    """What an export asks for; claims on kinds that may not be claimed are left out.

    Args:
        export: an APIServiceExport.
        allowed: group resources that may be claimed (see `bind_agent.api.guards`).
    """
    spec = _mapping(export.get("spec"))
    kind = Kind(_text(spec.get("group")), _text(_mapping(spec.get("names")).get("plural")))
    claims = spec.get("permissionClaims")
    claimed = {claimed_kind(claim) for claim in claims} if isinstance(claims, list) else set()
    return ExportNeeds(
        exported=kind,
        cluster_wide="Cluster" in {spec.get("scope"), spec.get("informerScope")},
        claimed=frozenset(
            kind for kind in claimed if guards.refuse_kind(kind.group, kind.plural, allowed=allowed) is None
        ),
    )


def claimed_kind(claim: object) -> Kind:
    """The kind that a claim names."""
    entry = _mapping(claim)
    return Kind(_text(entry.get("group")), _text(entry.get("resource")))


def rules_for(kinds: Iterable[Kind]) -> list[Rule]:
    """One rule per kind with all verbs, sorted and without doubles (so that equal needs give equal roles)."""
    return [
        {"apiGroups": [kind.group], "resources": [kind.plural], "verbs": list(VERBS)}
        for kind in sorted(set(kinds))
    ]


def uncovered(kinds: Iterable[Kind], held: HeldRights) -> list[Rule]:
    """The rules that the backend cannot hand on, because it does not hold them.

    The API server refuses a role with rights that its author lacks. Asking first names exactly what is
    missing.

    Args:
        kinds: kinds that a tenant needs.
        held: what the backend may do.

    Returns:
        Rules to add to the backend's aggregated role; empty when nothing is missing, or when nobody can tell.
    """
    if not held.complete:
        return []
    missing = []
    for kind in sorted(set(kinds)):
        verbs = [verb for verb in VERBS if not any(_allows(rule, kind, verb) for rule in held.rules)]
        if verbs:
            missing.append({"apiGroups": [kind.group], "resources": [kind.plural], "verbs": verbs})
    return missing


def covers(held: HeldRights, rules: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the backend holds all of a role, so that it may write it."""
    return all(
        any(_allows(mine, Kind(group, resource), verb) for mine in held.rules)
        for rule in rules
        for group in rule.get("apiGroups") or ()
        for resource in rule.get("resources") or ()
        for verb in rule.get("verbs") or ()
    )


def grantable(kinds: Iterable[Kind], held: HeldRights) -> frozenset[Kind]:
    """The kinds that the backend can hand on with all verbs."""
    wanted = frozenset(kinds)
    lacking = {Kind(rule["apiGroups"][0], rule["resources"][0]) for rule in uncovered(wanted, held)}
    return wanted - lacking


def _allows(rule: Mapping[str, Any], kind: Kind, verb: str) -> bool:
    return (
        not rule.get("resourceNames")
        and _matches(rule.get("apiGroups"), kind.group)
        and _matches(rule.get("resources"), kind.plural)
        and _matches(rule.get("verbs"), verb)
    )


def _matches(values: object, wanted: str) -> bool:
    return isinstance(values, list | tuple) and ("*" in values or wanted in values)


def tenant_role(cluster_namespace: Mapping[str, Any], kinds: Iterable[Kind]) -> Object:
    """ClusterRole `klutch-binder-<cns>`.

    Args:
        cluster_namespace: the Namespace object; it owns the role, so deleting the tenant deletes it.
        kinds: what the tenant may use in its service namespaces.
    """
    return _cluster_role(keys.dynamic_role(meta.name(cluster_namespace)), cluster_namespace, kinds)


def cluster_wide_role(cluster_namespace: Mapping[str, Any], kinds: Iterable[Kind]) -> Object:
    """ClusterRole `klutch-binder-<cns>-cluster`: exported kinds that are watched in all namespaces."""
    return _cluster_role(names.cluster_wide_role(meta.name(cluster_namespace)), cluster_namespace, kinds)


def cluster_wide_binding(cluster_namespace: Mapping[str, Any]) -> Object:
    """ClusterRoleBinding `klutch-binder-<cns>` to `klutch-binder-<cns>-cluster`."""
    cns = meta.name(cluster_namespace)
    return {
        "apiVersion": CLUSTERROLEBINDINGS.api_version,
        "kind": CLUSTERROLEBINDINGS.kind,
        "metadata": {
            "name": keys.dynamic_role(cns),
            "labels": _labels(),
            "ownerReferences": [_owner(cluster_namespace)],
        },
        "roleRef": _role_ref(names.cluster_wide_role(cns)),
        "subjects": [_binder(cns)],
    }


def binder_binding(namespace: str, role: str, cluster_namespace: str) -> Object:
    """RoleBinding `klutch-binder` that gives the tenant's account a role in one namespace.

    Args:
        namespace: `<cns>` itself or one of its service namespaces.
        role: name of the ClusterRole.
        cluster_namespace: where the account lives.
    """
    return _role_binding(namespace, keys.BINDER, role, _binder(cluster_namespace))


def backend_binding(namespace: str, service_account: tuple[str, str]) -> Object:
    """RoleBinding by which the backend may keep the credential of one tenant, in that namespace only.

    Args:
        namespace: `<cns>`.
        service_account: namespace and name of the backend's own account.
    """
    own_namespace, own_name = service_account
    subject = {"kind": "ServiceAccount", "namespace": own_namespace, "name": own_name}
    return _role_binding(namespace, names.BACKEND_TENANT_ROLE, names.BACKEND_TENANT_ROLE, subject)


def export_role(name: str, kinds: Iterable[Kind]) -> Object:
    """The ClusterRole that a platform team ships beside a template: what the backend may hand on.

    Args:
        name: `P.G` of the template's resource.
        kinds: the exported kind and the claimed kinds.
    """
    return {
        "apiVersion": CLUSTERROLES.api_version,
        "kind": CLUSTERROLES.kind,
        "metadata": {
            "name": f"{names.EXPORT_ROLE_PREFIX}{name}",
            "labels": {names.AGGREGATE_TO_BACKEND: keys.TRUE},
        },
        "rules": rules_for(kinds),
    }


def same_grant(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a role or binding has the wanted content, owner and label; the rest may differ."""
    return (
        all((actual.get(part) or None) == (wanted.get(part) or None) for part in _CONTENT)
        and meta.labels(actual).get(keys.MANAGED_BY) == keys.MANAGER
        and all(
            any(ref.get("uid") == owner["uid"] for ref in meta.owner_references(actual))
            for owner in meta.owner_references(wanted)
        )
    )


def belongs_to_other(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an existing role or binding is not ours to change.

    A cluster-wide object is ours when no other Namespace controls it; a RoleBinding, when it binds the same
    role (which cannot be changed anyway).
    """
    owner = meta.controller_reference(wanted)
    if owner is None:
        return _mapping(actual.get("roleRef")).get("name") != _mapping(wanted.get("roleRef")).get("name")
    present = meta.controller_reference(actual)
    return present is None or present.get("uid") != owner.get("uid")


def snippet(rules: Iterable[Rule]) -> str:
    """Missing rules on one line, as a person would write them into a ClusterRole."""
    return "; ".join(
        f"{rule['resources'][0]}{'.' + rule['apiGroups'][0] if rule['apiGroups'][0] else ''}"
        f" [{', '.join(rule['verbs'])}]"
        for rule in rules
    )


def _cluster_role(name: str, owner: Mapping[str, Any], kinds: Iterable[Kind]) -> Object:
    return {
        "apiVersion": CLUSTERROLES.api_version,
        "kind": CLUSTERROLES.kind,
        "metadata": {"name": name, "labels": _labels(), "ownerReferences": [_owner(owner)]},
        "rules": rules_for(kinds),
    }


def _role_binding(namespace: str, name: str, role: str, subject: dict[str, str]) -> Object:
    return {
        "apiVersion": ROLEBINDINGS.api_version,
        "kind": ROLEBINDINGS.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": _labels()},
        "roleRef": _role_ref(role),
        "subjects": [subject],
    }


def _labels() -> dict[str, str]:
    return {keys.MANAGED_BY: keys.MANAGER}


def _owner(namespace: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "name": meta.name(namespace),
        "uid": meta.uid(namespace),
        "controller": True,
    }


def _role_ref(role: str) -> dict[str, str]:
    return {"apiGroup": _RBAC_GROUP, "kind": "ClusterRole", "name": role}


def _binder(cluster_namespace: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": keys.BINDER, "namespace": cluster_namespace}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
