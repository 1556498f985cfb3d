"""The objects that a binding puts on the app cluster. Pure; what they look like stands in `bind_agent.api`."""

from collections.abc import Sequence

from bind_agent.api import consumer_side, keys
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.meta import Object, annotation, labels
from bind_agent.api.resource import Resource
from cli.binding.credential import Kubeconfig
from cli.binding.request import Wanted

namespace_manifest = consumer_side.namespace


def secret_manifest(kubeconfig: Kubeconfig, *, name: str = "", redacted: bool = False) -> Object:
    """The Secret of a provider's kubeconfig.

    Args:
        kubeconfig: the provider's.
        name: of the Secret; empty has the API server make one.
        redacted: for showing: the content is left out.
    """
    return consumer_side.secret(b"<redacted>" if redacted else kubeconfig.document(), name=name)


def role_manifest(
    wanted: Wanted, claims: Sequence[AcceptablePermissionClaim], *, conflict_policy: str = ""
) -> Object:
    """The ClusterRole of one binding; see `consumer_side.role`."""
    return consumer_side.role(wanted.group, wanted.plural, claims, conflict_policy=conflict_policy)


def same_role(existing: Object | None, role: Object) -> bool:
    """Whether a role says already what it is to say; further labels do not matter."""
    return (
        existing is not None
        and existing.get("rules") == role["rules"]
        and role["metadata"]["labels"].items() <= labels(existing).items()
    )


def binding_manifest(
    served: Resource,
    wanted: Wanted,
    claims: Sequence[AcceptablePermissionClaim],
    *,
    secret: str,
    conflict_policy: str = "",
) -> Object:
    """The APIServiceBinding of one API; see `consumer_side.binding`."""
    return consumer_side.binding(
        wanted.group,
        wanted.plural,
        claims,
        secret=secret,
        namespaced=served.namespaced,
        conflict_policy=conflict_policy,
    )


def binding_namespace(served: Resource) -> str:
    """Where bindings live: in ``klutch-bind``, or nowhere where they are cluster-scoped (spec section 1)."""
    return keys.CONSUMER_NAMESPACE if served.namespaced else ""


def conflict_policy_of(binding: Object | None) -> str:
    """The conflict policy that a binding states; empty when it states none, or one that konnectors do not know."""
    stated = annotation(binding or {}, keys.CONFLICT_POLICY)
    return stated if stated in consumer_side.CONFLICT_POLICIES else ""
