"""APIServiceExportTemplate: which resources may be bound, and which claims go with them (spec 3.3)."""

from typing import Any, ClassVar

from bind_agent.api import resource
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.resource import Resource
from bind_agent.api.shared import GroupResource, OwnObject, Part
from bind_agent.api.validation import Problem, group_resource


class ApiServiceSelector(GroupResource, frozen=True, kw_only=True):
    """The exported resource. `version` is part of the wire and nobody uses it; Go writes null for none."""

    version: str | None = None


class TemplateSpec(
    Part,
    frozen=True,
    kw_only=True,
    rename={"selector": "APIServiceSelector", "permission_claims": "permissionClaims"},
):
    """What a template says. The capital letters of its first field are the wire's."""

    selector: ApiServiceSelector
    permission_claims: tuple[PermissionClaim, ...] = ()


class ExportTemplate(OwnObject, frozen=True, kw_only=True):
    """An offer of the provider."""

    RESOURCE: ClassVar[Resource] = resource.EXPORT_TEMPLATES

    spec: TemplateSpec

    def problems(self) -> list[Problem]:
        """Rules that the object breaks by itself."""
        selector = self.spec.selector
        path = "spec.APIServiceSelector"
        found = group_resource(path, selector.group, selector.resource)
        if selector.version == "":
            found.append(Problem(f"{path}.version", "must not be empty"))
        for position, claim in enumerate(self.spec.permission_claims):
            found += claim.problems(f"spec.permissionClaims[{position}]")
        return found

    def update_problems(self, old: Any) -> list[Problem]:
        """Templates may change in any way."""
        del old
        return []
