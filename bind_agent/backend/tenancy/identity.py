"""Who a tenant is, and what its namespace is called: pure (spec 4.5, 3.11.2; W-S7).

Go backends let the API server invent the end of the name and look the identity up in a cache, so two logins
at the same time make two namespaces and lock the person out for good (W-B5). Here the name follows from the
identity: whoever is second collides on create and finds the first one's namespace. The name proves nothing;
what counts is the identity and the issuer that stand on the namespace.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bind_agent.api import keys, meta, naming
from bind_agent.backend import names

MAX_NAME: Final = 255
"""OpenID Connect allows subjects of so many characters."""

MAX_CLUSTER_ID: Final = 128
MAX_ISSUER: Final = 1024
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
        issuer: URL of the issuer that vouches for the subject; empty when it was named on the command line.
    """

    subject: str
    cluster_id: str
    issuer: str = ""

    def __str__(self) -> str:
        """The value of the wire's annotation, `<subject>#<cluster id>`; the issuer is not in it."""
        return f"{self.subject}#{self.cluster_id}"

    @classmethod
    def parse(cls, text: str, issuer: str = "") -> "Identity | None":
        """Read the wire's annotation; None when it is no identity."""
        subject, separator, cluster_id = text.rpartition("#")
        return cls(subject, cluster_id, issuer) if separator and subject and cluster_id else None


def identity(subject: str, cluster_id: str, issuer: str = "") -> Identity:
    """Check and build an identity.

    A subject that an issuer vouches for may contain `#`: cluster ids never do, so the last one divides.

    Raises:
        IdentityError: a part is empty, too long, or has characters that would make it ambiguous or
        unreadable.
    """
    divider = "" if issuer else "#"
    for what, value, limit, forbidden in (
        ("name", subject, MAX_NAME, divider),
        ("cluster id", cluster_id, MAX_CLUSTER_ID, "#"),
    ):
        if not value or value != value.strip():
            raise IdentityError(f"the {what} must not be empty, nor begin or end with a blank")
        if len(value) > limit:
            raise IdentityError(f"the {what} is {len(value)} characters long; at most {limit} are allowed")
        if (forbidden and forbidden in value) or not value.isprintable():
            raise IdentityError(f"the {what} must consist of printable characters other than '#'")
    if len(issuer) > MAX_ISSUER or not issuer.isprintable() or issuer != issuer.strip():
        raise IdentityError(f"the issuer must be a URL of at most {MAX_ISSUER} printable characters")
    return Identity(subject, cluster_id, issuer)


def add_command(who: Identity | None, legacy_issuer: str = "") -> str:
    """The command that lets exactly this tenant in (again), ready for a shell.

    Without the issuer it would make another tenant of the same name.

    Args:
        who: the tenant; None when that is not known.
        legacy_issuer: the issuer that the tenants of a Go backend are counted to.
    """
    if who is None:
        return "bind-backend tenant add"
    options = [f"--cluster-id={who.cluster_id}"]
    if who.issuer:
        options.append(f"--issuer={who.issuer}")
        if who.issuer == legacy_issuer:
            options.append(f"--legacy-issuer={legacy_issuer}")
    name = [*options, "--", who.subject] if who.subject.startswith("-") else [who.subject, *options]
    return shlex.join(["bind-backend", "tenant", "add", *name])


def distinguished(who: Identity | None) -> str:
    """What tells a tenant from others of its name, for a person."""
    if who is None:
        return "not readable"
    return f"cluster id {who.cluster_id}, " + (
        f"issuer {who.issuer}" if who.issuer else "of the command line"
    )


def namespace_candidates(prefix: str, who: Identity) -> list[str]:
    """Names of the tenant's namespace, the first free one of which is taken.

    Args:
        prefix: value of `--namespace-prefix`; a dash is added only when it lacks one.
        who: the tenant.
    """
    lead = naming.cluster_namespace_prefix(prefix)
    return [
        lead + naming.digest(who.issuer, who.subject, who.cluster_id, *([str(number)] if number else []))
        for number in range(CANDIDATES)
    ]


def annotations(who: Identity) -> dict[str, str]:
    """What the namespace of a tenant carries from its first moment."""
    return {keys.IDENTITY: str(who), names.ISSUER: who.issuer}


def issuer_of(namespace: Mapping[str, Any], legacy_issuer: str = "") -> str:
    """The issuer that vouches for a tenant's subject; empty for tenants of the command line.

    Go backends note no issuer. So that no other issuer can claim a subject that it shares, their namespaces
    belong to one stated issuer, and without one to the command line.

    Args:
        namespace: of the tenant.
        legacy_issuer: the issuer of the Go backend that was replaced; empty when none is stated.
    """
    noted = meta.annotations(namespace).get(names.ISSUER)
    if noted is not None:
        return noted
    # Earlier releases of ours knew the command line only, and noted no issuer either.
    return "" if meta.labels(namespace).get(keys.MANAGED_BY) == keys.MANAGER else legacy_issuer


def identity_of(namespace: Mapping[str, Any], legacy_issuer: str = "") -> Identity | None:
    """Who the tenant of a namespace is; None when it is no tenant's."""
    return Identity.parse(meta.annotation(namespace, keys.IDENTITY), issuer_of(namespace, legacy_issuer))


def belongs_to(namespace: Mapping[str, Any], who: Identity, legacy_issuer: str = "") -> bool:
    """Whether a Namespace is this tenant's: identity and issuer both say so."""
    return identity_of(namespace, legacy_issuer) == who


def oldest(namespaces: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The namespace to use when an identity has several (left by a Go backend): the oldest, then by name."""
    alive = [one for one in namespaces if not meta.is_deleting(one)]
    return min(alive, key=lambda one: (meta.creation_timestamp(one), meta.name(one)), default=None)
