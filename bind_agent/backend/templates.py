"""Which template counts for a resource: pure (spec 3.3 and 4.6, W-B9)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.backend.access import Kind


@dataclass(frozen=True, slots=True)
class Choice:
    """The template of a resource.

    Attributes:
        template: the APIServiceExportTemplate that counts.
        shadowed: others for the same resource, which do not count: they are reported, never mixed in.
    """

    template: Object
    shadowed: tuple[Object, ...] = ()

    @property
    def claims(self) -> Sequence[Mapping[str, Any]]:
        """Its permission claims as on the wire, so that what the API server filled in travels unchanged."""
        found = _spec(self.template).get("permissionClaims")
        return [claim for claim in found if isinstance(claim, Mapping)] if isinstance(found, list) else []

    @property
    def version(self) -> str:
        """The version of the resource that it offers; empty means: all served ones."""
        return _text(selector(self.template).get("version"))


def choose(templates: Iterable[Object]) -> Choice | None:
    """Choose among the templates of one resource: the oldest, then the first by namespace and name.

    The order does not depend on the order of a list, and a template that is added later cannot take over a
    resource that is already offered.

    Args:
        templates: all templates whose selector names the resource; deleted ones are left out.
    """
    ranked = sorted((one for one in templates if not meta.is_deleting(one)), key=_rank)
    return Choice(ranked[0], tuple(ranked[1:])) if ranked else None


def selected_kind(template: Mapping[str, Any]) -> Kind:
    """The resource that a template offers."""
    chosen = selector(template)
    return Kind(_text(chosen.get("group")), _text(chosen.get("resource")))


def selector(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """`spec.APIServiceSelector`; the capitals are part of the wire."""
    found = _spec(template).get("APIServiceSelector")
    return found if isinstance(found, Mapping) else {}


def _rank(template: Object) -> tuple[str, str, str]:
    # RFC 3339 in UTC sorts as text.
    return meta.creation_timestamp(template), meta.namespace(template), meta.name(template)


def _spec(template: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = template.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
