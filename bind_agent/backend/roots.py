"""Whose a namespace is: pure.

A tenant's namespace is either a cluster namespace (annotation `keys.IDENTITY`, somebody logged in or was added) or
a binding root namespace (annotation `keys.APP_CLUSTER_BINDING`, an AppClusterBinding made it). The controllers
treat both alike, but for the credential: a root namespace hands none out, its Secret leads to the app cluster.

The name of a root namespace proves nothing: (`a`, `b-c`) and (`a-b`, `c`) give the same one (W-S11).

Go puts no mark on root namespaces, and the backend may not change namespaces, which keeps it out of all others. What
proves there whose one is, is the ClusterBinding `cluster`: two labels say namespace and name of the AppClusterBinding.
Only backends and administrators write ClusterBindings; konnectors may change nothing of them but the status, and in
namespaces without a mark admission keeps our own account from it as well. The proof is looked at each time. What it
proves is laid over the Namespace as it is seen (`recorded`), so that everybody else goes by the mark alone.
"""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import keys, meta, naming
from bind_agent.api.meta import Object
from bind_agent.backend import names
from bind_agent.backend.allowed import Requester

_MARKS = (keys.IDENTITY, keys.API_SERVICE_NAMESPACE, keys.APP_CLUSTER_BINDING)


def owner(namespace: Mapping[str, Any]) -> str:
    """Key of the AppClusterBinding that a Namespace belongs to; empty for any other namespace."""
    record = meta.annotation(namespace, keys.APP_CLUSTER_BINDING)
    own, _, name = record.partition("/")
    return record if own and name and "/" not in name else ""


def proof(namespace: Mapping[str, Any], binding: Mapping[str, Any] | None) -> str:
    """Key of the AppClusterBinding for which a Go backend made a Namespace; empty when nothing proves that.

    Args:
        namespace: with any mark it belongs to whom the mark says.
        binding: its ClusterBinding; None when it has none.
    """
    if binding is None or any(mark in meta.annotations(namespace) for mark in _MARKS):
        return ""
    labels = meta.labels(binding)
    own, name = labels.get(keys.APP_CLUSTER_BINDING_NAMESPACE), labels.get(keys.APP_CLUSTER_BINDING_NAME)
    if not own or not name or naming.binding_root_namespace(own, name) != meta.name(namespace):
        return ""
    return meta.join_key(own, name)


def recorded(namespace: Mapping[str, Any], key: str) -> Object:
    """A Namespace as if it had the record that it is proven to lack.

    Args:
        namespace: as observed.
        key: of the AppClusterBinding.
    """
    seen = {keys.APP_CLUSTER_BINDING: key, keys.APP_CLUSTER_PROOF: keys.CLUSTER_BINDING_PROOF}
    metadata = {**meta.metadata(namespace), "annotations": {**meta.annotations(namespace), **seen}}
    return {**namespace, "metadata": metadata}


def is_proven(namespace: Mapping[str, Any]) -> bool:
    """Whether a Namespace is seen with a record that it does not have."""
    return meta.annotation(namespace, keys.APP_CLUSTER_PROOF) == keys.CLUSTER_BINDING_PROOF


def is_taken(namespace: Mapping[str, Any], binding: Mapping[str, Any] | None) -> bool:
    """Whether a Namespace that is proven was taken over: then its ClusterBinding has the record that it lacks.

    From then on other AppClusterBindings that would use a namespace of this name come too late, and the backend has its
    rights there.
    """
    return owner(namespace) == meta.annotation(binding or {}, keys.APP_CLUSTER_BINDING)


def is_root(namespace: Mapping[str, Any]) -> bool:
    """Whether a Namespace is the binding root namespace of an AppClusterBinding."""
    return bool(owner(namespace))


def is_tenant(namespace: Mapping[str, Any]) -> bool:
    """Whether requests, exports and mappings in a Namespace are to be served."""
    return bool(meta.annotation(namespace, keys.IDENTITY)) or is_root(namespace)


def requester(binding: Mapping[str, Any] | None) -> Requester:
    """In whose name is asked in a root namespace: that of its AppClusterBinding, for what it lists.

    What is listed stands on the ClusterBinding, whose annotations the konnector's account cannot change, so that
    account gets no other API (W-B19). `spec.allowed` of templates is about people who log in.

    Args:
        binding: the ClusterBinding of the root namespace; without one nothing may be asked for.
    """
    noted = meta.annotation(binding or {}, names.ALLOWED_KINDS)
    return Requester(kinds=frozenset(noted.split(",")) if noted else frozenset())
