"""The operators' view: every tenant, every export, what is wrong. Pure, a page at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from bind_agent.api import meta
from bind_agent.api.text import printable
from bind_agent.backend.pages import condition_view
from bind_agent.backend.pages.condition_view import Badge, Tone
from bind_agent.backend.pages.times import Moment, moment
from bind_agent.backend.person import Person
from bind_agent.backend.tenancy.rotation import parse_time

T = TypeVar("T")

PAGE_SIZE: Final = 50
MOST_PAGES: Final = 100_000
_TEXT: Final = 253


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


@dataclass(frozen=True, slots=True)
class Operators:
    """Who may see the operators' view.

    Attributes:
        groups: of the issuer.
        users: subjects, or addresses that the issuer has verified.
    """

    groups: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()

    def admits(self, person: Person) -> bool:
        """Whether a person is an operator; nobody is unless a flag says so."""
        if self.groups & set(person.groups) or person.subject in self.users:
            return True
        return person.email_verified and bool(person.email) and person.email in self.users


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


def found(keys: Iterable[str], search: str) -> list[str]:
    """The keys that hold every word of a search, sorted."""
    words = search.casefold().split()
    return sorted(key for key in keys if all(word in key.casefold() for word in words))


def export_row(export: Mapping[str, Any], now: datetime) -> ExportRow:
    """One line."""
    at = parse_time(meta.creation_timestamp(export))
    return ExportRow(
        namespace=meta.namespace(export),
        name=printable(meta.name(export), _TEXT),
        state=Badge(Tone.WAIT, "being removed") if meta.is_deleting(export) else condition_view.ready(export),
        since=moment(at, now) if at else None,
    )
