"""The brake on mass deletion (design 4.3, threats A61).

A list that comes back empty, a namespace mapped wrongly or a slip of a person would delete what services
hold. When more than a share and more than a number of a binding's objects are to go within a short time,
deletion stops until a person says that it is meant. Deletions with a reason of their own (the consumer's
namespace or the CRD goes) are excused. Pure: the clock is an argument.

No process remembers more than its own life, and still a restart gives nothing away:

* Nothing goes before it has rested: who asks first waits until nobody new has asked for a while, so all that a process
  finds at its start is counted before the first deletion. A process that dies sooner has deleted nothing, and the next
  one finds and counts the same again.
* What was held stays held: the condition on the binding says so, and its message names the value of the annotation
  that does not count because it stood there before. The message is the one place that every writer of conditions
  keeps as it is, and it is read and written together with the state that it belongs to.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from bind_agent.api import keys, naming

SHARE: Final = 0.5
COUNT: Final = 20
WINDOW_SECONDS: Final = 60.0
REST_SECONDS: Final = 5.0
"""A deletion goes when nobody new has asked for so long."""
LONGEST_REST_SECONDS: Final = 30.0
"""A deletion waits no longer for others; so long, too, is what waits gathered again after a restart."""

_NONE: Final = "none"
_PLAIN: Final = re.compile(r"[0-9A-Za-z:.+_-]{1,64}")
_REMEDY: Final = (
    "; nothing more is deleted on the provider until the binding is annotated anew with "
    f"{keys.RESUME}=<time> (so far: "
)
_MESSAGE: Final = re.compile(rf"(?P<what>.+){re.escape(_REMEDY)}(?P<so_far>[^()]+)\)", re.DOTALL)


@dataclass(slots=True)
class _Asked:
    """One deletion that was asked for: when first, of how many objects, and whether it was let go."""

    at: float
    total: int
    went: bool = False


@dataclass(slots=True)
class Brake:
    """Counts deletions of one binding and holds them.

    Attributes:
        share: fraction of the objects that may go within the window.
        count: number of objects that may go within the window in any case.
        window: seconds.
        rest: seconds without a new question before a deletion goes.
        longest: seconds after which a deletion goes in any case.
    """

    share: float = SHARE
    count: int = COUNT
    window: float = WINDOW_SECONDS
    rest: float = REST_SECONDS
    longest: float = LONGEST_REST_SECONDS
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)
    _approved: set[str] = field(default_factory=set)
    _held: str = ""
    _binding: str = ""
    _so_far: str = _NONE
    _gathers_until: float = float("-inf")

    @classmethod
    def restored(cls, message: str, *, binding: str, resume: str, now: float) -> "Brake":
        """A brake that holds, as an earlier process has left it.

        Args:
            message: what the condition says. From one that is not ours nothing can be learnt about the annotation:
                the value of now does not count then.
            binding: key of the binding that the condition stands on.
            resume: value of the annotation there.
            now: seconds of a monotonic clock.
        """
        found = _MESSAGE.fullmatch(message)
        held, so_far = (found["what"], found["so_far"]) if found else (message, _shown(resume))
        brake = cls()
        brake._held = held or "many objects were to be deleted"
        brake._binding, brake._so_far = binding, so_far
        brake._gathers_until = now + brake.longest
        return brake

    @property
    def held(self) -> bool:
        """Whether deletions wait for a person."""
        return bool(self._held)

    @property
    def message(self) -> str:
        """What happened and what to do, empty while nothing is held."""
        return f"{self._held}{_REMEDY}{self._so_far})" if self._held else ""

    @property
    def waiting(self) -> frozenset[str]:
        """Keys of the objects whose deletion waits for a person."""
        return frozenset(self._waiting)

    def ask(self, key: str, *, total: int, now: float, excused: bool = False) -> bool:
        """Whether one deletion may go; who may not asks again.

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
            self._count(key, total, now)
        if self.held:
            self._waiting.add(key)
            return False
        asked = self._asked[key]
        newest = next(reversed(self._asked.values())).at
        asked.went = asked.went or now - newest >= self.rest or now - asked.at >= self.longest
        return asked.went

    def withdraw(self, key: str) -> None:
        """The deletion is no longer asked for, for instance because the object turned out to be there."""
        self._waiting.discard(key)
        self._approved.discard(key)
        if key in self._asked and not self._asked[key].went:
            del self._asked[key]

    def note(self, binding: str, resume: str) -> None:
        """Note what stands in the annotation of a binding: should the brake come to hold, that value does not count.

        Neither does what stands on another binding than the one that was told to be annotated.
        """
        if not self.held or binding != self._binding:
            self._binding, self._so_far = binding, _shown(resume)

    def is_meant(self, resume: str) -> bool:
        """Whether the annotation says that what is held is meant."""
        return self.held and bool(resume) and _shown(resume) != self._so_far

    def gathers(self, now: float) -> float:
        """Seconds for which what waits is still found again after a restart: a release would not reach all of it."""
        return max(0.0, self._gathers_until - now)

    def resume(self) -> None:
        """A person said that it is meant: what waits may go, counting begins anew."""
        self._approved |= self._waiting
        self._waiting.clear()
        self._asked.clear()
        self._held = ""

    def _count(self, key: str, total: int, now: float) -> None:
        # Whoever asked first stands first.
        while self._asked and now - next(iter(self._asked.values())).at > self.window:
            del self._asked[next(iter(self._asked))]
        self._asked.setdefault(key, _Asked(now, total))
        asked = len(self._asked)
        if asked <= self.count or asked <= self.share * total:
            return
        # Objects that are gone no longer count in `total`, so the largest of the window is the measure.
        most = max(one.total for one in self._asked.values())
        if asked > self.share * most:
            self._held = (
                f"{asked} of {max(most, asked)} objects were to be deleted within {self.window:.0f} s"
            )
            self._waiting |= {k for k, one in self._asked.items() if not one.went}


def _shown(resume: str) -> str:
    """How a value of the annotation is written into the message: itself where that is short and plain."""
    if not resume:
        return _NONE
    return resume if resume != _NONE and _PLAIN.fullmatch(resume) else naming.digest(resume)
