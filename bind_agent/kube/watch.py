"""One watch connection: a stream of typed events, with every way in which it can end told apart.

* The server closes in order (its `timeoutSeconds` ran out, or it restarts): the iteration ends.
* An ERROR event: the typed error of its Status; `Gone` when the history was compacted.
* The connection breaks, stays silent too long, or ends inside an event: `ConnectionFailed`.
* Something that is no event: `MalformedAnswer`.

Resuming is the caller's part (`bind_agent.runtime.informer`): it alone knows which event was the last one
processed.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import aiohttp
import msgspec

from bind_agent.api.resource import Resource
from bind_agent.kube import paths
from bind_agent.kube.answers import CONNECTION_ERRORS, connection_error
from bind_agent.kube.asked import Asked
from bind_agent.kube.codec import (
    LineSplitter,
    Object,
    ObjectMeta,
    decode,
    decode_bookmark,
    decode_envelope,
    decode_meta,
)
from bind_agent.kube.errors import ConnectionFailed, MalformedAnswer, clean, error_from_status
from bind_agent.kube.transport import Transport

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
_CHANGES: Final = frozenset(get_args(EventType)) - {"BOOKMARK"}

# API servers end a watch after 5 to 10 minutes by themselves; asking for a spread of our own keeps the
# watches of one agent from coming back all at once.
_SHORTEST, _LONGEST = 290, 590
# The server ends the watch; only when that does not happen, the connection counts as dead.
_GRACE: Final = 30.0


class WatchEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a watch.

    Attributes:
        type: what happened; DELETED carries the last state.
        raw: exact bytes of the object (a copy); empty for a bookmark.
        meta: name, namespace, uid, resource version … of the object; of a bookmark only the resource version.
        initial_events_end: this bookmark ends the initial events of a streaming list.
    """

    type: EventType
    raw: bytes
    meta: ObjectMeta
    initial_events_end: bool = False

    @property
    def name(self) -> str:
        """Name of the object, empty for a bookmark."""
        return self.meta.name

    @property
    def namespace(self) -> str:
        """Namespace of the object, empty for bookmarks and cluster-scoped objects."""
        return self.meta.namespace

    @property
    def uid(self) -> str:
        """UID of the object, empty for a bookmark."""
        return self.meta.uid

    @property
    def resource_version(self) -> str:
        """Where to resume once this event is processed."""
        return self.meta.resource_version

    @property
    def generation(self) -> int:
        """Generation of the object, 0 where its kind has none."""
        return self.meta.generation

    @property
    def key(self) -> str:
        """`namespace/name` or `name`, empty for a bookmark."""
        return self.meta.key

    def object(self) -> Object:
        """The decoded object, a fresh one each time.

        Raises:
            MalformedAnswer: the object is no JSON object (or this is a bookmark).
        """
        return decode(self.raw)


class Watch:
    """An asynchronous iterator over the events of one connection, opened with the first event asked for.

    It closes itself when it ends or fails; whoever leaves it early should `aclose()` it or use it as a
    context manager.

    Attributes:
        received: events and bookmarks so far.  A watch that ends within about two seconds with none, twice in
            a row, is how some servers say that the resourceVersion is too old: list again.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        *,
        inactivity: float,
        sensitive: bool,
        on_half: Callable[[int], None] | None = None,
        asked: Asked | None = None,
    ) -> None:
        self.received = 0
        self._transport = transport
        self._path = path
        self._inactivity = inactivity
        self._sensitive = sensitive
        self._on_half = on_half
        self._asked = asked
        self._response: aiohttp.ClientResponse | None = None
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque()
        self._ended = False

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> WatchEvent:
        try:
            while not self._lines:
                if not await self._more():
                    raise StopAsyncIteration  # noqa: TRY301 - ends the iteration through the same clean-up
            event = self._event(self._lines.popleft())
        except BaseException:
            await self.aclose()
            raise
        self.received += 1
        return event

    async def __aenter__(self) -> "Watch":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop the connection."""
        self._close()

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        self._ended = True
        self._lines.clear()
        self._splitter = LineSplitter()
        on_half, self._on_half = self._on_half, None
        if on_half is not None:
            on_half(0)
        response, self._response = self._response, None
        if response is not None:
            response.close()

    async def _more(self) -> bool:
        """Read the next chunk; False at an orderly end."""
        if self._ended:
            return False
        if self._response is None:
            self._response = await self._transport.open_stream(
                self._path, inactivity=self._inactivity, sensitive=self._sensitive, asked=self._asked
            )
        try:
            chunk = await self._response.content.readany()
        except CONNECTION_ERRORS as error:
            raise connection_error(error) from error
        if chunk:
            self._lines.extend(self._splitter.feed(chunk))
            if self._on_half is not None:
                self._on_half(self._splitter.held)
            return True
        if self._splitter.inside_line:
            raise ConnectionFailed("the watch ended inside an event", broken=True)
        return False

    def _event(self, line: bytes) -> WatchEvent:
        kind, view = decode_envelope(line)
        if kind in _CHANGES:
            raw = bytes(view)
            return WatchEvent(kind, raw, decode_meta(raw))  # type: ignore[arg-type]
        if kind == "BOOKMARK":
            version, initial_end = decode_bookmark(view)
            return WatchEvent("BOOKMARK", b"", ObjectMeta(resource_version=version), initial_end)
        if kind == "ERROR":
            raise error_from_status(decode(bytes(view)), sensitive=self._sensitive, asked=self._asked)
        raise MalformedAnswer(f"a watch event of the unknown type {clean(kind, 32)!r}")


def open_watch(
    transport: Transport,
    resource: Resource,
    *,
    namespace: str | None,
    resource_version: str,
    label_selector: str,
    field_selector: str,
    initial_events: bool,
    inactivity: float | None,
    on_half: Callable[[int], None] | None = None,
) -> Watch:
    """Prepare a watch; see `Client.watch`."""
    seconds = random.randint(_SHORTEST, _LONGEST)  # noqa: S311 - spreads load, guards nothing
    parameters: dict[str, Any] = {
        "watch": True,
        "allowWatchBookmarks": True,
        "timeoutSeconds": seconds,
        "resourceVersion": resource_version,
        "labelSelector": label_selector,
        "fieldSelector": field_selector,
    }
    if initial_events:
        parameters |= {"sendInitialEvents": True, "resourceVersionMatch": "NotOlderThan"}
    return Watch(
        transport,
        paths.collection(resource, namespace) + paths.query(**parameters),
        inactivity=inactivity if inactivity is not None else seconds + _GRACE,
        sensitive=paths.is_secret(resource),
        on_half=on_half,
        asked=Asked("watch", resource, namespace or ""),
    )
