"""APIServiceExportTemplate: which resources may be bound, and which claims go with them (spec 3.3)."""

from typing import Any, ClassVar

from bind_agent.api import resource
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.resource import Resource
from bind_agent.api.shared import GroupResource, OwnObject, Part
from bind_agent.api.validation import Problem, group_resource, not_empty


class ApiServiceSelector(GroupResource, frozen=True, kw_only=True):
    """The exported resource. Go ignores `version` and writes null for none; our backend honours it."""

    version: str | None = None


class Allowed(Part, frozen=True, kw_only=True):
    """Who may bind a template: one match is enough, two empty lists mean nobody. Go backends ignore it."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def problems(self, path: str) -> list[Problem]:
        """Rules that it breaks by itself."""
        found = []
        for name, entries in (("users", self.users), ("groups", self.groups)):
            for position, entry in enumerate(entries):
                found += not_empty(f"{path}.{name}[{position}]", entry)
        return found


class TemplateSpec(
    Part,
    frozen=True,
    kw_only=True,
    rename={"selector": "APIServiceSelector", "permission_claims": "permissionClaims"},
):
    """What a template says. The capital letters of its first field are the wire's."""

    selector: ApiServiceSelector
    permission_claims: tuple[PermissionClaim, ...] = ()
    allowed: Allowed | None = None


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
        if self.spec.allowed is not None:
            found += self.spec.allowed.problems("spec.allowed")
        return found

    def update_problems(self, old: Any) -> list[Problem]:
        """Templates may change in any way."""
        del old
        return []
