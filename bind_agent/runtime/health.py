"""The HTTP endpoint for probes and scrapers: `/healthz`, `/readyz`, `/metrics`.

`/healthz` answers as the Go programs do (spec 6.2): any method, a JSON object of check name to `ok` or
`degraded`, 200 or 500. `/readyz` has the same form with its own checks and answers 503 while one of them
fails.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import orjson
import structlog
from aiohttp import web

from bind_agent.obs import metrics
from bind_agent.runtime.faults import describe
from bind_agent.runtime.listening import listener

log = structlog.get_logger(__name__)

Check = Callable[[], bool]
"""True when all is well. Quick, does not wait; an exception counts as degraded."""

_OK: Final = "ok"
_DEGRADED: Final = "degraded"


class HealthServer:
    """Serves what the checks say.

    Attributes:
        port: the port listened on, once `started` returned; before that the one asked for, 0 for any.
    """

    def __init__(self, host: str = "0.0.0.0", port: int = 8080) -> None:  # noqa: S104 - probes come from outside
        """Set up; nothing listens before `run`.

        Args:
            host: address to listen on; empty for all.
            port: port to listen on; 0 for any free one.
        """
        self.host = host
        self.port = port
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}
        self._listening = asyncio.Event()

    def add_check(self, name: str, check: Check) -> None:
        """Let `/healthz` depend on something that only a restart of the process cures."""
        self._alive[name] = check

    def add_ready(self, name: str, check: Check) -> None:
        """Let `/readyz` depend on something that passes by itself."""
        self._ready[name] = check

    async def started(self) -> None:
        """Wait until the server listens."""
        await self._listening.wait()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ListenError: the address cannot be listened on.
        """
        app = web.Application(client_max_size=1024)
        app.router.add_route("*", "/healthz", self._healthz)
        app.router.add_route("*", "/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        # Probes are many and say nothing; whoever keeps a connection open longer than that is none.
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, keepalive_timeout=75.0, shutdown_timeout=1.0
        )
        with listener(self.host, self.port, flag="--health-address") as bound:
            try:
                await runner.setup()
                await web.SockSite(runner, bound).start()
                self.port = bound.getsockname()[1]
                self._listening.set()
                log.info("health endpoint", host=self.host, port=self.port)
                await asyncio.get_running_loop().create_future()
            finally:
                self._listening.clear()
                await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return answer(self._alive, failing=500)

    async def _readyz(self, _: web.Request) -> web.Response:
        return answer(self._ready, failing=503)

    async def _metrics(self, _: web.Request) -> web.Response:
        body, content_type = metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})


def answer(
    checks: dict[str, Check], *, failing: int, remarks: dict[str, Check] | None = None
) -> web.Response:
    """The state of all checks as JSON.

    Args:
        checks: by name.
        failing: status when one of them does not pass.
        remarks: further ones, told but without influence on the status.
    """
    states = {name: _OK if _passes(name, check) else _DEGRADED for name, check in checks.items()}
    status = 200 if all(state == _OK for state in states.values()) else failing
    told = {name: _OK if _passes(name, check) else _DEGRADED for name, check in (remarks or {}).items()}
    return web.Response(
        status=status,
        body=orjson.dumps(states | told, option=orjson.OPT_SORT_KEYS),
        content_type="application/json",
    )


def _passes(name: str, check: Check) -> bool:
    try:
        return bool(check())
    except Exception as error:
        log.warning("health check failed", check=name, error=describe(error))
        return False
