"""How fast the other side may make us write to the app cluster (threats A64, A65). Pure: the clock is an argument.

A status that is another one each time, or a Secret that its owner never leaves alone, would be written as fast as it
changes, for ever. Each object has a burst and a slow pace after it, which no operator notices that settles; all
objects of one provider have a fast pace together. What has to wait is looked at again in its turn and written as it is
then: the latest state arrives in the end, what was in between does not.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

_FEW: Final = 1024


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast something may go.

    Attributes:
        burst: so many go at once.
        per_second: and so many a second after that.
    """

    burst: int
    per_second: float

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until another one may go.

        Args:
            full_at: when the whole burst is there again.
            now: seconds of a monotonic clock.
        """
        return max(0.0, full_at - now - (self.burst - 1) / self.per_second)

    def taken(self, full_at: float, now: float) -> float:
        """When the whole burst is there again, after one more has gone."""
        return max(full_at, now) + 1.0 / self.per_second


OBJECT: Final = Pace(burst=1000, per_second=10.0)
"""An operator that reports progress at every step is not slowed, and neither is a loop over one object that lasts."""

SESSION: Final = Pace(burst=20_000, per_second=500.0)
"""A first sync of many objects, then as much as a process writes that has nothing else to do: it keeps one provider
from having all of it for long."""


class Pacing:
    """The writes that one provider causes on the app cluster."""

    def __init__(self, each: Pace = OBJECT, together: Pace = SESSION) -> None:
        """Nothing was written yet.

        Args:
            each: pace of one object.
            together: pace of all objects.
        """
        self._each = each
        self._together = together
        self._full_at: dict[Hashable, float] = {}
        self._all_full_at = 0.0
        self._turns: dict[Hashable, float] = {}
        self._tidy_at = _FEW

    @property
    def remembered(self) -> int:
        """How many objects have written lately, or wait for their turn."""
        return len(self._full_at) + len(self._turns)

    def ask(self, key: Hashable, now: float) -> float:
        """Seconds until an object may be written; 0 for now, which counts as done.

        Who has to wait because of others gets a turn of its own, so that not all come back at the same moment.

        Args:
            key: the object.
            now: seconds of a monotonic clock.
        """
        full_at = self._full_at.get(key, 0.0)
        pause = self._each.wait(full_at, now)
        if pause:
            return pause
        turn = self._turns.get(key)
        if turn is None:
            pause = self._together.wait(self._all_full_at, now)
            self._all_full_at = self._together.taken(self._all_full_at, now)
            if pause:
                self._turns[key] = now + pause
                return pause
        elif turn > now:
            return turn - now
        else:
            del self._turns[key]
        self._full_at[key] = self._each.taken(full_at, now)
        if self.remembered > self._tidy_at:
            self._tidy(now)
        return 0.0

    def _tidy(self, now: float) -> None:
        """Forget who rests; at such intervals that it costs each write the same."""
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        # A turn that nobody came for any more, for instance because the object is gone.
        self._turns = {key: at for key, at in self._turns.items() if at > now - 60.0}
        self._tidy_at = max(_FEW, 2 * self.remembered)
