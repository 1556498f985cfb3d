"""Who a tenant is, and what its namespace is called: pure (spec 4.5, 3.11.2).

Go backends let the API server invent the end of the name and look the identity up in a cache, so two logins
at the same time make two namespaces and lock the person out for good (W-B5). Here the name follows from the
identity: whoever is second collides on create and finds the first one's namespace.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api import keys, meta, naming

MAX_NAME: Final = 253
MAX_CLUSTER_ID: Final = 128
MAX_PREFIX: Final = 20
"""Leaves room for `-<suffix>-<consumer namespace>` in the 63 characters of a namespace."""

CANDIDATES: Final = 8
"""Names that are tried before giving up. With 50 bits each, a second one is not needed in practice."""


class IdentityError(ValueError):
    """A name or cluster id that cannot be part of an identity; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person or account, and one of its clusters.

    Attributes:
        subject: who; the name given on the command line, or the subject of a login.
        cluster_id: which consumer cluster.
    """

    subject: str
    cluster_id: str

    def __str__(self) -> str:
        """The annotation's value, `<subject>#<cluster id>`."""
        return f"{self.subject}#{self.cluster_id}"

    @classmethod
    def parse(cls, text: str) -> "Identity | None":
        """Read an annotation; None when it is no identity."""
        subject, separator, cluster_id = text.rpartition("#")
        return cls(subject, cluster_id) if separator and subject and cluster_id else None


def identity(subject: str, cluster_id: str) -> Identity:
    """Check and build an identity.

    Raises:
        IdentityError: a part is empty, too long, or has characters that would make it ambiguous or
        unreadable.
    """
    for what, value, limit in (("name", subject, MAX_NAME), ("cluster id", cluster_id, MAX_CLUSTER_ID)):
        if not value or value != value.strip():
            raise IdentityError(f"the {what} must not be empty, nor begin or end with a blank")
        if len(value) > limit:
            raise IdentityError(f"the {what} is {len(value)} characters long; at most {limit} are allowed")
        if "#" in value or not value.isprintable():
            raise IdentityError(f"the {what} must consist of printable characters other than '#'")
    return Identity(subject, cluster_id)


def namespace_candidates(prefix: str, who: Identity) -> list[str]:
    """Names of the tenant's namespace, the first free one of which is taken.

    Args:
        prefix: value of `--namespace-prefix`; a dash is added only when it lacks one.
        who: the tenant.
    """
    lead = naming.cluster_namespace_prefix(prefix)
    return [
        lead + naming.digest(who.subject, who.cluster_id, *([str(number)] if number else []))
        for number in range(CANDIDATES)
    ]


def belongs_to(namespace: Mapping[str, Any], who: Identity) -> bool:
    """Whether a Namespace is this tenant's."""
    return meta.annotation(namespace, keys.IDENTITY) == str(who)


def oldest(namespaces: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The namespace to use when an identity has several (left by a Go backend): the oldest, then by name."""
    alive = [one for one in namespaces if not meta.is_deleting(one)]
    return min(alive, key=lambda one: (meta.creation_timestamp(one), meta.name(one)), default=None)
