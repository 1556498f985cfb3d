"""APIServiceBinding: the consumer's side of one bound API (spec 3.4)."""

from typing import Any, ClassVar

from bind_agent.api import resource, rules
from bind_agent.api.claims import AcceptablePermissionClaim
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import Resource
from bind_agent.api.shared import ClusterSecretKeyRef, OwnObject, Part
from bind_agent.api.validation import Problem, immutable


class BindingSpec(Part, frozen=True, kw_only=True):
    """Where the provider's kubeconfig is, and what was decided about its claims."""

    kubeconfig_secret_ref: ClusterSecretKeyRef
    permission_claims: tuple[AcceptablePermissionClaim, ...] = ()


class BindingStatus(Part, frozen=True, kw_only=True):
    """What the konnector reports."""

    provider_pretty_name: str = ""
    conditions: tuple[Condition, ...] = ()


class Binding(OwnObject, frozen=True, kw_only=True):
    """The binding. Its name `P.G` is also the name of the export and of the CRD."""

    RESOURCE: ClassVar[Resource] = resource.BINDINGS

    spec: BindingSpec | None = None
    """The schema does not require it (spec 3.4); a binding without one is of no use and binds nothing."""
    status: BindingStatus = BindingStatus()

    @property
    def claims(self) -> tuple[AcceptablePermissionClaim, ...]:
        """The decisions; none without a spec."""
        return self.spec.permission_claims if self.spec else ()

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself."""
        if self.spec is None:
            return []
        found = self.spec.kubeconfig_secret_ref.problems("spec.kubeconfigSecretRef")
        for position, claim in enumerate(self.spec.permission_claims):
            found += claim.problems(f"spec.permissionClaims[{position}]")
        return found

    def update_problems(self, old: "Binding | Any") -> list[Problem]:
        """The reference to the kubeconfig never changes."""
        if self.spec is None or old.spec is None:
            return []
        return immutable(
            "spec.kubeconfigSecretRef",
            old.spec.kubeconfig_secret_ref,
            self.spec.kubeconfig_secret_ref,
            rules.KUBECONFIG_REF_IMMUTABLE,
        )
