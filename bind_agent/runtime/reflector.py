"""Follows one collection of an API server: a list, then watches, for ever.

What follows each kind of end is decided in `course`. What arrives goes to a `Sink`, in the order in which the
server sent it.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

import structlog

from bind_agent.aio.clock import SYSTEM, Clock
from bind_agent.api.resource import Resource
from bind_agent.kube.client import Client
from bind_agent.kube.errors import (
    BadRequest,
    ConnectionFailed,
    Gone,
    Invalid,
    KubeError,
    TooManyRequests,
    Unavailable,
)
from bind_agent.kube.watch import Watch, WatchEvent
from bind_agent.runtime.budget import PAGE, OverBudget, Share
from bind_agent.runtime.course import BRIEF, SILENCE, Course
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

STREAM_PATIENCE: Final = 5.0
"""Seconds without an event after which a streaming list is given up in favour of a paged one."""
NEW_SCHEMA_SECONDS: Final = 2.0
"""After so long every new connection is served with a changed schema."""
DOUBTS: Final = (5.0, 30.0)
"""Seconds after which the first watches after an outage are opened anew, from where they stand. A server that starts
sets up the storage of custom resources more than once, and may leave a watch of the first moments without events and
without an end; its silence would be noticed after minutes only."""
_TURN: Final = 200
"""Events in a row; about two milliseconds of work."""


class Sink(Protocol):
    """What a reflector feeds; its methods do not wait, and raise nothing but `OverBudget`, which ends a connection."""

    def begin(self) -> None:
        """A full list begins; a list that had begun before was broken off and counts for nothing."""
        ...

    def present(self, raw: bytes) -> None:
        """An object of the list."""
        ...

    def complete(self) -> None:
        """The list has ended: what neither was present nor came as a change since `begin` is gone."""
        ...

    def change(self, event: WatchEvent) -> None:
        """A change: ADDED, MODIFIED or DELETED."""
        ...

    def give_up(self) -> None:
        """There is no memory for more: a first list will not go on for a while, and frees what it took."""
        ...


class End(StrEnum):
    """How a connection ended, as a label of metrics."""

    CLOSED = "closed"
    EXPIRED = "expired"
    SILENT = "silent"
    ERROR = "error"


class Reflector:
    """See the module.

    Attributes:
        last_error: why there is no connection at the moment; None when there is one or nothing is known to
            be wrong.
        listed: how many complete lists were made.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        sink: Sink,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = 500,
        streaming: bool = True,
        on_end: Callable[[End], None] = lambda _: None,
        on_list: Callable[[str], None] = lambda _: None,
        share: Share | None = None,
        clock: Clock = SYSTEM,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Set up; nothing is asked before `run`.

        Args:
            client: of the cluster.
            resource: the kind.
            sink: gets what arrives.
            namespace: one namespace; None for all.
            label_selector: as in the API.
            field_selector: likewise.
            page_size: objects per page of a paged list.
            streaming: try a streaming list first; servers without it get a paged one.
            on_end: told how each watch ended.
            on_list: told `streamed`, `paged` or `failed` for each list.
            share: bounds what is under way, too; None for a cluster that is trusted.
            clock: for waits.
            draw: random numbers from [0, 1) for the jitter.
        """
        self.last_error: KubeError | None = None
        self.listed = 0
        self._client = client
        self._resource = resource
        self._sink = sink
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._page_size = page_size
        self._streaming = streaming
        self._on_end = on_end
        self._on_list = on_list
        self._share = share
        self._clock = clock
        self._course = Course.start(draw, silence=SILENCE)
        self._nudged = asyncio.Event()
        self._bookmarks = False
        self._received = 0
        self._since = 0.0
        self._limit: asyncio.Timeout | None = None
        self._doubts: list[float] = []
        self._refresh: asyncio.TimerHandle | None = None

    @property
    def resource_version(self) -> str:
        """Where the next watch starts; empty when a list is due."""
        return self._course.version

    async def run(self) -> None:
        """Follow until cancelled. Failures are waited out, and told by `last_error`."""
        try:
            while True:
                wait = 0.0
                try:
                    async with asyncio.timeout(None) as self._limit:
                        wait = await self._turn()
                except TimeoutError:
                    if self._course.version:
                        log.debug("watching anew after an outage", **self._fields())
                    else:
                        log.info("listing again, because the schema has changed", **self._fields())
                # Between connections there is none whose end could be brought forward.
                self._limit = None
                await self._pause(wait)
        finally:
            self._limit = None
            if self._refresh is not None:
                self._refresh.cancel()
                self._refresh = None

    def refresh(self) -> None:
        """List once more in a moment: the schema of the kind has changed.

        Fact (API server 1.36): a watch that was opened before a CRD changed lives on for about a second,
        decodes with the old schema and so leaves new fields out; what it told in that second is never told
        again.
        """
        if self._refresh is None:
            self._refresh = asyncio.get_running_loop().call_later(NEW_SCHEMA_SECONDS, self._start_anew)

    def _start_anew(self) -> None:
        self._refresh = None
        self._course.version = ""
        # At the next turn of the loop: nothing of the present one is lost but the connection.
        self._end_within(0.0)

    def _end_within(self, seconds: float) -> None:
        """Have the present turn end by then, if it would not end sooner."""
        if self._limit is not None:
            at = asyncio.get_running_loop().time() + seconds
            ends = self._limit.when()
            if ends is None or ends > at:
                self._limit.reschedule(at)

    def nudge(self) -> None:
        """End the present wait, if there is one."""
        self._nudged.set()

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        if isinstance(self.last_error, OverBudget):
            # Nothing that others are told makes room here, and each attempt may cost a whole list.
            await self._clock.sleep(seconds)
            return
        self._nudged.clear()
        pauses = {
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(self._nudged.wait()),
        }
        try:
            await asyncio.wait(pauses, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pause in pauses:
                pause.cancel()

    async def _turn(self) -> float:
        """One connection: a list when one is due, then a watch until it ends.

        Returns:
            Seconds to wait before the next one.
        """
        course = self._course
        self._since = self._clock.monotonic()
        self._received = 0
        try:
            if not course.version and not self._streaming:
                await self._paged_list()
            await self._watch()
        except Gone as error:
            self._on_end(End.EXPIRED)
            log.info("history expired, listing again", **self._fields())
            self.last_error = error
            return course.expired(lasted=self._lasted())
        except KubeError as error:
            return self._failed(error)
        except Exception as error:
            # Not `exception`: the text in a traceback may quote content.
            log.error("informer failed", error=describe(error), **self._fields())  # noqa: TRY400
            # What was taken in before the defect may be incomplete.
            course.version = ""
            return course.failed(error, lasted=0.0, received=0)
        self._on_end(End.CLOSED)
        if not course.version:
            return course.closed(lasted=0.0, received=0)
        if self._lasted() >= BRIEF:
            self.last_error = None
        return course.closed(lasted=self._lasted(), received=self._received)

    def _lasted(self) -> float:
        """Seconds that the watch has lived; a list, however long, is no sign of health."""
        return self._clock.monotonic() - self._since if self._course.version else 0.0

    def _failed(self, error: KubeError) -> float:
        lasted = self._lasted()
        listing = not self._course.version
        if listing and self._streaming and isinstance(error, Invalid | BadRequest):
            # No streaming lists here; that is no failure.
            self._streaming = False
            return 0.0
        self.last_error = error
        if isinstance(error, ConnectionFailed | Unavailable | TooManyRequests):
            self._doubts = list(DOUBTS)
        silent = lasted >= self._course.silence and not self._received
        self._on_end(End.SILENT if silent else End.ERROR)
        if listing:
            self._on_list("failed")
        if isinstance(error, OverBudget):
            self._sink.give_up()
            wait = self._course.crowded()
        else:
            wait = self._course.failed(error, lasted=lasted, received=self._received)
        log.warning(
            "list failed" if listing else "watch failed",
            error=describe(error),
            again_in=round(wait, 1),
            **self._fields(),
        )
        return wait

    async def _paged_list(self) -> None:
        if self._share is None:
            await self._pages(None)
            return
        async with self._share.turns:
            await self._pages(PAGE)

    async def _pages(self, page_bytes: int | None) -> None:
        self._sink.begin()
        version = ""
        pages = self._client.pages(
            self._resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            page_size=self._page_size,
            page_bytes=page_bytes,
        )
        async with contextlib.aclosing(pages):
            async for page in pages:
                version = page.resource_version
                for raw in page.items:
                    self._sink.present(raw)
                # A page of 500 takes some milliseconds to take in; others get their turn in between.
                await asyncio.sleep(0)
        self._listed("paged", version)

    def _listed(self, how: str, version: str) -> None:
        self._sink.complete()
        self._course.advance(version)
        self._course.roomy()
        self.last_error = None
        self._since = self._clock.monotonic()
        self.listed += 1
        self._on_list(how)

    async def _watch(self) -> None:
        """Take in events until the watch ends; a streaming list comes first when a list is due."""
        course, sink = self._course, self._sink
        listing = not course.version
        if listing:
            sink.begin()
        watch = self._client.watch(
            self._resource,
            namespace=self._namespace,
            resource_version=course.version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            initial_events=listing,
            inactivity=course.silence if self._bookmarks and not listing else None,
            on_half=self._share.hold_half if self._share is not None else None,
        )
        async with watch:
            if listing:
                await self._streamed_list(watch)
            if self._doubts:
                self._end_within(self._doubts.pop(0))
            async for event in watch:
                await self._count()
                if event.type == "BOOKMARK":
                    self._bookmarks = True
                else:
                    sink.change(event)
                course.advance(event.resource_version)
                if self.last_error is not None:
                    self.last_error = None

    async def _streamed_list(self, watch: Watch) -> None:
        """Take in the initial events up to the bookmark that ends them.

        A watch that ends before it leaves the list incomplete: nothing is inferred from what did not come.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STREAM_PATIENCE) as patience:
                async for event in watch:
                    await self._count()
                    patience.reschedule(loop.time() + STREAM_PATIENCE)
                    if event.initial_events_end:
                        self._bookmarks = True
                        self._listed("streamed", event.resource_version)
                        return
                    if event.type != "BOOKMARK":
                        self._sink.change(event)
        except TimeoutError:
            self._streaming = False
            log.info("streaming list too slow, listing by pages", **self._fields())

    async def _count(self) -> None:
        self._received += 1
        if self._received % _TURN == 0:
            # Events that have arrived are handed over without waiting: others get their turn in between.
            await asyncio.sleep(0)

    def _fields(self) -> dict[str, str]:
        return {"resource": self._resource.group_resource, "namespace": self._namespace or ""}
