"""Data of the object sync: what ``plan`` is told, and the steps that it answers with.

Nothing here decides anything. Steps are values: the shell executes them in order, ``kubectl bind plan``
prints them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

from bind_agent.api import meta
from bind_agent.api.meta import Object
from konnector.sync.metadata import BOUND_OBJECTS, MetadataRule

JsonPatch: TypeAlias = Sequence[Mapping[str, Any]]
"""Operations of a JSON patch (RFC 6902)."""


class Side(StrEnum):
    """One of the two clusters."""

    CONSUMER = "Consumer"
    PROVIDER = "Provider"

    @property
    def other(self) -> "Side":
        """The cluster at the other end of the binding."""
        return Side.PROVIDER if self is Side.CONSUMER else Side.CONSUMER


class Reason(StrEnum):
    """Why an object is not synced: the same word in condition, event, metric and CLI."""

    CONFLICT = "ObjectConflict"
    """An object of that name exists and is not marked as ours."""
    FOREIGN_MARK = "ForeignMark"
    """The object on the other side is marked for another cluster or another source."""
    REJECTED = "ObjectRefused"
    """The object cannot be carried over: name, depth or content."""
    PROTECTED = "ProtectedObject"
    """Objects of that name, type or namespace never cross, whatever a claim says."""
    UNPLACED = "NamespacePending"
    """The provider has not answered with a namespace for that of the object yet."""
    DENIED = "PermissionDenied"
    """The konnector, or the tenant on the provider, lacks a right."""
    CREDENTIAL = "CredentialRejected"
    """The provider does not accept the tenant's credential any more."""
    LIMIT = "ClaimLimitReached"
    """The provider has as many claimed objects on the app cluster as it may."""
    NOT_SERVED = "CRDNotFound"
    """A cluster does not serve the kind, perhaps only for a moment; whether objects exist is not known."""
    FIGHT = "WriteFight"
    """Somebody else keeps changing what we write; writing is slowed down."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks on a copy (design 4.2).

    Attributes:
        bound: whether ``klutch.anynines.com/bound`` is there, whatever its value (Go reads the key only).
        cluster: identity of the consumer cluster, empty when a Go konnector made the copy.
        source: key of the source object on its side.
        source_uid: UID of the source object.
        digest: digest of the content that was last written.
    """

    bound: bool = False
    cluster: str = ""
    source: str = ""
    source_uid: str = ""
    digest: str = ""

    @property
    def is_own(self) -> bool:
        """Whether any mark of our own is there; Go knows only ``bound``."""
        return bool(self.cluster or self.source or self.source_uid)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the provider's copy of one object lives (spec 6.7.1, 6.7.2).

    Attributes:
        consumer_key: ``namespace/name`` or ``name`` on the consumer.
        provider_namespace: the service namespace, empty for cluster-scoped kinds.
        provider_name: name of the copy.
        cluster_namespace: the tenant's namespace ``<cns>`` on the provider.
        cluster_namespace_uid: its UID, for the owner reference of cluster-scoped copies.
        cluster_scoped: whether the kind is cluster-scoped.
    """

    consumer_key: str
    provider_namespace: str
    provider_name: str
    cluster_namespace: str
    cluster_namespace_uid: str = ""
    cluster_scoped: bool = False

    @property
    def provider_key(self) -> str:
        """Key of the copy in the provider's store."""
        return meta.join_key(self.provider_namespace, self.provider_name)


@dataclass(frozen=True, slots=True)
class Policy:
    """What ``plan`` may do for one binding.

    Attributes:
        cluster_id: identity of the app cluster (``bind_agent.api.identity``).
        adopt: provider objects without a mark and without a consumer counterpart are created on the
            consumer, as Go always does; those that a Go konnector has adopted are ours (spec 6.7.5).
        take_over: an unmarked provider object of the same name as a consumer object is overwritten and
            becomes ours.
        status_subresource: whether the bound version has a status subresource on the consumer.
        paused: no steps at all.
        metadata: which labels and annotations cross.
    """

    cluster_id: str
    adopt: bool = False
    take_over: bool = False
    status_subresource: bool = True
    paused: bool = False
    metadata: MetadataRule = BOUND_OBJECTS


@dataclass(frozen=True, slots=True)
class EnsureServiceNamespace:
    """Create the APIServiceNamespace for a consumer namespace, unless it is there."""

    namespace: str


@dataclass(frozen=True, slots=True)
class EnsureFinalizer:
    """Put finalizer and ``bound`` on the consumer object, in one write before the first provider write.

    The patch is a merge patch that is locked on the resource version.
    """

    uid: str
    resource_version: str
    patch: Object


@dataclass(frozen=True, slots=True)
class MigrateManagedFields:
    """Read the live copy and move what manager ``konnector`` owns to ours (``managed_fields``)."""

    uid: str


@dataclass(frozen=True, slots=True)
class ApplyProvider:
    """Server-side apply of the full desired copy, forced, as manager ``keys.FIELD_MANAGER``.

    Attributes:
        object: the apply configuration. It carries a lock: for a creation a resource version that no
            object has, so the server refuses when an object of that name has come up; else the UID of the
            copy that was judged.
        creates: whether the copy is believed to be absent.
        digest: digest of the content, also inside the object as an annotation.
        seen: resource version of the copy that was compared, empty when it was absent.
    """

    object: Object
    creates: bool
    digest: str
    seen: str = ""


@dataclass(frozen=True, slots=True)
class PatchConsumerStatus:
    """Make the consumer's status equal to the provider's; locked on the consumer object's UID.

    Attributes:
        uid: UID of the consumer object.
        patch: JSON patch that sets or removes the whole status.
        subresource: ``status``, or empty where the CRD has no status subresource.
        digest: digest of the new status.
        seen: resource version of the consumer object that was compared.
    """

    uid: str
    patch: JsonPatch
    subresource: str
    digest: str
    seen: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmAbsence:
    """Ask the server itself; go on only if the object is not there.

    Attributes:
        side: which server.
        uid: if set, an object of that name with another UID counts as absence of the one that is meant.
    """

    side: Side
    uid: str = ""


@dataclass(frozen=True, slots=True)
class DeleteProvider:
    """Delete the provider's copy, conditional on its UID; the brake is asked first.

    Attributes:
        uid: UID of the copy.
        why: short text for logs and ``plan`` output.
    """

    uid: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseFinalizer:
    """Take our finalizer off the consumer object: the copy is gone, or was never ours.

    The patch is a merge patch that is locked on the resource version.
    """

    uid: str
    resource_version: str
    patch: Object


@dataclass(frozen=True, slots=True)
class Adopt:
    """Create the consumer object for an object that was made on the provider."""

    object: Object


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing is written; the message says what is wrong and what to do."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Recheck:
    """Plan again after so many seconds."""

    after: float


Step: TypeAlias = (
    EnsureServiceNamespace
    | EnsureFinalizer
    | MigrateManagedFields
    | ApplyProvider
    | PatchConsumerStatus
    | ConfirmAbsence
    | DeleteProvider
    | ReleaseFinalizer
    | Adopt
    | Refuse
    | Recheck
)

FREE_REPEATS: Final = 5
"""So many repairs of the same content go without delay."""
LONGEST_WAIT_SECONDS: Final = 300.0
CALM_SECONDS: Final = 600.0
"""A fight that rests so long has ended."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of the last write in one direction.

    Two uses: a write that had no effect is not repeated for the same pair of versions, and somebody who
    changes the same content again and again meets growing pauses instead of an endless exchange of writes.

    Attributes:
        digest: digest of the content that was written.
        version: resource version that the server answered with.
        repeats: how often the same content had to be written again.
        at: when that was last, in seconds of a monotonic clock.
    """

    digest: str = ""
    version: str = ""
    repeats: int = 0
    at: float = 0.0

    def after(self, digest: str, seen: str, version: str, now: float) -> "Attempt":
        """Record a write of ``digest`` on top of version ``seen`` that gave ``version``."""
        if digest != self.digest:
            return Attempt(digest, version, 0, now)
        if version == seen:
            return replace(self, version=version)
        calm = now - self.at > CALM_SECONDS
        return Attempt(digest, version, 1 if calm else self.repeats + 1, now)

    def is_futile(self, digest: str, version: str) -> bool:
        """Whether this very content was already written on this very version."""
        return bool(version) and (digest, version) == (self.digest, self.version)

    def wait(self, digest: str, now: float) -> float:
        """Seconds until the same content may be written once more, 0 for at once."""
        over = self.repeats - FREE_REPEATS
        if digest != self.digest or over < 0:
            return 0.0
        pause = min(2.0 ** min(over, 16), LONGEST_WAIT_SECONDS)
        return max(0.0, self.at + pause - now)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered for one key. Losing it (restart) costs at most one write without effect.

    Attributes:
        copy: writes of the provider's copy.
        status: writes of the consumer's status.
        provider_gone: the provider's copy was seen to be gone by its server, not by a list that came back
            short.
    """

    copy: Attempt = field(default_factory=Attempt)
    status: Attempt = field(default_factory=Attempt)
    provider_gone: bool = False

    def after_apply(self, step: ApplyProvider, answer: Object, now: float) -> "Memory":
        """After an apply that was answered with ``answer``."""
        version = meta.resource_version(answer)
        return replace(self, copy=self.copy.after(step.digest, step.seen, version, now), provider_gone=False)

    def after_status(self, step: PatchConsumerStatus, answer: Object, now: float) -> "Memory":
        """After a status patch that was answered with ``answer``."""
        version = meta.resource_version(answer)
        return replace(self, status=self.status.after(step.digest, step.seen, version, now))

    def after_gone(self) -> "Memory":
        """After the server said that the copy is gone: it does not exist, or a delete ended at once."""
        return replace(self, provider_gone=True)
