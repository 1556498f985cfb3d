"""Whose a namespace is: pure.

A tenant's namespace is either a cluster namespace (annotation `keys.IDENTITY`, somebody logged in or was added) or
a binding root namespace (annotation `keys.APP_CLUSTER_BINDING`, an AppClusterBinding made it). The controllers
treat both alike, but for the credential: a root namespace hands none out, its Secret leads to the app cluster.

The name of a root namespace proves nothing: (`a`, `b-c`) and (`a-b`, `c`) give the same one (W-S11).
"""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.backend import names
from bind_agent.backend.allowed import Requester


def owner(namespace: Mapping[str, Any]) -> str:
    """Key of the AppClusterBinding that a Namespace belongs to; empty for any other namespace."""
    record = meta.annotation(namespace, keys.APP_CLUSTER_BINDING)
    own, _, name = record.partition("/")
    return record if own and name and "/" not in name else ""


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
