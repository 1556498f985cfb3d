"""Informers: a store that follows one collection, and handlers that are told what changed.

An informer lists once and watches for ever (`reflector`). After a list that was made because the history
had expired, the difference to the store is told as if it had been watched: ADDED, MODIFIED and DELETED
events. A handler therefore cannot tell a deletion that was seen from one that was inferred; who deletes
because of it confirms by a GET (design section 4.3).

Of a cluster that is not trusted only so much is kept as a budget allows (`budget`). Beyond it a first list is given
up as a whole: no handler and no `has_synced` ever stands for half of one. A collection that is known already stays as
it is known: what is new is refused, what has changed stays as it was, and nothing is inferred to be gone but what a
list that came to its end has shown to be gone. It is stale then, as one is whose server cannot be reached, and
`last_error` says so; it is listed again after a while.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeAlias

import orjson
import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api import meta
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.codec import decode_meta
from bind_agent.kube.errors import KubeError, MalformedAnswer
from bind_agent.kube.watch import WatchEvent
from bind_agent.runtime.budget import LARGEST, OVERHEAD, Budget, OverBudget, Share
from bind_agent.runtime.faults import describe
from bind_agent.runtime.meters import Meters
from bind_agent.runtime.queue import LOW, NORMAL
from bind_agent.runtime.reflector import Reflector
from bind_agent.runtime.store import Digest, Entry, IndexFunction, Store, content_digest, make_entry
from bind_agent.runtime.transform import Transform, strip, strip_last_applied

__all__ = ["Event", "Handler", "Informer"]

log = structlog.get_logger(__name__)


class Event(StrEnum):
    """What happened to an object, in the words of the API."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


Handler: TypeAlias = Callable[[Event, Entry | None, Entry | None], None]
"""Called with (event, old, new): old is None for ADDED, new is None for DELETED. It must be quick and must
not wait: it enqueues keys, usually with `priority=informer.priority`. `old.digest == new.digest` tells a
change of no relevance. An object that was deleted and created again unseen comes as DELETED, then ADDED."""


class Informer:
    """A store that follows one collection.

    Attributes:
        store: what is known; empty until the first list has begun to arrive, complete once `has_synced`.
        resource: the kind.
        client: of the cluster.
        namespace: the namespace followed; None for all.
        initial: true while handlers are called for objects that were there before: the first list, and
            replays for handlers added later. Nobody waits for these.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform | None = None,
        keep_managed_fields: bool = False,
        indexes: Mapping[str, IndexFunction] | None = None,
        digest: Digest = content_digest,
        page_size: int = 500,
        streaming: bool = True,
        cluster: str = "cluster",
        budget: Budget | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        """Set up; nothing is asked before `run`.

        Args:
            client: of the cluster.
            resource: the kind, with the version to be read.
            namespace: one namespace; None for all of them, and for cluster-scoped kinds.
            label_selector: as in the API.
            field_selector: likewise.
            transform: what is left out before an object is kept; the default drops managedFields and
                kubectl's last-applied annotation.
            keep_managed_fields: the default transform keeps managedFields.
            indexes: index functions by name.
            digest: what counts as content.
            page_size: objects per page where the server has no streaming lists.
            streaming: try a streaming list.
            cluster: label of its metrics: the role of the cluster, as given to `Client.open`.
            budget: bounds what is kept, together with that of others; None for a cluster that is trusted.
            clock: for waits between connections.
        """
        self.store = Store()
        self.resource = resource
        self.client = client
        self.namespace = namespace
        self.initial = False
        for name, fn in (indexes or {}).items():
            self.store.add_index(name, fn)
        self._transform = transform or (strip_last_applied if keep_managed_fields else strip)
        self._digest = digest
        self._handlers: list[Handler] = []
        self._list_handlers: list[Callable[[], None]] = []
        self._synced = asyncio.Event()
        self._unseen: set[str] | None = None
        self._refused: OverBudget | None = None
        where = f" in namespace {namespace}" if namespace else ""
        self._share = budget.share(f"{resource.group_resource}{where}") if budget is not None else None
        self._meters = Meters.of(cluster, resource.group_resource)
        self._reflector = Reflector(
            client,
            resource,
            self,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            page_size=page_size,
            streaming=streaming,
            on_end=self._meters.ended,
            on_list=self._meters.listed,
            share=self._share,
            clock=clock,
        )

    # --- for everybody ----------------------------------------------------------------------------

    @property
    def has_synced(self) -> bool:
        """Whether a first complete list has arrived, and handlers were told of it."""
        return self._synced.is_set()

    @property
    def last_error(self) -> KubeError | None:
        """Why the collection cannot be followed now (missing right, missing kind, no connection …)."""
        return self._reflector.last_error

    @property
    def resource_version(self) -> str:
        """How far the store has come; empty before the first list and while one is due."""
        return self._reflector.resource_version

    @property
    def lists(self) -> int:
        """Complete lists made so far."""
        return self._reflector.listed

    @property
    def priority(self) -> int:
        """Priority for keys that a handler enqueues: LOW for what was there before, else NORMAL."""
        return LOW if self.initial else NORMAL

    async def wait_synced(self) -> None:
        """Wait for `has_synced`; bound it with a timeout, a server that is away makes it wait for ever."""
        await self._synced.wait()

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """Have a handler told of each present object at once, as ADDED, and of every change from now on.

        Returns:
            A function that removes the handler again.
        """
        self._handlers.append(handler)
        self.initial, before = True, self.initial
        try:
            for entry in self.store.entries():
                self._call(handler, Event.ADDED, None, entry)
        finally:
            self.initial = before

        def remove() -> None:
            with contextlib.suppress(ValueError):
                self._handlers.remove(handler)

        return remove

    def add_list_handler(self, handler: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each complete list, when handlers were told of it.

        For who knows more than the store shows: of an object that came and went while nothing was watched no event is
        told. Like a handler it must be quick and must not wait; `resource_version` is that of the list at the next turn
        of the loop.

        Returns:
            A function that removes it again.
        """
        self._list_handlers.append(handler)

        def remove() -> None:
            with contextlib.suppress(ValueError):
                self._list_handlers.remove(handler)

        return remove

    def nudge(self) -> None:
        """Have a failed informer try again now: its kind was installed, a right granted, or alike."""
        self._reflector.nudge()

    def refresh(self) -> None:
        """List once more in a moment: the schema of the kind has changed (see `Reflector.refresh`)."""
        self._reflector.refresh()

    def end(self) -> None:
        """Nobody needs this any more: what it took of a budget is free for others."""
        if self._share is not None:
            self._share.close()

    async def run(self) -> None:
        """Follow the collection until cancelled; failures are waited out. Started again, it goes on."""
        with self._meters.watching(self):
            await self._reflector.run()

    # --- for the reflector ------------------------------------------------------------------------

    def begin(self) -> None:
        """A full list begins (see `reflector.Sink`)."""
        self._unseen = set(self.store)
        self._refused = None
        if self._share is not None:
            self._share.begin()

    def present(self, raw: bytes) -> None:
        """An object of the list."""
        self._upsert(raw)

    def complete(self) -> None:
        """The list has ended: drop what does not exist any more.

        Raises:
            OverBudget: not all of it could be kept; what is gone was dropped all the same, which makes room.
        """
        gone, self._unseen = self._unseen or set(), None
        for key in sorted(gone):  # what handlers are told does not depend on how a set happens to lie
            self._delete(key)
        if self._refused is not None:
            raise self._refused
        if self._share is not None:
            self._share.settle()
        self._synced.set()
        for handler in tuple(self._list_handlers):
            self._guarded(handler)

    def change(self, event: WatchEvent) -> None:
        """A change."""
        self._meters.event(event.type)
        if event.type == "DELETED":
            self._delete(event.key)
        else:
            self._upsert(event.raw)

    def give_up(self) -> None:
        """The half of a first list goes; nobody was told that it was complete."""
        if self._share is not None and not self._synced.is_set():
            self._share.take(-(self.store.bytes + OVERHEAD * len(self.store)))
            self.store.clear()

    def _upsert(self, raw: bytes) -> None:
        if self._share is not None and not self._admits(self._share, raw):
            return
        entry = self._entry(raw)
        if entry is None:
            return
        if self._unseen is not None:
            self._unseen.discard(entry.key)
        old = self.store.get(entry.key)
        if old is not None and old.uid != entry.uid:
            self._delete(entry.key)
            old = None
        if old is None:
            if self._share is not None and not self._share.take(len(entry.body) + OVERHEAD):
                self._refuse(self._share.exceeded())
                return
            self.store.put(entry)
            self._tell(Event.ADDED, None, entry)
        elif (old.resource_version, old.digest) != (entry.resource_version, entry.digest):
            # The same version with other content: it was seen through an older schema.
            if self._share is not None and not self._share.take(len(entry.body) - len(old.body)):
                self._refuse(self._share.exceeded())
                return
            self.store.put(entry)
            self._tell(Event.MODIFIED, old, entry)

    def _admits(self, share: Share, raw: bytes) -> bool:
        """Whether an object may be decoded at all."""
        if self._unseen is not None and not share.listed(len(raw)):
            raise share.endless()
        if len(raw) <= LARGEST:
            return True
        with contextlib.suppress(MalformedAnswer):
            key = decode_meta(raw).key
            if self._unseen is not None:
                self._unseen.discard(key)
        self._refuse(share.too_large())
        return False

    def _refuse(self, error: OverBudget) -> None:
        """There is no room for an object.

        The rest of a list still tells which of the known objects exist, which takes no memory: what is gone makes room.

        Raises:
            OverBudget: it is no such list.
        """
        if self._unseen is not None and self._synced.is_set():
            self._refused = error
        else:
            raise error

    def _entry(self, raw: bytes) -> Entry | None:
        """The entry for an object as it came; None for one that cannot be kept."""
        try:
            obj = self._transform(orjson.loads(raw))
            entry = make_entry(obj, digest=self._digest)
        except Exception as error:
            log.warning("object skipped", resource=self.resource.group_resource, error=describe(error))
            return None
        name, namespace = meta.name(obj), meta.namespace(obj)
        if not name or "/" in name or "/" in namespace or (self.namespace and namespace != self.namespace):
            log.warning("object skipped: not of this collection", resource=self.resource.group_resource)
            return None
        return entry

    def _delete(self, key: str) -> None:
        old = self.store.remove(key)
        if old is not None:
            if self._share is not None:
                self._share.take(-(len(old.body) + OVERHEAD))
            self._tell(Event.DELETED, old, None)

    def _tell(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        self.initial = not self._synced.is_set()
        try:
            for handler in tuple(self._handlers):
                self._call(handler, event, old, new)
        finally:
            self.initial = False

    def _call(self, handler: Handler, event: Event, old: Entry | None, new: Entry | None) -> None:
        self._guarded(lambda: handler(event, old, new))

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            # Not `exception`: the text in a traceback may quote content.
            log.error(  # noqa: TRY400
                "handler failed", resource=self.resource.group_resource, error=describe(error)
            )
