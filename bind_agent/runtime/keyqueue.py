"""The decisions of a work queue, without a clock, a loop or waiting.

A key is in any of these places:

* *ready*: to be handed out, in one first-in-first-out lane per priority;
* *delayed*: to become ready at a time; a key has one such time, the earliest that was asked for;
* *active*: handed out, until `done`. A key added meanwhile is remembered and becomes ready again at `done`,
  so it is never handed out twice at once and nothing that happened during a run is missed.

Adding a ready key again changes nothing but its priority (the greater counts). A key that becomes ready is
no longer delayed: its run sees the present state and asks for a new delay if it needs one.
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FAIR: Final = 8
"""Every so many hand-outs the lowest lane is served, so that a flood of urgent keys cannot starve it."""
_SLACK: Final = 64
"""Dead entries that the heap of delays may hold beyond the number of live ones."""


class KeyQueue(Generic[K]):
    """See the module. All operations take constant or logarithmic time; times are of any one clock."""

    def __init__(self) -> None:
        """Start empty."""
        self._lanes: dict[int, OrderedDict[K, float]] = {}
        self._ready: dict[K, int] = {}
        self._delays: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._active: set[K] = set()
        self._again: dict[K, int] = {}
        self._handed_out = 0

    def __len__(self) -> int:
        """Keys that are ready."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._delays)

    @property
    def active(self) -> int:
        """Keys that are handed out."""
        return len(self._active)

    @property
    def again(self) -> int:
        """Active keys that become ready once they are done."""
        return len(self._again)

    def add(self, key: K, priority: int, now: float) -> None:
        """Make a key ready, or have it run again when it is active."""
        self._delays.pop(key, None)
        if key in self._active:
            self._again[key] = max(priority, self._again.get(key, priority))
            return
        present = self._ready.get(key)
        if present is None:
            self._enter(key, priority, now)
        elif priority > present:
            since = self._leave(key, present)
            self._enter(key, priority, since)

    def add_at(self, key: K, when: float, priority: int) -> bool:
        """Make a key ready at a time, or earlier if an earlier time is known; the greater priority counts.

        A key that is ready, or will be once it is done, is not delayed: it comes sooner than any time could
        ask for.

        Returns:
            Whether a delay was set or shortened.
        """
        if key in self._ready or key in self._again:
            return False
        known = self._delays.get(key)
        if known is not None:
            priority = max(priority, known[1])
            if known[0] <= when:
                self._delays[key] = (known[0], priority)
                return False
        self._delays[key] = (when, priority)
        heapq.heappush(self._heap, (when, next(self._order), key))
        if len(self._heap) > 2 * len(self._delays) + _SLACK:
            self._heap = [(at, next(self._order), k) for k, (at, _) in self._delays.items()]
            heapq.heapify(self._heap)
        return True

    def due(self, now: float) -> int:
        """Make every key ready whose time has come.

        Returns:
            How many keys became ready (active ones not counted).
        """
        before = len(self._ready)
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            known = self._delays.get(key)
            # Entries whose key was added or re-timed since are dead.
            if known is not None and known[0] == when:
                self.add(key, known[1], now)
        return len(self._ready) - before

    def next_due(self) -> float | None:
        """The earliest time at which a delayed key becomes ready."""
        while self._heap:
            when, _, key = self._heap[0]
            known = self._delays.get(key)
            if known is not None and known[0] == when:
                return when
            heapq.heappop(self._heap)
        return None

    def pop(self) -> tuple[K, float]:
        """Hand out a key: the oldest of the highest lane, in every eighth turn of the lowest.

        Returns:
            The key and the time since which it was ready.

        Raises:
            IndexError: nothing is ready.
        """
        if not self._lanes:
            raise IndexError("nothing is ready")
        self._handed_out += 1
        choose = min if self._handed_out % _FAIR == 0 else max
        priority = choose(self._lanes)
        lane = self._lanes[priority]
        key, since = lane.popitem(last=False)
        if not lane:
            del self._lanes[priority]
        del self._ready[key]
        self._active.add(key)
        return key, since

    def done(self, key: K, now: float) -> bool:
        """End a hand-out.

        Returns:
            Whether the key is ready again because it was added meanwhile.

        Raises:
            KeyError: the key is not handed out.
        """
        self._active.remove(key)
        priority = self._again.pop(key, None)
        if priority is None:
            return False
        self.add(key, priority, now)
        return True

    def oldest(self) -> float | None:
        """Since when the key that waits longest has been ready; None when none is."""
        return min((next(iter(lane.values())) for lane in self._lanes.values()), default=None)

    def _enter(self, key: K, priority: int, since: float) -> None:
        self._lanes.setdefault(priority, OrderedDict())[key] = since
        self._ready[key] = priority

    def _leave(self, key: K, priority: int) -> float:
        lane = self._lanes[priority]
        since = lane.pop(key)
        if not lane:
            del self._lanes[priority]
        return since
