"""A bundle: everything that binds APIs into an app cluster, as one list of objects for GitOps (pure).

It holds what the interactive way creates: the konnector, the kubeconfig's Secret (or only a reference to one), the
konnector's rights for each API, the bindings with their answered claims. Each object can be applied again and
again and in any order: what comes too early (a binding before its CRD is served) succeeds the next time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bind_agent.api import consumer_side
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import Object, name, namespace

ORDER: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "Secret",
    "Deployment",
    "APIServiceBinding",
)
"""What an object needs comes before it, so that applying the list once mostly suffices."""


@dataclass(frozen=True, slots=True)
class BoundApi:
    """One API of a bundle.

    Attributes:
        group: its API group.
        plural: its plural resource name.
        claims: the export's claims with their answers.
        conflict_policy: see `consumer_side.binding`.
    """

    group: str
    plural: str
    claims: tuple[AcceptablePermissionClaim, ...] = ()
    conflict_policy: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """Where the bindings find the provider's kubeconfig.

    Attributes:
        secret: name of the Secret in `klutch-bind`.
        document: the kubeconfig that the bundle brings in this Secret; None when the Secret exists or comes on
            another way (a reference only).
    """

    secret: str
    document: bytes | None = field(default=None, repr=False)


def bundle(
    apis: Iterable[BoundApi],
    credential: Credential,
    *,
    konnector: Sequence[Object],
    namespaced: bool = True,
) -> list[Object]:
    """All objects of a bundle, in the order of `ORDER`, each once.

    Args:
        apis: the bound APIs.
        credential: the provider's kubeconfig or a reference to it.
        konnector: the konnector's manifests and the CRD of bindings; empty leaves the konnector alone.
        namespaced: the scope in which the app cluster serves bindings; the CRD of ours is namespaced.
    """
    objects = list(konnector) or [consumer_side.namespace()]
    if credential.document is not None:
        objects.append(consumer_side.secret(credential.document, name=credential.secret))
    for api in apis:
        objects.append(
            consumer_side.role(api.group, api.plural, api.claims, conflict_policy=api.conflict_policy)
        )
        objects.append(
            consumer_side.binding(
                api.group,
                api.plural,
                api.claims,
                secret=credential.secret,
                namespaced=namespaced,
                conflict_policy=api.conflict_policy,
            )
        )
    return in_order(objects)


def in_order(objects: Iterable[Object]) -> list[Object]:
    """The objects in the order of `ORDER`; equal ranks keep theirs.

    Raises:
        ValueError: a kind without a place in it, or an object twice.
    """
    found = list(objects)
    identities = [(one["kind"], namespace(one), name(one)) for one in found]
    if len(set(identities)) != len(identities):
        message = "a bundle holds each object once"
        raise ValueError(message)
    if foreign := {one["kind"] for one in found} - set(ORDER):
        message = f"a bundle has no place for {', '.join(sorted(foreign))}"
        raise ValueError(message)
    return sorted(found, key=lambda one: ORDER.index(one["kind"]))
