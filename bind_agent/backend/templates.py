"""Which template counts for a resource: pure (spec 3.3 and 4.6, W-B9)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.backend import names
from bind_agent.backend.access import Kind


@dataclass(frozen=True, slots=True)
class Choice:
    """The template of a resource.

    Attributes:
        template: the APIServiceExportTemplate that counts.
        shadowed: others for the same resource: they are reported, never mixed in.
        settled: an export was made from this template, so others do not make it doubtful.
    """

    template: Object
    shadowed: tuple[Object, ...] = ()
    settled: bool = False

    @property
    def ambiguous(self) -> bool:
        """Whether nobody can say which template is meant; then nothing new is exported from any of them."""
        return bool(self.shadowed) and not self.settled

    @property
    def key(self) -> str:
        """`<namespace>/<name>` of the template, as it is noted on exports."""
        return meta.key(self.template)

    @property
    def edition(self) -> tuple[object, ...]:
        """Equal for choices that mean the same."""
        return meta.uid(self.template), meta.resource_version(self.template), self.ambiguous, self.all_keys

    @property
    def all_keys(self) -> str:
        """All templates of the resource, for messages."""
        return " and ".join(meta.key(one) for one in (self.template, *self.shadowed))

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
    """The template for something new: the oldest, then the first by namespace and name.

    The order does not depend on the order of a list. Of several none can be meant (see `Choice.ambiguous`).

    Args:
        templates: all templates whose selector names the resource; deleted ones are left out.
    """
    ranked = sorted((one for one in templates if not meta.is_deleting(one)), key=_rank)
    return Choice(ranked[0], tuple(ranked[1:])) if ranked else None


def choose_for(export: Mapping[str, Any], templates: Iterable[Object]) -> Choice | None:
    """The template of an existing export: the one that it was made from, whatever was added later.

    When that one is gone, the only one that is left takes its place; several leave it open which is meant.
    An export without a note was made from the oldest one, by an earlier release or a Go backend.

    Args:
        export: an APIServiceExport.
        templates: all templates for its resource.
    """
    choice = choose(templates)
    if choice is None:
        return None
    noted = meta.annotation(export, names.TEMPLATE)
    if not noted:
        return Choice(choice.template, choice.shadowed, settled=True)
    everyone = (choice.template, *choice.shadowed)
    own = next((one for one in everyone if meta.key(one) == noted), None)
    if own is None:
        return choice
    return Choice(own, tuple(one for one in everyone if one is not own), settled=True)


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
