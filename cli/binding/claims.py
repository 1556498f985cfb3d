"""Permission claims for people: what accepting means in true words, and what became of earlier answers. Pure.

What a claim is, when two claims mean the same, which kinds nobody may be asked about and which
accepted entries are in force is decided in `bind_agent.api` (claims, consent, guards), so that the
konnector acts on exactly what the person read here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from bind_agent.api import claim_words, consent
from bind_agent.api.acceptance import refusals as refusals  # noqa: PLC0414 - part of the interface
from bind_agent.api.claims import (
    ACCEPTED,
    REJECTED,
    AcceptablePermissionClaim,
    PermissionClaim,
    content_hash,
    decided,
)
from bind_agent.api.guards import CLAIMABLE
from bind_agent.api.shared import to_wire, without_nulls
from cli.output import inert

C = TypeVar("C", bound=PermissionClaim)


class Answer(StrEnum):
    """Who decided about a claim."""

    ASKED = "asked"
    FLAG = "--accept-claims"
    EARLIER = "answered earlier"
    RULE = "refused by rule"


@dataclass(frozen=True, slots=True)
class Decision:
    """One claim of the provider and whether it is accepted.

    Attributes:
        claim: the claim.
        accepted: the decision.
        answer: where the decision comes from.
        kept: an older, accepted form of the claim that stays in force when the new one is rejected.
    """

    claim: PermissionClaim
    accepted: bool
    answer: Answer
    kept: PermissionClaim | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A claim that has to be decided.

    Attributes:
        claim: the claim.
        kept: an older, accepted form of it that is in force meanwhile (threat A19).
    """

    claim: PermissionClaim
    kept: PermissionClaim | None = None


class ClaimError(ValueError):
    """A claim is malformed; the message names the field and the rule."""


def parse_claim(raw: Any, path: str) -> PermissionClaim:
    """A claim from decoded JSON or YAML, checked by itself.

    Args:
        raw: the claim as it stands in a document of the other side or of a person.
        path: where it stands, for the message.

    Raises:
        ClaimError: it breaks a rule of spec 3.2.4.
    """
    return _parse(raw, path, PermissionClaim)


def parse_entries(raw: Any) -> list[AcceptablePermissionClaim]:
    """The claims of an existing binding with their decisions; malformed entries count as not there."""
    result = []
    for entry in raw if isinstance(raw, list) else []:
        try:
            result.append(_parse(entry, "", AcceptablePermissionClaim))
        except ClaimError:
            continue
    return result


def _parse(raw: Any, path: str, kind: type[C]) -> C:
    if not isinstance(raw, Mapping):
        raise ClaimError(f"{path}: a claim must be an object")
    try:
        claim = msgspec.convert(without_nulls(raw), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ClaimError(f"{path}: {inert(error, limit=200)}") from None
    if problems := claim.problems(path):
        raise ClaimError(inert(problems[0], limit=300))
    return claim


def claimed_kinds(binding: Mapping[str, Any]) -> list[str]:
    """The kinds that the claims of a binding are on, each once."""
    spec = binding.get("spec")
    found = parse_entries(spec.get("permissionClaims")) if isinstance(spec, Mapping) else []
    return sorted({entry.group_resource for entry in found})


def without_answer(entry: AcceptablePermissionClaim) -> PermissionClaim:
    """The claim that an entry answers."""
    return PermissionClaim(**{name: getattr(entry, name) for name in PermissionClaim.__struct_fields__})


def wire(entries: Sequence[AcceptablePermissionClaim]) -> list[dict[str, Any]]:
    """The entries as they stand in ``spec.permissionClaims`` of a binding."""
    return [to_wire(entry) for entry in entries]


def same_entries(
    one: Sequence[AcceptablePermissionClaim], other: Sequence[AcceptablePermissionClaim]
) -> bool:
    """Whether two lists of entries say the same, in the same order."""
    return [(content_hash(e), e.state, e.required) for e in one] == [
        (content_hash(e), e.state, e.required) for e in other
    ]


def sort_out(
    offered: Sequence[PermissionClaim],
    earlier: Sequence[AcceptablePermissionClaim],
    allowed: Collection[str] = CLAIMABLE,
) -> tuple[list[Decision], list[Question]]:
    """Split what is offered into what is decided and what has to be asked.

    Args:
        offered: the provider's claims now; none of them fatal (`refusals`).
        earlier: entries of the existing binding.
        allowed: group resources that may be claimed.

    Returns:
        Decisions by earlier answers and by rule, and the questions: claims that are new, or that became wider
        than what was accepted (threat A19).
    """
    decisions, questions = [], []
    for result in consent.decide(offered, earlier, allowed=allowed):
        claim = result.offered
        match result.consent:
            case consent.Consent.REFUSED:
                decisions.append(Decision(claim, accepted=False, answer=Answer.RULE))
            case consent.Consent.WAITING:
                questions.append(Question(claim, result.effective))
            case consent.Consent.REJECTED:
                kept = result.effective
                decisions.append(Decision(claim, accepted=False, answer=Answer.EARLIER, kept=kept))
            case consent.Consent.IN_FORCE:
                decisions.append(Decision(claim, accepted=True, answer=Answer.EARLIER))
    return decisions, questions


def entries(
    offered: Sequence[PermissionClaim], decisions: Sequence[Decision]
) -> list[AcceptablePermissionClaim]:
    """The binding's entries after the decisions, in the provider's order.

    Saying no to more does not take away what was agreed: the older form of the claim stays beside the
    rejection. Only where the provider requires more the no is not recorded, so that the question stays
    open: the API does not work as it is meant.
    """
    by_hash = {content_hash(decision.claim): decision for decision in decisions}
    result: list[AcceptablePermissionClaim] = []
    for claim in offered:
        decision = by_hash[content_hash(claim)]
        answers = [decided(claim, ACCEPTED if decision.accepted else REJECTED)]
        if not decision.accepted and decision.kept is not None:
            answers = ([] if claim.required else answers) + [decided(decision.kept, ACCEPTED)]
        result += [entry for entry in answers if entry not in result]
    return result


def describe(claim: PermissionClaim, *, api: str, provider: str) -> list[str]:
    """What accepting means, one sentence per line, foreign text made harmless (threats A24, A39).

    Args:
        claim: the claim.
        api: the API that is being bound, ``P.G``.
        provider: what the provider is called.
    """
    return claim_words.describe(claim, api=api, provider=provider, voice=_VOICE).lines()


_VOICE = claim_words.Voice(loud=True, clean=inert)
"""A terminal has no emphasis that survives a pipe, so capitals stand for it."""
