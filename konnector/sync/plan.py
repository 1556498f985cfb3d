"""The decision for one object: both copies in, steps out (design 4).

Read it as a table: is there a consumer object, is it being deleted, is there a provider object, whose is
it. Every branch ends in few steps, in the order in which they have to happen; a pair that has converged
gives none.
"""

from dataclasses import dataclass
from typing import Final

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from konnector.sync import copies, essence, ownership, patches
from konnector.sync.model import (
    Adopt,
    ApplyProvider,
    ConfirmAbsence,
    DeleteProvider,
    EnsureFinalizer,
    Memory,
    MigrateManagedFields,
    PatchConsumerStatus,
    Placement,
    Policy,
    Reason,
    Recheck,
    Refuse,
    ReleaseFinalizer,
    Side,
    Step,
)
from konnector.sync.ownership import Standing

Steps = tuple[Step, ...]

_NOTHING: Final[Steps] = ()
_BLANK: Final = Memory()
_EARLIER: Final = "it is the copy of an earlier object of that name"


@dataclass(frozen=True, slots=True)
class _Case:
    """What stays the same throughout one decision."""

    placement: Placement
    policy: Policy
    memory: Memory
    now: float


def plan(
    consumer: Object | None,
    provider: Object | None,
    placement: Placement | None,
    policy: Policy,
    memory: Memory = _BLANK,
    *,
    now: float = 0.0,
) -> Steps:
    """Decide what one object needs.

    Args:
        consumer: the consumer's object as last seen, None when it was not found.
        provider: the object at its place on the provider as last seen, None when it was not found.
        placement: where the copy belongs; None when that is not known, then nothing is decided
            (``Unplaced`` says what to do).
        policy: what may be done.
        memory: what is known from earlier writes of this key.
        now: seconds of a monotonic clock, for the pauses between repairs that somebody undoes again and
            again.

    Returns:
        Steps in the order of execution. The executor stops at the first one that meets a changed world and
        plans again.
    """
    if policy.paused or placement is None:
        return _NOTHING
    case = _Case(placement, policy, memory, now)
    try:
        if consumer is None:
            return _without_consumer(provider, placement, policy)
        if meta.is_deleting(consumer):
            return _deleting(consumer, provider, case)
        return _alive(consumer, provider, case)
    except essence.ContentError as error:
        source = consumer or provider or {}
        return (Refuse(Reason.REJECTED, f"{essence.title(source)} cannot be synced: {error}"),)


# --- no consumer object ---------------------------------------------------------------------------


def _without_consumer(provider: Object | None, placement: Placement, policy: Policy) -> Steps:
    if provider is None or meta.is_deleting(provider):
        return _NOTHING
    standing = ownership.judge(provider, None, placement, policy)
    if standing in {Standing.OURS, Standing.OURS_BY_GO}:
        return _delete_orphan(provider, "its consumer object is gone")
    if standing is Standing.FOREIGN:
        return (_foreign_mark(provider),)
    if not policy.adopt or not ownership.may_adopt(provider, placement):
        return _NOTHING
    return (Adopt(copies.adopted(provider, placement, policy)),)


def _delete_orphan(provider: Object, why: str) -> Steps:
    # The list or the watch that shows no source can be behind; only its server can tell (design 4.3).
    source_uid = ownership.read_marks(provider).source_uid
    return (ConfirmAbsence(Side.CONSUMER, source_uid), DeleteProvider(meta.uid(provider), why))


# --- consumer object being deleted ----------------------------------------------------------------


def _deleting(consumer: Object, provider: Object | None, case: _Case) -> Steps:
    release: Steps = ()
    if meta.has_finalizer(consumer, keys.SYNCER_FINALIZER):
        patch = patches.release(consumer)
        release = (ReleaseFinalizer(meta.uid(consumer), meta.resource_version(consumer), patch),)
    if provider is None:
        if not release or case.memory.provider_gone:
            return release
        return (ConfirmAbsence(Side.PROVIDER), *release)
    standing = ownership.judge(provider, consumer, case.placement, case.policy)
    unmarked = standing is Standing.UNMARKED
    if standing is Standing.FOREIGN or (unmarked and not _is_adopted(consumer, provider, case)):
        return release
    if meta.is_deleting(provider):
        return _NOTHING  # the finalizer stays until the copy is really gone
    if standing is Standing.EARLIER_LIFE:
        return _delete_orphan(provider, _EARLIER)
    return (DeleteProvider(meta.uid(provider), "its consumer object is being deleted"),)


# --- consumer object alive -----------------------------------------------------------------------


def _alive(consumer: Object, provider: Object | None, case: _Case) -> Steps:
    desired, digest = copies.provider_copy(consumer, case.placement, case.policy)
    if provider is None:
        return (*_guard(consumer), *_apply(desired, digest, None, case))
    standing = ownership.judge(provider, consumer, case.placement, case.policy)
    if standing is Standing.FOREIGN:
        return (_foreign_mark(provider),)
    if standing is Standing.EARLIER_LIFE:
        return _NOTHING if meta.is_deleting(provider) else _delete_orphan(provider, _EARLIER)
    taken = case.policy.take_over or _is_adopted(consumer, provider, case)
    if standing is Standing.UNMARKED and not taken:
        return (_conflict(provider),)
    steps = list(_guard(consumer))
    if not meta.is_deleting(provider):
        if standing is Standing.OURS_BY_GO:
            steps.append(MigrateManagedFields(meta.uid(provider)))
        steps += _apply(desired, digest, provider, case)
    steps += _status_down(consumer, provider, case)
    return tuple(steps)


def _is_adopted(consumer: Object, provider: Object, case: _Case) -> bool:
    """Whether the unmarked provider object is the one that the consumer's was made from, by us or by Go.

    What it holds does not matter: once adopted, the consumer's content wins (spec 6.7.5).
    """
    if not case.policy.adopt:
        return False
    if ownership.describes(consumer, provider):
        return True
    # What comes up under the name after the copy was seen to be gone is not that copy.
    return not case.memory.provider_gone and ownership.adopted_by_go(consumer, provider, case.placement)


def _guard(consumer: Object) -> Steps:
    if patches.is_guarded(consumer):
        return _NOTHING
    patch = patches.guard(consumer)
    return (EnsureFinalizer(meta.uid(consumer), meta.resource_version(consumer), patch),)


def _apply(desired: Object, digest: str, provider: Object | None, case: _Case) -> Steps:
    where: str | None = None
    seen = ""
    if provider is not None:
        seen = meta.resource_version(provider)
        where = copies.missing(desired, provider)
        if where is None and ownership.read_marks(provider).digest == digest:
            return _NOTHING
        if case.memory.copy.is_futile(digest, seen):
            return _NOTHING
    pause = case.memory.copy.wait(digest, case.now)
    if pause:
        return (_fight(desired, where), Recheck(pause))
    # The lock makes the apply safe against an object that came up, or took the name, since we looked.
    lock = {"resourceVersion": patches.NO_VERSION} if provider is None else {"uid": meta.uid(provider)}
    locked = {**desired, "metadata": {**desired["metadata"], **lock}}
    return (ApplyProvider(locked, provider is None, digest, seen),)


def _status_down(consumer: Object, provider: Object, case: _Case) -> Steps:
    status = essence.status(provider)
    if essence.same(essence.status(consumer), status):
        return _NOTHING
    digest = essence.digest(status)
    seen = meta.resource_version(consumer)
    if case.memory.status.is_futile(digest, seen):
        return _NOTHING
    pause = case.memory.status.wait(digest, case.now)
    if pause:
        return (_fight(consumer, ".status"), Recheck(pause))
    patch = patches.replace_status(consumer, status)
    subresource = "status" if case.policy.status_subresource else ""
    return (PatchConsumerStatus(meta.uid(consumer), patch, subresource, digest, seen),)


# --- refusals ------------------------------------------------------------------------------------


def _conflict(provider: Object) -> Refuse:
    return Refuse(
        Reason.CONFLICT,
        f"{essence.title(provider)} exists on the provider and was not made from this object; it is left as "
        f"it is. Use another name, remove the provider's object, or set the annotation "
        f"{keys.CONFLICT_POLICY}: {keys.CONFLICT_ADOPT} on the binding",
    )


def _foreign_mark(provider: Object) -> Refuse:
    return Refuse(
        Reason.FOREIGN_MARK,
        f"{essence.title(provider)} on the provider is marked for another cluster or another object; it is "
        "left as it is. Use another name, or have the provider remove the object",
    )


def _fight(obj: Object, where: str | None) -> Refuse:
    field = f"{where} of " if where else ""
    return Refuse(
        Reason.FIGHT,
        f"somebody keeps changing {field}{essence.title(obj)}; writing is slowed down. Find out who else "
        "writes it (metadata.managedFields names the managers)",
    )
