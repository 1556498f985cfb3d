"""Permission claims for people: what accepting means in true words, and what became of earlier answers. Pure.

What a claim is, when two claims mean the same, which kinds nobody may be asked about and which
accepted entries are in force is decided in `bind_agent.api` (claims, consent, guards), so that the
konnector acts on exactly what the person read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from bind_agent.api import consent, keys
from bind_agent.api.acceptance import refusals as refusals  # noqa: PLC0414 - part of the interface
from bind_agent.api.claims import (
    ACCEPTED,
    ANY,
    REJECTED,
    AcceptablePermissionClaim,
    Breadth,
    PermissionClaim,
    breadth,
    content_hash,
    decided,
    normalised,
)
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
    offered: Sequence[PermissionClaim], earlier: Sequence[AcceptablePermissionClaim]
) -> tuple[list[Decision], list[Question]]:
    """Split what is offered into what is decided and what has to be asked.

    Args:
        offered: the provider's claims now; none of them fatal (`refusals`).
        earlier: entries of the existing binding.

    Returns:
        Decisions by earlier answers and by rule, and the questions: claims that are new, or that became wider
        than what was accepted (threat A19).
    """
    decisions, questions = [], []
    for result in consent.decide(offered, earlier):
        claim = result.offered
        match result.consent:
            case consent.Consent.REFUSED:
                decisions.append(Decision(claim, accepted=False, answer=Answer.RULE))
            case consent.Consent.WAITING:
                questions.append(Question(claim, result.effective))
            case state:
                in_force = state is consent.Consent.IN_FORCE
                decisions.append(Decision(claim, accepted=in_force, answer=Answer.EARLIER))
    return decisions, questions


def entries(
    offered: Sequence[PermissionClaim], decisions: Sequence[Decision]
) -> list[AcceptablePermissionClaim]:
    """The binding's entries after the decisions, in the provider's order.

    Saying no to more does not take away what was agreed: where an older form of the claim stays, it is
    kept and the rejection of the new one is not recorded (an entry that rejects it would end the old
    one as well).
    """
    by_hash = {content_hash(decision.claim): decision for decision in decisions}
    result: list[AcceptablePermissionClaim] = []
    for claim in offered:
        decision = by_hash[content_hash(claim)]
        if decision.accepted or decision.kept is None:
            entry = decided(claim, ACCEPTED if decision.accepted else REJECTED)
        else:
            entry = decided(decision.kept, ACCEPTED)
        if entry not in result:
            result.append(entry)
    return result


def describe(claim: PermissionClaim, *, api: str, provider: str) -> list[str]:
    """What accepting means, one sentence per line, foreign text made harmless (threats A24, A39).

    Args:
        claim: the claim.
        api: the API that is being bound, ``P.G``.
        provider: what the provider is called.
    """
    claim = normalised(claim)
    kind = inert(claim.group_resource)
    owner = claim.selector.owner
    lines = [_direction(kind, owner, inert(provider)), _reach(claim, kind, api)]
    if owner != keys.OWNER_CONSUMER:
        if claim.create is not None and claim.create.replace_existing:
            lines.append(
                "The provider wishes to replace objects of the same name that are already here; the "
                "konnector does not do that: they stay, and the conflict is reported."
            )
        lines.append("A copy that is deleted here comes back for as long as the provider has the original.")
    if unused := _unused_wishes(claim):
        lines.append(f"It also carries {', '.join(unused)}; the konnector makes no use of that.")
    if claim.required:
        lines.append("REQUIRED: without it nothing is bound.")
    else:
        lines.append("Optional: the API can be bound without it.")
    return lines


def _direction(kind: str, owner: str, provider: str) -> str:
    if owner == keys.OWNER_PROVIDER:
        return f"{kind}: copied DOWN, from {provider} into this cluster. The provider writes them."
    if owner == keys.OWNER_CONSUMER:
        return f"{kind}: copied UP, from this cluster to {provider}. THEIR CONTENT LEAVES THIS CLUSTER."
    return (
        f"{kind}: copied BOTH WAYS. What exists here first goes up to {provider} and LEAVES THIS CLUSTER; "
        "what the provider makes comes down."
    )


def _reach(claim: PermissionClaim, kind: str, api: str) -> str:
    selector = claim.selector
    if not selector.namespaces:
        where = "outside of namespaces"
    elif selector.namespaces == ANY:
        where = f"in every namespace that holds objects of {api}"
    else:
        listed = inert(", ".join(selector.namespaces))
        where = f"in the namespaces {listed}, where they hold objects of {api}"
    limits = []
    if selector.names != ANY:
        limits.append(f"called {inert(' or '.join(selector.names))}")
    if selector.label_selectors:
        limits.append(f"labelled {_labels(selector.label_selectors)}")
    if breadth(claim) is Breadth.EVERYTHING:
        return f"Which ones: EVERY object of {kind} {where}."
    return f"Which ones: only those {' and '.join(limits)}, {where}."


def _labels(maps: Sequence[Mapping[str, str]]) -> str:
    """Label maps in words: all labels of a map must match, one map is enough."""
    texts = [" and ".join(f"{key}={value}" for key, value in sorted(own.items())) for own in maps]
    return inert(texts[0] if len(texts) == 1 else " or ".join(f"({text})" for text in texts))


def _unused_wishes(claim: PermissionClaim) -> list[str]:
    plain = msgspec.to_builtins(claim)
    wishes = [name for name in ("read", "update", "autoAdopt", "autoDonate") if plain.get(name)]
    if not claim.on_conflict.recreate_when_consumer_side_deleted:
        wishes.append("onConflict.recreateWhenConsumerSideDeleted: false")
    return wishes
