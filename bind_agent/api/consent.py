"""Which claims are in force: what an export asks for, held against what the consumer decided (threats A19).

A claim is in force while it is accepted exactly as it stands (same content hash), or when it became narrower
than an accepted one. A claim that became wider waits for consent, and the accepted one goes on meanwhile; it goes
on as well when the wider one is rejected, which settles the matter until the claim changes again.
What an export no longer asks for is no longer in force: an accepted claim that the present one does not take in
(the other direction, other names) ends, and the present one is new.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bind_agent.api.claims import (
    AcceptablePermissionClaim,
    PermissionClaim,
    content_hash,
    covers,
    reaches,
)
from bind_agent.api.guards import CLAIMABLE, Refusal, refuse_claim


class Consent(StrEnum):
    """How it stands with one claim."""

    IN_FORCE = "InForce"
    WAITING = "Waiting"
    REJECTED = "Rejected"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one claim of an export.

    Attributes:
        offered: the claim as the export has it.
        consent: how it stands.
        effective: what is synced meanwhile: the claim itself, an older accepted one that it takes in, or nothing.
        refusal: why the claim may not even be accepted, when it is refused.
    """

    offered: PermissionClaim
    consent: Consent
    effective: PermissionClaim | None = None
    refusal: Refusal | None = None


def decide(
    offered: Sequence[PermissionClaim],
    decided: Sequence[AcceptablePermissionClaim],
    *,
    allowed: Collection[str] = CLAIMABLE,
) -> tuple[Decision, ...]:
    """One decision per offered claim, in their order.

    Args:
        offered: claims of the export.
        decided: claims of the binding.
        allowed: group resources that may be claimed at all.
    """
    exact = {content_hash(claim) for claim in offered}
    accepted = [claim for claim in decided if claim.accepted]
    # Entries that answer some offered claim exactly do not go on for another one besides.
    older = [claim for claim in accepted if content_hash(claim) not in exact]
    by_hash: dict[str, AcceptablePermissionClaim] = {}
    for entry in decided:
        known = by_hash.get(content_hash(entry))
        # One who said both yes and no to the same thing has said no.
        if known is None or known.accepted:
            by_hash[content_hash(entry)] = entry
    return tuple(_decide_one(claim, by_hash, accepted, older, allowed) for claim in offered)


def _decide_one(
    claim: PermissionClaim,
    by_hash: dict[str, AcceptablePermissionClaim],
    accepted: Sequence[AcceptablePermissionClaim],
    older: Sequence[AcceptablePermissionClaim],
    allowed: Collection[str],
) -> Decision:
    refusal = refuse_claim(claim, allowed=allowed)
    if refusal is not None:
        return Decision(claim, Consent.REFUSED, refusal=refusal)
    answer = by_hash.get(content_hash(claim))
    kept = next((entry for entry in older if reaches(claim, entry)), None)
    if answer is not None and not answer.accepted:
        return Decision(claim, Consent.REJECTED, effective=kept)
    if answer is not None or any(covers(entry, claim) for entry in accepted):
        return Decision(claim, Consent.IN_FORCE, effective=claim)
    return Decision(claim, Consent.WAITING, effective=kept)
