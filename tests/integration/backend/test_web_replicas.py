"""Two replicas of the program behind a plain TCP balancer: no step of a login minds which one answers it.

Connections are not kept, so each step goes to the next replica that takes it; and before each step, either replica is
killed once.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from bind_agent.api import keys, meta
from bind_agent.api.resource import DEPLOYMENTS, EXPORT_REQUESTS, NAMESPACES, Resource
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.ports import free_port
from bind_agent.devcluster.server import Server
from bind_agent.devcluster.stage import Stage
from bind_agent.kube.client import Client
from bind_agent.kube.config import from_kubeconfig
from bind_agent.manifests import load_manifests
from tests.fakes.backend_lab import crd_of, role_of, template_of
from tests.fakes.balancer import Balancer
from tests.fakes.issuer import Issuer, follow_login
from tests.fakes.weblab import LISTENING, Cli, field_of, kubeconfig_of, response_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SERVICES = Resource("", "v1", "services", kind="Service")
KIND = Resource("replicas.example", "v1", "databases", kind="Database")


class Replicas:
    """Two backends and what stands in front of them."""

    def __init__(self, servers: dict[int, Server], balancer: Balancer, admin: Client) -> None:
        self.servers = servers
        self.balancer = balancer
        self.admin = admin

    def at(self, path: str, **query: str) -> URL:
        return URL(f"{self.balancer.url}{path}").with_query(query)

    async def kill(self, number: int) -> None:
        """The process is gone at once, in the middle of whatever it does."""
        await list(self.servers.values())[number].kill()

    async def revive(self) -> None:
        for server in self.servers.values():
            if not server.running:
                await server.start()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicas(
    clusters: Playground, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replicas]:
    cluster: Cluster = await clusters.add(ClusterOptions("replicas"))
    stage = Stage(clusters, tmp_path_factory.mktemp("replicas"))
    await stage.install_backend(cluster)
    ports = [free_port(), free_port()]
    admin = Client.open(from_kubeconfig(cluster.kubeconfig), user_agent="admin-in-tests")
    async with Balancer(ports) as balancer, admin:
        for one in (crd_of(KIND), template_of(KIND), role_of(KIND)):
            await stage.apply(cluster, [one])
        client = await issuer.client(f"{balancer.url}/callback")
        secret = written(stage.folder / "client-secret", client.client_secret)
        keys_file = written(stage.folder / "cookie-keys", base64.b64encode(b"k" * 32).decode())
        servers = {
            port: await stage.backend(
                cluster,
                "--web",
                f"--listen-address=127.0.0.1:{port}",
                f"--oidc-issuer-url={issuer.url}",
                f"--oidc-issuer-client-id={client.client_id}",
                f"--oidc-issuer-client-secret-file={secret}",
                f"--oidc-callback-url={balancer.url}/callback",
                f"--cookie-signing-key-file={keys_file}",
                "--rate-limit=0",
                name=f"replica-{number}",
            )
            for number, port in enumerate(ports)
        }
        for server in servers.values():
            await server.start()
        try:
            yield Replicas(servers, balancer, admin)
        finally:
            for server in servers.values():
                await server.stop()
    await clusters.remove("replicas")


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def browser() -> aiohttp.ClientSession:
    """As `issuer.browser`, with a new connection for each request."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.CookieJar(unsafe=True), connector=aiohttp.TCPConnector(force_close=True)
    )


class Run:
    """One login and bind, step by step."""

    def __init__(self, replicas: Replicas, session: aiohttp.ClientSession, cli: Cli) -> None:
        self.replicas = replicas
        self.session = session
        self.cli = cli
        self.here = URL()
        self.query = {"s": cli.sid, "resource": KIND.plural, "group": KIND.group}
        self.token = ""
        self.document: dict[str, object] = {}

    async def begin(self) -> None:
        """The browser is sent to the issuer."""
        url = self.replicas.at("/authorize", **self.cli.query())
        async with self.session.get(url, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            self.here = URL(answer.headers["Location"], encoded=True)

    async def log_in(self) -> None:
        """The person logs in there; the issuer sends the browser back."""
        landed = await follow_login(self.session, self.here, stop_at=f"{self.replicas.balancer.url}/callback")
        self.here = landed.url

    async def come_back(self) -> None:
        """The answer of the issuer makes a session."""
        async with self.session.get(self.here, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            assert answer.headers["Location"].startswith("/resources")

    async def look(self) -> None:
        """The page asks."""
        url = self.replicas.at("/bind", **self.query)
        async with self.session.get(url, headers={"Accept": "text/html"}) as answer:
            assert answer.status == 200, await answer.text()
            self.token = field_of(await answer.text(), "csrf")

    async def bind(self) -> None:
        """The person says yes."""
        url, form = self.replicas.at("/bind"), self.query | {"csrf": self.token}
        async with self.session.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            self.here = URL(answer.headers["Location"], encoded=True)
            assert str(self.here).startswith(LISTENING)

    async def take(self) -> None:
        """The CLI has what it needs."""
        if not self.cli.verifier:
            self.document = response_of(self.here)
            return
        body = {"code": self.here.query["code"], "code_verifier": self.cli.verifier}
        async with self.session.post(self.replicas.at("/redeem"), json=body) as answer:
            assert answer.status == 200, await answer.text()
            self.document = await answer.json()

    async def use(self) -> None:
        """The tenant's first request is not refused."""
        config = kubeconfig_of(self.document)
        async with Client.open(config, user_agent="tenant-in-tests") as tenant:
            assert (await tenant.list(EXPORT_REQUESTS, namespace=config.namespace)).items == []

    @property
    def steps(self) -> list[Callable[[], Awaitable[None]]]:
        return [self.begin, self.log_in, self.come_back, self.look, self.bind, self.take, self.use]


async def tenants_of(replicas: Replicas, cluster_id: str) -> list[str]:
    found = await replicas.admin.list(NAMESPACES)
    return [
        meta.name(one)
        for one in found.items
        if meta.annotation(one, keys.IDENTITY).endswith(f"#{cluster_id}")
    ]


@pytest.mark.parametrize("style", [Cli.go, Cli.ours], ids=["go", "ours"])
async def test_steps_go_to_either(
    replicas: Replicas, style: Callable[[str], Cli], unique: Callable[[str], str]
) -> None:
    await replicas.revive()
    before = dict(replicas.balancer.served)
    async with browser() as session:
        run = Run(replicas, session, style(unique("c")))
        for step in run.steps:
            await step()
    assert all(replicas.balancer.served[port] > count for port, count in before.items())


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("style", [Cli.go, Cli.ours], ids=["go", "ours"])
async def test_either_may_be_killed_between_any_two_steps(
    replicas: Replicas, style: Callable[[str], Cli], victim: int, unique: Callable[[str], str]
) -> None:
    for before in range(1, 7):
        await replicas.revive()
        cluster_id = unique("c")
        async with browser() as session:
            run = Run(replicas, session, style(cluster_id))
            for number, step in enumerate(run.steps):
                if number == before:
                    await replicas.kill(victim)
                await step()
        assert len(await tenants_of(replicas, cluster_id)) == 1


async def test_first_logins_on_both_at_once_make_one_tenant(
    replicas: Replicas, unique: Callable[[str], str]
) -> None:
    await replicas.revive()
    cluster_id = unique("c")

    async def once() -> None:
        async with browser() as session:
            run = Run(replicas, session, Cli.ours(cluster_id))
            for step in run.steps:
                await step()

    await asyncio.gather(*(once() for _ in range(6)))
    assert len(await tenants_of(replicas, cluster_id)) == 1


async def test_an_answer_of_the_issuer_counts_on_one_of_them(
    replicas: Replicas, unique: Callable[[str], str]
) -> None:
    await replicas.revive()
    async with browser() as session:
        run = Run(replicas, session, Cli.ours(unique("c")))
        await run.begin()
        await run.log_in()

        async def answer() -> int:
            async with session.get(run.here, allow_redirects=False) as found:
                return found.status

        statuses = await asyncio.gather(*(answer() for _ in range(6)))
    assert sorted(statuses) == [302, 403, 403, 403, 403, 403]


async def test_the_program_says_who_did_what_and_nothing_secret(
    replicas: Replicas, unique: Callable[[str], str]
) -> None:
    await replicas.revive()
    cluster_id = unique("c")
    async with browser() as session:
        run = Run(replicas, session, Cli.ours(cluster_id))
        for step in run.steps:
            await step()
        code = run.here.query["code"]
    text = "".join(server.log.read_text() for server in replicas.servers.values())
    assert code not in text
    assert str(run.document["kubeconfig"]) not in text
    assert any(
        all(word in line for word in ('"audit"', '"bind"', '"alice"', cluster_id))
        for line in text.splitlines()
    )


async def test_the_shipped_workload_is_one_that_the_api_server_takes(replicas: Replicas) -> None:
    for shipped in load_manifests("backend"):
        kind = {"Deployment": DEPLOYMENTS, "Service": SERVICES}.get(shipped["kind"])
        if kind is not None:
            made = await replicas.admin.create(kind, shipped, dry_run=True)
            assert made["metadata"]["name"] == "bind-backend"
    (deployment,) = [one for one in load_manifests("backend") if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    # What is not known is dropped silently, so what matters is looked for in what came back.
    taken = await replicas.admin.create(DEPLOYMENTS, deployment, dry_run=True)
    (kept,) = taken["spec"]["template"]["spec"]["containers"]
    assert kept["lifecycle"] == container["lifecycle"]
    assert {one["name"] for one in kept["env"]} == {one["name"] for one in container["env"]}
