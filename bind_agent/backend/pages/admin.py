"""The operators' view: every tenant, every export, what is wrong. Pure, a page at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.api.text import printable
from bind_agent.backend import templates
from bind_agent.backend.exports import Policy
from bind_agent.backend.pages import catalogue, condition_view
from bind_agent.backend.pages.condition_view import Badge, Tone
from bind_agent.backend.pages.times import Moment, moment
from bind_agent.backend.templates import Choice
from bind_agent.backend.tenancy.rotation import parse_time

T = TypeVar("T")

PAGE_SIZE: Final = 50
MOST_PAGES: Final = 100_000
_TEXT: Final = 253
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """A page of a long list.

    Attributes:
        items: what is on it.
        number: which page, from 1.
        pages: how many there are, at least 1.
        total: how many items there are.
    """

    items: Sequence[T]
    number: int
    pages: int
    total: int

    @property
    def first(self) -> int:
        """Number of the first item on it, from 1; 0 when there is none."""
        return (self.number - 1) * PAGE_SIZE + 1 if self.total else 0

    @property
    def last(self) -> int:
        """Number of the last item on it."""
        return (self.number - 1) * PAGE_SIZE + len(self.items)


@dataclass(frozen=True, slots=True)
class ExportRow:
    """An export of some tenant.

    Attributes:
        namespace: the tenant's cluster namespace.
        name: `plural.group`.
        state: summary of its conditions.
        since: when it was made.
    """

    namespace: str
    name: str
    state: Badge
    since: Moment | None


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A template.

    Attributes:
        api: what it offers, `plural.group`.
        name: its own namespace and name.
        state: whether it counts, and what is wrong with it.
        allowed: who may bind, in words.
    """

    api: str
    name: str
    state: Badge
    allowed: str

    @property
    def usable(self) -> bool:
        """Whether people can bind by it."""
        return self.state.tone is Tone.GOOD


@dataclass(frozen=True, slots=True)
class Tile:
    """A number at the head of the overview.

    Attributes:
        title: what is counted.
        value: the number.
        note: what is remarkable about it.
        link: where to see it, or empty.
    """

    title: str
    value: str
    note: str
    link: str


def cut(items: Sequence[T], number: int) -> Slice[T]:
    """One page of a list; a number beyond the end gives the last page."""
    pages = max(1, -(-len(items) // PAGE_SIZE))
    number = min(max(number, 1), pages)
    start = (number - 1) * PAGE_SIZE
    return Slice(items[start : start + PAGE_SIZE], number, pages, len(items))


def each(page: Slice[str], build: Callable[[str], T | None]) -> Slice[T]:
    """The same page with what its keys stand for; what is gone meanwhile is left out."""
    built = [one for key in page.items if (one := build(key)) is not None]
    return Slice(built, page.number, page.pages, page.total)


def page_number(text: str) -> int:
    """A page number from an address; anything else is the first page."""
    return min(int(text), MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def found(texts: Mapping[str, str], search: str) -> list[str]:
    """The keys whose text holds every word of a search, sorted."""
    words = search.casefold().split()
    return sorted(key for key, text in texts.items() if all(word in text.casefold() for word in words))


def template_rows(
    present: Iterable[Object], crd_of: Callable[[str], Object | None], *, policy: Policy
) -> list[TemplateRow]:
    """All templates, by API and name, each with what keeps people from binding by it."""
    by_kind: dict[str, list[Object]] = {}
    for template in present:
        by_kind.setdefault(str(templates.selected_kind(template)), []).append(template)
    rows = []
    for name, group in by_kind.items():
        choice = templates.choose(group)
        rows += [_template_row(one, name, choice, crd_of(name), policy) for one in group]
    return sorted(rows, key=lambda row: (row.api, row.name))


def allowed_words(template: Mapping[str, Any]) -> str:
    """Who may bind by a template."""
    spec = template.get("spec")
    rule = spec.get("allowed") if isinstance(spec, Mapping) else None
    if rule is None:
        return "everyone"
    parts = []
    for field, singular in (("users", "user"), ("groups", "group")):
        listed = rule.get(field) if isinstance(rule, Mapping) else None
        entries = (
            [printable(one, 80) for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
        )
        if entries:
            more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
            parts.append(f"{singular}{'s' if len(entries) > 1 else ''} {', '.join(entries[:_SHOWN])}{more}")
    return "; ".join(parts) or "nobody"


def mapping(obj: Mapping[str, Any]) -> tuple[str, str]:
    """A namespace of the app cluster, and the service namespace that stands for it (empty while there is none)."""
    status = obj.get("status")
    theirs = status.get("namespace") if isinstance(status, Mapping) else None
    return printable(meta.name(obj), _TEXT), printable(theirs, _TEXT) if isinstance(theirs, str) else ""


def _template_row(
    template: Object, api: str, choice: Choice | None, crd: Object | None, policy: Policy
) -> TemplateRow:
    return TemplateRow(
        api=printable(api, _TEXT),
        name=printable(meta.key(template), _TEXT),
        state=_template_state(template, choice, crd, policy),
        allowed=allowed_words(template),
    )


def _template_state(template: Object, choice: Choice | None, crd: Object | None, policy: Policy) -> Badge:
    if meta.is_deleting(template) or choice is None:
        return Badge(Tone.WAIT, "being removed")
    if choice.ambiguous:
        return Badge(
            Tone.BAD, "ambiguous", f"nothing new is exported: {printable(choice.all_keys)} select the same"
        )
    if crd is None:
        return Badge(Tone.BAD, "no CRD", "install the CRD that it selects, or correct the name")
    offer = catalogue.offer(choice, crd, policy=policy, provider="")
    if offer is None:
        return Badge(
            Tone.BAD,
            "never exported",
            "its group is protected, or it is cluster-scoped and this backend is not",
        )
    return Badge(Tone.BAD, "refused", offer.trouble) if offer.trouble else Badge(Tone.GOOD, "offered")


def export_row(export: Mapping[str, Any], now: datetime) -> ExportRow:
    """One line."""
    at = parse_time(meta.creation_timestamp(export))
    return ExportRow(
        namespace=meta.namespace(export),
        name=printable(meta.name(export), _TEXT),
        state=Badge(Tone.WAIT, "being removed")
        if meta.is_deleting(export)
        else condition_view.ready(export, commands=True),
        since=moment(at, now) if at else None,
    )
