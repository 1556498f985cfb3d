"""Waiting for the echo of one's own write.

After a write the informer still shows the old object for a moment. Deciding on it again would repeat the
write, and the server would refuse it as a conflict. The event of the write brings the key back, so there is
nothing to do before.
"""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import meta


class Echo:
    """Remembers which objects were written and not yet seen."""

    def __init__(self) -> None:
        """Nothing was written."""
        self._replaced: dict[str, set[tuple[str, str]]] = {}

    def written(self, key: str, old: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
        """An object was written; a write that changed nothing has no echo."""
        if meta.resource_version(old) != meta.resource_version(stored):
            self._replaced.setdefault(key, set()).add(_state(old))

    def pending(self, key: str, seen: Mapping[str, Any] | None) -> bool:
        """Whether the object as seen is one that was replaced."""
        if key not in self._replaced:
            return False
        if seen is not None and _state(seen) in self._replaced[key]:
            return True
        del self._replaced[key]
        return False


def _state(obj: Mapping[str, Any]) -> tuple[str, str]:
    return meta.uid(obj), meta.resource_version(obj)
