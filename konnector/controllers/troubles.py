"""What keeps a binding from being followed, as conditions: ``InformersSynced`` and ``ObjectsInSync``.

A watch that cannot be had and a write that is refused for want of a right would else show in the log only. All of
it is read from memory: what informers, reports and the client know already.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bind_agent.api import conditions
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.resource import Resource
from bind_agent.kube.errors import (
    ApiError,
    ConnectionFailed,
    Forbidden,
    KubeError,
    NotFound,
    ServerError,
    Unauthorized,
)
from bind_agent.runtime.budget import OverBudget
from bind_agent.runtime.informer import Informer
from konnector.clusters import Far
from konnector.sync import remedies
from konnector.sync.model import Side

_ORDER: Final = (
    Reason.CREDENTIAL_REJECTED,
    Reason.PROVIDER_UNREACHABLE,
    Reason.APP_CLUSTER_UNREACHABLE,
    Reason.PERMISSION_DENIED,
    Reason.MEMORY_BUDGET_EXCEEDED,
    Reason.CRD_NOT_FOUND,
    Reason.INFORMER_SYNC_TIMEOUT,
)
"""The one that explains the others comes first."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A collection that a binding depends on.

    Attributes:
        side: where it is.
        informer: follows it.
    """

    side: Side
    informer: Informer


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong.

    Attributes:
        reason: word of the condition catalogue.
        message: what is wrong and what to do.
    """

    reason: str
    message: str


def of_watch(followed: Followed, binding: str, far: Far) -> Trouble | None:
    """Why a collection is not followed, None when it is.

    Args:
        followed: the collection.
        binding: name of the binding, `P.G`.
        far: the end that is reached with a kubeconfig.
    """
    informer, side = followed.informer, followed.side
    if informer.last_error is not None:
        return of_error(informer.last_error, informer.resource, side, binding, far)
    if informer.has_synced:
        return None
    where = _where(side, far)
    return Trouble(Reason.INFORMER_SYNC_TIMEOUT, f"no complete list of {informer.resource} from {where} yet")


def of_error(error: KubeError, resource: Resource, side: Side, binding: str, far: Far) -> Trouble:
    """What a failed list or watch means.

    Args:
        error: the failure.
        resource: what was asked for.
        side: which server was asked.
        binding: name of the binding, `P.G`.
        far: the end that is reached with a kubeconfig.
    """
    match error:
        case Unauthorized() if side is far.side:
            return _rejected(error, far)
        case Forbidden():
            return Trouble(
                Reason.PERMISSION_DENIED, remedies.denied(side, error.message, binding, root=far.root)
            )
        case OverBudget():
            return Trouble(Reason.MEMORY_BUDGET_EXCEEDED, f"{_where(side, far)}: {error}")
        case NotFound():
            return Trouble(Reason.CRD_NOT_FOUND, remedies.not_served(side, resource))
        case ConnectionFailed() | ServerError() if side is far.side:
            return _unreachable(_said(error), far)
    return Trouble(
        Reason.INFORMER_SYNC_TIMEOUT, f"cannot follow {resource} of {_where(side, far)}: {_said(error)}"
    )


def of_client(error: KubeError | None, waiting: float, *, slow: float, far: Far) -> Trouble | None:
    """What the latest calls to the far end say about it, None when all is well.

    Args:
        error: why the latest call failed, if the server or the credential was at fault.
        waiting: seconds that the oldest call waits for its answer.
        slow: more than so many seconds are too many.
        far: the end that is reached with a kubeconfig.
    """
    if isinstance(error, Unauthorized):
        return _rejected(error, far)
    if error is not None:
        return _unreachable(_said(error), far)
    if waiting >= slow:
        # Without the number: a condition that changes every second would be written every second.
        return _unreachable(f"no answer for more than {slow:.0f} s", far)
    return None


def _rejected(error: Unauthorized, far: Far) -> Trouble:
    return Trouble(Reason.CREDENTIAL_REJECTED, remedies.rejected(error.message, far.side, secret=far.secret))


def _unreachable(message: str, far: Far) -> Trouble:
    reason = Reason.PROVIDER_UNREACHABLE if far.side is Side.PROVIDER else Reason.APP_CLUSTER_UNREACHABLE
    return Trouble(reason, remedies.unreachable(far.server, message, far.side))


def _where(side: Side, far: Far) -> str:
    if side is far.side:
        return far.server
    return "the provider" if side is Side.PROVIDER else "the app cluster"


def informers_synced(troubles: Iterable[Trouble]) -> Condition:
    """``InformersSynced`` for one binding: the most telling trouble, and how many more there are."""
    found = sorted(set(troubles), key=lambda trouble: (_ORDER.index(trouble.reason), trouble.message))
    return _condition(ConditionType.INFORMERS_SYNCED, found)


def objects_in_sync(troubles: Iterable[Trouble]) -> Condition:
    """``ObjectsInSync`` for one binding: whether writing objects is held up by a cause that all share."""
    return _condition(
        ConditionType.OBJECTS_IN_SYNC, sorted(set(troubles), key=lambda t: (t.reason, t.message))
    )


def _condition(condition_type: str, found: list[Trouble]) -> Condition:
    if not found:
        return conditions.true(condition_type)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return conditions.false(condition_type, found[0].reason, Severity.ERROR, found[0].message + more)


def _said(error: KubeError) -> str:
    return error.message if isinstance(error, ApiError) else str(error)
