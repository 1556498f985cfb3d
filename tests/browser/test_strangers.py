"""Pages of strangers, opened by somebody who is logged in (threats A53, A58): nothing is bound, nothing is framed.

The browser itself decides here which cookies go along and which frames it shows.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, expect

from bind_agent.api import keys, meta
from bind_agent.api.resource import NAMESPACES, Resource
from bind_agent.backend.access import Kind
from bind_agent.backend.options.serve import Serve
from bind_agent.devcluster import ClusterOptions, Playground
from bind_agent.devcluster.stage import Stage
from tests.fakes import backend_lab
from tests.fakes.backend_lab import eventually
from tests.fakes.issuer import Issuer
from tests.fakes.looking import Look, looking
from tests.fakes.weblab import Cli, Portal, portal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(
    clusters: Playground, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Portal]:
    """A provider."""
    cluster = await clusters.add(ClusterOptions("strangers"))
    stage = Stage(clusters, tmp_path_factory.mktemp("strangers"))
    try:
        async with backend_lab.lab(cluster, stage, Serve()) as lab, portal(lab, issuer) as running:
            yield running
    finally:
        await clusters.remove("strangers")


@asynccontextmanager
async def stranger(pages: dict[str, str]) -> AsyncIterator[int]:
    """Pages on this machine, and their port."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=pages[request.match_info["name"]], content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/{name}", answer), web.post("/{name}", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        here = web.TCPSite(runner, "127.0.0.1", 0)
        await here.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def tenants(site: Portal, cli: Cli) -> int:
    found = (await site.lab.admin.list(NAMESPACES)).items
    return sum(meta.annotation(one, keys.IDENTITY).endswith(f"#{cli.cluster_id}") for one in found)


async def signed_in(look: Look, site: Portal, cli: Cli, landing: str) -> None:
    await look.page.goto(str(site.at("/authorize", **cli.query(u=landing))))
    await look.page.get_by_role("button", name="Sign in as Alice Example").click()
    await look.page.wait_for_url(f"{site.url}/resources?**")


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1"], ids=["another site", "another origin of the site"]
)
async def test_they_bind_nothing_and_show_nothing_of_ours(
    browser: Browser, site: Portal, unique: Callable[[str], str], host: str
) -> None:
    """From another site browsers send no session along; from another origin of the same site they do."""
    kind = Resource(f"{unique('g')}.example", "v1", "databases", kind="Database")
    await site.lab.publish(kind)

    async def offered() -> bool:
        return bool(site.watched.views.templates_of(Kind(kind.group, kind.plural)))

    await eventually(offered)
    cli = Cli.go(unique("c"))
    link = f"{site.url}/bind?s={cli.sid}&resource=databases&group={kind.group}"
    fields = {"s": cli.sid, "resource": "databases", "group": kind.group, "csrf": "x" * 43}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    framed = f"""<!doctype html><title>framed</title><img src="{link}">
        <iframe name="one" src="{link}"></iframe><iframe name="two" src="{site.url}/"></iframe>
        <iframe name="three" src="/inner"></iframe>"""
    form = f"""<!doctype html><title>form</title><form method="post" action="{site.url}/bind">{inputs}</form>
        <script>document.forms[0].submit()</script>"""
    pages = {
        "framed": framed,
        "form": form,
        "inner": "<!doctype html><p>inner",
        "link": f'<!doctype html><a href="{link}">free gift</a>',
        "landed": "<!doctype html><title>landed</title>",
    }
    async with stranger(pages) as port, looking(browser) as look:
        evil = f"http://{host}:{port}"
        await signed_in(look, site, cli, f"{evil}/landed")
        await look.page.goto(f"{evil}/framed")
        await look.page.wait_for_load_state("networkidle")
        shown = {frame.name: frame.url for frame in look.page.frames[1:]}
        assert shown["two"].startswith("chrome-error:")
        assert not shown["one"].startswith(site.url), "without a session it went on to the issuer"
        assert shown["one"].startswith("chrome-error:") or host == "localhost"
        assert shown["three"] == f"{evil}/inner", "frames work here, only ours refuse"
        await look.page.goto(f"{evil}/form")
        await look.page.wait_for_url(lambda url: not url.startswith(evil))
        await expect(look.page.get_by_role("button", name="Bind")).to_have_count(0)
        assert await tenants(site, cli) == 0
        # A link is followed with the session, and asks; the person's own click binds.
        await look.page.goto(f"{evil}/link")
        await look.page.click("a")
        await expect(look.page.locator("h1")).to_have_text("Bind Database?")
        assert await tenants(site, cli) == 0
        await look.page.get_by_role("button", name="Bind Database").click()
        await look.page.wait_for_url(f"{evil}/landed?response=**")
        assert await tenants(site, cli) == 1
