"""What a person can do about a missing right, a missing kind or a rejected credential: one wording for all places.

Pure. The same sentence stands in the condition, the event and the log.
"""

from collections.abc import Sequence
from typing import Final

from bind_agent.api import keys
from bind_agent.api.resource import Resource
from konnector.sync.model import Side

BASE_ROLES: Final = "apply what `kubectl bind konnector manifests` prints"
"""For rights that the konnector needs before anything is bound."""

APP_CLUSTER_ROLES: Final = "apply manifests/konnector/app-cluster to the app cluster"
"""The same for one that runs on the control plane."""

ROOT_NAMESPACE_ROLES: Final = (
    "let the backend write the Role control-plane-connector and the RoleBinding klutch-binder in the root namespace, "
    "see docs/control-plane-mode.md"
)
"""What that one needs on the control plane itself."""

_WHERE: Final = {Side.CONSUMER: "on the app cluster", Side.PROVIDER: "on the provider"}


def denied(side: Side, message: str, binding: str, *, root: str = "") -> str:
    """A right is missing.

    Args:
        side: where.
        message: the API server's, which names verb, kind and account.
        binding: name of the binding, `P.G`.
        root: namespace of the binding on the control plane; empty where it is on the app cluster.
    """
    if side is Side.CONSUMER and root:
        step = (
            f"apply there what `kubectl bind konnector rbac {binding} --namespace {root}` prints with the kubeconfig "
            "of the control plane"
        )
    elif side is Side.CONSUMER:
        step = f"apply what `kubectl bind konnector rbac {binding}` prints"
    else:
        step = (
            f"ask the provider to look at the condition AccessGranted of the export {binding}, which names the "
            "role that is missing there"
        )
    return f"the konnector lacks a right {_WHERE[side]}: {message}; {step}"


def not_taken(side: Side, message: str) -> str:
    """A cluster refuses one object for other reasons than a missing right.

    Args:
        side: which cluster.
        message: the API server's; about a Secret it is our own.
    """
    return (
        f"refused {_WHERE[side]} by a policy, a webhook or a quota: {message}; change the object or ask whoever "
        "looks after that cluster"
    )


def lacking(message: str, roles: str, where: str = "the app cluster") -> str:
    """A right is missing that every binding needs.

    Args:
        message: the API server's.
        roles: what gives such rights there.
        where: which cluster.
    """
    return f"the konnector lacks a right on {where}: {message}; {roles}"


def consent(root: str = "") -> str:
    """How a claim is answered.

    Args:
        root: namespace of the binding on the control plane, where nobody is asked; empty where it is on the app
            cluster.
    """
    if not root:
        return "bind again to answer"
    return (
        f"name the kind in the annotation {keys.ACCEPT_CLAIMS} of the AppClusterBinding, or answer in "
        f"spec.permissionClaims of the binding in {root}"
    )


def allowing(kinds: Sequence[str], root: str = "") -> str:
    """How kinds are allowed that nobody has allowed to be claimed.

    Args:
        kinds: group resources.
        root: namespace of the binding on the control plane, whose backend runs the konnector; empty where it is on
            the app cluster.
    """
    flags = " ".join(f"--allow-claim={kind}" for kind in kinds)
    if root:
        return f"whoever runs the backend may allow it with {flags}"
    return f"whoever runs the konnector may allow it: with {flags} in the args of its Deployment"


def not_served(side: Side, resource: Resource) -> str:
    """A kind is not there."""
    step = (
        "install it, or have the provider correct the claim"
        if side is Side.CONSUMER
        else "ask the provider to install it again"
    )
    return f"{resource} is not served {_WHERE[side]}; {step}"


def unproven(side: Side, resource: Resource, message: str) -> str:
    """A cluster answers 404 without saying that the object does not exist.

    Args:
        side: which cluster.
        resource: the kind.
        message: what it says, and what to look at.
    """
    step = (
        f"ask the provider whether it still offers {resource.group_resource}; where that has ended for good, take the "
        f"finalizer {keys.SYNCER_FINALIZER} off objects that are to go"
        if side is Side.PROVIDER
        else "the konnector goes on trying"
    )
    return f"it is not known what there is {_WHERE[side]}: {message}; {step}"


def unplaced(namespace: str, tenant: str) -> str:
    """The provider has not said where objects of a namespace belong.

    Args:
        namespace: the consumer's.
        tenant: the tenant's namespace on the provider.
    """
    return (
        f"the provider has given namespace {namespace} no counterpart yet; if it stays so, ask the provider whether "
        f"its backend runs and what it says about APIServiceNamespace {tenant}/{namespace}"
    )


def may_not_ask(message: str, tenant: str) -> str:
    """The tenant may not ask for namespaces.

    Args:
        message: the API server's.
        tenant: the tenant's namespace on the provider.
    """
    return (
        f"no namespace can be asked for on the provider: {message}; ask the provider to look at the condition "
        f"AccessGranted of the ClusterBinding in {tenant}"
    )


def rejected(message: str, side: Side = Side.PROVIDER, *, secret: str = "") -> str:
    """A cluster does not accept the credential.

    Args:
        message: the API server's.
        side: which cluster.
        secret: the Secret that a new kubeconfig is put into, where that is the way.
    """
    whose, step = (
        (
            "the provider",
            "ask the provider for a new kubeconfig and bind again with it (`kubectl bind apiservice "
            "--remote-kubeconfig`)",
        )
        if side is Side.PROVIDER
        else ("the app cluster", f"put a kubeconfig with a new token into the Secret {secret}")
    )
    return f"{whose} rejects the credential: {message}; it was revoked or has expired: {step}"


def moved(old: str, new: str, *, same_tenant: bool) -> str:
    """The provider offers a kubeconfig that leads elsewhere; nobody but the consumer decides to follow.

    Args:
        old: address of the API server in use.
        new: address in the offered kubeconfig.
        same_tenant: both name the same namespace.
    """
    if not same_tenant:
        return (
            "the offered kubeconfig leads to another namespace, which is another tenant: it is not taken over; the "
            "provider has to offer one for the namespace of this ClusterBinding"
        )
    what = f"another address ({new} instead of {old})" if old != new else "another CA or server name"
    return (
        f"the offered kubeconfig has {what}: it is not taken over by itself; bind again on the app cluster with a "
        "kubeconfig that has it (`kubectl bind URL`, or `kubectl bind apiservice --remote-kubeconfig`), which changes "
        "the Secret that the bindings use"
    )


def unreachable(server: str, message: str, side: Side = Side.PROVIDER) -> str:
    """A cluster does not answer.

    Args:
        server: its address.
        message: what happened.
        side: which cluster.
    """
    whose = "provider" if side is Side.PROVIDER else "app cluster"
    return f"{server} cannot be reached: {message}; check network and {whose}, the konnector goes on trying"
