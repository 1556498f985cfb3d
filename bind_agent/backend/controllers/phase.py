"""A part of a reconcile that can fail without keeping the other parts from their work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from bind_agent.api.conditions import Condition
from bind_agent.kube.errors import KubeError


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase found.

    Attributes:
        condition: to be set; None leaves the present one.
        after: when to look again.
        error: why it could not end, to be raised after the status is written.
    """

    condition: Condition | None
    after: timedelta | None = None
    error: Exception | None = None


async def guarded(phase: Callable[[], Awaitable[Phase]]) -> Phase:
    """Run a phase; its failure waits until the others have run and the status is written."""
    try:
        return await phase()
    except KubeError as error:
        return Phase(None, error=error)
