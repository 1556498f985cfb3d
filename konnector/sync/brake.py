"""The brake on mass deletion (design 4.3, threats A61).

A list that comes back empty, a namespace mapped wrongly or a slip of a person would delete what services
hold. When more than a share and more than a number of a binding's objects are to go within a short time,
deletion stops until a person says that it is meant. Deletions with a reason of their own (the consumer's
namespace or the CRD goes) are excused. Pure: the clock is an argument.
"""

from dataclasses import dataclass, field
from typing import Final

from bind_agent.api import keys

SHARE: Final = 0.5
COUNT: Final = 20
WINDOW_SECONDS: Final = 60.0


@dataclass(slots=True)
class Brake:
    """Counts deletions of one binding and holds them.

    Attributes:
        share: fraction of the objects that may go within the window.
        count: number of objects that may go within the window in any case.
        window: seconds.
    """

    share: float = SHARE
    count: int = COUNT
    window: float = WINDOW_SECONDS
    _recent: dict[str, tuple[float, int]] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)
    _approved: set[str] = field(default_factory=set)
    _message: str = ""

    @property
    def held(self) -> bool:
        """Whether deletions wait for a person."""
        return bool(self._message)

    @property
    def message(self) -> str:
        """What happened and what to do, empty while nothing is held."""
        return self._message

    @property
    def waiting(self) -> frozenset[str]:
        """Keys of the objects whose deletion waits."""
        return frozenset(self._waiting)

    def ask(self, key: str, *, total: int, now: float, excused: bool = False) -> bool:
        """Whether one deletion may go.

        Args:
            key: the object; asking again for the same one counts once.
            total: number of objects of the binding now.
            now: seconds of a monotonic clock.
            excused: the deletion follows from the deletion of the namespace or of the CRD.
        """
        if excused:
            return True
        if key in self._approved:
            self._approved.discard(key)
            return True
        if not self.held:
            self._trip(key, total, now)
        if self.held:
            self._waiting.add(key)
            return False
        return True

    def withdraw(self, key: str) -> None:
        """The deletion is no longer asked for, for instance because the object turned out to be there."""
        self._waiting.discard(key)
        self._approved.discard(key)

    def resume(self) -> None:
        """A person said that it is meant: what waits may go, counting begins anew."""
        self._approved |= self._waiting
        self._waiting.clear()
        self._recent.clear()
        self._message = ""

    def _trip(self, key: str, total: int, now: float) -> None:
        self._recent = {k: seen for k, seen in self._recent.items() if now - seen[0] <= self.window}
        self._recent.setdefault(key, (now, total))
        # Objects that are gone no longer count in `total`, so the largest of the window is the measure.
        most = max(seen[1] for seen in self._recent.values())
        asked = len(self._recent)
        if asked > self.count and asked > self.share * most:
            self._recent.pop(key)
            self._message = (
                f"{asked} of {max(most, asked)} objects were to be deleted within {self.window:.0f} s; "
                "nothing more is deleted on the provider until the binding is annotated anew with "
                f"{keys.RESUME}=<time>"
            )
