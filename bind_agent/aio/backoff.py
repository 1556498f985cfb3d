"""Exponential back-off with jitter: pure arithmetic, the caller waits."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MAX_DOUBLINGS: Final = 62
"""Beyond this the factor would leave the range of floats long after any sensible cap is reached."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How waits grow.

    Attributes:
        first: seconds of the first wait.
        cap: most seconds of any wait.
        factor: growth from one wait to the next.
        jitter: share of the wait that is drawn at random, 0 to 1; 0.5 means between half and the whole of
            it. Without it, clients that failed together come back together.
    """

    first: float = 0.5
    cap: float = 60.0
    factor: float = 2.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that would make waits negative, shrinking or endless.

        Raises:
            ValueError: a value is out of range.
        """
        if self.first < 0 or self.cap < self.first or self.factor < 1 or not 0 <= self.jitter <= 1:
            message = f"not a back-off policy: {self!r}"
            raise ValueError(message)

    def delay(self, attempt: int, draw: float) -> float:
        """Seconds to wait after failure number `attempt` (0 is the first), for a draw from [0, 1)."""
        growth = self.factor ** min(max(attempt, 0), _MAX_DOUBLINGS)
        full = min(self.cap, self.first * growth)
        return full * (1.0 - self.jitter * (1.0 - draw))


class Backoff:
    """Counts the failures of one thing and says how long to wait.

    >>> wait = Backoff(Policy(first=1.0, cap=8.0, jitter=0.0))
    >>> [wait.next() for _ in range(5)]
    [1.0, 2.0, 4.0, 8.0, 8.0]
    """

    __slots__ = ("_draw", "_failures", "policy")

    def __init__(self, policy: Policy | None = None, *, draw: Callable[[], float] = random.random) -> None:
        """Start without failures; `draw` gives numbers from [0, 1)."""
        self.policy = policy or Policy()
        self._draw = draw
        self._failures = 0

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._failures

    def next(self, *, at_least: float = 0.0) -> float:
        """Count a failure and return the seconds to wait.

        Args:
            at_least: a wait that the other side asked for (Retry-After), capped like any other.
        """
        delay = self.policy.delay(self._failures, self._draw())
        self._failures += 1
        return max(delay, min(at_least, self.policy.cap))

    def reset(self) -> None:
        """A success: the next failure starts from the first wait again."""
        self._failures = 0
