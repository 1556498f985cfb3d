"""What is wrong with an object, said so that a person can put it right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bind_agent.api import naming
from bind_agent.api.text import printable


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule.

    Attributes:
        path: where, for instance `spec.versions[0].name`; empty for the object as a whole.
        message: the rule and what was found.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidObject(ValueError):  # noqa: N818 - reads as the statement that it makes
    """An object breaks rules of its kind.

    Attributes:
        kind: its kind.
        name: its key, as far as it has one.
        problems: every broken rule that was found, never empty.
    """

    def __init__(self, kind: str, name: str, problems: Sequence[Problem]) -> None:
        """Build the message from all problems."""
        self.kind = kind
        self.name = name
        self.problems = tuple(problems)
        listed = "; ".join(str(problem) for problem in self.problems)
        super().__init__(printable(f"{kind} {name!r} is invalid: {listed}", limit=1024))


def one_of(path: str, value: str, allowed: Iterable[str]) -> list[Problem]:
    """The value has to be one of a few words."""
    words = list(allowed)
    if value in words:
        return []
    return [Problem(path, f"must be one of {', '.join(words)}, not {_shown(value)}")]


def not_empty(path: str, value: str) -> list[Problem]:
    """The value has to have at least one character."""
    return [] if value else [Problem(path, "must not be empty")]


def group_resource(path: str, group: str, resource: str) -> list[Problem]:
    """Both parts have to fit the patterns of spec 3.2.2."""
    found = []
    if not naming.is_group(group):
        found.append(Problem(f"{path}.group", f"not an API group such as example.com: {_shown(group)}"))
    if not naming.is_resource(resource):
        found.append(
            Problem(f"{path}.resource", f"not a lower-case plural such as databases: {_shown(resource)}")
        )
    return found


def immutable(path: str, old: object, new: object, message: str) -> list[Problem]:
    """Old and new value have to be equal."""
    return [] if old == new else [Problem(path, message)]


def duplicates(path: str, names: Iterable[str]) -> list[Problem]:
    """Names that are keys of a list have to be unique."""
    seen: set[str] = set()
    found = []
    for position, name in enumerate(names):
        if name in seen:
            found.append(Problem(f"{path}[{position}]", f"duplicate of {_shown(name)}"))
        seen.add(name)
    return found


def _shown(value: str) -> str:
    return repr(printable(value, limit=80))
