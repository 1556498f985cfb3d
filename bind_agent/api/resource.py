"""`Resource`: which endpoint of an API server a kind lives at, and the ones that the product touches."""

from dataclasses import dataclass, replace
from typing import Final

from bind_agent.api import keys


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource type of an API server.

    Attributes:
        group: API group, empty for the core group.
        version: version in the group, for instance `v1alpha1`.
        plural: lower-case plural, as in the URL.
        namespaced: whether objects live in namespaces.
        kind: CamelCase kind; may be empty where only the endpoint matters. Not part of equality of the
            endpoint, but of the value: two `Resource`s with different kinds differ.
    """

    group: str
    version: str
    plural: str
    namespaced: bool = True
    kind: str = ""

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects: `group/version`, or `version` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`plural.group`, or `plural` for the core group: the universal name `P.G` of the spec."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def crd_name(self) -> str:
        """Name of the CRD that would define it."""
        return f"{self.plural}.{self.group}"

    def at(self, version: str) -> "Resource":
        """The same resource at another version."""
        return replace(self, version=version)

    def scoped(self, *, namespaced: bool) -> "Resource":
        """The same resource with the scope that a server was found to serve."""
        return replace(self, namespaced=namespaced)

    def __str__(self) -> str:
        return f"{self.group_resource}/{self.version}"


NAMESPACES: Final = Resource("", "v1", "namespaces", namespaced=False, kind="Namespace")
NODES: Final = Resource("", "v1", "nodes", namespaced=False, kind="Node")
PODS: Final = Resource("", "v1", "pods", kind="Pod")
SECRETS: Final = Resource("", "v1", "secrets", kind="Secret")
CONFIGMAPS: Final = Resource("", "v1", "configmaps", kind="ConfigMap")
SERVICEACCOUNTS: Final = Resource("", "v1", "serviceaccounts", kind="ServiceAccount")
CORE_EVENTS: Final = Resource("", "v1", "events", kind="Event")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", kind="Event")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", kind="Lease")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", kind="Deployment")
NETWORKPOLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", kind="NetworkPolicy")
CRDS: Final = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    namespaced=False,
    kind="CustomResourceDefinition",
)
_RBAC: Final = "rbac.authorization.k8s.io"
ROLES: Final = Resource(_RBAC, "v1", "roles", kind="Role")
ROLEBINDINGS: Final = Resource(_RBAC, "v1", "rolebindings", kind="RoleBinding")
CLUSTERROLES: Final = Resource(_RBAC, "v1", "clusterroles", namespaced=False, kind="ClusterRole")
CLUSTERROLEBINDINGS: Final = Resource(
    _RBAC, "v1", "clusterrolebindings", namespaced=False, kind="ClusterRoleBinding"
)

EXPORT_TEMPLATES: Final = Resource(
    keys.TEMPLATE_GROUP, keys.VERSION, "apiserviceexporttemplates", kind=keys.KIND_TEMPLATE
)
BINDINGS: Final = Resource(keys.GROUP, keys.VERSION, "apiservicebindings", kind=keys.KIND_BINDING)
CLUSTER_SCOPED_BINDINGS: Final = BINDINGS.scoped(namespaced=False)
"""Bindings as release 1.5 of the Go programs installs them (spec section 1); discover which of the two is
served."""
EXPORTS: Final = Resource(keys.GROUP, keys.VERSION, "apiserviceexports", kind=keys.KIND_EXPORT)
EXPORT_REQUESTS: Final = Resource(
    keys.GROUP, keys.VERSION, "apiserviceexportrequests", kind=keys.KIND_EXPORT_REQUEST
)
SERVICE_NAMESPACES: Final = Resource(
    keys.GROUP, keys.VERSION, "apiservicenamespaces", kind=keys.KIND_SERVICE_NAMESPACE
)
CLUSTER_BINDINGS: Final = Resource(
    keys.GROUP, keys.VERSION, "clusterbindings", kind=keys.KIND_CLUSTER_BINDING
)
APP_CLUSTER_BINDINGS: Final = Resource(
    keys.GROUP, keys.VERSION, "appclusterbindings", kind=keys.KIND_APP_CLUSTER_BINDING
)

OWN: Final = (
    EXPORT_TEMPLATES,
    BINDINGS,
    EXPORTS,
    EXPORT_REQUESTS,
    SERVICE_NAMESPACES,
    CLUSTER_BINDINGS,
    APP_CLUSTER_BINDINGS,
)
"""The seven kinds that are stored as CRDs."""
