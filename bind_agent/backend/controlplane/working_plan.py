"""Does the connection of an app cluster work, beyond everything being made for it: pure.

`APIsBound` and `KonnectorDeployed` say, as in Go, that bindings, exports and the Deployment exist. Whether a konnector
runs and the bindings do their work is told by others: the Deployment's status, the bindings' `Ready`, the heartbeat.
Only verdicts are taken over, no counts and times, so the status changes when something changed for people. As long as
there is none the condition is Unknown, which leaves `Ready` to what is made (spec 3.11.4): whoever starts a konnector
by hand waits for `Ready` before, as with a Go backend.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity, Status
from bind_agent.api.meta import Object
from bind_agent.api.text import printable
from bind_agent.backend.controlplane import words
from bind_agent.backend.controlplane.model import Wanted

_LIMIT: Final = 512
_REASON: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_AVAILABILITY: Final = ("Available", "Progressing", "ReplicaFailure")
_WORST_FIRST: Final = (Severity.ERROR, Severity.WARNING)


def availability(deployment: Mapping[str, Any]) -> Object:
    """What is kept of a Deployment's status: its verdicts, without times and counts."""
    kept = []
    for condition_type in _AVAILABILITY:
        found = conditions.get(conditions.of(deployment), condition_type)
        if found is not None:
            # Progress is told with names of ReplicaSets, which change although nothing is wrong.
            failing = (found.status == Status.FALSE) is (condition_type != "ReplicaFailure")
            kept.append(
                {"type": found.type, "status": found.status}
                | ({"reason": found.reason, "message": found.message} if failing else {})
            )
    return {"conditions": kept}


def konnector_available(wanted: Wanted, deployment: Mapping[str, Any] | None) -> Condition:
    """Whether the konnector's pods run; True as well where none is to be deployed.

    Args:
        wanted: the AppClusterBinding.
        deployment: as observed, None while there is none.
    """
    found = conditions.of(deployment or {})
    if not wanted.deploy or conditions.is_true(found, "Available"):
        return conditions.true(words.KONNECTOR_AVAILABLE)
    where = f"Deployment {wanted.root}/{wanted.deployment}"
    stuck = conditions.get(found, "ReplicaFailure")
    if stuck is None or stuck.status != Status.TRUE:
        stuck = conditions.get(found, "Progressing")
        if stuck is None or stuck.status != Status.FALSE:
            return conditions.unknown(
                words.KONNECTOR_AVAILABLE, Reason.PENDING, f"no pod of the {where} is available yet"
            )
    return conditions.false(
        words.KONNECTOR_AVAILABLE,
        words.KONNECTOR_UNAVAILABLE,
        Severity.ERROR,
        f"the pods of the {where} do not come up: {printable(stuck.message or stuck.reason, _LIMIT)}; look at them with"
        f" `kubectl -n {wanted.root} describe pods -l app={keys.KONNECTOR}`",
    )


def bindings_ready(
    wanted: Wanted, bindings: Sequence[Object], cluster_binding: Mapping[str, Any] | None
) -> Condition:
    """Whether a konnector says that each API works, and is still heard of.

    Args:
        wanted: the AppClusterBinding.
        bindings: APIServiceBindings of its root namespace.
        cluster_binding: of that namespace, None while there is none.
    """
    if not wanted.kinds:
        return conditions.true(words.BINDINGS_READY)
    healthy = conditions.get(conditions.of(cluster_binding or {}), ConditionType.HEALTHY)
    if healthy is not None and healthy.reason == Reason.HEARTBEAT_TIMEOUT:
        # What a konnector said that is silent now counts for nothing.
        return conditions.false(
            words.BINDINGS_READY,
            Reason.HEARTBEAT_TIMEOUT,
            Severity.ERROR,
            f"the konnector of this app cluster is silent: {printable(healthy.message, _LIMIT)}",
        )
    by_name = {meta.name(one): one for one in bindings if not meta.is_deleting(one)}
    states = {str(kind): _ready(by_name.get(str(kind))) for kind in wanted.kinds}
    troubled = [(name, state) for name, state in states.items() if state.severity in _WORST_FIRST]
    troubled.sort(key=lambda one: _WORST_FIRST.index(one[1].severity))
    if troubled:
        name, worst = troubled[0]
        return conditions.false(
            words.BINDINGS_READY,
            worst.reason if _REASON.fullmatch(worst.reason) else words.NOT_READY,
            worst.severity,
            f"{name}: {printable(worst.message, _LIMIT)}{_more(troubled)}",
        )
    waiting = [name for name, state in states.items() if state.status != Status.TRUE]
    if waiting:
        return conditions.unknown(
            words.BINDINGS_READY,
            Reason.PENDING,
            f"no konnector has made {waiting[0]} work yet{_more(waiting)}",
        )
    return conditions.true(words.BINDINGS_READY)


def _ready(binding: Object | None) -> Condition:
    found = conditions.get(conditions.of(binding or {}), ConditionType.READY)
    return found or conditions.unknown(ConditionType.READY, "", "")


def _more(found: Iterable[object]) -> str:
    others = len(list(found)) - 1
    return f" (and {others} more)" if others else ""
