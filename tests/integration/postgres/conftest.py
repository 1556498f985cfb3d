"""The operator as people run it: a process of its own, with the rights of its shipped ServiceAccount.

It gets a cluster of its own on the shared etcd: its API has a fixed group, so a cluster holds one operator.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import pytest_asyncio

from bind_agent.api.meta import Object
from bind_agent.api.resource import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CRDS,
    NAMESPACES,
    SERVICEACCOUNTS,
    Resource,
)
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.demo import names, server
from bind_agent.kube.client import Client
from bind_agent.kube.config import load
from bind_agent.manifests import load_manifests

T = TypeVar("T")

POSTGRESQLS = Resource(names.GROUP, names.VERSION, names.PLURAL, kind=names.KIND)
_KINDS = {
    resource.kind: resource
    for resource in (NAMESPACES, SERVICEACCOUNTS, CLUSTERROLES, CLUSTERROLEBINDINGS, CRDS)
}


class OperatorProcess:
    """One run after another of the operator with the same options."""

    account = "postgresql-operator"
    identity = f"system:serviceaccount:{account}:{account}"

    def __init__(self, kubeconfig: Path, log: Path, *options: str) -> None:
        self.log = log
        self._argv = [
            *(sys.executable, "-m", "bind_agent.devcluster.demo", "--kubeconfig", str(kubeconfig)),
            *("--resync", "1", *options),
        ]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, *, wait_for: str = "serving", env: dict[str, str] | None = None) -> None:
        before = self.text().count(wait_for)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdout=log, stderr=log, env=os.environ | (env or {})
            )

        async def said() -> bool:
            return self.text().count(wait_for) > before or self._process.returncode is not None

        await until(said)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(20):
            return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


async def until(look: Callable[[], Awaitable[T]], *, seconds: float = 20.0) -> T:
    """Wait until a look gives something true, and return it."""
    last: Any = None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (last := await look()):  # noqa: ASYNC110 - the world is looked at, not told of
                await asyncio.sleep(0.05)
            return last
    raise AssertionError(f"not within {seconds} s; last seen: {last!r}")


class Bench:
    """A cluster with the API, and a PostgreSQL server that tests see as its administrator."""

    until = staticmethod(until)
    resource = POSTGRESQLS

    def __init__(self, cluster: Cluster, client: Client, postgres: server.BundledServer) -> None:
        self.cluster = cluster
        self.client = client
        self.postgres = postgres

    async def served(self) -> None:
        """Wait until the cluster serves the API."""

        async def look() -> bool:
            self.client.discovery.invalidate(names.GROUP)
            return await self.client.discovery.find(names.GROUP, names.PLURAL) is not None

        await until(look)

    async def namespace(self, name: str) -> str:
        await self.client.create(NAMESPACES, {"metadata": {"name": name}})
        return name

    async def create(self, namespace: str, name: str, **spec: Any) -> Object:
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        return await self.client.create(POSTGRESQLS, body)

    async def get(self, obj: Object) -> Object | None:
        meta = obj["metadata"]
        return await self.client.get_or_none(POSTGRESQLS, meta["name"], namespace=meta["namespace"])

    async def patch(self, obj: Object, **spec: Any) -> Object:
        meta = obj["metadata"]
        patch = {"spec": spec}
        return await self.client.merge_patch(POSTGRESQLS, meta["name"], patch, namespace=meta["namespace"])

    async def delete(self, obj: Object) -> None:
        meta = obj["metadata"]
        await self.client.delete(POSTGRESQLS, meta["name"], namespace=meta["namespace"], uid=meta["uid"])

    async def reason(self, obj: Object, reason: str) -> Object:
        """Wait until the summary gives this reason for the newest spec, and return the object."""

        async def look() -> Object | None:
            now = await self.get(obj)
            status = (now or {}).get("status", {})
            if now is None or status.get("observedGeneration") != now["metadata"]["generation"]:
                return None
            return now if status["conditions"][0].get("reason") == reason else None

        return await until(look)

    async def ready(self, obj: Object) -> Object:
        return await self.reason(obj, "Available")

    async def gone(self, obj: Object) -> None:
        async def look() -> bool:
            return await self.get(obj) is None

        await until(look)

    async def administrate(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on the server as its administrator."""
        async with await psycopg.AsyncConnection.connect(**self.postgres.conninfo, autocommit=True) as link:
            cursor = await link.execute(query, values)
            return await cursor.fetchall() if cursor.description else []

    async def on_server(self, database: str) -> tuple[int, int]:
        """How many databases and roles of a name there are."""
        return (
            (await self.administrate("SELECT count(*) FROM pg_database WHERE datname = %s", database))[0][0],
            (await self.administrate("SELECT count(*) FROM pg_roles WHERE rolname = %s", database))[0][0],
        )


@pytest.fixture(scope="session")
def public_folder() -> Iterator[Path]:
    """A folder that a server which is not root can reach, which pytest's own folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="pgtest-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[server.BundledServer]:
    async with server.run() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bench(clusters: Playground, postgres: server.BundledServer) -> AsyncIterator[Bench]:
    cluster = await clusters.add(ClusterOptions("postgres", audit=True))
    async with Client.open(load(str(cluster.kubeconfig)), user_agent="test") as client:
        for obj in [
            *load_manifests("examples/postgres/rbac.yaml"),
            *load_manifests("examples/postgres/crd.yaml"),
        ]:
            await client.create(_KINDS[obj["kind"]], obj)

        bench = Bench(cluster, client, postgres)
        await bench.served()
        yield bench
    await clusters.remove("postgres")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator_kubeconfig(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    token = await bench.cluster.service_account_token(OperatorProcess.account, OperatorProcess.account)
    path = tmp_path_factory.mktemp("operator") / "kubeconfig"
    path.write_text(bench.cluster.kubeconfig_for(token=token))
    return path


@pytest.fixture
def make_operator(operator_kubeconfig: Path, tmp_path: Path) -> Callable[..., OperatorProcess]:
    """Describe an operator of a test's own; the test starts and stops it."""

    def make(*options: str) -> OperatorProcess:
        return OperatorProcess(operator_kubeconfig, tmp_path / "operator.log", *options)

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def operator(
    bench: Bench, operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OperatorProcess]:
    """The operator on the server that the test sees too."""
    conninfo = bench.postgres.conninfo
    process = OperatorProcess(
        operator_kubeconfig,
        tmp_path_factory.mktemp("operator") / "log",
        *("--dsn", " ".join(f"{key}={value}" for key, value in conninfo.items())),
        *("--advertise", f"127.0.0.1:{conninfo['port']}", "--sslmode", "disable"),
    )
    await process.start()
    yield process
    left = (await bench.client.list(POSTGRESQLS)).items
    for obj in left:
        await bench.delete(obj)
    for obj in left:
        await bench.gone(obj)
    assert await bench.administrate("SELECT datname FROM pg_database WHERE datname ~ '^db_'") == []
    assert await bench.administrate("SELECT rolname FROM pg_roles WHERE rolname ~ '^db_'") == []
    assert await process.stop() == 0, process.text()
