"""The konnector against a bare loop that makes the least possible writes, on the same clusters in one run.

For each kind of work the bare loop does by itself, in the order that safety asks for, exactly the writes that nobody
can do without; then users (and the service's operator) make the same changes and the konnector does its part. Rates
are objects per second from the first write of the user until the last object has arrived, ratios are konnector over
bare loop. Requests per object are counted in the API servers' audit logs, processor time and memory are the
konnector process's own.

    python tests/bench/konnector.py [--objects 1000] [--namespaces 10] [--in-flight 32] [--output json]

The machine decides about the rates; compare ratios and counts only.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from bind_agent.api.resource import SECRETS, Resource
from bind_agent.devcluster import ClusterOptions, Playground
from bind_agent.runtime.informer import Event, Informer
from bind_agent.runtime.pool import InformerPool
from bind_agent.runtime.store import Entry

if not __package__:  # started as a file: the helpers of the tests are found from the top of the checkout
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.fakes.system import System, claim, crd, secret, start_system, stop_system, thing

KIND = Resource("bench.example", "v1", "widgets", kind="Widget")
BARE_KIND = Resource("bench.example", "v1", "gadgets", kind="Gadget")
_SETTLE_SECONDS = 6.0
"""After a CRD is made the servers rebuild their OpenAPI for some seconds; nothing is timed meanwhile."""
_ONE_AT_A_TIME = 200


@dataclass
class Row:
    """One kind of work."""

    work: str
    bare: float
    konnector: float
    writes_bare: float
    requests: dict[str, float] = field(default_factory=dict)
    cpu_ms_per_object: float = 0.0

    @property
    def ratio(self) -> float:
        """Konnector over bare loop."""
        return self.konnector / self.bare if self.bare else 0.0


class Arrivals:
    """Counts what a watch shows, and wakes who waits for it."""

    def __init__(self, informers: Iterable[Informer], accept: Callable[[Event, Object | None], bool]) -> None:
        self._accept = accept
        self._keys: set[str] = set()
        self._changed = asyncio.Event()
        self._removers = [informer.add_handler(self._on_event) for informer in informers]
        self._keys.clear()

    def _on_event(self, event: Event, old: Entry | None, new: Entry | None) -> None:
        entry = new or old
        if entry is not None and self._accept(event, new.object() if new is not None else None):
            self._keys.add(entry.key)
            self._changed.set()

    async def wait(self, count: int, timeout: float = 300.0) -> None:
        """Until that many different objects have arrived."""
        async with asyncio.timeout(timeout):
            while len(self._keys) < count:
                self._changed.clear()
                await self._changed.wait()

    def close(self) -> None:
        """Stop counting."""
        for remove in self._removers:
            remove()


async def in_flight(limit: int, work: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Run all, so many at once."""
    pending = iter(work)

    async def worker() -> None:
        for one in pending:
            await one()

    await asyncio.gather(*(worker() for _ in range(limit)))


class Bench:
    """One run."""

    def __init__(self, system: System, arguments: argparse.Namespace) -> None:
        self.system = system
        self.limit: int = arguments.in_flight
        self.namespaces = [f"bench-{n}" for n in range(arguments.namespaces)]
        self.keys = [
            meta.join_key(self.namespaces[n % len(self.namespaces)], f"object-{n:05d}")
            for n in range(arguments.objects)
        ]
        self.targets: dict[str, str] = {}
        self.rows: list[Row] = []

    def place(self, key: str) -> tuple[str, str]:
        """Namespace and name of an object's copy on the provider."""
        namespace, name = meta.split_key(key)
        return self.targets[namespace], name

    async def prepare(self) -> None:
        """Publish and bind the kind, and get every namespace mapped."""
        system = self.system
        service = await system.publish(KIND, claims=[claim("secrets", keys.OWNER_PROVIDER)])
        await system.bind(service)
        bare = await system.publish(BARE_KIND)

        await system.stage.apply(system.consumer, [crd(bare.resource)])
        for namespace in self.namespaces:
            await system.namespace(namespace)
            await system.down.create(KIND, thing(KIND, f"{namespace}/warm-up", size=0))
        for namespace in self.namespaces:
            await system.synced(KIND, f"{namespace}/warm-up")
            self.targets[namespace] = await system.service_namespace(namespace)
            await system.down.delete(KIND, "warm-up", namespace=namespace)
        await asyncio.sleep(_SETTLE_SECONDS)

    # --- the least possible writes ------------------------------------------------------------------------

    def _copy(self, key: str, size: int) -> Object:
        namespace, name = self.place(key)
        copy = thing(BARE_KIND, f"{namespace}/{name}", size=size, text="x" * 400)
        copy["metadata"]["annotations"] = {keys.BOUND: keys.TRUE}
        return copy

    async def bare_create(self, key: str) -> None:
        down, up = self.system.down, self.system.up
        made = await down.create(BARE_KIND, thing(BARE_KIND, key, size=1, text="x" * 400))
        made["metadata"]["finalizers"] = [keys.SYNCER_FINALIZER]
        await down.replace(BARE_KIND, made)
        await up.apply(BARE_KIND, self._copy(key, 1), field_manager=keys.FIELD_MANAGER)

    async def bare_status(self, key: str) -> None:
        namespace, name = self.place(key)
        status = {"status": {"phase": "Ready", "text": "y" * 200}}
        await self.system.up.merge_patch(BARE_KIND, name, status, namespace=namespace, subresource="status")
        namespace, name = meta.split_key(key)
        await self.system.down.merge_patch(BARE_KIND, name, status, namespace=namespace, subresource="status")

    async def bare_update(self, key: str) -> None:
        namespace, name = meta.split_key(key)
        await self.system.down.merge_patch(BARE_KIND, name, {"spec": {"size": 2}}, namespace=namespace)
        await self.system.up.apply(BARE_KIND, self._copy(key, 2), field_manager=keys.FIELD_MANAGER)

    async def bare_secret(self, key: str) -> None:
        namespace, name = meta.split_key(key)
        # Outside of the service namespaces, where the konnector does not see it.
        await self.system.up.create(SECRETS, secret(f"default/bare-{name}", {"password": "p" * 64}))
        await self.system.down.create(SECRETS, secret(f"{namespace}/bare-{name}", {"password": "p" * 64}))

    async def bare_delete(self, key: str) -> None:
        namespace, name = meta.split_key(key)
        await self.system.down.delete(BARE_KIND, name, namespace=namespace)
        there, _ = self.place(key)
        await self.system.up.delete(BARE_KIND, name, namespace=there)
        await self.system.down.merge_patch(
            BARE_KIND, name, {"metadata": {"finalizers": None}}, namespace=namespace
        )

    # --- what users and the operator do ---------------------------------------------------------------------

    async def user_create(self, key: str) -> None:
        await self.system.down.create(KIND, thing(KIND, key, size=1, text="x" * 400))

    async def operator_status(self, key: str) -> None:
        namespace, name = self.place(key)
        status = {"status": {"phase": "Ready", "text": "y" * 200}}
        await self.system.up.merge_patch(KIND, name, status, namespace=namespace, subresource="status")

    async def user_update(self, key: str) -> None:
        namespace, name = meta.split_key(key)
        await self.system.down.merge_patch(KIND, name, {"spec": {"size": 2}}, namespace=namespace)

    async def operator_secret(self, key: str) -> None:
        namespace, name = self.place(key)
        await self.system.up.create(SECRETS, secret(f"{namespace}/{name}", {"password": "p" * 64}))

    async def user_delete(self, key: str) -> None:
        namespace, name = meta.split_key(key)
        await self.system.down.delete(KIND, name, namespace=namespace)

    # --- measuring ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """All rows."""
        down, up = self.system.down, self.system.up
        async with InformerPool(down) as down_pool, InformerPool(up) as up_pool:
            here = [down_pool.acquire(KIND)]
            there = [up_pool.acquire(KIND, namespace=target) for target in self.targets.values()]
            secrets = [down_pool.acquire(SECRETS, namespace=namespace) for namespace in self.namespaces]
            for informer in [*here, *there, *secrets]:
                await informer.wait_synced()

            def added(event: Event, obj: Object | None) -> bool:
                return event is Event.ADDED

            def sized(event: Event, obj: Object | None) -> bool:
                return obj is not None and obj["spec"].get("size") == 2

            def ready(event: Event, obj: Object | None) -> bool:
                return obj is not None and (obj.get("status") or {}).get("phase") == "Ready"

            def gone(event: Event, obj: Object | None) -> bool:
                return event is Event.DELETED

            await self.row("create", self.bare_create, self.user_create, there, added, 3)
            await self.row("status back", self.bare_status, self.operator_status, here, ready, 2)
            await self.row("update", self.bare_update, self.user_update, there, sized, 2)
            await self.row("Secrets down", self.bare_secret, self.operator_secret, secrets, added, 2)
            await self.one_at_a_time(there)
            await self.row("delete", self.bare_delete, self.user_delete, here, gone, 3)

    async def row(
        self,
        work: str,
        bare: Callable[[str], Awaitable[None]],
        user: Callable[[str], Awaitable[None]],
        informers: list[Informer],
        accept: Callable[[Event, Object | None], bool],
        writes: int,
    ) -> None:
        """Time one kind of work both ways."""
        count = len(self.keys)
        say(f"{work}: bare loop")
        started = time.perf_counter()
        await in_flight(self.limit, [lambda key=key: bare(key) for key in self.keys])  # type: ignore[misc]
        bare_rate = count / (time.perf_counter() - started)
        await asyncio.sleep(1.0)
        say(f"{work}: konnector")
        marks = self._marks()
        cpu = cpu_seconds(self._pid)
        arrivals = Arrivals(informers, accept)
        started = time.perf_counter()
        await in_flight(self.limit, [lambda key=key: user(key) for key in self.keys])  # type: ignore[misc]
        await arrivals.wait(count)
        rate = count / (time.perf_counter() - started)
        arrivals.close()
        await asyncio.sleep(2.0)
        row = Row(work, bare_rate, rate, writes)
        row.cpu_ms_per_object = (cpu_seconds(self._pid) - cpu) * 1000 / count
        row.requests = {verb: n / count for verb, n in sorted(self._requests(marks).items())}
        self.rows.append(row)

    async def one_at_a_time(self, informers: list[Informer]) -> None:
        """Latency of single changes on a loaded agent."""
        say("one change at a time")
        sizes: dict[str, int] = {}
        seen = asyncio.Event()

        def note(event: Event, old: Entry | None, new: Entry | None) -> None:
            if new is not None:
                sizes[meta.split_key(new.key)[1]] = new.object()["spec"].get("size", 0)
                seen.set()

        removers = [informer.add_handler(note) for informer in informers]
        waits = []
        for number, key in enumerate(self.keys[:_ONE_AT_A_TIME]):
            namespace, name = meta.split_key(key)
            wanted = 1000 + number
            started = time.perf_counter()
            await self.system.down.merge_patch(KIND, name, {"spec": {"size": wanted}}, namespace=namespace)
            sent = time.perf_counter()
            while sizes.get(name) != wanted:
                seen.clear()
                await seen.wait()
            waits.append((time.perf_counter() - sent) * 1000)
            del started
        for remove in removers:
            remove()
        waits.sort()
        self.latency = (statistics.median(waits), waits[int(len(waits) * 0.99) - 1])

    @property
    def _pid(self) -> int:
        pid = self.system.konnector.pid
        assert pid is not None
        return pid

    def _marks(self) -> tuple[int, int]:
        return self.system.provider.audit_mark(), self.system.consumer.audit_mark()

    def _requests(self, marks: tuple[int, int]) -> Counter[str]:
        counted: Counter[str] = Counter()
        for cluster, mark in zip((self.system.provider, self.system.consumer), marks, strict=True):
            for event in cluster.audit_requests(since=mark):
                if "konnector" in event.user_agent:
                    where = (
                        f"{event.verb} {event.resource}{'/' + event.subresource if event.subresource else ''}"
                    )
                    counted[f"{cluster.name}: {where}"] += 1
        return counted

    def report(self) -> str:
        """The table for people."""
        lines = [
            f"{len(self.keys)} objects in {len(self.namespaces)} namespaces, {self.limit} in flight",
            "",
            f"{'work':14} {'bare/s':>8} {'konn./s':>8} {'ratio':>6} {'requests per object':>20} {'CPU ms':>7}",
        ]
        for row in self.rows:
            total = sum(row.requests.values())
            lines.append(
                f"{row.work:14} {row.bare:8.0f} {row.konnector:8.0f} {row.ratio:6.2f} {total:20.2f} "
                f"{row.cpu_ms_per_object:7.2f}"
            )
        lines += [
            "",
            f"one change on a loaded konnector: p50 {self.latency[0]:.1f} ms, p99 {self.latency[1]:.1f} ms",
            f"konnector: {cpu_seconds(self._pid):.1f} s processor time, {memory_mib(self._pid):.0f} MiB now, "
            f"{memory_mib(self._pid, 'VmHWM'):.0f} MiB at most",
            "",
            "requests of the konnector per object:",
        ]
        for row in self.rows:
            lines += [f"  {row.work:14} {n:6.3f}  {verb}" for verb, n in row.requests.items()]
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The figures for programs."""
        return {
            "objects": len(self.keys),
            "rows": [asdict(row) | {"ratio": row.ratio} for row in self.rows],
            "latency_ms": {"p50": self.latency[0], "p99": self.latency[1]},
            "memory_mib": memory_mib(self._pid),
            "cpu_seconds": cpu_seconds(self._pid),
        }


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def memory_mib(pid: int, what: str = "VmRSS") -> float:
    """Memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(f".. {text}", file=sys.stderr, flush=True)


async def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--namespaces", type=int, default=10)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--output", choices=["table", "json"], default="table")
    arguments = parser.parse_args()
    say("starting two clusters")
    options = [ClusterOptions(name, audit=True) for name in ("provider", "consumer")]
    async with Playground(*options) as playground:
        with tempfile.TemporaryDirectory() as folder:
            system = await start_system(playground, Path(folder))
            try:
                bench = Bench(system, arguments)
                say("publishing and binding")
                await bench.prepare()
                await bench.run()
                print(
                    json.dumps(bench.document(), indent=2) if arguments.output == "json" else bench.report()
                )
            finally:
                await stop_system(system)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
