"""Objects of one collection, kept as bytes.

A decoded object costs ten times its JSON and every collection of garbage looks at it; bytes cost what they
are and decode in microseconds. Each reader gets an object of its own, so nobody can change what others see.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec
import orjson
import structlog

from bind_agent.api import meta
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

Object = meta.Object
IndexFunction: TypeAlias = Callable[[Object], Iterable[str]]
"""Values under which an object is found. Must depend on nothing but the object."""
Digest: TypeAlias = Callable[[Object], bytes]

_CHURN: Final = frozenset({"resourceVersion", "managedFields", "generation"})
"""Metadata that changes with every write, whatever the write was about."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object as last seen.

    Attributes:
        key: `namespace/name`, or `name`.
        uid: identity over re-creation.
        resource_version: opaque; to be used as precondition of writes.
        generation: counts changes of the desired state; 0 where the server does not count.
        digest: of the content (see `content_digest`); equal digests mean that nothing relevant changed.
        body: JSON of the object after the transform.
    """

    key: str
    uid: str
    resource_version: str
    generation: int
    digest: bytes
    body: bytes

    def object(self) -> Object:
        """The object, decoded for the caller alone."""
        decoded: Object = orjson.loads(self.body)
        return decoded


def content_digest(obj: Object) -> bytes:
    """16 bytes over all but resourceVersion, managedFields and generation, whatever the order of keys."""
    metadata = {k: v for k, v in meta.metadata(obj).items() if k not in _CHURN}
    return digest_of({**obj, "metadata": metadata})


def digest_of(value: Any) -> bytes:
    """16 bytes over any JSON value, whatever the order of keys."""
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def make_entry(obj: Object, *, digest: Digest = content_digest) -> Entry:
    """The entry for an object that has gone through its transform."""
    # An exact copy: orjson shrinks an over-sized buffer, and what is cut off is too small to be used again,
    # so that each result would keep more than twice its length.
    body = memoryview(orjson.dumps(obj)).tobytes()
    return Entry(
        key=meta.key(obj),
        uid=meta.uid(obj),
        resource_version=meta.resource_version(obj),
        generation=meta.generation(obj),
        digest=digest(obj),
        body=body,
    )


class _Index:
    """Keys by value. A value with one key holds the key itself: a set costs 216 bytes, most are single."""

    __slots__ = ("_by_value", "fn", "name")

    def __init__(self, name: str, fn: IndexFunction) -> None:
        self.name = name
        self.fn = fn
        self._by_value: dict[str, str | set[str]] = {}

    def values(self, entry: Entry) -> frozenset[str]:
        try:
            return frozenset(self.fn(entry.object()))
        except Exception as error:
            log.warning("index function failed", index=self.name, key=entry.key, error=describe(error))
            return frozenset()

    def add(self, value: str, key: str) -> None:
        held = self._by_value.setdefault(value, key)
        if isinstance(held, set):
            held.add(key)
        elif held != key:
            self._by_value[value] = {held, key}

    def remove(self, value: str, key: str) -> None:
        held = self._by_value.get(value)
        if isinstance(held, set):
            held.discard(key)
            if len(held) == 1:
                self._by_value[value] = held.pop()
        elif held == key:
            del self._by_value[value]

    def get(self, value: str) -> frozenset[str]:
        held = self._by_value.get(value)
        if held is None:
            return frozenset()
        return frozenset(held) if isinstance(held, set) else frozenset((held,))


class Store:
    """Entries by key, and keys by index. Written by its informer only; reading never waits.

    Attributes:
        changes: how often content has changed; who works something out of all entries keeps it until then.
    """

    def __init__(self) -> None:
        """Start empty and without indexes."""
        self._entries: dict[str, Entry] = {}
        self._indexes: dict[str, _Index] = {}
        self._bytes = 0
        self.changes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @property
    def bytes(self) -> int:
        """Length of all bodies together."""
        return self._bytes

    def get(self, key: str) -> Entry | None:
        """The entry of a key, None when no such object is known."""
        return self._entries.get(key)

    def keys(self) -> Collection[str]:
        """A live view of the keys; copy it before doing anything that awaits."""
        return self._entries.keys()

    def entries(self) -> Iterator[Entry]:
        """All entries at this moment, in no promised order; safe against changes while iterating."""
        return iter(list(self._entries.values()))

    def by_index(self, index: str, value: str) -> frozenset[str]:
        """Keys of the objects for which the index function gave the value.

        Raises:
            KeyError: no such index.
        """
        return self._indexes[index].get(value)

    def add_index(self, name: str, fn: IndexFunction) -> None:
        """Have objects found by something else than their key, those that are present included.

        Raises:
            ValueError: the name belongs to another function.
        """
        known = self._indexes.get(name)
        if known is not None:
            if known.fn is not fn:
                raise ValueError(f"index {name!r} exists with another function")
            return
        index = _Index(name, fn)
        for entry in self._entries.values():
            for value in index.values(entry):
                index.add(value, entry.key)
        self._indexes[name] = index

    def put(self, entry: Entry) -> Entry | None:
        """Keep an entry. For the informer.

        Returns:
            The one that it replaces.
        """
        old = self._entries.get(entry.key)
        self._entries[entry.key] = entry
        self._bytes += len(entry.body) - (len(old.body) if old is not None else 0)
        # Equal content is found under equal values: a status heartbeat of no relevance costs the indexes
        # nothing.
        if old is None or old.digest != entry.digest:
            self.changes += 1
            self._reindex(entry.key, old, entry)
        return old

    def remove(self, key: str) -> Entry | None:
        """Drop an entry. For the informer.

        Returns:
            The one that was dropped.
        """
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= len(old.body)
            self.changes += 1
            self._reindex(key, old, None)
        return old

    def clear(self) -> None:
        """Drop all entries; the indexes stay, empty. For the informer."""
        self._entries.clear()
        self._bytes = 0
        self.changes += 1
        for name, index in self._indexes.items():
            self._indexes[name] = _Index(name, index.fn)

    def _reindex(self, key: str, old: Entry | None, new: Entry | None) -> None:
        for index in self._indexes.values():
            # The old values are computed again instead of being kept: 3 us against 150 bytes per object and
            # index.
            before = index.values(old) if old is not None else frozenset()
            after = index.values(new) if new is not None else frozenset()
            for value in before - after:
                index.remove(value, key)
            for value in after - before:
                index.add(value, key)
