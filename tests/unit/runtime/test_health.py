"""The health endpoint, by real requests on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from bind_agent.runtime.health import HealthServer

pytestmark = pytest.mark.unit


@contextlib.asynccontextmanager
async def serving(server: HealthServer) -> AsyncIterator[aiohttp.ClientSession]:
    task = asyncio.ensure_future(server.run())
    started = asyncio.ensure_future(server.started())
    await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            await task
        async with aiohttp.ClientSession(f"http://{server.host}:{server.port}") as session:
            yield session
    finally:
        started.cancel()
        task.cancel()
        await asyncio.wait([task])


async def test_healthz_answers_as_the_go_programs_do() -> None:
    server = HealthServer("127.0.0.1", 0)
    fine = True
    server.add_check("leaderElection", lambda: fine)
    server.add_check("other", lambda: True)
    async with serving(server) as session:
        for method in ("GET", "POST", "DELETE"):
            async with session.request(method, "/healthz") as answer:
                assert answer.status == 200
                assert answer.content_type == "application/json"
                assert await answer.json() == {"leaderElection": "ok", "other": "ok"}
        fine = False
        async with session.get("/healthz") as answer:
            assert answer.status == 500
            assert await answer.json() == {"leaderElection": "degraded", "other": "ok"}


async def test_readyz_has_its_own_checks() -> None:
    server = HealthServer("127.0.0.1", 0)
    ready = False
    server.add_ready("synced", lambda: ready)
    async with serving(server) as session:
        async with session.get("/readyz") as answer:
            assert (answer.status, await answer.json()) == (503, {"synced": "degraded"})
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {})
        ready = True
        async with session.get("/readyz") as answer:
            assert answer.status == 200


async def test_a_check_that_fails_counts_as_degraded_and_tells_nothing() -> None:
    server = HealthServer("127.0.0.1", 0)

    def broken() -> bool:
        raise ValueError("s3cr3t")

    server.add_check("broken", broken)
    async with serving(server) as session, session.get("/healthz") as answer:
        assert answer.status == 500
        assert "s3cr3t" not in await answer.text()


async def test_metrics_are_scraped() -> None:
    server = HealthServer("127.0.0.1", 0)
    async with serving(server) as session:
        async with session.get("/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert "klutch_bind_event_loop_lag_seconds" in await answer.text()
        async with session.get("/") as answer:
            assert answer.status == 404


async def test_a_port_in_use_is_an_error_and_the_port_is_free_afterwards() -> None:
    first = HealthServer("127.0.0.1", 0)
    async with serving(first):
        with pytest.raises(OSError, match="in use"):
            await HealthServer("127.0.0.1", first.port).run()
    async with serving(HealthServer("127.0.0.1", first.port)):
        pass
