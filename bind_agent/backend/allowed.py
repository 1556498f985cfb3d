"""Who may bind what: pure (issue of W-B19, threats A67).

A template's `spec.allowed` names users and groups; one match is enough. Without it everybody who can log in
may bind; with two empty lists nobody may.

* A user is matched by the subject, letter for letter, or by an e-mail address that the issuer has verified.
  Of addresses the case of the letters A to Z does not count, because mail systems treat it so; letters of
  other scripts are compared as they are, so that look-alikes never become equal.
* Groups are matched letter for letter.
* A tenant of the command line was proven by no issuer, so no user or group matches it. It may request what is
  open to everybody, or, when it was added with `--allow`, exactly what was named there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api.text import printable
from bind_agent.backend.access import Kind
from bind_agent.backend.person import Person

EVERYTHING: Final = "*"
"""Value of `tenant add --allow` for every API that is offered."""

_LOWER: Final = {ord(upper): ord(upper) + 32 for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@dataclass(frozen=True, slots=True)
class Requester:
    """In whose name a tenant asks.

    Attributes:
        person: who logged in; None for a tenant of the command line.
        kinds: group resources (or `*`) that `tenant add --allow` named; None when it named none. Counts
            without a person only.
    """

    person: Person | None = None
    kinds: frozenset[str] | None = None


def may_bind(template: Mapping[str, Any], person: Person) -> bool:
    """Whether a person may bind what a template offers."""
    rule = _rule(template)
    if rule is None:
        return True
    return is_user(person, _texts(rule.get("users"))) or in_group(person, _texts(rule.get("groups")))


def may_request(template: Mapping[str, Any], kind: Kind, requester: Requester) -> bool:
    """Whether a tenant may request what a template offers.

    Args:
        template: the template that counts for the resource.
        kind: the resource.
        requester: in whose name.
    """
    if requester.person is not None:
        return may_bind(template, requester.person)
    if requester.kinds is not None:
        return not requester.kinds.isdisjoint({EVERYTHING, str(kind)})
    return is_open(template)


def not_allowed(kind: Kind, template: str, requester: Requester) -> str:
    """Why a request is refused, and who can change that. The rule itself is the provider's business.

    Args:
        kind: the resource.
        template: key of its template.
        requester: in whose name.
    """
    if requester.person is None:
        return (
            f"this tenant may not bind {kind}: `bind-backend tenant add NAME --cluster-id ID --allow {kind}`"
            " on the provider lets it"
        )
    return (
        f"the account {printable(requester.person.subject, 80)} may not bind {kind}: ask the provider's"
        f" operators to name it, or a group of it, in spec.allowed of template {template}; changed groups"
        " count from the next login on"
    )


def is_open(template: Mapping[str, Any]) -> bool:
    """Whether everybody may bind what a template offers."""
    return _rule(template) is None


def is_user(person: Person, users: Collection[str]) -> bool:
    """Whether one of the entries is the person's subject or verified e-mail address."""
    if person.subject in users:
        return True
    if not (person.email and person.email_verified):
        return False
    return fold(person.email) in {fold(one) for one in users}


def in_group(person: Person, groups: Collection[str]) -> bool:
    """Whether the person is in one of the groups."""
    return not set(person.groups).isdisjoint(groups)


def fold(address: str) -> str:
    """An e-mail address for comparison: A to Z in lower case, everything else as it is."""
    return address.translate(_LOWER)


def _rule(template: Mapping[str, Any]) -> Mapping[str, Any] | None:
    spec = template.get("spec")
    # A null counts as absent for the API server as well: it drops it.
    found = spec.get("allowed") if isinstance(spec, Mapping) else None
    if found is None:
        return None
    # A rule that cannot be read allows nobody.
    return found if isinstance(found, Mapping) else {}


def _texts(value: object) -> frozenset[str]:
    return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list) else frozenset()
