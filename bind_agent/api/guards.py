"""What never crosses, whatever a claim says: kinds, namespaces, names and types (threats A05-A11, A23, A25).

These lists are on our side of the contract: neither a provider nor a consent widens the hard ones.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api import keys, meta, naming
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.conditions_catalogue import Reason
from bind_agent.api.text import printable

CLAIMABLE: Final = frozenset({"secrets", "configmaps"})
"""Group resources that may be claimed unless an operator allows more."""

_NEVER_CORE: Final = frozenset(
    {
        "bindings",
        "componentstatuses",
        "endpoints",
        "events",
        "limitranges",
        "namespaces",
        "nodes",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "replicationcontrollers",
        "resourcequotas",
        "serviceaccounts",
    }
)
"""Core kinds that give power over a cluster or run code in it."""

_NEVER_GROUPS: Final = frozenset(
    {"apps", "batch", "autoscaling", "extensions", "policy", keys.GROUP, keys.TEMPLATE_GROUP}
)
_NEVER_SUFFIXES: Final = ("k8s.io", "kubernetes.io")

PROTECTED_NAMES: Final = frozenset(
    {
        "aws-auth",
        "cluster-info",
        "coredns",
        "extension-apiserver-authentication",
        "istio-ca-root-cert",
        "kube-proxy",
        "kube-root-ca.crt",
        "kubeadm-config",
        "kubelet-config",
        "openshift-service-ca.crt",
    }
)
"""ConfigMaps and Secrets that clusters and their distributions keep for themselves."""

_PROVIDERS_NAMESPACES: Final = frozenset(
    {"kube-system", "kube-public", "kube-node-lease", keys.CONSUMER_NAMESPACE}
)
"""Namespaces on a provider that no copy is written to."""

_PROTECTED_PREFIXES: Final = ("sh.helm.release.v1.", "bootstrap-token-")

DENIED_SECRET_TYPES: Final = frozenset(
    {
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
    }
)
"""Types that another controller acts upon: tokens appear, nodes join, releases are installed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something may not cross.

    Attributes:
        reason: word of the condition catalogue.
        message: sentence for a person; holds names only, never content.
    """

    reason: str
    message: str


def group_resource(group: str, resource: str) -> str:
    """A kind as people write it: `plural`, or `plural.group`."""
    return f"{resource}.{group}" if group else resource


def parse_kind(text: str) -> tuple[str, str]:
    """Group and plural of a kind that somebody wants to have claimed, written as `plural` or `plural.group`.

    Raises:
        ValueError: it is no kind, or one that may never be claimed; the message is meant for a person.
    """
    plural, dot, group = text.strip().partition(".")
    if not naming.is_label(plural) or (dot and not naming.is_subdomain(group)):
        message = f"{printable(text, 80)!r} is no kind: write plural.group, for instance backups.example.org"
        raise ValueError(message)
    if _dangerous(group, plural):
        raise ValueError(_never(group, plural).message)
    return group, plural


def refuse_kind(group: str, resource: str, *, allowed: Collection[str] = CLAIMABLE) -> Refusal | None:
    """Whether a kind may be claimed at all.

    Args:
        group: API group.
        resource: plural.
        allowed: group resources that the operator lets be claimed; kinds that are dangerous stay refused.

    Returns:
        None when it may, else the reason.
    """
    if _dangerous(group, resource):
        return _never(group, resource)
    if (kind := group_resource(group, resource)) not in allowed:
        name = printable(kind, limit=80)
        return Refusal(
            Reason.CLAIM_REFUSED,
            f"{name} may not be claimed here; allowed are {', '.join(sorted(allowed))}",
        )
    return None


def refuse_claim(claim: PermissionClaim, *, allowed: Collection[str] = CLAIMABLE) -> Refusal | None:
    """Whether a claim may be offered to a person: its kind, and whether its selector can be enforced."""
    refused = refuse_kind(claim.group, claim.resource, allowed=allowed)
    if refused is None and claim.selector.field_selectors:
        return Refusal(
            Reason.CLAIM_REFUSED,
            f"the claim on {claim.group_resource} has fieldSelectors, which are not supported; "
            "use names, namespaces or labelSelectors",
        )
    return refused


def can_be_allowed(claim: PermissionClaim) -> bool:
    """Whether nothing but a missing ``--allow-claim`` stands against a claim that is refused."""
    return refuse_claim(claim, allowed={claim.group_resource}) is None


def is_protected_namespace(namespace: str, own: Collection[str] = ()) -> bool:
    """Whether nothing may cross into or out of a namespace: `kube-*`, `klutch-bind` and our own ones.

    Args:
        namespace: name on the consumer.
        own: further namespaces that the program lives in.
    """
    return namespace.startswith("kube-") or namespace == keys.CONSUMER_NAMESPACE or namespace in own


def is_protected_service_namespace(namespace: str, cluster_namespace: str) -> bool:
    """Whether a provider must not choose a namespace of its own for copies.

    Its names are its own business but for those of Kubernetes: a backend that calls its namespaces `kube-bind-…` is in
    its right.

    Args:
        namespace: name on the provider.
        cluster_namespace: the tenant's, which holds its credential and what it asked for.
    """
    return namespace in _PROVIDERS_NAMESPACES or namespace == cluster_namespace


def refuse_object(
    obj: Mapping[str, Any], resource: str, *, consumer_namespace: str, own: Collection[str] = ()
) -> Refusal | None:
    """Whether one object may cross, before any of its content is read.

    Args:
        obj: the object of either side.
        resource: plural of its kind, for the message and for what holds for Secrets only.
        consumer_namespace: where it is, or would be, on the consumer.
        own: further namespaces that the program lives in.
    """
    name = meta.name(obj)
    what = f"{resource} {consumer_namespace}/{name}"
    if is_protected_namespace(consumer_namespace, own):
        return Refusal(Reason.PROTECTED_OBJECT, f"{what} is in a protected namespace and is never synced")
    if name in PROTECTED_NAMES or name.startswith(_PROTECTED_PREFIXES):
        return Refusal(Reason.PROTECTED_OBJECT, f"{what} has a protected name and is never synced")
    kind = obj.get("type")
    if resource == "secrets" and kind in DENIED_SECRET_TYPES:
        return Refusal(Reason.PROTECTED_OBJECT, f"{what} has the type {kind}, which is never synced")
    return None


def _never(group: str, resource: str) -> Refusal:
    name = printable(group_resource(group, resource), limit=80)
    return Refusal(
        Reason.CLAIM_REFUSED, f"{name} may never be claimed: it gives power over the cluster itself"
    )


def _dangerous(group: str, resource: str) -> bool:
    if not group:
        return resource in _NEVER_CORE
    parts = group.split(".")
    return group in _NEVER_GROUPS or ".".join(parts[-2:]) in _NEVER_SUFFIXES
