"""The objects that a binding puts on the app cluster. Pure."""

from collections.abc import Sequence
from typing import Any

from bind_agent.api import keys
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import Object, labels
from bind_agent.api.rbac import binding_cluster_role
from bind_agent.api.resource import Resource
from cli.binding.claims import wire
from cli.binding.credential import Kubeconfig
from cli.binding.request import Wanted


def namespace_manifest() -> Object:
    """The namespace that holds bindings and credentials."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": keys.CONSUMER_NAMESPACE}}


def secret_manifest(kubeconfig: Kubeconfig, *, redacted: bool = False) -> Object:
    """The Secret of a provider's kubeconfig.

    Args:
        kubeconfig: the provider's.
        redacted: for showing: the content is left out.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "generateName": keys.KUBECONFIG_PREFIX,
            "namespace": keys.CONSUMER_NAMESPACE,
            "labels": {keys.MANAGED_BY: keys.MANAGER},
        },
        "type": "Opaque",
        "data": {keys.KUBECONFIG: "PHJlZGFjdGVkPg==" if redacted else kubeconfig.encoded()},
    }


def role_manifest(wanted: Wanted, claims: Sequence[AcceptablePermissionClaim]) -> Object:
    """The ClusterRole of one binding; objects that the provider made are adopted, as konnectors do."""
    resource = Resource(wanted.group, "v1", wanted.plural)
    return binding_cluster_role(wanted.name, resource, wire(claims), adopt=True)


def same_role(existing: Object | None, role: Object) -> bool:
    """Whether a role says already what it is to say; further labels do not matter."""
    return (
        existing is not None
        and existing.get("rules") == role["rules"]
        and role["metadata"]["labels"].items() <= labels(existing).items()
    )


def binding_manifest(
    served: Resource, wanted: Wanted, claims: Sequence[AcceptablePermissionClaim], *, secret: str
) -> Object:
    """The APIServiceBinding of one API."""
    metadata = {"name": wanted.name} | ({"namespace": binding_namespace(served)} if served.namespaced else {})
    spec: dict[str, Any] = {
        "kubeconfigSecretRef": {
            "namespace": keys.CONSUMER_NAMESPACE,
            "name": secret,
            "key": keys.KUBECONFIG,
        }
    }
    if claims:
        spec["permissionClaims"] = wire(claims)
    return {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "metadata": metadata, "spec": spec}


def binding_namespace(served: Resource) -> str:
    """Where bindings live: in ``klutch-bind``, or nowhere where they are cluster-scoped (spec section 1)."""
    return keys.CONSUMER_NAMESPACE if served.namespaced else ""
