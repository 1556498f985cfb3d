"""ClusterBinding: one consumer cluster as its provider sees it (spec 3.8)."""

from datetime import timedelta
from typing import Any, ClassVar

from bind_agent.api import goduration, keys, resource, rules
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import Resource
from bind_agent.api.shared import LocalSecretKeyRef, OwnObject, Part
from bind_agent.api.validation import Problem, immutable, not_empty


class ClusterBindingSpec(Part, frozen=True, kw_only=True):
    """Where the consumer's kubeconfig is, and how the provider is called."""

    kubeconfig_secret_ref: LocalSecretKeyRef
    provider_pretty_name: str
    service_provider_spec: dict[str, Any] | None = None


class ClusterBindingStatus(Part, frozen=True, kw_only=True):
    """Signs of life."""

    last_heartbeat_time: str = ""
    heartbeat_interval: str = ""
    konnector_version: str = ""
    conditions: tuple[Condition, ...] = ()

    def interval(self) -> timedelta | None:
        """The heartbeat interval; None when it is missing, zero, negative or unreadable."""
        try:
            found = goduration.parse(self.heartbeat_interval)
        except goduration.DurationError:
            return None
        return found if found > timedelta() else None


class ClusterBinding(OwnObject, frozen=True, kw_only=True):
    """The one ClusterBinding of a cluster namespace."""

    RESOURCE: ClassVar[Resource] = resource.CLUSTER_BINDINGS

    spec: ClusterBindingSpec
    status: ClusterBindingStatus = ClusterBindingStatus()

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself."""
        found = []
        if self.metadata.name != keys.CLUSTER_BINDING_NAME:
            found.append(Problem("metadata.name", rules.CLUSTER_BINDING_NAME))
        found += self.spec.kubeconfig_secret_ref.problems("spec.kubeconfigSecretRef")
        return found + not_empty("spec.providerPrettyName", self.spec.provider_pretty_name)

    def update_problems(self, old: "ClusterBinding | Any") -> list[Problem]:
        """The reference to the kubeconfig never changes."""
        return immutable(
            "spec.kubeconfigSecretRef",
            old.spec.kubeconfig_secret_ref,
            self.spec.kubeconfig_secret_ref,
            rules.KUBECONFIG_REF_IMMUTABLE,
        )
