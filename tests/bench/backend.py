"""The backend with thousands of tenants: its start, its memory, logins in flight, and pages beside a bare page.

A real API server with finished tenants; the backend as a process under its shipped account and roles; the
development issuer for the logins. Pages are loaded from one client together with the same page served by aiohttp and
nothing else, so that whatever else the machine does meets both. Requests are counted in the API server's audit log,
processor time and memory are the backend process's own.

    python tests/bench/backend.py [--tenants 300] [--logins 200] [--seconds 10] [--output json]

The machine decides about the times; compare ratios and counts only. The figures that are published are of
`--tenants 5000`.
"""

import argparse
import asyncio
import base64
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from bind_agent.api import conditions, keys
from bind_agent.api.resource import CLUSTER_BINDINGS, EXPORT_REQUESTS, EXPORTS, Resource
from bind_agent.backend.tenancy.identity import Identity
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.audit import AuditEvent
from bind_agent.devcluster.issuer.launch import answers
from bind_agent.devcluster.issuer.people import CLIENT_ID
from bind_agent.devcluster.ports import LOOPBACK, free_port
from bind_agent.devcluster.server import Server
from bind_agent.devcluster.stage import Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.kube.errors import KubeError

if not __package__:  # started as a file: the helpers of the tests are found from the top of the checkout
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.bench import crowd, people
from tests.bench.konnector import cpu_seconds, in_flight, memory_mib, say
from tests.bench.people import Failed, Times, browser
from tests.bench.report import Logins, Pages, Report, Start
from tests.fakes.backend_lab import claim, crd_of, role_of, template_of

KINDS: Final = tuple(
    Resource("bench.example", "v1", plural, kind=kind)
    for plural, kind in (("databases", "Database"), ("queues", "Queue"), ("buckets", "Bucket"))
)
_AGENT: Final = "tenant-in-benchmark"
_READS: Final = frozenset({"get", "list", "watch"})
_ASKS: Final = frozenset(
    {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews", "tokenreviews"}
)
"""Creating these writes nothing: they are questions."""
_WAIT: Final = 600.0
_TURN: Final = 0.5
"""Seconds for which all browsers load one page before they go on to the next one."""


class Bench:
    """One run."""

    def __init__(
        self, playground: Playground, folder: Path, arguments: argparse.Namespace, admin: Client
    ) -> None:
        self.cluster: Cluster = playground["provider"]
        self.stage = Stage(playground, folder)
        self.playground = playground
        self.folder = folder
        self.admin = admin
        self.tenants: int = arguments.tenants
        self.count: int = arguments.logins
        self.seconds: float = arguments.seconds
        self.browsers: int = arguments.browsers
        self.fields: int = arguments.fields
        self.limit: int = arguments.in_flight
        self.report = Report(self.tenants, len(KINDS))
        self.port = free_port()
        self.base = f"http://{LOOPBACK}:{self.port}"
        self.backend: Server
        self.issuer = ""
        self.bare = ""

    # --- the world ------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Servers, APIs, and all tenants; the backend is stopped then."""
        await self.stage.install_backend(self.cluster)
        claims = [claim("secrets")]
        for kind in KINDS:
            await self.stage.apply(
                self.cluster,
                [
                    crd_of(kind, schema=_schema(kind, self.fields)),
                    template_of(kind, claims),
                    role_of(kind, claims),
                ],
            )
        await self._start_issuer()
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.backend = await self.stage.backend(
            self.cluster,
            "--web",
            f"--oidc-issuer-url={self.issuer}",
            f"--oidc-issuer-client-id={CLIENT_ID}",
            f"--oidc-callback-url={self.base}/callback",
            f"--listen-address={LOOPBACK}:{self.port}",
            f"--cookie-signing-key={key}",
            # All browsers of this run have one address.
            "--rate-limit=0",
            "--max-connections-per-address=0",
            "--prune-requests-after=5s",
        )
        await self.backend.start()
        await self._serving()
        say("a tenant as the model of all others")
        like = await self._model()
        await self.backend.stop()
        say(f"{self.tenants} tenants after it")
        work = crowd.tenants(
            self.admin, like, self.tenants, now=lambda: conditions.timestamp(datetime.now(UTC))
        )
        begun = time.perf_counter()
        await in_flight(self.limit, work)
        say(f"made in {time.perf_counter() - begun:.0f} s")

    async def _start_issuer(self) -> None:
        port = free_port()
        self.issuer = f"http://{LOOPBACK}:{port}"
        # People of the tenants, then those who log in, and the model's last.
        self._newcomers = self.tenants // crowd.PER_PERSON + 1
        await self._helper("issuer", port, str(self._newcomers + 2 * self.count + 1))

    async def _helper(self, what: str, port: int, *arguments: str) -> None:
        program = Path(__file__).with_name("servers.py")
        await self.playground.program(
            f"bench-{what}",
            [sys.executable, str(program), what, str(port), *arguments],
            ready=lambda: answers(port),
        ).start()

    async def _model(self) -> crowd.Model:
        """A tenant that logged in, was granted all exports, and whose konnector reported."""
        account = crowd.subject(self._newcomers + 2 * self.count)
        namespace = ""
        for kind in KINDS:
            times = Times()
            namespace = await people.login(
                self.base, account, "model-cluster", kind.plural, times, agent=_AGENT
            )
        await self.admin.merge_patch(
            CLUSTER_BINDINGS,
            keys.CLUSTER_BINDING_NAME,
            {
                "status": {
                    "lastHeartbeatTime": conditions.timestamp(datetime.now(UTC)),
                    "heartbeatInterval": "1h0m0s",
                    "konnectorVersion": "v0.1.0",
                }
            },
            namespace=namespace,
            subresource="status",
        )

        async def settled() -> bool:
            bindings = (await self.admin.list(CLUSTER_BINDINGS, namespace=namespace)).items
            exports = (await self.admin.list(EXPORTS, namespace=namespace)).items
            requests = (await self.admin.list(EXPORT_REQUESTS, namespace=namespace)).items
            granted = [
                conditions.is_true(conditions.of(one), "AccessGranted") for one in (*bindings, *exports)
            ]
            healthy = all(conditions.is_true(conditions.of(one), "Healthy") for one in bindings)
            return len(exports) == len(KINDS) and all(granted) and healthy and not requests

        await _until(settled)
        await self._quiet()
        return await crowd.model(self.admin, Identity(account, "model-cluster", self.issuer), namespace)

    # --- measuring ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the backend and wait until its controllers have looked at everything."""
        say("starting the backend")
        mark = self.cluster.audit_mark()
        begun = time.perf_counter()
        await self.backend.start(wait=False)
        await self._serving()
        ready = time.perf_counter() - begun
        settled = await self._quiet() - begun
        writes, reads = _sorted_out(self._own(mark))
        self.report.starts.append(
            Start(ready, settled, cpu_seconds(self._pid), memory_mib(self._pid), writes, reads)
        )

    async def logins(self, looking: int) -> None:
        """All at once, with so many browsers looking at pages meanwhile."""
        say(f"{self.count} logins in flight, {looking} browsers look at pages")
        first = self._newcomers + len(self.report.logins) * self.count
        mark, cpu = self.cluster.audit_mark(), cpu_seconds(self._pid)
        times, seen, done = Times(), Times(), asyncio.Event()

        async def one(number: int) -> None:
            kind = KINDS[number % len(KINDS)]
            try:
                await people.login(
                    self.base,
                    crowd.subject(first + number),
                    f"new-{number:04d}",
                    kind.plural,
                    times,
                    agent=_AGENT,
                )
            except (Failed, KubeError, aiohttp.ClientError, TimeoutError) as error:
                times.errors[f"{type(error).__name__}: {error}"[:200]] += 1

        async with self._looking(seen, looking, done, turn=0.0):
            begun = time.perf_counter()
            await asyncio.gather(*(one(number) for number in range(self.count)))
            seconds = time.perf_counter() - begun
        await self._quiet()
        requests: Counter[str] = Counter()
        for event in self._own(mark):
            if event.resource != "leases" or event.verb not in {"update", "patch"}:
                requests[_named(event)] += 1
        refused = sum(
            event.code == 403 and "klutch-binder" in event.user
            for event in self.cluster.audit_requests(since=mark)
        )
        self.report.logins.append(
            Logins(
                self.count,
                looking,
                seconds,
                times.summary(),
                dict(times.errors),
                (cpu_seconds(self._pid) - cpu) * 1000 / self.count,
                {what: n / self.count for what, n in requests.most_common() if n * 20 > self.count},
                refused,
            )
        )
        if looking:
            self.report.pages.append(
                Pages(f"{self.count} logins in flight", looking, seen.summary(), dict(seen.errors))
            )

    async def pages(self) -> None:
        """Nothing but people who look at pages: the bare one and ours in turn, with the same number in flight."""
        for browsers in (1, self.browsers):
            say(f"pages, {browsers} browsers")
            seen, done = Times(), asyncio.Event()
            async with self._looking(seen, browsers, done, turn=_TURN):
                await asyncio.sleep(self.seconds)
            self.report.pages.append(Pages("nothing else", browsers, seen.summary(), dict(seen.errors)))

    @asynccontextmanager
    async def _looking(
        self, seen: Times, browsers: int, done: asyncio.Event, *, turn: float
    ) -> AsyncIterator[None]:
        """Have so many browsers load pages while the block runs."""
        async with AsyncExitStack() as stack:
            work = []
            for number in range(browsers):
                session = await stack.enter_async_context(browser())
                account = crowd.owner(number * 37 % self.tenants)
                await people.sign_in(session, f"{self.base}/login?next=/resources", account, Times())
                if not self.bare:
                    await self._start_bare(session)
                pages = {
                    "bare": self.bare,
                    "/resources": f"{self.base}/resources",
                    "/clusters": f"{self.base}/clusters",
                }
                work.append(asyncio.create_task(people.look(session, pages, seen, done, turn=turn)))
            try:
                yield
            finally:
                done.set()
                await asyncio.gather(*work)

    async def _start_bare(self, session: aiohttp.ClientSession) -> None:
        """The bare page says what the catalogue says."""
        async with session.get(f"{self.base}/resources") as answer:
            page = self.folder / "page.html"
            page.write_bytes(await answer.read())
        port = free_port()
        self.bare = f"http://{LOOPBACK}:{port}/"
        await self._helper("bare", port, str(page))

    # --- looking at the backend -----------------------------------------------------------------------------

    async def _serving(self) -> None:
        async with aiohttp.ClientSession() as session:

            async def answers_ready() -> bool:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{self.base}/readyz") as answer:
                        return answer.status == 200
                return False

            await _until(answers_ready, every=0.05)

    async def _quiet(self) -> float:
        """Wait until the backend has had nothing to do for two seconds; when that began."""
        since, before = time.perf_counter(), cpu_seconds(self._pid)
        while time.perf_counter() - since < 2.0:
            await asyncio.sleep(0.25)
            now = cpu_seconds(self._pid)
            if now - before > 0.05:
                since, before = time.perf_counter(), now
        return since

    def _own(self, mark: int) -> Iterable[AuditEvent]:
        return (one for one in self.cluster.audit_requests(since=mark) if "backend" in one.user_agent)

    @property
    def _pid(self) -> int:
        pid = self.backend.pid
        assert pid is not None, self.backend.tail()
        return pid


def _schema(kind: Resource, fields: int) -> dict[str, Any]:
    """A schema with so many described fields in `spec` and `status`, half a KB for each."""
    described = {
        f"field{n:02}": {
            "type": "string",
            "description": f"What field {n} of a {kind.kind} is good for. " * 6,
        }
        for n in range(fields)
    }
    part = {"type": "object", "properties": described, "description": f"A {kind.kind} of your own."}
    return {
        "type": "object",
        "description": part["description"],
        "properties": {"spec": part, "status": {**part}},
    }


def _named(event: AuditEvent) -> str:
    return f"{event.verb} {event.resource}{'/' + event.subresource if event.subresource else ''}" + (
        f" ({event.code})" if event.code >= 300 else ""
    )


def _sorted_out(events: Iterable[AuditEvent]) -> tuple[dict[str, int], dict[str, int]]:
    """Writes and reads, each by what they were."""
    writes: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    for event in events:
        if event.verb in _READS or event.resource in _ASKS:
            reads[_named(event)] += 1
        elif event.resource != "leases":
            writes[_named(event)] += 1
    return dict(writes.most_common()), dict(reads.most_common())


async def _until(check: Callable[[], Awaitable[bool]], *, every: float = 0.2) -> None:
    async with asyncio.timeout(_WAIT):
        while not await check():  # noqa: ASYNC110 - another process, which tells nobody
            await asyncio.sleep(every)


async def main(words: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tenants", type=int, default=300)
    parser.add_argument("--logins", type=int, default=200)
    parser.add_argument("--browsers", type=int, default=8, help="that load pages at once")
    parser.add_argument("--seconds", type=float, default=10.0, help="that pages are loaded for")
    parser.add_argument("--in-flight", type=int, default=48, help="tenants that are made at once")
    parser.add_argument("--fields", type=int, default=20, help="of each API's schema, half a KB each")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    arguments = parser.parse_args(words)
    say("starting a cluster")
    async with Playground(ClusterOptions("provider", audit=True)) as playground:
        admin = Client.open(
            from_kubeconfig(playground["provider"].kubeconfig), user_agent="admin-in-benchmark"
        )
        with tempfile.TemporaryDirectory() as folder:
            async with admin:
                bench = Bench(playground, Path(folder), arguments, admin)
                await bench.prepare()
                await bench.start()
                await bench.pages()
                await bench.logins(0)
                await bench.logins(4)
                bench.report.peak_mib = memory_mib(bench._pid, "VmHWM")
                await bench.backend.stop()
    report = bench.report
    print(json.dumps(asdict(report), indent=2) if arguments.output == "json" else report.text())
    return 0 if report.sound() else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
