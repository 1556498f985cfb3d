"""How much of a cluster that is not trusted the informers of one pool may keep in memory together.

A process serves several clusters. One of them that sends objects without end, by malice or by a defect, must not
take the memory of all. What an entry costs is counted when it comes and when it goes, never added up anew. Who would
exceed the budget is refused: an informer that has no complete list yet gives up the half that it has, one that has
one keeps what it knows (see `Informer`).
"""

import asyncio
from typing import Final

from bind_agent.kube.errors import KubeError

OVERHEAD: Final = 1024
"""Bytes that an object costs beside its body. Measured: 350 for entry, key and table, 60 to 280 for each index; the
rest is for what its handlers remember of it, and for what the allocator cannot use."""
LARGEST: Final = 4 * 1024 * 1024
"""Bytes of one object as it is sent. API servers take requests of 3 MiB, and their etcd 1.5 MiB; decoding can take
more than twenty times the length of what was made for that."""
PAGE: Final = 2 * LARGEST
"""Bytes of one page of a list; of larger objects fewer are asked for at a time."""
LISTS: Final = 4
"""So many lists are read page by page at the same time: a page is in memory twice until it is taken in."""
RESERVE: Final = 8
"""First lists leave an eighth free: while one tries in vain, collections that are known already go on."""
HALVES: Final = 8
"""What has come of events that are not complete may take an eighth of the budget in addition: a budget that is used up
ends no watch of a collection that has its place."""
ENDLESS: Final = 16
"""A list that brings so many times the budget does not end. What is kept is without managedFields, hence shorter."""


class OverBudget(KubeError):  # noqa: N818 - named by meaning, as its siblings
    """A collection is not followed (any further), because it would take more memory than it may."""


class Budget:
    """Bytes that the informers of one pool may keep.

    Attributes:
        limit: the bytes.
        remedy: what to do when they do not suffice, for messages.
        used: what is taken now.
        halves: what events take that have not come in full.
        turns: for lists that are read page by page.
    """

    def __init__(self, limit: int, *, remedy: str = "raise the budget") -> None:
        """Nothing is taken yet."""
        self.limit = limit
        self.remedy = remedy
        self.used = 0
        self.halves = 0
        self.turns = asyncio.Semaphore(LISTS)

    def share(self, what: str) -> "Share":
        """What one informer takes.

        Args:
            what: the collection, for messages.
        """
        return Share(self, what)


class Share:
    """What one informer has taken of a budget."""

    __slots__ = ("_budget", "_ceiling", "_half", "_held", "_listed", "_what")

    def __init__(self, budget: Budget, what: str) -> None:
        """See `Budget.share`."""
        self._budget = budget
        self._ceiling = budget.limit - budget.limit // RESERVE
        self._what = what
        self._held = 0
        self._half = 0
        self._listed = 0

    @property
    def turns(self) -> asyncio.Semaphore:
        """See `Budget`."""
        return self._budget.turns

    def take(self, size: int) -> bool:
        """Take so many bytes, or give them back if negative; False when they would be too many: nothing is taken."""
        budget = self._budget
        if size > 0 and budget.used + size > self._ceiling:
            return False
        budget.used += size
        self._held += size
        return True

    def hold_half(self, size: int) -> None:
        """So many bytes have come of an event that is not complete yet; 0 when there is none.

        Raises:
            OverBudget: they are too many, with those of others.
        """
        budget = self._budget
        budget.halves += size - self._half
        self._half = size
        if size and budget.halves > budget.limit // HALVES:
            raise self.exceeded()

    def begin(self) -> None:
        """A list begins."""
        self._listed = 0

    def settle(self) -> None:
        """A first list is complete."""
        self._ceiling = self._budget.limit

    def listed(self, size: int) -> bool:
        """Count what a list brings; False once that is more than any list may."""
        self._listed += size
        return self._listed <= ENDLESS * self._budget.limit

    def close(self) -> None:
        """Give everything back; nothing can be taken any more."""
        self._ceiling = 0
        self.take(-self._held)

    def exceeded(self) -> OverBudget:
        """What to say when there is no room."""
        return OverBudget(
            f"{self._what} is not taken in: all that is kept of one cluster may take {_text(self._budget.limit)} of "
            f"memory. Nothing new of it is seen until there are fewer or smaller objects; or {self._budget.remedy}"
        )

    def too_large(self) -> OverBudget:
        """What to say about one object that is beyond any size."""
        return OverBudget(
            f"{self._what} is not taken in as a whole: it has an object of more than {_text(LARGEST)}, which no API "
            "server stores by default. Nothing new of it is seen until that object is gone"
        )

    def endless(self) -> OverBudget:
        """What to say about a list that is beyond any size."""
        return OverBudget(f"{self._what} is not taken in: its list does not end; or {self._budget.remedy}")


def _text(size: int) -> str:
    mebibytes, rest = divmod(size, 1024 * 1024)
    return f"{size} bytes" if rest else f"{mebibytes} MiB"
