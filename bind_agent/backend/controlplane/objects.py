"""The objects that stand in a binding root namespace: pure (spec 5.3 steps 2 to 5)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    BINDINGS,
    CLUSTER_BINDINGS,
    EXPORT_REQUESTS,
    LEASES,
    NAMESPACES,
    NETWORKPOLICIES,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    SERVICEACCOUNTS,
)
from bind_agent.backend import names
from bind_agent.backend.access import Kind
from bind_agent.backend.controlplane import secret_plan
from bind_agent.backend.controlplane.model import Wanted

POD_SECURITY: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
"""`overrides` may say anything about the konnector's container, and its author is not always an administrator of the
control plane cluster; a privileged container is refused."""

_RBAC: Final = ROLES.group
_MANAGED: Final = {keys.MANAGED_BY: keys.MANAGER}


def root_namespace(wanted: Wanted) -> Object:
    """The namespace, with its record from the first moment."""
    return {
        "apiVersion": NAMESPACES.api_version,
        "kind": NAMESPACES.kind,
        "metadata": {
            "name": wanted.root,
            "labels": {**_MANAGED, **POD_SECURITY, **wanted.labels},
            "annotations": {keys.APP_CLUSTER_BINDING: wanted.key},
        },
    }


def backend_binding(wanted: Wanted, account: tuple[str, str], *, proven: bool = False) -> Object:
    """RoleBinding by which the backend may work in this root namespace, and in no other one.

    Args:
        wanted: the AppClusterBinding.
        account: namespace and name of the backend's service account.
        proven: the namespace has no record of its own; admission is to look at what stands for it.
    """
    subject = {"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": names.BACKEND_ROOT_ROLE}
    binding = _role_binding(wanted, names.BACKEND_ROOT_ROLE, reference, subject, owners=())
    if proven:
        binding["metadata"]["labels"][keys.APP_CLUSTER_PROOF] = keys.CLUSTER_BINDING_PROOF
    return binding


def account(wanted: Wanted) -> Object:
    """ServiceAccount `klutch-binder`; the konnector runs under it."""
    return {
        "apiVersion": SERVICEACCOUNTS.api_version,
        "kind": SERVICEACCOUNTS.kind,
        "metadata": {"name": keys.BINDER, "namespace": wanted.root, "labels": {**_MANAGED, **wanted.labels}},
    }


def mirror(wanted: Wanted, secret: Mapping[str, Any]) -> Object:
    """The kubeconfig Secret as it stands in the root namespace: same name and type, and only the referenced key."""
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"name": wanted.secret, "namespace": wanted.root, "labels": wanted.labels},
        "type": secret_type(secret),
        "data": {wanted.secret_key: secret_plan.content(secret, wanted.secret_key)},
    }


def secret_type(secret: Mapping[str, Any]) -> str:
    """The type of a Secret; Opaque where it says none."""
    found = secret.get("type")
    return found if isinstance(found, str) and found else "Opaque"


def cluster_binding(wanted: Wanted, *, proven: bool = False) -> Object:
    """ClusterBinding `cluster`, which makes the root namespace a tenant's for the other controllers.

    It notes what is listed, so that nothing else can be requested there (see `roots.requester`).

    Args:
        wanted: the AppClusterBinding.
        proven: the namespace has no record of its own; then this object has it (see `roots.is_taken`).
    """
    noted = {names.ALLOWED_KINDS: ",".join(sorted(str(kind) for kind in wanted.kinds))}
    if proven:
        noted[keys.APP_CLUSTER_BINDING] = wanted.key
    return {
        "apiVersion": CLUSTER_BINDINGS.api_version,
        "kind": CLUSTER_BINDINGS.kind,
        "metadata": {
            "name": keys.CLUSTER_BINDING_NAME,
            "namespace": wanted.root,
            "labels": wanted.labels,
            "annotations": noted,
        },
        "spec": {
            "providerPrettyName": wanted.name,
            "kubeconfigSecretRef": {"name": wanted.secret, "key": wanted.secret_key},
        },
    }


def connector_rules() -> list[dict[str, list[str]]]:
    """What the konnector may do in the root namespace beyond what every tenant may (spec 5.3 step 3)."""
    changing = ["create", "delete", "get", "list", "patch", "update", "watch"]
    return [
        {"apiGroups": [keys.GROUP], "resources": ["apiservicebindings"], "verbs": changing},
        {"apiGroups": [keys.GROUP], "resources": ["apiservicebindings/status"], "verbs": ["patch", "update"]},
        {"apiGroups": [LEASES.group], "resources": [LEASES.plural], "verbs": changing},
    ]


def connector_role(wanted: Wanted, root: Mapping[str, Any]) -> Object:
    """Role `control-plane-connector`.

    Args:
        wanted: the AppClusterBinding.
        root: the root Namespace. It owns the role: an AppClusterBinding cannot, since owners of namespaced objects
            live in the same namespace, and the garbage collector would delete the role at once.
    """
    return {
        "apiVersion": ROLES.api_version,
        "kind": ROLES.kind,
        "metadata": {
            "name": keys.CONTROL_PLANE_CONNECTOR,
            "namespace": wanted.root,
            "labels": {**_MANAGED, **wanted.labels},
            "ownerReferences": _owners(root),
        },
        "rules": connector_rules(),
    }


def connector_binding(wanted: Wanted, root: Mapping[str, Any]) -> Object:
    """RoleBinding `control-plane-connector` for the konnector's account."""
    subject = {"kind": "ServiceAccount", "name": keys.BINDER, "namespace": wanted.root}
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": keys.CONTROL_PLANE_CONNECTOR}
    return _role_binding(wanted, keys.CONTROL_PLANE_CONNECTOR, reference, subject, owners=_owners(root))


def network_policy(shipped: Mapping[str, Any], wanted: Wanted) -> Object:
    """NetworkPolicy `konnector`: only health and metrics of konnectors in the root namespace are reachable (W-S14).

    Args:
        shipped: that of `manifests/konnector`.
        wanted: the AppClusterBinding.
    """
    return {
        "apiVersion": NETWORKPOLICIES.api_version,
        "kind": NETWORKPOLICIES.kind,
        "metadata": {
            "name": keys.KONNECTOR,
            "namespace": wanted.root,
            "labels": {**_MANAGED, **wanted.labels},
        },
        "spec": dict(shipped["spec"]),
    }


def binding(wanted: Wanted, kind: Kind, claims: Sequence[Mapping[str, Any]], accepted: str) -> Object:
    """A new APIServiceBinding.

    Args:
        wanted: the AppClusterBinding.
        kind: what is bound; the name is `P.G`.
        claims: with the decisions about them.
        accepted: value of the annotation that says which of them the policy decided; empty for none.
    """
    metadata: dict[str, Any] = {"name": str(kind), "namespace": wanted.root, "labels": wanted.labels}
    if accepted:
        metadata["annotations"] = {keys.ACCEPTED_BY_POLICY: accepted}
    spec: dict[str, Any] = {"kubeconfigSecretRef": secret_ref(wanted)}
    if claims:
        spec["permissionClaims"] = [dict(claim) for claim in claims]
    return {"apiVersion": BINDINGS.api_version, "kind": BINDINGS.kind, "metadata": metadata, "spec": spec}


def secret_ref(wanted: Wanted) -> dict[str, str]:
    """Reference to the mirrored Secret."""
    return {"name": wanted.secret, "key": wanted.secret_key, "namespace": wanted.root}


def request(wanted: Wanted, name: str, kind: Kind, claims: Sequence[Mapping[str, Any]]) -> Object:
    """An export request for one API.

    Args:
        wanted: the AppClusterBinding.
        name: of the request (spec 12.3).
        kind: what is asked for.
        claims: of its template.
    """
    entry: dict[str, Any] = {"group": kind.group, "resource": kind.plural}
    if claims:
        entry["permissionClaims"] = [dict(claim) for claim in claims]
    return {
        "apiVersion": EXPORT_REQUESTS.api_version,
        "kind": EXPORT_REQUESTS.kind,
        "metadata": {"name": name, "namespace": wanted.root, "labels": wanted.labels},
        "spec": {"resources": [entry]},
    }


def same_content(actual: Mapping[str, Any], wanted: Mapping[str, Any], *parts: str) -> bool:
    """Whether an object has the wanted labels and owners, and exactly the wanted value of each part."""
    labels = meta.labels(actual)
    owners = {ref.get("uid") for ref in meta.owner_references(actual)}
    return (
        all((actual.get(part) or None) == (wanted.get(part) or None) for part in parts)
        and all(labels.get(label) == value for label, value in meta.labels(wanted).items())
        and all(ref["uid"] in owners for ref in meta.owner_references(wanted))
    )


def repaired(live: Mapping[str, Any], wanted: Mapping[str, Any], *parts: str) -> Object:
    """An object with our labels, owners and parts, and everything else as it is."""
    metadata = dict(meta.metadata(live))
    metadata["labels"] = {**meta.labels(live), **meta.labels(wanted)}
    if owners := meta.owner_references(wanted):
        uids = {ref["uid"] for ref in owners}
        others = [ref for ref in meta.owner_references(live) if ref.get("uid") not in uids]
        metadata["ownerReferences"] = [*others, *owners]
    return {**live, "metadata": metadata, **{part: wanted[part] for part in parts}}


def _role_binding(
    wanted: Wanted,
    name: str,
    reference: Mapping[str, str],
    subject: Mapping[str, str],
    *,
    owners: Sequence[Mapping[str, Any]],
) -> Object:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": wanted.root,
        "labels": {**_MANAGED, **wanted.labels},
    }
    if owners:
        metadata["ownerReferences"] = list(owners)
    return {
        "apiVersion": ROLEBINDINGS.api_version,
        "kind": ROLEBINDINGS.kind,
        "metadata": metadata,
        "roleRef": dict(reference),
        "subjects": [dict(subject)],
    }


def _owners(root: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": NAMESPACES.api_version,
            "kind": NAMESPACES.kind,
            "name": meta.name(root),
            "uid": meta.uid(root),
        }
    ]
