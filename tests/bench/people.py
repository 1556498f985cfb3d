"""People at their browsers, and the command lines that wait for them, for the benchmark of the backend."""

import asyncio
import base64
import hashlib
import re
import secrets
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from bind_agent.api.encoding import from_base64
from bind_agent.api.resource import CLUSTER_BINDINGS, EXPORT_REQUESTS, EXPORTS, SERVICE_NAMESPACES
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig

LISTENING: Final = "http://127.0.0.1:1/cli"
"""Where a command line would listen; nobody follows a browser there."""

PATIENCE: Final = aiohttp.ClientTimeout(total=120)
PAGE: Final = {"Accept": "text/html"}


class Failed(Exception):  # noqa: N818 - says what is the case
    """A step of a login did not go as it should."""


@dataclass
class Times:
    """How long things took, in milliseconds, and what went wrong."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def note(self, what: str, started: float) -> None:
        """It took until now."""
        self.taken.setdefault(what, []).append((time.perf_counter() - started) * 1000)

    def summary(self) -> dict[str, dict[str, float]]:
        """Figures by what was done."""
        return {what: figures(found) for what, found in self.taken.items()}


def figures(found: Sequence[float]) -> dict[str, float]:
    """Count, median and 99th percentile."""
    ordered = sorted(found)
    return {
        "count": len(ordered),
        "p50": statistics.median(ordered),
        "p99": ordered[max(0, int(len(ordered) * 0.99) - 1)],
    }


@asynccontextmanager
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """One browser: a jar of cookies, also for hosts that are named by an address."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=PATIENCE, headers=PAGE) as session:
        yield session


async def _redirect(session: aiohttp.ClientSession, url: URL | str) -> URL:
    async with session.get(url, allow_redirects=False) as answer:
        return await _location(answer, "GET")


async def _location(answer: aiohttp.ClientResponse, method: str) -> URL:
    text = await answer.text()
    if answer.status not in {302, 303}:
        title = re.search(r"<h1[^>]*>([^<]*)", text)
        raise Failed(f"{method} {answer.url.path}: {answer.status} {title[1] if title else ''}")
    return answer.url.join(URL(answer.headers["Location"], encoded=True))


async def sign_in(session: aiohttp.ClientSession, start: URL | str, account: str, times: Times) -> URL:
    """From `/authorize` or `/login` over the issuer to where the backend sends the browser then."""
    begun = time.perf_counter()
    issuer = await _redirect(session, start)
    times.note("authorize", begun)
    # A person would look at the issuer's page first, which is not ours to measure.
    async with session.post(issuer, data={"account": account}, allow_redirects=False) as answer:
        back = await _location(answer, "POST")
    begun = time.perf_counter()
    target = await _redirect(session, back)
    times.note("callback", begun)
    return target


async def login(base: str, account: str, cluster_id: str, plural: str, times: Times, *, agent: str) -> str:
    """All of `kubectl bind URL`, and what the new tenant asks of the API server first; its namespace."""
    sid, verifier = secrets.token_hex(4), secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    query = urlencode({"u": LISTENING, "s": sid, "c": cluster_id, "code_challenge": challenge})
    begun = time.perf_counter()
    async with browser() as session:
        page = await sign_in(session, URL(f"{base}/authorize?{query}", encoded=True), account, times)
        step = time.perf_counter()
        async with session.get(page) as answer:
            text = await answer.text()
        times.note("resources", step)
        found = re.search(rf'class="[^"]*\b{plural}" href="([^"]+)"', text)
        if answer.status != 200 or found is None:
            raise Failed(f"resources: {answer.status}")
        step = time.perf_counter()
        target = await _redirect(session, page.join(URL(found[1].replace("&amp;", "&"), encoded=True)))
        times.note("bind", step)
    body = {"code": target.query["code"], "code_verifier": verifier}
    step = time.perf_counter()
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.post(f"{base}/redeem", json=body) as answer,
    ):
        document = await answer.json()
    times.note("redeem", step)
    if answer.status != 200:
        raise Failed(f"redeem: {answer.status} {document.get('error')}")
    times.note("whole login", begun)
    return await first_calls(from_base64(document["kubeconfig"]), document, times, agent=agent)


async def first_calls(kubeconfig: bytes, document: dict[str, object], times: Times, *, agent: str) -> str:
    """What command line and konnector ask for with a credential of this moment; a refusal raises."""
    config = from_kubeconfig(kubeconfig)
    namespace = config.namespace
    step = time.perf_counter()
    async with Client.open(config, user_agent=agent) as tenant:
        await tenant.list(EXPORT_REQUESTS, namespace=namespace)
        await tenant.list(EXPORTS, namespace=namespace)
        await tenant.list(CLUSTER_BINDINGS, namespace=namespace)
        await tenant.list(SERVICE_NAMESPACES, namespace=namespace)
        requests = document["requests"]
        assert isinstance(requests, list)
        for one in requests:
            wanted = {**one, "metadata": {**one["metadata"], "namespace": namespace}}
            await tenant.create(EXPORT_REQUESTS, wanted, namespace=namespace)
    times.note("first calls", step)
    return namespace


async def look(
    session: aiohttp.ClientSession,
    pages: Mapping[str, str],
    times: Times,
    until: asyncio.Event,
    *,
    turn: float,
) -> None:
    """Load pages one after the other.

    Args:
        session: a browser that has signed in.
        pages: addresses by name.
        times: what is noted.
        until: the end.
        turn: seconds for which everybody loads the same page before all go on to the next one; 0: each browser
            goes on after each page.
    """
    names = list(pages)
    loaded = 0
    while not until.is_set():
        what = names[(int(time.perf_counter() / turn) if turn else loaded) % len(names)]
        url = pages[what]
        loaded += 1
        begun = time.perf_counter()
        async with session.get(url, allow_redirects=False) as answer:
            await answer.read()
        times.note(what, begun)
        if answer.status != 200:
            times.errors[f"{what}: {answer.status}"] += 1
