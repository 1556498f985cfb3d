"""The work queue of a controller: which key is looked at next.

The rules are those of `keyqueue`; this is the shell with clock, waiting, back-off per key and metrics.
"""

import asyncio
import collections
import contextlib
import random
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from bind_agent.aio.backoff import Policy
from bind_agent.runtime.keyqueue import KeyQueue

K = TypeVar("K", bound=Hashable)

LOW: Final = -100
"""Priority of keys that nobody waits for: the first list, a replay, a periodic check."""
NORMAL: Final = 0
"""Priority of a change that somebody made."""
HIGH: Final = 100
"""Priority of what others wait for (a namespace before its objects)."""

RETRIES: Final = Policy(first=0.005, cap=60.0)
"""Back-off per key: 5 ms, doubled with each failure up to a minute, half of it random."""


class QueueClosed(Exception):  # noqa: N818 - the end of a stream of keys, like StopAsyncIteration
    """Nothing will be handed out any more."""


class WorkQueue(Generic[K]):
    """Keys to be worked on; each once, none by two workers at once.

    `add`, `add_after`, `retry` and `forget` are cheap and never wait, so event handlers may call them. All
    of it belongs to one event loop.
    """

    def __init__(
        self,
        *,
        retries: Policy = RETRIES,
        draw: Callable[[], float] = random.random,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        """Start empty.

        Args:
            retries: the back-off per key.
            draw: random numbers from [0, 1).
            on_wait: told, for each key handed out, the seconds it was ready.
        """
        self._keys: KeyQueue[K] = KeyQueue()
        self._retries = retries
        self._draw = draw
        self._on_wait = on_wait
        self._failures: dict[K, int] = {}
        self._getters: collections.deque[asyncio.Future[None]] = collections.deque()
        self._idle: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # --- putting in -------------------------------------------------------------------------------

    def add(self, key: K, *, priority: int = NORMAL) -> None:
        """Have a key worked on as soon as a worker is free. After `close` nothing is taken."""
        if self._closed:
            return
        self._keys.add(key, priority, _now())
        self._wake()

    def add_after(self, key: K, delay: float, *, priority: int = NORMAL) -> None:
        """Have a key worked on after some seconds; with several delays the shortest counts."""
        if delay <= 0:
            self.add(key, priority=priority)
        elif not self._closed and self._keys.add_at(key, _now() + delay, priority):
            self._arm()

    def retry(self, key: K, *, at_least: float = 0.0) -> float:
        """Count a failure of a key and have it worked on again after its back-off.

        Args:
            key: what failed.
            at_least: seconds that the other side asked to wait.

        Returns:
            Seconds until then.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(self._retries.delay(failures, self._draw()), at_least)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """A success: the next failure of the key starts with the first wait again. Delays stay."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Failures of a key since its last success."""
        return self._failures.get(key, 0)

    # --- taking out -------------------------------------------------------------------------------

    async def get(self) -> K:
        """The next key; it is not handed out again before `done`.

        Raises:
            QueueClosed: the queue was closed. Keys that were ready then are not handed out: whoever closes
                a queue wants work to end, and nothing is lost, since the next start looks at everything.
        """
        while True:
            if self._closed:
                raise QueueClosed
            if self._keys:
                key, since = self._keys.pop()
                if self._on_wait is not None:
                    self._on_wait(_now() - since)
                return key
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    # It was this worker's turn; another one takes it.
                    self._wake()
                else:
                    # It may be out of the line already: whoever woke workers meanwhile passed it over.
                    with contextlib.suppress(ValueError):
                        self._getters.remove(getter)
                raise

    def done(self, key: K) -> None:
        """The work on a key has ended.

        Raises:
            KeyError: the key is not handed out.
        """
        if self._keys.done(key, _now()):
            self._wake()
        self._check_idle()

    # --- looking ----------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Keys that are ready or will be as soon as their present work is done."""
        return len(self._keys) + self._keys.again

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return self._keys.delayed

    @property
    def active(self) -> int:
        """Keys that are being worked on."""
        return self._keys.active

    @property
    def age(self) -> float:
        """Seconds that the key which waits longest has been ready; 0 when none is."""
        oldest = self._keys.oldest()
        return 0.0 if oldest is None else _now() - oldest

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def drained(self) -> None:
        """Wait until no key is ready or being worked on. Keys that wait for their time do not count."""
        while self._busy():
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle

    def close(self) -> None:
        """Hand out nothing any more; keys being worked on can still be `done`. Closing twice is fine."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
        self._check_idle()

    # --- inside -----------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Have one waiting worker look; as many are woken as keys became ready, one call each."""
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        when = self._keys.next_due()
        if self._timer is not None:
            if when is not None and self._timer.when() <= when:
                return  # Too early is harmless, and cheaper than a new timer for each change.
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._timer = asyncio.get_running_loop().call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # Timers may fire early by the resolution of the clock; the loop itself rounds the same way.
        now = _now()
        for _ in range(self._keys.due(now)):
            self._wake()
        self._arm()

    def _busy(self) -> bool:
        # What is ready in a closed queue stays there.
        return self._keys.active > 0 or (len(self._keys) > 0 and not self._closed)

    def _check_idle(self) -> None:
        if self._idle and not self._busy():
            waiting, self._idle = self._idle, []
            for idle in waiting:
                if not idle.done():
                    idle.set_result(None)


def _now() -> float:
    return asyncio.get_running_loop().time()
