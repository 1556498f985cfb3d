"""The objects that a binding puts on the app cluster, whoever creates them: CLI, bundle, GitOps tool (spec 7.2, 7.3).

Pure. One place, so that a bundle holds exactly what the interactive way creates.
"""

import base64
from collections.abc import Sequence
from typing import Any, Final

from bind_agent.api import keys, naming
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import Object
from bind_agent.api.rbac import binding_cluster_role
from bind_agent.api.resource import Resource
from bind_agent.api.shared import to_wire

CONFLICT_POLICIES: Final = (keys.CONFLICT_FAIL, keys.CONFLICT_ADOPT)
"""Values of the annotation `keys.CONFLICT_POLICY`."""


def namespace() -> Object:
    """The namespace that holds bindings and credentials."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": keys.CONSUMER_NAMESPACE}}


def secret(document: bytes, *, name: str = "") -> Object:
    """The Secret of a provider's kubeconfig.

    Args:
        document: the kubeconfig.
        name: of the Secret; without one the API server makes one (spec 3.11.2).
    """
    named = {"name": name} if name else {"generateName": keys.KUBECONFIG_PREFIX}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            **named,
            "namespace": keys.CONSUMER_NAMESPACE,
            "labels": {keys.MANAGED_BY: keys.MANAGER},
        },
        "type": "Opaque",
        "data": {keys.KUBECONFIG: base64.b64encode(document).decode("ascii")},
    }


def secret_name(server: str, tenant_namespace: str) -> str:
    """Name of that Secret where it has to be known beforehand; the same place always gives the same name.

    Args:
        server: the provider's API server.
        tenant_namespace: the cluster namespace there.
    """
    return keys.KUBECONFIG_PREFIX + naming.digest(server, tenant_namespace)


def kubeconfig(
    *,
    server: str,
    ca_pem: bytes | None,
    tls_server_name: str,
    namespace: str,
    token: str,
    certificate: bytes = b"",
    key: bytes = b"",
) -> dict[str, Any]:
    """A kubeconfig with nothing but what a konnector takes from it (one context, everything inline)."""
    cluster = {"server": server}
    if ca_pem:
        cluster["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    if tls_server_name:
        cluster["tls-server-name"] = tls_server_name
    user = {}
    if token:
        user["token"] = token
    if certificate:
        user["client-certificate-data"] = base64.b64encode(certificate).decode()
        user["client-key-data"] = base64.b64encode(key).decode()
    context = {"cluster": "default", "namespace": namespace, "user": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": cluster}],
        "contexts": [{"name": "default", "context": context}],
        "current-context": "default",
        "preferences": {},
        "users": [{"name": "default", "user": user}],
    }


def role(
    group: str, plural: str, claims: Sequence[AcceptablePermissionClaim], *, conflict_policy: str
) -> Object:
    """The ClusterRole of one binding: the right to create bound objects only where provider objects are adopted.

    Args:
        group: of the bound API.
        plural: of the bound API.
        claims: with their answers.
        conflict_policy: of the binding; empty is the default, `keys.CONFLICT_FAIL`.
    """
    return binding_cluster_role(
        f"{plural}.{group}",
        Resource(group, "v1", plural),
        [to_wire(claim) for claim in claims],
        adopt=conflict_policy == keys.CONFLICT_ADOPT,
    )


def binding(
    group: str,
    plural: str,
    claims: Sequence[AcceptablePermissionClaim],
    *,
    secret: str,
    namespaced: bool = True,
    conflict_policy: str = "",
) -> Object:
    """The APIServiceBinding of one API.

    Args:
        group: of the bound API.
        plural: of the bound API.
        claims: with their answers.
        secret: name of the Secret with the kubeconfig.
        namespaced: the scope in which the app cluster serves bindings (spec section 1).
        conflict_policy: one of `CONFLICT_POLICIES`; empty leaves the annotation out.
    """
    metadata: dict[str, Any] = {"name": f"{plural}.{group}"}
    if namespaced:
        metadata["namespace"] = keys.CONSUMER_NAMESPACE
    if conflict_policy:
        metadata["annotations"] = {keys.CONFLICT_POLICY: conflict_policy}
    spec: dict[str, Any] = {
        "kubeconfigSecretRef": {
            "namespace": keys.CONSUMER_NAMESPACE,
            "name": secret,
            "key": keys.KUBECONFIG,
        }
    }
    if claims:
        spec["permissionClaims"] = [_spelled_out(claim) for claim in claims]
    return {"apiVersion": keys.API_VERSION, "kind": keys.KIND_BINDING, "metadata": metadata, "spec": spec}


def _spelled_out(claim: AcceptablePermissionClaim) -> dict[str, Any]:
    """The claim with what the API server would fill in (spec 3.2.4).

    Tools that compare what they applied with what is there find no difference then.
    """
    plain = {"group": "", "read": {}, **to_wire(claim)}
    plain["selector"] = {
        "names": list(claim.selector.names),
        "namespaces": list(claim.selector.namespaces),
        **plain.get("selector", {}),
    }
    recreate = claim.on_conflict.recreate_when_consumer_side_deleted
    plain["onConflict"] = {"recreateWhenConsumerSideDeleted": recreate}
    return plain
