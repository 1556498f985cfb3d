"""How long to wait before asking again for what stays missing.

Events tell of most changes; asking is for those that none tells of. It costs a request each time, so the waits grow
while nothing changes. They end at common moments, so that many who wait for the same share one answer.
"""

from datetime import timedelta
from typing import Final

from cachetools import LRUCache

from bind_agent.aio.clock import Clock

_FIRST: Final = 5.0
_DOUBLINGS: Final = 3
"""Of the first span in seconds; a wait is between half and one and a half of its span, at most a minute."""

_EARLY: Final = 0.5
"""Seconds by which a timer may come before its time."""

_REMEMBERED: Final = 16_384


class Patience:
    """Counts for how long each thing has been missing."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is missing yet."""
        self._clock = clock
        self._waits: LRUCache[str, tuple[object, int, float]] = LRUCache(maxsize=_REMEMBERED)

    def wait(self, key: str, missing: object) -> timedelta:
        """Something is missing: when to look again.

        Args:
            key: of whom it is missing.
            missing: what; another value than the last time begins anew.
        """
        now = self._clock.monotonic()
        known, doublings, due = self._waits.get(key, (None, -1, now))
        if known != missing:
            doublings = -1
        elif now < due - _EARLY:
            # Looked at because of an event, which is no time that passed.
            return timedelta(seconds=due - now)
        doublings = min(doublings + 1, _DOUBLINGS)
        span = _FIRST * 2**doublings
        due = (now + span / 2) // span * span + span
        self._waits[key] = (missing, doublings, due)
        return timedelta(seconds=due - now)

    def forget(self, key: str) -> None:
        """Nothing is missing any more."""
        self._waits.pop(key, None)
