"""Deciding about permission claims beforehand: the value of ``--accept-claims`` (threats A19, A23).

Whoever binds without a person at the keyboard (pipelines, bundles) states the whole outcome. What nobody may
grant is refused, and a binding without a claim that the provider requires is not made (W-C3).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from bind_agent.api.claims import (
    ACCEPTED,
    REJECTED,
    AcceptablePermissionClaim,
    PermissionClaim,
    decided,
)
from bind_agent.api.guards import CLAIMABLE, can_be_allowed, refuse_claim, refuse_kind
from bind_agent.api.text import printable

ALL: Final = "all"
NONE: Final = "none"


class AcceptanceError(ValueError):
    """The claims cannot be settled as asked; the message names them and says what to do."""


class UnknownKindError(AcceptanceError):
    """A kind is listed that nothing claims, mostly a slip of the pen; the message names the claims."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Which claims are accepted.

    Attributes:
        everything: ``all`` (True) or ``none`` (False); None when kinds are listed.
        kinds: the listed kinds, ``resource`` or ``resource.group``.
    """

    everything: bool | None
    kinds: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> "Acceptance":
        """Read ``all``, ``none`` or a comma list of kinds.

        Raises:
            AcceptanceError: an empty entry, or ``all``/``none`` mixed with kinds.
        """
        listed = [entry.strip() for entry in text.split(",")]
        if listed in ([ALL], [NONE]):
            return cls(everything=listed == [ALL])
        if not all(listed) or {ALL, NONE} & set(listed):
            message = (
                f"--accept-claims={printable(text, 80)} is not understood: give all, none, or kinds with "
                "commas, for instance secrets,configmaps"
            )
            raise AcceptanceError(message)
        return cls(everything=None, kinds=frozenset(listed))

    def accepts(self, claim: PermissionClaim) -> bool:
        """The answer to one claim."""
        return claim.group_resource in self.kinds if self.everything is None else self.everything

    def check(self, claimed: Collection[str]) -> None:
        """Refuse kinds that nobody claims: who lists one means a claim, and would find it rejected.

        Args:
            claimed: group resources of all claims that this answers.

        Raises:
            UnknownKindError: naming them, and what is claimed.
        """
        unknown = sorted(self.kinds - set(claimed))
        if unknown:
            which = " and ".join(f"'{printable(kind, 80)}'" for kind in unknown)
            known = (
                f"the claims are: {printable(', '.join(sorted(claimed)))}"
                if claimed
                else "there are no claims"
            )
            raise UnknownKindError(f"no claim on {which}; {known}")


def refusals(
    offered: Sequence[PermissionClaim], allowed: Collection[str] = CLAIMABLE
) -> tuple[list[str], list[PermissionClaim]]:
    """Claims that nobody is asked about (threat A23).

    Args:
        offered: the claims.
        allowed: group resources that may be claimed.

    Returns:
        Sentences that forbid the whole binding (power over the cluster, or a required claim that cannot be
        granted), and optional claims that are rejected by rule while the rest goes on.
    """
    fatal, rejected = [], []
    for claim in offered:
        refusal = refuse_claim(claim, allowed=allowed)
        if refusal is None:
            continue
        dangerous = refuse_kind(claim.group, claim.resource, allowed={claim.group_resource}) is not None
        if dangerous or claim.required:
            fatal.append(refusal.message + allowing(claim))
        else:
            rejected.append(claim)
    return fatal, rejected


def allowing(claim: PermissionClaim) -> str:
    """The way to a claim that is refused only because nobody allowed its kind, in brackets; else nothing."""
    return f" (--allow-claim={claim.group_resource} allows it)" if can_be_allowed(claim) else ""


def settle(
    offered: Sequence[PermissionClaim],
    acceptance: Acceptance | None,
    *,
    api: str,
    allowed: Collection[str] = CLAIMABLE,
    elsewhere: Collection[str] = (),
) -> tuple[AcceptablePermissionClaim, ...]:
    """The entries of a new binding, in the provider's order, decided without asking anybody.

    Args:
        offered: the claims of the export.
        acceptance: the stated outcome; None is enough only where there is nothing to decide.
        api: the API that is being bound, ``P.G``, for messages.
        allowed: group resources that may be claimed.
        elsewhere: group resources that other APIs claim which the same acceptance is about.

    Raises:
        UnknownKindError: the acceptance lists a kind that nothing claims.
        AcceptanceError: a claim may not be granted, is required and not accepted, or nothing was stated.
    """
    if acceptance is not None:
        acceptance.check({claim.group_resource for claim in offered} | set(elsewhere))
    fatal, by_rule = refusals(offered, allowed)
    if fatal:
        message = f"{api}: the template claims what may not be granted: {printable('; '.join(fatal), 500)}"
        raise AcceptanceError(message)
    open_claims = [claim for claim in offered if claim not in by_rule]
    if open_claims and acceptance is None:
        kinds = ", ".join(sorted({claim.group_resource for claim in open_claims}))
        message = (
            f"{api} has claims on {printable(kinds)}: say with --accept-claims (all, none, or kinds) which of them are"
            " accepted"
        )
        raise AcceptanceError(message)
    accepted = [claim for claim in open_claims if acceptance is not None and acceptance.accepts(claim)]
    missing = sorted({one.group_resource for one in open_claims if one.required and one not in accepted})
    if missing:
        message = (
            f"{api} cannot be bound without its required claims on {printable(', '.join(missing))}: accept them with"
            " --accept-claims"
        )
        raise AcceptanceError(message)
    entries: list[AcceptablePermissionClaim] = []
    for claim in offered:
        entry = decided(claim, ACCEPTED if claim in accepted else REJECTED)
        if entry not in entries:
            entries.append(entry)
    return tuple(entries)
