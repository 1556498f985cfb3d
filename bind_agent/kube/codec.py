"""Bytes to objects and back, without decoding more than is needed.

Whole objects go through orjson.  Watch events and list pages are opened only as far as the envelope and the
few metadata fields that bookkeeping needs (msgspec); the object itself stays the exact bytes that came.
Those bytes are *copies*: a view would keep the whole page or network buffer alive for one cached object.
"""

from typing import Any, Final

import msgspec
import orjson

from bind_agent.kube.errors import AnswerTooLarge, MalformedAnswer

Object = dict[str, Any]

# An event is one line.  Objects end near 1.5 MiB in etcd's default set-up, managed fields included.
MAX_LINE: Final = 16 * 1024 * 1024


class ObjectMeta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What bookkeeping needs of an object's metadata; everything else stays undecoded.

    Attributes:
        name: never empty, never with a slash.
        namespace: empty for cluster-scoped objects; never with a slash.
        uid: identity over re-creation.
        resource_version: opaque; equal means unchanged.
        generation: 0 where the kind has none.
        deletion_timestamp: as sent; empty while the object is not being deleted.
    """

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` for a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class _Item(msgspec.Struct, frozen=True, gc=False):
    metadata: ObjectMeta


class _ListMeta(msgspec.Struct, frozen=True, gc=False):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, frozen=True, gc=False):
    # A list of nothing is `[]` or, from servers that marshal an empty Go slice, `null`.
    metadata: _ListMeta = _ListMeta()
    items: list[msgspec.Raw] | None = None


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    type: str
    object: msgspec.Raw


class _BookmarkMeta(msgspec.Struct, frozen=True, gc=False):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    annotations: dict[str, str] | None = None


class _Bookmark(msgspec.Struct, frozen=True, gc=False):
    metadata: _BookmarkMeta


_item = msgspec.json.Decoder(_Item)
_page = msgspec.json.Decoder(_Page)
_envelope = msgspec.json.Decoder(_Envelope)
_bookmark = msgspec.json.Decoder(_Bookmark)


# Undecoded parts may be nested deeper than the decoder goes, and text may be no UTF-8.
_UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode(value: Any) -> bytes:
    """JSON of a request body.

    Raises:
        TypeError: the value holds something that JSON has no form for.
    """
    return orjson.dumps(value)


def decode(body: bytes) -> Object:
    """One JSON object.

    Raises:
        MalformedAnswer: not JSON, or not an object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The exception text of the decoder would quote the document, so only the position is told.
        raise MalformedAnswer(f"the answer is not JSON (position {error.pos} of {len(body)} bytes)") from None
    if not isinstance(value, dict):
        raise MalformedAnswer(f"the answer is a JSON {type(value).__name__}, not an object")
    return value


def decode_object(body: bytes) -> Object:
    """One API object.

    Raises:
        MalformedAnswer: not a JSON object, or one without metadata.
    """
    obj = decode(body)
    if not isinstance(obj.get("metadata"), dict):
        raise MalformedAnswer("the answer is no object: it has no metadata")
    return obj


def decode_meta(raw: bytes | msgspec.Raw) -> ObjectMeta:
    """The bookkeeping fields of one object.

    Args:
        raw: JSON of a whole object.

    Returns:
        Its metadata; name and namespace are safe to form a key from.

    Raises:
        MalformedAnswer: no metadata, a field of a wrong type, or a name that is empty or holds a slash.
    """
    try:
        meta = _item.decode(raw).metadata
    except _UNDECODABLE as error:
        raise MalformedAnswer(f"an object without usable metadata: {_safe(error)}") from None
    if not meta.name or "/" in meta.name or "/" in meta.namespace:
        raise MalformedAnswer("an object whose name is empty or holds a slash")
    return meta


def decode_page(body: bytes, api_version: str, kind: str) -> tuple[list[bytes], str, str]:
    """One page of a list.

    Args:
        body: the answer.
        api_version: put into items that lack it: API servers leave both out of the items of built-in kinds.
        kind: likewise; empty to leave the items as they are.

    Returns:
        Exact bytes of each item, the list's resourceVersion, and the continue token (empty at the end).

    Raises:
        MalformedAnswer: not a list.
    """
    try:
        page = _page.decode(body)
    except _UNDECODABLE as error:
        raise MalformedAnswer(f"the answer is not a list: {_safe(error)}") from None
    if page.items is None and not page.metadata.resource_version:
        raise MalformedAnswer("the answer is not a list: neither items nor a resourceVersion")
    head = b'{"apiVersion":"%s","kind":"%s",' % (api_version.encode(), kind.encode())
    items = []
    for view in page.items or ():
        raw = bytes(view)
        # Custom resources carry both already; built-in kinds start with their metadata.
        items.append(head + raw[1:] if kind and raw.startswith(b'{"metadata"') else raw)
    return items, page.metadata.resource_version, page.metadata.continue_


def decode_envelope(line: bytes) -> tuple[str, msgspec.Raw]:
    """Type and undecoded object of one watch line (a view into the line).

    Raises:
        MalformedAnswer: not a watch event.
    """
    try:
        envelope = _envelope.decode(line)
    except _UNDECODABLE as error:
        raise MalformedAnswer(f"a line that is not a watch event: {_safe(error)}") from None
    return envelope.type, envelope.object


def decode_bookmark(raw: msgspec.Raw) -> tuple[str, bool]:
    """ResourceVersion of a bookmark, and whether it ends the initial events of a streaming list.

    Raises:
        MalformedAnswer: no metadata in it.
    """
    try:
        meta = _bookmark.decode(raw).metadata
    except _UNDECODABLE as error:
        raise MalformedAnswer(f"a bookmark without usable metadata: {_safe(error)}") from None
    return meta.resource_version, (meta.annotations or {}).get("k8s.io/initial-events-end") == "true"


def _safe(error: Exception) -> str:
    # msgspec names types and paths, never values; the messages of others may quote.
    return str(error)[:120] if isinstance(error, msgspec.MsgspecError) else type(error).__name__


class LineSplitter:
    """Complete lines out of chunks of a byte stream, in linear time whatever the size of lines and chunks.

    Args:
        limit: most bytes that one line may have.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._tail: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next chunk.

        Args:
            chunk: any number of bytes.

        Returns:
            The lines it completes, without their line ends; blank lines are dropped.

        Raises:
            AnswerTooLarge: a line exceeds the limit.
        """
        first, *rest = chunk.split(b"\n")
        self._tail.append(first)
        self._held += len(first)
        if self._held > self._limit:
            self._refuse()
        if not rest:
            return []
        lines = [b"".join(self._tail), *rest[:-1]]
        self._tail = [rest[-1]]
        self._held = len(rest[-1])
        return [line for line in lines if line and not line.isspace()]

    @property
    def held(self) -> int:
        """Bytes of a line that has not ended yet."""
        return self._held

    @property
    def inside_line(self) -> bool:
        """Whether a stream that ended now was cut off inside a line."""
        return any(not part.isspace() for part in self._tail if part)

    def _refuse(self) -> None:
        self._tail, held = [], self._held
        self._held = 0
        raise AnswerTooLarge(f"a watch event of more than {held} bytes; at most {self._limit} are read")
