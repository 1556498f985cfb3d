"""AppClusterBinding: an app cluster that the provider's operator connects (spec 3.9)."""

from typing import Any, ClassVar

from bind_agent.api import resource, rules
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import Resource
from bind_agent.api.shared import ClusterSecretKeyRef, GroupResource, OwnObject, Part
from bind_agent.api.validation import Problem, group_resource, immutable


class KonnectorSettings(Part, frozen=True, kw_only=True):
    """Whether a konnector is deployed beside the backend, and what differs from the shipped container.

    `overrides` is a part of a core Container and is checked by the API server's schema alone.
    """

    deploy: bool = False
    overrides: dict[str, Any] | None = None


class AppClusterBindingSpec(Part, frozen=True, kw_only=True):
    """Which cluster, and which APIs it gets."""

    kubeconfig_secret_ref: ClusterSecretKeyRef
    api_exports: tuple[GroupResource, ...] = ()
    konnector: KonnectorSettings = KonnectorSettings()


class AppClusterBindingStatus(Part, frozen=True, kw_only=True):
    """What the backend reports."""

    conditions: tuple[Condition, ...] = ()


class AppClusterBinding(OwnObject, frozen=True, kw_only=True):
    """The binding of a whole cluster in control plane mode."""

    RESOURCE: ClassVar[Resource] = resource.APP_CLUSTER_BINDINGS

    spec: AppClusterBindingSpec
    status: AppClusterBindingStatus = AppClusterBindingStatus()

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself."""
        found = self.spec.kubeconfig_secret_ref.problems("spec.kubeconfigSecretRef")
        for position, export in enumerate(self.spec.api_exports):
            found += group_resource(f"spec.apiExports[{position}]", export.group, export.resource)
        return found

    def update_problems(self, old: "AppClusterBinding | Any") -> list[Problem]:
        """Neither name nor reference ever change."""
        return [
            *immutable(
                "metadata.name", old.metadata.name, self.metadata.name, rules.APP_CLUSTER_BINDING_NAME
            ),
            *immutable(
                "spec.kubeconfigSecretRef",
                old.spec.kubeconfig_secret_ref,
                self.spec.kubeconfig_secret_ref,
                rules.KUBECONFIG_REF_IMMUTABLE,
            ),
        ]
