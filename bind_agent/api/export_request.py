"""APIServiceExportRequest: a consumer asks for an export (spec 3.6)."""

from typing import Any, ClassVar, Final

from bind_agent.api import resource, rules
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.conditions import Condition
from bind_agent.api.resource import Resource
from bind_agent.api.shared import GroupResource, OwnObject, Part
from bind_agent.api.validation import Problem, group_resource, immutable, one_of

PENDING: Final = "Pending"
FAILED: Final = "Failed"
SUCCEEDED: Final = "Succeeded"
PHASES: Final = (PENDING, FAILED, SUCCEEDED)


class RequestedResource(GroupResource, frozen=True, kw_only=True):
    """One wanted resource."""

    versions: tuple[str, ...] = ()
    permission_claims: tuple[PermissionClaim, ...] = ()


class ExportRequestSpec(Part, frozen=True, kw_only=True):
    """What is wanted; both fields are immutable."""

    resources: tuple[RequestedResource, ...]
    parameters: dict[str, Any] | None = None


class ExportRequestStatus(Part, frozen=True, kw_only=True):
    """How far the backend is."""

    phase: str = PENDING
    terminal_message: str = ""
    conditions: tuple[Condition, ...] = ()


class ExportRequest(OwnObject, frozen=True, kw_only=True):
    """The request."""

    RESOURCE: ClassVar[Resource] = resource.EXPORT_REQUESTS

    spec: ExportRequestSpec
    status: ExportRequestStatus = ExportRequestStatus()

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself."""
        found = [] if self.spec.resources else [Problem("spec.resources", "must name at least one resource")]
        for position, wanted in enumerate(self.spec.resources):
            path = f"spec.resources[{position}]"
            found += group_resource(path, wanted.group, wanted.resource)
            for number, claim in enumerate(wanted.permission_claims):
                found += claim.problems(f"{path}.permissionClaims[{number}]")
        return found + one_of("status.phase", self.status.phase, PHASES)

    def update_problems(self, old: "ExportRequest | Any") -> list[Problem]:
        """Neither resources nor parameters ever change."""
        found = immutable(
            "spec.resources", old.spec.resources, self.spec.resources, rules.RESOURCES_IMMUTABLE
        )
        if old.spec.parameters is not None and self.spec.parameters is not None:
            found += immutable(
                "spec.parameters", old.spec.parameters, self.spec.parameters, rules.PARAMETERS_IMMUTABLE
            )
        return found
