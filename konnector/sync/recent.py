"""Own writes that the watch has not shown yet.

After a write the answer is newer than the store until the watch catches up. Planning on the store alone would
repeat the write; ``RecentWrites`` keeps the answer for just that long, so a write is never sent twice and the event
that it causes needs no work.

What is kept ends without an event as well: an object that was made and went again while nothing was watched is not in
the next list, and nothing is told of it. So an answer counts only until the store has come as far, and a list that is
complete says which keys are to be looked at again.

How long that is, and how much an answer holds, is up to the server, which may be anybody's. What is kept is bytes, and
has a bound: an answer beyond it is forgotten, which costs a write or two that change nothing.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from bind_agent.api import meta
from bind_agent.api.meta import Object
from bind_agent.runtime.store import Entry

MAX_BYTES: Final = 8 * 1024 * 1024
"""Some thousand answers of usual size; as a rule there are as many as writes under way."""


class _Answer(NamedTuple):
    version: int
    uid: str
    body: bytes


class RecentWrites:
    """Answers to own writes on one side, by object key, and objects that a server said are gone."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}
        self._bytes = 0
        self._gone: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._answers) + len(self._gone)

    def remember(self, key: str, answer: Mapping[str, Any], seen: Entry | None, progress: str) -> None:
        """Keep an answer unless the store already shows it or something newer.

        Args:
            key: the object's key on its side.
            answer: the object as the server returned it.
            seen: the store's entry of now.
            progress: the newest resource version that the informer has seen.
        """
        written = version_number(meta.resource_version(answer))
        if version_number(progress) >= written or (
            seen is not None and version_number(seen.resource_version) >= written
        ):
            self._drop(key)
            return
        self._drop(key)
        try:
            body = orjson.dumps(answer)
        except orjson.JSONEncodeError:
            return  # nested deeper than can be kept, in a store as well
        if self._bytes + len(body) <= MAX_BYTES:
            self._answers[key] = _Answer(written, meta.uid(answer), body)
            self._bytes += len(body)

    def gone(self, key: str, uid: str, seen: Entry | None) -> None:
        """Note that the server has no object of that UID any more, although the store may still show it."""
        self._drop(key)
        if seen is not None and seen.uid == uid:
            self._gone[key] = uid

    def read(self, key: str, seen: Entry | None, progress: str) -> Object | None:
        """The newest known object: the answer while it is ahead of the store, else the store's entry.

        Args:
            key: the object's key on its side.
            seen: the store's entry of now.
            progress: the newest resource version that the informer has seen: what it has passed and not shown has
                gone again.
        """
        answer = self._answers.get(key)
        if answer is not None:
            shown = version_number(seen.resource_version) if seen is not None else 0
            if max(shown, version_number(progress)) < answer.version:
                newest: Object = orjson.loads(answer.body)
                return newest
            self._drop(key)
        if seen is None or self._gone.get(key) == seen.uid:
            return None
        return seen.object()

    def changed(self, key: str, resource_version: str) -> bool:
        """Note an added or modified object; False when it only shows an own write: nothing needs to be done."""
        self._gone.pop(key, None)
        answer = self._answers.get(key)
        if answer is None:
            return True
        shown = version_number(resource_version)
        if shown >= answer.version:
            self._drop(key)
        return shown != answer.version

    def deleted(self, key: str, uid: str) -> None:
        """Note a deleted object."""
        if self._gone.get(key) == uid:
            del self._gone[key]
        answer = self._answers.get(key)
        if answer is not None and answer.uid == uid:
            self._drop(key)

    def listed(self, namespace: str | None) -> list[str]:
        """Note a complete list, of one namespace or of all.

        What it shows exists, also where a server had said that it is gone. Was the list older than that answer, then
        the event is still to come, and until then a write is refused because of its UID.

        Returns:
            The keys of which no event may ever tell: look at them again.
        """
        prefix = f"{namespace}/" if namespace else ""
        gone = [key for key in self._gone if key.startswith(prefix)]
        for key in gone:
            del self._gone[key]
        return gone + [key for key in self._answers if key.startswith(prefix)]

    def forget(self, key: str) -> None:
        """Drop what is kept for a key: the store is to be believed again."""
        self._drop(key)
        self._gone.pop(key, None)

    def _drop(self, key: str) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._bytes -= len(answer.body)


def version_number(resource_version: str) -> int:
    """Resource versions of one resource of one cluster grow; what is not a number counts as oldest."""
    return int(resource_version) if resource_version.isdecimal() else 0
