"""The listener: bounded in every direction, with an orderly end (W-B15)."""

import asyncio
import contextlib
import logging
import resource
from collections.abc import Awaitable, Callable
from typing import Final, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bind_agent.aio.tasks import background
from bind_agent.backend.http.accepting import Acceptor
from bind_agent.backend.http.connections import Bounds, Connections, within
from bind_agent.backend.http.tls import Certificate
from bind_agent.runtime import listening
from bind_agent.runtime.faults import describe

log = structlog.get_logger(__name__)

KEEP_ALIVE: Final = 30.0
"""Seconds until the head of the next request has to be there, the first one included, however slowly it comes."""

FINISH: Final = 15.0
"""Seconds that requests under way get when the end comes."""

_UNSENT: Final = 128 * 1024
"""Bytes of answers that the system keeps for a connection: little, so that it shows whether the client reads."""

_HEADER_LINE: Final = 8 * 1024
_HEADER_FIELD: Final = 32 * 1024
"""The Cookie header of a person with many groups is one field."""
_HEADERS: Final = 64
_BACKLOG: Final = 1024
_CLOSE: Final = 5.0


class WebServer:
    """Serves one application.

    Attributes:
        port: the port listened on, once `started` returned; before that the one asked for, 0 for any.
        serving: requests are taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        certificate: Certificate | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """Set up; nothing listens before `run`.

        Args:
            host: address to listen on.
            port: its port, 0 for any.
            certificate: for TLS.
            bounds: how many connections may be open at once; further ones are closed, so that a crowd costs time and
                not the process.
        """
        self._bounds = bounds or Bounds()
        self.host = host
        self.port = port
        self.serving = False
        self._certificate = certificate
        self._listening = asyncio.Event()
        self._stopping = asyncio.Event()

    async def started(self) -> None:
        """Wait until the server listens."""
        await self._listening.wait()

    def stop(self) -> None:
        """Take no more requests, finish those under way; `run` returns then."""
        self.serving = False
        self._stopping.set()

    async def run(self, app: web.Application) -> None:
        """Serve until `stop` or cancelled.

        Raises:
            ListenError: the address cannot be listened on.
        """
        # No access log: addresses carry states and codes. `app` logs routes.
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_quiet(),
            handle_signals=False,
            keepalive_timeout=KEEP_ALIVE,
            # It waits so long twice: for handlers, then once more for what goes on after them.
            shutdown_timeout=FINISH / 2,
            max_line_size=_HEADER_LINE,
            max_field_size=_HEADER_FIELD,
            max_headers=_HEADERS,
            lingering_time=_CLOSE,
            # Nobody sends us compressed bodies, so nobody gets to inflate one here.
            auto_decompress=False,
        )
        context = self._certificate.context if self._certificate else None
        acceptor: Acceptor | None = None
        async with contextlib.AsyncExitStack() as stack:
            listener = stack.enter_context(
                listening.listener(self.host, self.port, flag="--listen-address", unsent=_UNSENT)
            )
            if self._certificate:
                await stack.enter_async_context(background(self._certificate.follow(), name="certificate"))
            try:
                await runner.setup()
                serve = cast("web.Server", runner.server)
                acceptor = Acceptor(listener, serve, Connections(self._fitting()), context=context)
                serve.request_handler = _noted(serve.request_handler, acceptor)
                listener.listen(_BACKLOG)
                async with (
                    background(acceptor.follow(), name="following"),
                    background(acceptor.run(), name="accepting"),
                ):
                    self.port = listener.getsockname()[1]
                    self.serving = True
                    self._listening.set()
                    log.info("serving", host=self.host, port=self.port, tls=context is not None)
                    await self._stopping.wait()
                log.info("finishing requests under way")
            finally:
                self.serving = False
                self._listening.clear()
                listener.close()
                deadline = asyncio.get_running_loop().time() + FINISH
                await runner.cleanup()
                if acceptor is not None:
                    await acceptor.finish(deadline)

    def _fitting(self) -> Bounds:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        bounds = within(self._bounds, descriptors)
        if bounds != self._bounds:
            log.info(
                "fewer connections than asked for: the system gives too few file descriptors",
                connections=bounds.total,
                descriptors=descriptors,
            )
        return bounds


def _noted(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], acceptor: Acceptor
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        with acceptor.busy(request.protocol):
            return await handler(request)

    return handle


def _quiet() -> logging.Logger:
    """A logger for the HTTP library that repeats nothing of a request.

    Of a request that it cannot read it would log an error with the first bytes, which may hold a code, and anybody
    could fill the log that way.
    """
    found = logging.getLogger(f"{__name__}.protocol")
    if not found.filters:
        found.addFilter(_without_content)
    return found


def _without_content(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        return False
    record.msg, record.args = "the HTTP library reports: %s", (describe(error) if error else "a fault",)
    record.exc_info = record.exc_text = None
    return True
