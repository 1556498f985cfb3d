"""What a claim means for the person who is asked to accept it: true words, one set for CLI and pages. Pure.

Whoever accepts a claim has read these sentences; the konnector then does exactly what they say
(`bind_agent.api.claims`, threats A24 and A39).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from bind_agent.api import keys
from bind_agent.api.claims import ANY, Breadth, PermissionClaim, breadth, normalised
from bind_agent.api.text import printable

NEVER = (
    "Never copied, whatever is accepted: service account and bootstrap tokens, Helm releases, "
    "kube-root-ca.crt and other system objects, and anything in kube-* namespaces."
)


class Direction(StrEnum):
    """Which way objects of a claim are copied, seen from the app cluster."""

    DOWN = "down"
    UP = "up"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ClaimWords:
    """A claim in words; every text is safe to show (foreign parts went through `clean`).

    Attributes:
        kind: group resource of what is copied.
        direction: which way.
        way: sentence: what is copied which way, and who writes it.
        reach: sentence: which objects, where.
        everything: nothing but namespaces narrows the claim; worth a warning.
        leaves: content of the app cluster goes to the provider; worth a warning.
        notes: further sentences, often none.
        need: sentence: whether the API can be bound without it.
        required: likewise, as a fact.
    """

    kind: str
    direction: Direction
    way: str
    reach: str
    everything: bool
    leaves: bool
    notes: tuple[str, ...]
    need: str
    required: bool

    def lines(self) -> list[str]:
        """All sentences, the most important first."""
        return [self.way, self.reach, *self.notes, self.need]


@dataclass(frozen=True, slots=True)
class Voice:
    """How a program speaks.

    Attributes:
        here: what the app cluster is called; `this cluster` on its command line, `your cluster` on a page.
        loud: write what must not be overlooked in capitals, where there is no other emphasis.
        clean: makes foreign text harmless for the medium; on a page escaping comes on top.
    """

    here: str = "this cluster"
    loud: bool = False
    clean: Callable[[str], str] = printable

    def strong(self, text: str) -> str:
        """Words that must not be overlooked."""
        return text.upper() if self.loud else text


def describe(claim: PermissionClaim, *, api: str, provider: str, voice: Voice) -> ClaimWords:
    """What accepting a claim means.

    Args:
        claim: the claim.
        api: the API that is being bound, ``P.G``; foreign text.
        provider: what the provider is called; foreign text.
        voice: for whom.
    """
    claim = normalised(claim)
    kind = voice.clean(claim.group_resource)
    direction = _DIRECTIONS.get(claim.selector.owner, Direction.BOTH)
    need = (
        f"{voice.strong('Required')}: without it nothing is bound."
        if claim.required
        else "Optional: the API can be bound without it."
    )
    return ClaimWords(
        kind=kind,
        direction=direction,
        way=_way(kind, direction, voice.clean(provider), voice),
        reach=_reach(claim, kind, voice.clean(api), voice),
        everything=breadth(claim) is Breadth.EVERYTHING,
        leaves=direction is not Direction.DOWN,
        notes=tuple(_notes(claim, direction, voice.here)),
        need=need,
        required=claim.required,
    )


_DIRECTIONS = {keys.OWNER_PROVIDER: Direction.DOWN, keys.OWNER_CONSUMER: Direction.UP}


def _way(kind: str, direction: Direction, provider: str, voice: Voice) -> str:
    here = voice.here
    if direction is Direction.DOWN:
        return (
            f"{kind}: copied {voice.strong('down')}, from {provider} into {here}. The provider writes them."
        )
    if direction is Direction.UP:
        warning = voice.strong(f"Their content leaves {here}")
        return f"{kind}: copied {voice.strong('up')}, from {here} to {provider}. {warning}."
    return (
        f"{kind}: copied {voice.strong('both ways')}. What exists in {here} first goes up to {provider} "
        f"and {voice.strong(f'leaves {here}')}; what the provider makes comes down."
    )


def _reach(claim: PermissionClaim, kind: str, api: str, voice: Voice) -> str:
    selector = claim.selector
    if not selector.namespaces:
        where = "outside of namespaces"
    elif selector.namespaces == ANY:
        where = f"in every namespace that holds objects of {api}"
    else:
        listed = voice.clean(", ".join(selector.namespaces))
        where = f"in the namespaces {listed}, where they hold objects of {api}"
    limits = []
    if selector.names != ANY:
        limits.append(f"called {voice.clean(' or '.join(selector.names))}")
    if selector.label_selectors:
        limits.append(f"labelled {_labels(selector.label_selectors, voice)}")
    if breadth(claim) is Breadth.EVERYTHING:
        return f"Which ones: {voice.strong('every')} object of {kind} {where}."
    return f"Which ones: only those {' and '.join(limits)}, {where}."


def _labels(maps: Sequence[Mapping[str, str]], voice: Voice) -> str:
    """Label maps in words: all labels of a map must match, one map is enough."""
    texts = [" and ".join(f"{key}={value}" for key, value in sorted(own.items())) for own in maps]
    return voice.clean(texts[0] if len(texts) == 1 else " or ".join(f"({text})" for text in texts))


def _notes(claim: PermissionClaim, direction: Direction, here: str) -> list[str]:
    # Never a bare "here": on a page of the provider that would be the wrong one of the two clusters.
    notes = []
    if direction is not Direction.UP:
        if claim.create is not None and claim.create.replace_existing:
            notes.append(
                f"The provider wishes to replace objects of the same name that are already in {here}; the "
                "konnector does not do that: they stay, and the conflict is reported."
            )
        notes.append(
            f"A copy that is deleted in {here} comes back for as long as the provider has the original."
        )
    if unused := _unused_wishes(claim):
        notes.append(f"It also carries {', '.join(unused)}; the konnector makes no use of that.")
    return notes


def _unused_wishes(claim: PermissionClaim) -> list[str]:
    plain = msgspec.to_builtins(claim)
    wishes = [name for name in ("read", "update", "autoAdopt", "autoDonate") if plain.get(name)]
    if not claim.on_conflict.recreate_when_consumer_side_deleted:
        wishes.append("onConflict.recreateWhenConsumerSideDeleted: false")
    return wishes
