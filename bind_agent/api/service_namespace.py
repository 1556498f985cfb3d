"""APIServiceNamespace: asks for the service namespace of one consumer namespace (spec 3.7)."""

from typing import Any, ClassVar

from bind_agent.api import naming, resource, rules
from bind_agent.api.resource import Resource
from bind_agent.api.shared import OwnObject, Part
from bind_agent.api.validation import Problem, immutable


class ServiceNamespaceSpec(Part, frozen=True, kw_only=True):
    """Empty: the name says it all."""


class ServiceNamespaceStatus(Part, frozen=True, kw_only=True):
    """The backend's answer."""

    namespace: str = ""


class ServiceNamespace(OwnObject, frozen=True, kw_only=True):
    """The request, named like the consumer namespace."""

    RESOURCE: ClassVar[Resource] = resource.SERVICE_NAMESPACES

    spec: ServiceNamespaceSpec = ServiceNamespaceSpec()
    status: ServiceNamespaceStatus = ServiceNamespaceStatus()

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself: both names have to be names of namespaces."""
        found = []
        if not naming.is_label(self.metadata.name):
            found.append(Problem("metadata.name", "must be the name of a namespace"))
        if self.status.namespace and not naming.is_label(self.status.namespace):
            found.append(Problem("status.namespace", "must be the name of a namespace"))
        return found

    def update_problems(self, old: "ServiceNamespace | Any") -> list[Problem]:
        """The mapping of a live object never changes once it is set (design 4.5, threats A34).

        The schema cannot say so, because Go's backend may write what it likes; we refuse to follow.
        """
        if not old.status.namespace:
            return []
        return immutable(
            "status.namespace", old.status.namespace, self.status.namespace, rules.MAPPING_IMMUTABLE
        )
