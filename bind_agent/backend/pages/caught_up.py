"""After a change: wait until what is watched shows it, so that the page that follows does not contradict itself."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from bind_agent.api import conditions, meta
from bind_agent.backend import names, retirement
from bind_agent.backend.tenancy.revocation import revoked_by
from bind_agent.backend.views import Views, get

PATIENCE: Final = 3.0
"""Seconds; a page that comes later tells the state from before, and its live part soon tells the new one."""

_STEP: Final = 0.01
_LONGEST_STEP: Final = 0.1


async def until(shown: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until something is shown, at most for a while.

    What is waited for is the content and not the version that was written: somebody else may have written another one
    on top, and versions have no order that one may rely on.

    Args:
        shown: looks at what is watched; cheap.
        patience: seconds.

    Returns:
        Whether it is.
    """
    loop = asyncio.get_running_loop()
    end, step = loop.time() + patience, _STEP
    while not shown():
        if loop.time() >= end:
            return False
        await asyncio.sleep(step)
        step = min(2 * step, _LONGEST_STEP)
    return True


def revocation(views: Views, namespace: str, by: str) -> Callable[[], bool]:
    """Whether a revocation is shown."""
    return lambda: revoked_by(views.binding(namespace) or {}) == by


def rotation(views: Views, namespace: str, generation: int) -> Callable[[], bool]:
    """Whether it is shown that a credential was replaced by the one of this number."""
    return lambda: meta.annotation(views.binding(namespace) or {}, names.CREDENTIAL_CHANGED).startswith(
        f"{generation}@"
    )


def end(views: Views, namespace: str, name: str, at: datetime | None) -> Callable[[], bool]:
    """Whether an API's end at a time is shown, or that it has none; one that is gone has whichever end was meant."""

    def shown() -> bool:
        export = get(views.exports, f"{namespace}/{name}")
        if export is None:
            return True
        planned = retirement.planned(export)
        if planned is None or at is None:
            return planned is None and at is None
        return conditions.timestamp(planned.at) == conditions.timestamp(at)

    return shown
