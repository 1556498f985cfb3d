"""What the app cluster holds before anything is written.

Everything that can end the command is looked at here, so that a binding of another provider or a CRD
of somebody else is found while the cluster is still untouched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bind_agent.api import keys
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import Object, creation_timestamp, is_deleting, labels, name, owner_references, uid
from bind_agent.api.rbac import ROLE_PREFIX
from bind_agent.api.resource import BINDINGS, CLUSTERROLES, CRDS, NAMESPACES, SECRETS, Resource
from cli.binding.claims import parse_entries
from cli.binding.credential import Kubeconfig, stored_kubeconfig, stored_trouble
from cli.binding.moving import Move
from cli.binding.request import Wanted
from cli.cluster import Cluster
from cli.errors import CliError
from cli.output import inert

_UNBIND: Final = (
    "bind with a kubeconfig for that namespace: one with a new address moves the binding there; to leave the provider, "
    "delete the binding first, and with it goes everything that is bound through it"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the app cluster holds for one API.

    Attributes:
        wanted: the API.
        binding: the existing binding, if any.
        role: the existing ClusterRole of that binding, if any.
    """

    wanted: Wanted
    binding: Object | None
    role: Object | None = None

    @property
    def claims(self) -> list[AcceptablePermissionClaim]:
        """The claims of the existing binding with their decisions."""
        spec = (self.binding or {}).get("spec")
        return parse_entries(spec.get("permissionClaims")) if isinstance(spec, dict) else []


@dataclass(frozen=True, slots=True)
class Survey:
    """What the app cluster holds before the command.

    Attributes:
        served: the endpoint of bindings; None while the cluster does not know them.
        namespace: whether the namespace ``klutch-bind`` exists.
        secret: the Secret that holds a kubeconfig for the same server and namespace of the provider, if any, or the
            one that existing bindings refer to.
        standings: one entry per wanted API.
        move: set when `secret` leads to the same namespace of the provider at another address: it may be written only
            after `moving.agree`.
        missing: name of the Secret that an existing binding refers to and that is gone; it has to be made again,
            because the reference of a binding never changes.
    """

    served: Resource | None
    namespace: bool
    secret: Object | None
    standings: tuple[Standing, ...]
    missing: str = ""
    move: Move | None = None


def take_survey(
    cluster: Cluster, wanted: Sequence[Wanted], kubeconfig: Kubeconfig, *, prefer: str = ""
) -> Survey:
    """Look at everything that decides what has to be written; write nothing.

    Args:
        cluster: the app cluster.
        wanted: the APIs to bind.
        kubeconfig: the provider's.
        prefer: name of the Secret that the person named, if she named one here.

    Raises:
        CliError: a binding of that name belongs to another provider or its Secret holds no usable kubeconfig, or
            a CRD of that name belongs to somebody else.
    """
    served = cluster.served(BINDINGS.group, BINDINGS.version, BINDINGS.plural)
    bindings = {one.name: find_binding(cluster, served, one.name) for one in wanted}
    namespace = cluster.get(NAMESPACES, keys.CONSUMER_NAMESPACE)
    if namespace is not None and is_deleting(namespace):
        raise CliError(
            f"the namespace {keys.CONSUMER_NAMESPACE} of the app cluster is being deleted",
            next_step="wait until it is gone, then run the command again",
        )
    secrets = cluster.list(SECRETS, namespace=keys.CONSUMER_NAMESPACE) if namespace is not None else []
    matching = _matching(secrets, kubeconfig)
    referenced = [_secret_of(binding)[1] for binding in bindings.values() if binding is not None]
    secret = _choose(matching, [*referenced, prefer])
    matched = {name(one) for one in matching}
    foreign = {name(one): one for one in secrets if name(one) not in matched}
    moves = {}
    for one in wanted:
        if (move := _check_binding(one, bindings[one.name], foreign, kubeconfig)) is not None:
            moves[move.secret] = move
        _check_crd(cluster, one, bindings[one.name])
    used = set(referenced)
    if len(used) > 1:
        raise CliError(
            f"these APIs are bound through different Secrets: {inert(', '.join(sorted(used)))}",
            next_step="bind them one by one, each with a request of its own",
        )
    missing = "".join(used - {name(one) for one in secrets})
    move = next(iter(moves.values()), None)
    if move is not None:
        secret = foreign[move.secret]
    return Survey(
        served=served,
        namespace=namespace is not None,
        secret=None if missing else secret,
        missing=missing,
        move=move,
        standings=tuple(Standing(one, bindings[one.name], _role(cluster, one)) for one in wanted),
    )


def find_binding(
    cluster: Cluster, served: Resource | None, binding_name: str, *, namespace: str = keys.CONSUMER_NAMESPACE
) -> Object | None:
    """The binding of that name, if any.

    Args:
        cluster: the one that holds the binding.
        served: its endpoint, None when bindings are not served.
        binding_name: `P.G`.
        namespace: where bindings are, if they live in namespaces.
    """
    if served is None:
        return None
    return cluster.get(served, binding_name, namespace=namespace if served.namespaced else "")


def _matching(secrets: Sequence[Object], kubeconfig: Kubeconfig) -> list[Object]:
    """Secrets that hold a kubeconfig for the same server and namespace, the oldest first."""
    found = []
    for secret in secrets:
        stored = stored_kubeconfig(secret)
        if stored is not None and stored.same_place(kubeconfig):
            found.append(secret)
    return sorted(found, key=lambda one: (creation_timestamp(one), name(one)))


def _check_binding(
    wanted: Wanted, binding: Object | None, foreign: Mapping[str, Object], kubeconfig: Kubeconfig
) -> Move | None:
    """Refuse a binding that leads elsewhere; one whose Secret is gone is taken up, as the konnector asks for.

    Args:
        wanted: the API.
        binding: its binding, if any.
        foreign: Secrets in our namespace, by name, that do not lead to the provider that is meant.
        kubeconfig: the provider that is meant.

    Returns:
        What is to be agreed to, when the binding leads to the same namespace at another address.

    Raises:
        CliError: it is being deleted, its Secret holds no usable kubeconfig, or it leads elsewhere.
    """
    if binding is None:
        return None
    if is_deleting(binding):
        raise CliError(
            f"the binding {wanted.name} is being deleted",
            next_step="wait until it is gone, then run the command again",
        )
    namespace, secret = _secret_of(binding)
    if (
        namespace == keys.CONSUMER_NAMESPACE
        and secret in foreign
        and (why := stored_trouble(foreign[secret]))
    ):
        # Not overwritten here: nobody can tell whether it is a credential of this provider or of another one.
        raise CliError(
            f"the binding {wanted.name} exists and uses the Secret {namespace}/{inert(secret)}, which holds no"
            f" usable kubeconfig ({why})",
            next_step=f"put the provider's kubeconfig there, or remove it (kubectl delete secret -n {namespace}"
            f" {inert(secret)}) and run the command again, which makes it anew",
        )
    if namespace == keys.CONSUMER_NAMESPACE and secret and secret not in foreign:
        return None
    stored = stored_kubeconfig(foreign[secret]) if namespace == keys.CONSUMER_NAMESPACE and secret else None
    if stored is not None and stored.namespace == kubeconfig.namespace:
        return Move(secret, stored)
    leads = f", which leads to the namespace {inert(stored.namespace)}" if stored is not None else ""
    leads += f" at {inert(stored.checked.server)}" if stored is not None else ""
    raise CliError(
        f"the binding {wanted.name} exists and belongs to another provider, or to another "
        f"namespace of it: it uses Secret {inert(namespace)}/{inert(secret)}{leads}",
        next_step=_UNBIND,
    )


def _check_crd(cluster: Cluster, wanted: Wanted, binding: Object | None) -> None:
    crd = cluster.get(CRDS, wanted.name)
    if crd is None:
        return
    owners = [
        reference
        for reference in owner_references(crd)
        if str(reference.get("apiVersion") or "").partition("/")[0] == keys.GROUP
        and reference.get("kind") == keys.KIND_BINDING
        and reference.get("name") == wanted.name
    ]
    # Without a binding the mark of an earlier one will do: the konnector takes such a CRD over.
    if any(binding is None or reference.get("uid") == uid(binding) for reference in owners):
        return
    raise CliError(
        f"the app cluster has a CustomResourceDefinition {wanted.name} that does not belong to a binding",
        next_step="remove or rename it if nobody needs it; it is not touched",
    )


def _role(cluster: Cluster, wanted: Wanted) -> Object | None:
    role = cluster.get(CLUSTERROLES, ROLE_PREFIX + wanted.name)
    if role is not None and labels(role).get(keys.MANAGED_BY) != keys.MANAGER:
        raise CliError(
            f"the app cluster has a ClusterRole {ROLE_PREFIX}{wanted.name} of other origin",
            next_step="remove or rename it; it is not touched",
        )
    return role


def _secret_of(binding: Object) -> tuple[str, str]:
    """Namespace and name of the Secret that a binding uses."""
    spec = binding.get("spec")
    reference = spec.get("kubeconfigSecretRef") if isinstance(spec, dict) else None
    reference = reference if isinstance(reference, dict) else {}
    return str(reference.get("namespace") or ""), str(reference.get("name") or "")


def _choose(matching: Sequence[Object], preferred: Sequence[str]) -> Object | None:
    """The Secret to use: the first preferred one that matches, else the oldest match."""
    by_name = {name(one): one for one in matching}
    for candidate in preferred:
        if candidate in by_name:
            return by_name[candidate]
    return matching[0] if matching else None
