"""How long something has been the case: what passes by itself is not told, what lasts is looked at ever less often.

Pure: the clock is an argument.
"""

from collections.abc import Hashable
from typing import Final

FIRST_RECHECK_SECONDS: Final = 1.0
LONGEST_RECHECK_SECONDS: Final = 30.0


class Patience:
    """Remembers since when."""

    def __init__(self) -> None:
        self._since: dict[Hashable, float] = {}

    def lasted(self, key: Hashable, now: float) -> float:
        """Seconds since this was first said of the key; 0.0 the first time.

        Args:
            key: what it is about.
            now: seconds of a monotonic clock.
        """
        return now - self._since.setdefault(key, now)

    def over(self, key: Hashable) -> None:
        """It is not the case any more."""
        self._since.pop(key, None)


def recheck_after(lasted: float) -> float:
    """Seconds until something that has lasted so long is looked at again, where no event tells of its end.

    Half as long as it has lasted: what was just mended is found soon, what stays as it is costs little.
    """
    return min(max(lasted / 2, FIRST_RECHECK_SECONDS), LONGEST_RECHECK_SECONDS)
