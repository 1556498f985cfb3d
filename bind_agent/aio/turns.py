"""Taking turns: what costs much begins one at a time, so that pages are not kept waiting behind a crowd.

The event loop runs whatever is ready in one go. Two hundred logins that arrive together, or twenty reconciles whose
objects changed in one event, would be one such go, and whoever only looks at a page would wait for all of them.
"""

import asyncio


class Turns:
    """Lets in one after the other, each in a round of the event loop of its own."""

    def __init__(self) -> None:
        """Set up; nobody waits."""
        self._lock = asyncio.Lock()

    async def wait(self) -> None:
        """Return when it is one's turn; first come, first served."""
        async with self._lock:
            # Everything else that is ready comes in between.
            await asyncio.sleep(0)
