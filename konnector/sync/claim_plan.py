"""The decision for one claimed object: both copies in, steps out (design 4.4, spec 6.9).

The owner annotation decides the direction as in the Go konnector (spec 6.9.3), with the documented meaning
of a claim: owner Provider flows down only, owner Consumer up only, without an owner the annotation or the
side that the object is on decides. What is written to or deleted is always a copy that is proven ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bind_agent.api import guards, keys, meta
from bind_agent.api.meta import Object
from konnector.sync import claim_copy, essence, ownership, patches
from konnector.sync.claim_copy import Change, Role
from konnector.sync.claim_model import (
    OWNER_OF,
    ClaimPlacement,
    ClaimPolicy,
    ClaimSet,
    ClaimStep,
    CreateCopy,
    DeleteCopy,
    MarkSource,
    ReplaceCopy,
    UpdateCopy,
)
from konnector.sync.model import ConfirmAbsence, Reason, Refuse, Side

Steps = tuple[ClaimStep, ...]

_NOTHING: Final[Steps] = ()
_IF_OLD_COPY: Final = "; if it is an earlier copy of that object, remove it: it is made again"
_COPIES: Final = frozenset({Role.COPY, Role.COPY_BY_GO})


@dataclass(frozen=True, slots=True)
class _Pair:
    """A source and what is at the place of its copy."""

    source: Object | None
    copy: Object | None
    source_role: Role
    copy_role: Role
    side: Side
    """Where the copy is."""
    placement: ClaimPlacement
    claims: ClaimSet
    policy: ClaimPolicy


def plan_claim(
    consumer: Object | None,
    provider: Object | None,
    placement: ClaimPlacement | None,
    claims: ClaimSet,
    policy: ClaimPolicy,
    *,
    crossing: ClaimSet | None = None,
) -> Steps:
    """Decide what one claimed object needs.

    Args:
        consumer: the object on the consumer as last seen.
        provider: the object of the same name in the mapped namespace as last seen.
        placement: the pair; None while the namespace has no counterpart.
        claims: what is in force for the kind. With no claims in it everything that is proven ours is
            retracted, so a set that is only not known yet must not be passed as empty.
        policy: who we are.
        crossing: those of the claims whose API has an object in the consumer's namespace now; nothing begins to flow by
            another one (threats A25). None: all of them.

    Returns:
        Steps in the order of execution; none when everything is as it should be.
    """
    if policy.paused or placement is None:
        return _NOTHING
    consumer_role = claim_copy.role(consumer, provider, Side.CONSUMER, placement, policy)
    provider_role = claim_copy.role(provider, consumer, Side.PROVIDER, placement, policy)
    down = _Pair(provider, consumer, provider_role, consumer_role, Side.CONSUMER, placement, claims, policy)
    up = _Pair(consumer, provider, consumer_role, provider_role, Side.PROVIDER, placement, claims, policy)
    pairs: tuple[_Pair, ...] = (down, up)
    try:
        if consumer_role is Role.COPY and provider_role is Role.COPY:
            # Each says that it is made from the other: at least one mark is forged.
            steps: Steps = (_conflict(down),)
        elif (pair := _direction(down, up)) is not None:
            pairs = (pair,)
            steps = _one_way(pair)
        else:
            steps = _undetermined(down, up)
    except essence.ContentError as error:
        what = essence.title(consumer or provider or {})
        steps = (Refuse(Reason.REJECTED, f"{what} cannot be synced: {error}"),)
    if crossing is None or any(
        _selected(replace(pair, claims=crossing), pair.source or {}) for pair in pairs
    ):
        return steps
    return _withdrawing(steps)


def _withdrawing(steps: Steps) -> Steps:
    """What is done where no claim has an object of its API: nothing new crosses, and nothing is sent up any more.

    Copies on the consumer are ours by marks that only we can set there, and stay up to date until they are retracted.
    Those on a copy at the provider could be anybody's.
    """
    deletes = any(isinstance(step, DeleteCopy) for step in steps)
    kept = [
        step
        for step in steps
        if isinstance(step, DeleteCopy | ConfirmAbsence)
        or (isinstance(step, UpdateCopy | ReplaceCopy) and step.side is Side.CONSUMER)
        or (isinstance(step, MarkSource) and deletes)
    ]
    return tuple(kept)


def _direction(down: _Pair, up: _Pair) -> _Pair | None:
    """Which of the two is the source, None when both could be."""
    for pair in (down, up):
        if pair.copy_role is Role.COPY:
            return pair
    for pair in (down, up):
        if pair.copy_role is Role.COPY_BY_GO and pair.source_role is not Role.COPY_BY_GO:
            return pair
    for pair in (down, up):
        if pair.copy_role is Role.ABSENT:
            return pair
    marked = [pair for pair in (down, up) if pair.source_role is Role.SOURCE]
    return marked[0] if len(marked) == 1 else None


def _undetermined(down: _Pair, up: _Pair) -> Steps:
    # Spec 6.9.3 row 5: objects of the same name that have nothing to do with each other. Said only where a
    # claim would have one of them cross.
    for pair in (down, up):
        if _selected(pair, pair.source or {}):
            return (_conflict(pair),)
    return _NOTHING


def _one_way(pair: _Pair) -> Steps:
    source, copy = pair.source, pair.copy
    if source is None:
        return _source_gone(pair)
    if pair.source_role not in {Role.PLAIN, Role.SOURCE} or not _selected(pair, source):
        return _retract(pair)
    if copy is None:
        return _create(pair, source)
    go_copy = pair.copy_role is Role.COPY_BY_GO and _proves_go(pair, source)
    if pair.copy_role is not Role.COPY and not (go_copy and _may_take_over(pair, source, copy)):
        return (_conflict(pair, _IF_OLD_COPY if go_copy else ""),)
    return (*_refresh(pair, source, copy), *_mark(pair, source))


def _proves_go(pair: _Pair, source: Object) -> bool:
    """Whether a copy that a Go konnector marked is that of this source.

    The mark on the source says so. It is lost where the source's author writes it anew without; a claim that names the
    owner says the same, as the copy's mark alone decides for a Go konnector (spec 6.9.3 row 3).
    """
    owner, namespace = OWNER_OF[pair.side.other], pair.placement.consumer_namespace
    return pair.source_role is Role.SOURCE or pair.claims.names_owner(
        owner, namespace, pair.placement.name, meta.labels(source)
    )


def _create(pair: _Pair, source: Object) -> Steps:
    if meta.is_deleting(source):
        return _NOTHING
    desired = claim_copy.build(source, pair.side, pair.placement, pair.claims, pair.policy)
    return (CreateCopy(pair.side, desired), *_mark(pair, source))


def _selected(pair: _Pair, source: Object) -> bool:
    """Whether the source is claimed in this direction and may cross at all."""
    namespace, claims = pair.placement.consumer_namespace, pair.claims
    owner = OWNER_OF[pair.side.other]
    if not claims.flows(owner, namespace, pair.placement.name, meta.labels(source)):
        return False
    refusal = guards.refuse_object(
        source,
        claims.resource.plural,
        consumer_namespace=namespace,
        own=claims.own_namespaces,
    )
    return refusal is None


def _refresh(pair: _Pair, source: Object, copy: Object) -> Steps:
    claims, side = pair.claims, pair.side
    desired = claim_copy.build(source, side, pair.placement, claims, pair.policy)
    uid, version = meta.uid(copy), meta.resource_version(copy)
    if meta.is_deleting(copy):
        return _NOTHING  # it is made again when it is gone
    needed = claim_copy.change(desired, copy, claims)
    if needed is Change.REPLACE:
        return (ReplaceCopy(side, uid, version, desired),)
    if needed is Change.NONE:
        return _NOTHING
    reset = pair.copy_role is Role.COPY_BY_GO
    return (UpdateCopy(side, claim_copy.updated(desired, copy, claims, reset=reset), uid, version),)


def _mark(pair: _Pair, source: Object) -> Steps:
    """Say on the source whose it is, where only that tells."""
    owner = OWNER_OF[pair.side.other]
    if not _marks_sources(pair) or meta.is_deleting(source):
        return _NOTHING
    if meta.annotation(source, keys.RESOURCE_OWNER) == owner:
        return _NOTHING
    return (_annotation(pair, source, owner),)


def _marks_sources(pair: _Pair) -> bool:
    """Whether sources are written to: only under claims without an owner.

    Where a claim names the owner, the marks on the copy say enough, to a Go konnector as well (spec 6.9.3
    rows 1 and 3), and what is not ours is not written to.
    """
    owners = {claim.selector.owner for claim in pair.claims.claims}
    return "" in owners and OWNER_OF[pair.side.other] not in owners


def _annotation(pair: _Pair, source: Object, owner: str | None) -> MarkSource:
    patch = patches.annotate(source, {keys.RESOURCE_OWNER: owner})
    return MarkSource(pair.side.other, meta.uid(source), meta.resource_version(source), patch)


def _may_take_over(pair: _Pair, source: Object, copy: Object) -> bool:
    """Whether what a Go konnector marked as a copy of that name may be overwritten with this source's content.

    Go's marks name no provider. On the app cluster a copy can therefore be that of another provider, which must not be
    overwritten because this one has an object of the same name; with equal content nothing is lost, and where only one
    provider is bound there is no other. A service namespace serves one app cluster alone.
    """
    if pair.side is Side.PROVIDER or pair.policy.alone:
        return True
    return claim_copy.same_content(source, copy, pair.claims)


def _source_gone(pair: _Pair) -> Steps:
    copy = pair.copy
    if copy is None or pair.copy_role is not Role.COPY or meta.is_deleting(copy) or _rests(pair, copy):
        return _NOTHING
    # A copy by Go without its source proves nothing: another provider's konnector may have made it.
    source_uid = ownership.read_marks(copy).source_uid
    confirm = ConfirmAbsence(pair.side.other, source_uid)
    return (confirm, _delete(pair, copy, "its source is gone"))


def _retract(pair: _Pair) -> Steps:
    """The source is not (any more) to cross: take back what was copied."""
    source, copy = pair.source, pair.copy
    if copy is None or source is None or pair.copy_role is not Role.COPY or meta.is_deleting(copy):
        return _NOTHING
    if _rests(pair, source):
        return _NOTHING
    delete = _delete(pair, copy, "no claim in force selects its source")
    if pair.source_role is not Role.SOURCE or not _marks_sources(pair) or meta.is_deleting(source):
        return (delete,)
    return (delete, _annotation(pair, source, None))


def _rests(pair: _Pair, obj: Mapping[str, Any]) -> bool:
    """Whether the pair is left as it is: a copy carries the labels that its claim selects by, as its source does."""
    owner, namespace = OWNER_OF[pair.side.other], pair.placement.consumer_namespace
    return pair.claims.rests(owner, namespace, pair.placement.name, meta.labels(obj))


def _delete(pair: _Pair, copy: Mapping[str, Any], why: str) -> DeleteCopy:
    return DeleteCopy(pair.side, meta.uid(copy), meta.resource_version(copy), why)


def _conflict(pair: _Pair, hint: str = "") -> Refuse:
    existing = essence.title(pair.copy or {})
    where = "this cluster" if pair.side is Side.CONSUMER else "the provider"
    return Refuse(
        Reason.FOREIGN_MARK if pair.copy_role in {Role.FOREIGN, *_COPIES} else Reason.CONFLICT,
        f"{existing} exists on {where} and was not made from the object of that name on the other side; it "
        f"is left as it is. Rename or remove one of the two, or narrow the claim{hint}",
    )
