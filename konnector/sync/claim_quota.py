"""How much of the app cluster's storage the claimed objects of one provider may take.

A provider that makes Secrets without end would fill the etcd of a cluster that is not its own. Beyond the bound no
further copy is made and none grows; those that are there are kept up to date and taken back as ever. Pure.
"""

from collections.abc import Callable, Hashable

from konnector.limit_options import BYTES_FLAG, COPIES_FLAG, Limits, size_text


class Quota:
    """The copies on the app cluster of one provider's claimed objects, of all kinds."""

    def __init__(self, limits: Limits) -> None:
        """Nothing is copied yet."""
        self._limits = limits
        self._sizes: dict[Hashable, int] = {}
        self._bytes = 0
        self._waiting: dict[Hashable, Callable[[], None]] = {}

    @property
    def copies(self) -> int:
        """How many there are."""
        return len(self._sizes)

    @property
    def bytes(self) -> int:
        """What they take."""
        return self._bytes

    def hold(self, key: Hashable, size: int) -> None:
        """A copy is there, and takes so many bytes."""
        self._bytes += size - self._sizes.get(key, 0)
        self._sizes[key] = size

    def release(self, key: Hashable) -> None:
        """There is no (such) copy any more; the one that has waited longest is looked at again."""
        size = self._sizes.pop(key, None)
        if size is not None:
            self._bytes -= size
            self._wake()

    def refusal(self, key: Hashable, size: int) -> str:
        """Why a copy may not be made or grow to so many bytes; empty when it may."""
        held = self._sizes.get(key)
        if held is None and len(self._sizes) >= self._limits.claimed_copies:
            return _refusal(f"{self._limits.claimed_copies} claimed objects", COPIES_FLAG)
        if size > (held or 0) and self._bytes + size - (held or 0) > self._limits.claimed_bytes:
            return _refusal(f"{size_text(self._limits.claimed_bytes)} of claimed objects", BYTES_FLAG)
        return ""

    def wait(self, key: Hashable, wake: Callable[[], None]) -> None:
        """Have a refused object looked at again when there is room.

        Args:
            key: the object.
            wake: called once.
        """
        self._waiting.pop(key, None)
        self._waiting[key] = wake

    def settled(self, key: Hashable) -> None:
        """An object does not wait (any more); where there is room the next one is looked at."""
        self._waiting.pop(key, None)
        if len(self._sizes) < self._limits.claimed_copies and self._bytes < self._limits.claimed_bytes:
            self._wake()

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.pop(next(iter(self._waiting)))()


def _refusal(bound: str, flag: str) -> str:
    return (
        f"the provider has as much on the app cluster as it may, {bound}; no further one is copied, and none that "
        "would grow, while those that are there are kept up to date. Have the provider remove what nobody needs, "
        f"narrow the claim, or raise {flag} of the konnector"
    )
