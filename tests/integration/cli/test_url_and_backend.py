"""``kubectl bind URL`` with our own backend as it is shipped and a login at an independent issuer, without a browser.

Excluded: what the pages look like, and other ways than the one that succeeds (`test_url.py` has these).
"""

import base64
import html
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from yarl import URL

from bind_agent.api import base62, keys
from bind_agent.api.meta import Object
from bind_agent.api.resource import Resource
from bind_agent.devcluster import Cluster, ClusterOptions, Playground
from bind_agent.devcluster.ports import LOOPBACK, free_port
from bind_agent.devcluster.stage import Stage
from tests.fakes import backend_lab
from tests.fakes.bindlab import Lab
from tests.fakes.browsing import running
from tests.fakes.issuer import Issuer, browser, follow_login
from tests.fakes.tenant import expect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

_ANCHOR = re.compile(r"<a\s[^>]*>")


@dataclass
class Site:
    """A provider with a backend that people log in at.

    Attributes:
        cluster: the provider.
        stage: applies manifests.
        url: what a person gives to the CLI.
    """

    cluster: Cluster
    stage: Stage
    url: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(
    clusters: Playground, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """The program itself, under its shipped account."""
    cluster = await clusters.add(ClusterOptions("cli-site", audit=True))
    stage = Stage(clusters, tmp_path_factory.mktemp("cli-site"))
    await stage.install_backend(cluster)
    base = f"http://{LOOPBACK}:{free_port()}"
    client = await issuer.client(f"{base}/callback")
    program = await stage.backend(
        cluster,
        "--web",
        f"--listen-address={base.removeprefix('http://')}",
        f"--oidc-issuer-url={issuer.url}",
        f"--oidc-issuer-client-id={client.client_id}",
        f"--oidc-issuer-client-secret={client.client_secret}",
        f"--oidc-callback-url={base}/callback",
        f"--cookie-signing-key={base64.b64encode(bytes(32)).decode()}",
    )
    await program.start()
    try:
        yield Site(cluster, stage, f"{base}/export")
    finally:
        await program.stop()
        await clusters.remove("cli-site")


async def publish(site: Site, kind: Resource, *claims: Object) -> None:
    await site.stage.apply(
        site.cluster,
        [
            backend_lab.crd_of(kind),
            backend_lab.template_of(kind, claims),
            backend_lab.role_of(kind, claims),
        ],
    )


def anchor(page: str, kind: Resource) -> str:
    """The link of a kind: its classes have the plural (spec 4.3)."""
    for tag in _ANCHOR.findall(page):
        classes, link = re.search(r'class="([^"]*)"', tag), re.search(r'href="([^"]*)"', tag)
        if classes and link and kind.plural in classes[1].split() and kind.group in link[1]:
            return html.unescape(link[1])
    raise AssertionError(f"no anchor of {kind.crd_name}: {page}")


@pytest.mark.parametrize("account", ["alice", "bob"])
async def test_a_login_ends_in_a_binding(
    lab: Lab, site: Site, unique: Callable[[str], str], account: str, tmp_path: Path
) -> None:
    kind = Resource(f"{unique('g')}.example", "v1", "databases", kind="Database")
    await publish(site, kind, backend_lab.claim("secrets"))
    mark = site.cluster.audit_mark()
    async with (
        running(
            *("--kubeconfig", str(lab.consumer.kubeconfig), site.url, "--no-browser"),
            *("--skip-konnector", "--accept-claims=secrets", "-o", "yaml"),
        ) as run,
        browser() as session,
    ):
        address = URL(await run.address())
        landed = await follow_login(session, address, account=account)
        assert landed.status == 200, landed.body
        link = landed.url.join(URL(anchor(landed.body, kind), encoded=True))
        back = await follow_login(session, link, stop_at=address.query["u"])
        page = await follow_login(session, back.url)
        done = await run.finish()
    assert done.code == 0, done.err
    assert (page.status, "close this window" in page.body) == (200, True)
    # Neither the credential nor our proof ever was in an address.
    walked = [str(url) for url in (*landed.visited, landed.url, *back.visited, back.url, page.url)]
    assert set(back.url.query) == {"code", "s"}
    assert not [url for url in walked if "response=" in url or "verifier" in url]

    binding = yaml.safe_load(done.out)
    assert binding["metadata"]["name"] == kind.crd_name
    reference = binding["spec"]["kubeconfigSecretRef"]
    secret = await expect(
        lab.consumer, "GET", f"/api/v1/namespaces/{keys.CONSUMER_NAMESPACE}/secrets/{reference['name']}"
    )
    config = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    namespace = config["contexts"][0]["context"]["namespace"]
    assert config["users"][0]["user"]["token"] not in done.out + done.err + page.body
    tenant = await expect(site.cluster, "GET", f"/api/v1/namespaces/{namespace}")
    own = await expect(lab.consumer, "GET", f"/api/v1/namespaces/{keys.CONSUMER_NAMESPACE}")
    cluster_id = base62.cluster_id(own["metadata"]["uid"])
    assert tenant["metadata"]["annotations"][keys.IDENTITY] == f"{account}#{cluster_id}"
    # A tenant is usable before its credential is handed out: the CLI was never refused.
    refused = [
        event.uri
        for event in site.cluster.audit_requests(since=mark)
        if event.code == 403 and event.user_agent.startswith("kubectl-bind/")
    ]
    assert refused == []
