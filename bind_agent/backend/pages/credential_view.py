"""The credential of a cluster as a page shows it: whether there is one, how old it is, who ended it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bind_agent.api import conditions, meta
from bind_agent.backend import names
from bind_agent.backend.pages import condition_view
from bind_agent.backend.pages.condition_view import Badge, Tone
from bind_agent.backend.pages.times import Moment, length, moment
from bind_agent.backend.tenancy import rotation
from bind_agent.backend.tenancy.revocation import revoked_by
from bind_agent.backend.tenancy.rotation import Credential, parse_time

_WHO: Final[Mapping[str, str]] = {
    names.BY_OPERATOR: "an operator",
    names.BY_PERSON: "its owner, on the pages",
    names.BY_REAPER: "the provider, because nobody had heard of the cluster for long",
}
_TOLD: Final[Mapping[str, str]] = {
    names.BY_OPERATOR: "An operator of this provider has revoked it, so binding again is refused: ask the operators,"
    " only they let it in again.",
    names.BY_PERSON: "It was revoked on these pages. Nothing works with the old credential; binding again issues a"
    " new one.",
    names.BY_REAPER: "The provider revoked it because it had heard nothing of this cluster for long; binding again"
    " issues a new one.",
}


@dataclass(frozen=True, slots=True)
class Revocation:
    """The end of all credentials of a cluster before their time.

    Attributes:
        by: `names.BY_OPERATOR`, `BY_PERSON` or `BY_REAPER`.
        who: likewise, in words for operators.
        told: what it means for whoever owns the cluster.
        at: when; None when the note cannot be read.
    """

    by: str
    who: str
    told: str
    at: Moment | None

    @property
    def final(self) -> bool:
        """Whether binding again does not help."""
        return self.by == names.BY_OPERATOR


@dataclass(frozen=True, slots=True)
class Age:
    """How old the credential of a cluster is, for a list of clusters.

    Attributes:
        issued: when; None when unknown.
        expires: its end; None when unknown.
    """

    issued: Moment | None
    expires: Moment | None


@dataclass(frozen=True, slots=True)
class TokenView:
    """The credential of a cluster, without anything of its content.

    Attributes:
        issued: when; None when unknown.
        expires: its end; None when unknown.
        renews: when the backend replaces it; None when unknown.
        lasts: how long it lasts from now, in words; empty when it has ended or nothing is known.
        retiring: ends of earlier ones that still work.
        generation: its number; 0 when a Go backend wrote it.
    """

    issued: Moment | None
    expires: Moment | None
    renews: Moment | None
    lasts: str
    retiring: tuple[Moment, ...]
    generation: int


def revocation(binding: Mapping[str, Any], now: datetime) -> Revocation | None:
    """Who revoked the credential of a cluster; None when nobody has."""
    if not (by := revoked_by(binding)):
        return None
    at = parse_time(meta.annotation(binding, names.REVOKED))
    return Revocation(
        by=by,
        who=_WHO.get(by, "the provider"),
        told=_told(by),
        at=moment(at, now) if at else None,
    )


def _told(by: str) -> str:
    # A word of a later release is a login's to undo, as `Tenants.add` judges it.
    return _TOLD.get(by, "Nothing works with the old credential; binding again issues a new one.")


def badge(binding: Mapping[str, Any]) -> Badge:
    """Whether a cluster has a credential."""
    if by := revoked_by(binding):
        return Badge(Tone.BAD, "revoked", _told(by))
    found = conditions.get(conditions.of(binding), names.CREDENTIAL_ISSUED)
    return condition_view.badge(found, good="valid", missing="being issued")


def age(state: Credential, *, namespace: str, now: datetime) -> Age:
    """How old a credential is (arguments as for `token`)."""
    issued = rotation.issued_at(state, namespace)
    return Age(
        issued=moment(issued, now) if issued else None,
        expires=moment(state.expires, now) if state.expires else None,
    )


def token(state: Credential, *, namespace: str, now: datetime) -> TokenView:
    """What a person may know about a credential.

    Args:
        state: as the Secret says.
        namespace: the tenant's.
        now: time with a zone.
    """
    issued = rotation.issued_at(state, namespace)
    left = state.expires - now if state.expires else None
    return TokenView(
        issued=moment(issued, now) if issued else None,
        expires=moment(state.expires, now) if state.expires else None,
        renews=moment(state.renew, now) if state.renew else None,
        lasts=length(left) if left is not None and left.total_seconds() > 0 else "",
        retiring=tuple(moment(old.at, now) for old in state.retiring if old.at > now),
        generation=state.generation,
    )
