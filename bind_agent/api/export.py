"""APIServiceExport: a provider's API as one consumer gets it (spec 3.5)."""

from typing import Any, ClassVar, Final

import msgspec

from bind_agent.api import naming, resource, rules
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import Resource
from bind_agent.api.shared import OwnObject, Part
from bind_agent.api.validation import Problem, duplicates, immutable, not_empty, one_of

CLUSTER: Final = "Cluster"
NAMESPACED: Final = "Namespaced"
SCOPES: Final = (CLUSTER, NAMESPACED)

ISOLATION_PREFIXED: Final = "Prefixed"
ISOLATIONS: Final = (ISOLATION_PREFIXED, "Namespaced", "None")


class Names(Part, frozen=True, kw_only=True):
    """Names of the exported resource, as in a CRD. Go writes empty ones in `status.acceptedNames`."""

    plural: str
    kind: str
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class Schema(Part, frozen=True, kw_only=True, rename={"open_api_v3_schema": "openAPIV3Schema"}):
    """The schema of one version as plain JSON."""

    open_api_v3_schema: dict[str, Any]


class ScaleSubresource(Part, frozen=True, kw_only=True):
    """Paths of the scale subresource."""

    spec_replicas_path: str
    status_replicas_path: str
    label_selector_path: str = ""


class Subresources(Part, frozen=True, kw_only=True):
    """Which subresources a version has."""

    status: dict[str, Any] | None = None
    scale: ScaleSubresource | None = None


class PrinterColumn(Part, frozen=True, kw_only=True):
    """A column for people."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


class ExportVersion(Part, frozen=True, kw_only=True):
    """One version of the exported resource."""

    name: str
    storage: bool
    versions_schema: Schema = msgspec.field(name="schema")
    served: bool = True
    deprecated: bool = False
    deprecation_warning: str = ""
    subresources: Subresources = Subresources()
    additional_printer_columns: tuple[PrinterColumn, ...] = ()


class ExportSpec(Part, frozen=True, kw_only=True):
    """The CRD part, how it is isolated, and what the provider claims."""

    group: str
    names: Names
    scope: str
    versions: tuple[ExportVersion, ...]
    informer_scope: str
    cluster_scoped_isolation: str = ""
    permission_claims: tuple[PermissionClaim, ...] = ()

    @property
    def name(self) -> str:
        """`plural.group`, which the export has to be named."""
        return f"{self.names.plural}.{self.group}"

    @property
    def cluster_scoped(self) -> bool:
        """Whether the exported resource is cluster-scoped."""
        return self.scope == CLUSTER

    @property
    def sync_version(self) -> str:
        """The first served version, the one that Go's konnector syncs; empty when none is served."""
        return next((version.name for version in self.versions if version.served), "")

    def resource(self) -> Resource:
        """Endpoint of the exported resource at its sync version."""
        return Resource(
            self.group,
            self.sync_version,
            self.names.plural,
            namespaced=not self.cluster_scoped,
            kind=self.names.kind,
        )


class ExportStatus(Part, frozen=True, kw_only=True):
    """What konnector and backend report."""

    accepted_names: Names | None = None
    stored_versions: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Export(OwnObject, frozen=True, kw_only=True):
    """The export, named `P.G`."""

    RESOURCE: ClassVar[Resource] = resource.EXPORTS

    spec: ExportSpec
    status: ExportStatus = ExportStatus()

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself."""
        spec = self.spec
        found = []
        if self.metadata.name != spec.name:
            found.append(Problem("metadata.name", rules.EXPORT_NAME))
        found += one_of("spec.scope", spec.scope, SCOPES)
        found += one_of("spec.informerScope", spec.informer_scope, SCOPES)
        found += _isolation_problems(spec)
        found += _version_problems(spec)
        for position, claim in enumerate(spec.permission_claims):
            found += claim.problems(f"spec.permissionClaims[{position}]")
        return found

    def update_problems(self, old: "Export | Any") -> list[Problem]:
        """The informer scope never changes."""
        return immutable(
            "spec.informerScope",
            old.spec.informer_scope,
            self.spec.informer_scope,
            rules.INFORMER_SCOPE_IMMUTABLE,
        )


def _isolation_problems(spec: ExportSpec) -> list[Problem]:
    found = []
    if spec.cluster_scoped_isolation:
        found += one_of("spec.clusterScopedIsolation", spec.cluster_scoped_isolation, ISOLATIONS)
    if spec.scope != NAMESPACED:
        if spec.informer_scope != CLUSTER:
            found.append(Problem("spec", rules.EXPORT_CLUSTER_INFORMERS))
        if not spec.cluster_scoped_isolation:
            found.append(Problem("spec", rules.EXPORT_ISOLATION_MISSING))
    if spec.scope != CLUSTER and spec.cluster_scoped_isolation:
        found.append(Problem("spec", rules.EXPORT_ISOLATION_SURPLUS))
    return found


def _version_problems(spec: ExportSpec) -> list[Problem]:
    found = [] if spec.versions else [Problem("spec.versions", "must have at least one version")]
    for position, version in enumerate(spec.versions):
        path = f"spec.versions[{position}]"
        if not naming.is_version(version.name):
            found.append(Problem(f"{path}.name", "must be a version such as v1 or v1alpha1"))
        columns = version.additional_printer_columns
        for number, column in enumerate(columns):
            found += not_empty(f"{path}.additionalPrinterColumns[{number}].name", column.name)
        found += duplicates(f"{path}.additionalPrinterColumns", (column.name for column in columns))
    return found + duplicates("spec.versions", (version.name for version in spec.versions))
