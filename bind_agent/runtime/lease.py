"""The record in a Lease by which replicas agree who leads, and the decisions about it. Pure.

The record is client-go's, so that Go programs and ours can take turns: `holderIdentity`,
`leaseDurationSeconds`, `acquireTime` and `renewTime` (RFC 3339 in UTC with microseconds),
`leaseTransitions`. Times of the record are for people: clocks of machines differ, so each candidate
measures with its own clock how long ago it *saw* a record change.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

from bind_agent.api import meta
from bind_agent.api.resource import LEASES

_MICRO_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Record:
    """What the `spec` of a Lease says.

    Attributes:
        holder: identity of who leads; empty when the lease was released.
        duration: seconds after the last renewal for which others keep away.
        acquired: when the holder became leader, as text.
        renewed: when it last confirmed, as text.
        transitions: how often the holder changed.
    """

    holder: str
    duration: float
    acquired: str
    renewed: str
    transitions: int

    @classmethod
    def of(cls, lease: meta.Object) -> Self:
        """Read a Lease; fields that are missing or of a wrong type read as empty."""
        spec = lease.get("spec")
        spec = spec if isinstance(spec, dict) else {}

        def text(field: str) -> str:
            value = spec.get(field)
            return value if isinstance(value, str) else ""

        def number(field: str) -> int:
            value = spec.get(field)
            return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

        return cls(
            holder=text("holderIdentity"),
            duration=float(number("leaseDurationSeconds")),
            acquired=text("acquireTime"),
            renewed=text("renewTime"),
            transitions=number("leaseTransitions"),
        )

    def spec(self) -> dict[str, Any]:
        """The fields as the API has them."""
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": max(1, round(self.duration)),
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
            "leaseTransitions": self.transitions,
        }

    def taken_by(self, identity: str, *, now: datetime, duration: float) -> "Record":
        """The record by which somebody becomes leader after this one."""
        stamp = micro_time(now)
        # As client-go counts: a record without a holder was a holder once, too.
        return Record(identity, duration, stamp, stamp, self.transitions + (identity != self.holder))

    def renewed_at(self, now: datetime) -> "Record":
        """The record by which the holder confirms."""
        return replace(self, renewed=micro_time(now))

    def released(self, now: datetime) -> "Record":
        """The record by which the holder lets go: nobody's, and expired after a second."""
        stamp = micro_time(now)
        return Record("", 1.0, stamp, stamp, self.transitions)


def first_record(identity: str, *, now: datetime, duration: float) -> Record:
    """The record of a Lease that did not exist."""
    stamp = micro_time(now)
    return Record(identity, duration, stamp, stamp, 0)


def micro_time(moment: datetime) -> str:
    """A moment as a MicroTime of the API: RFC 3339, UTC, six digits."""
    return moment.astimezone(UTC).strftime(_MICRO_TIME)


def lease_object(name: str, namespace: str, record: Record) -> meta.Object:
    """A new Lease."""
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": record.spec(),
    }


def with_record(lease: meta.Object, record: Record) -> meta.Object:
    """A Lease with another record; everything else in it, resourceVersion included, stays."""
    spec = lease.get("spec")
    return {**lease, "spec": {**(spec if isinstance(spec, dict) else {}), **record.spec()}}


@dataclass(slots=True)
class Observation:
    """A record of somebody else, and when it was first seen like that.

    Attributes:
        record: as last read.
        since: own monotonic seconds.
    """

    record: Record
    since: float

    def look(self, record: Record, now: float) -> None:
        """Take in what was read at `now`."""
        if record != self.record:
            self.record = record
            self.since = now

    def free_in(self, now: float, *, default: float) -> float:
        """Seconds until the lease may be taken; 0 or less when it may be at once.

        Args:
            now: own monotonic seconds.
            default: duration for records that state none.
        """
        if not self.record.holder:
            return 0.0
        return self.since + (self.record.duration or default) - now
