"""From `kubectl bind URL` through a real browser to a binding, and what the person can do afterwards.

Everything is real: API servers, backend with its pages, an OpenID Connect provider that is not ours, the CLI as a
process, Chromium. Excluded: what the konnector makes of a binding, and each page's looks (test_pages.py).
"""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect
from yarl import URL

from bind_agent.api.resource import Resource
from bind_agent.backend.access import Kind
from bind_agent.backend.options.serve import Serve
from bind_agent.backend.person import Person
from bind_agent.devcluster import ClusterOptions, Playground
from bind_agent.devcluster.stage import Stage
from tests.fakes import backend_lab, bindlab
from tests.fakes.backend_lab import claim, eventually
from tests.fakes.browsing import Run, running
from tests.fakes.issuer import Issuer
from tests.fakes.looking import PHONE, Look, looking
from tests.fakes.tenant import Finished, install_crds
from tests.fakes.weblab import Portal, portal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SCHEMA = {
    "type": "object",
    "description": "A database of your own, with backups every night.",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["plan"],
            "properties": {"plan": {"type": "string", "enum": ["small", "large"], "default": "small"}},
        }
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(
    clusters: Playground, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Portal]:
    """A provider with everything at work."""
    cluster = await clusters.add(ClusterOptions("browser-provider", audit=True))
    stage = Stage(clusters, tmp_path_factory.mktemp("browser-provider"))
    try:
        async with (
            backend_lab.lab(cluster, stage, Serve()) as lab,
            portal(lab, issuer, admin_groups=("operators",)) as running_portal,
        ):
            yield running_portal
    finally:
        await clusters.remove("browser-provider")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(
    clusters: Playground, site: Portal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[bindlab.Lab]:
    """The app cluster, seen from the CLI."""
    consumer = await clusters.add(ClusterOptions("browser-consumer", audit=True))
    await install_crds(consumer, only="apiservicebindings.klutch.anynines.com")
    yield bindlab.Lab(site.lab.cluster, consumer, tmp_path_factory.mktemp("browser-consumer"))
    await clusters.remove("browser-consumer")


@pytest_asyncio.fixture(loop_scope="session")
async def offer(site: Portal, unique: Callable[[str], str]) -> Resource:
    """An API that is in the catalogue."""
    kind = Resource(f"{unique('g')}.example", "v1", "databases", kind="Database")
    await site.lab.publish(kind, claim("secrets"), schema=SCHEMA)

    async def offered() -> bool:
        return bool(site.watched.views.templates_of(Kind(kind.group, kind.plural)))

    await eventually(offered)
    return kind


def bind(home: bindlab.Lab, site: Portal, *options: str) -> AbstractAsyncContextManager[Run]:
    return running(
        "--kubeconfig",
        str(home.consumer.kubeconfig),
        f"{site.url}/export",
        "--no-browser",
        "--accept-claims=secrets",
        "--skip-konnector",
        *options,
    )


async def sign_in(look: Look, site: Portal, address: str, who: str = "Alice Example") -> None:
    """Open an address, and say at the issuer who one is."""
    look.hosts |= {site.url.removeprefix("http://"), site.issuer.url.removeprefix("http://")}
    await look.page.goto(address)
    await look.page.get_by_role("button", name=f"Sign in as {who}").click()
    await look.page.wait_for_url(f"{site.url}/**")


async def bound(run: Run, home: bindlab.Lab, kind: Resource) -> Finished:
    done = await run.finish()
    assert done.code == 0, done.err
    assert await home.binding(kind.crd_name) is not None
    return done


@pytest.mark.parametrize(
    "options",
    [{}, {"java_script_enabled": False}, {"viewport": PHONE, "color_scheme": "dark", "is_mobile": True}],
    ids=["desk", "without-javascript", "phone"],
)
async def test_from_the_command_line_to_a_binding(
    browser: Browser, site: Portal, home: bindlab.Lab, offer: Resource, options: dict[str, object]
) -> None:
    async with looking(browser, **options) as look, bind(home, site) as run:
        address = await run.address()
        await sign_in(look, site, address)
        # The catalogue says which cluster waits, and has the anchor that machines look for.
        await expect(look.page.locator("h1")).to_have_text("Catalogue")
        await expect(look.page.get_by_text("Your command line waits")).to_be_visible()
        anchor = look.page.locator(f"a.databases[href*='group={offer.group}&']")
        await expect(anchor).to_have_count(1)
        if not options:
            assert await look.broken_rules() == []
            assert await look.violations() == []
        await look.page.get_by_role("link", name=f"Details of {offer.kind}").last.click()
        await expect(look.page.locator("h1")).to_have_text("Database")
        await expect(look.page.get_by_text("copied down, from Lab into your cluster").first).to_be_visible()
        await look.page.go_back()
        await anchor.click()
        await look.page.wait_for_url(re.compile(r"^http://127\.0\.0\.1:\d+/"))
        await expect(look.page.get_by_text("You can close this window")).to_be_visible()
        done = await bound(run, home, offer)
        assert offer.crd_name in done.out
        # Neither the address bar nor the page ever held a credential.
        assert "response=" not in look.page.url
        assert look.complaints == []


async def test_the_question_before_a_bind(
    browser: Browser, site: Portal, home: bindlab.Lab, offer: Resource
) -> None:
    """A link without proof, as somebody else could send it: the person is asked, and one click goes on."""
    async with looking(browser) as look, bind(home, site) as run:
        await sign_in(look, site, await run.address())
        sid = re.search(r"[?&]s=([^&]+)", look.page.url)
        assert sid is not None
        await look.page.goto(f"{site.url}/bind?s={sid[1]}&resource=databases&group={offer.group}")
        await expect(look.page.locator("h1")).to_have_text("Bind Database?")
        await expect(look.page.get_by_text("Go on only if you have just started")).to_be_visible()
        assert await look.broken_rules() == []
        await look.page.get_by_role("button", name="Bind Database").click()
        await expect(look.page.get_by_text("You can close this window")).to_be_visible()
        await bound(run, home, offer)
        assert look.complaints == []


async def test_afterwards(browser: Browser, site: Portal, home: bindlab.Lab, offer: Resource) -> None:
    """My clusters: see it, rotate, unbind and think better of it, sign out."""
    async with looking(browser) as look:
        async with bind(home, site) as run:
            address = await run.address()
            await sign_in(look, site, address, "Bob Example")
            await look.page.locator(f"a.databases[href*='group={offer.group}&']").click()
            await expect(look.page.get_by_text("You can close this window")).to_be_visible()
            await bound(run, home, offer)
        await look.page.goto(f"{site.url}/clusters")
        # Bob may have joined other clusters before.
        await look.page.get_by_role("link", name=URL(address).query["c"], exact=True).click()
        await expect(look.page.get_by_role("heading", name="Bound APIs")).to_be_visible()
        await expect(look.page.get_by_role("link", name="Database", exact=True).first).to_be_visible()
        assert await look.broken_rules() == []

        await look.page.get_by_role("link", name="Rotate …").click()
        await look.page.get_by_role("button", name="Rotate now").click()
        await expect(look.page.get_by_text("A new credential is in force")).to_be_visible()

        await look.page.get_by_role("link", name="Unbind").first.click()
        await look.page.get_by_label("in 7 days").check()
        await look.page.get_by_role("button", name="Unbind Database").click()
        await expect(look.page.get_by_text("The API will be taken off")).to_be_visible()
        kept = look.page.get_by_role("link", name="Keep it")
        await expect_after_reload(look, kept)
        await kept.click()
        await look.page.get_by_role("button", name="Keep Database").click()
        await expect(look.page.get_by_text("The API stays.")).to_be_visible()

        await look.page.get_by_role("button", name="Sign out").click()
        await expect(look.page.locator("h1")).to_have_text("You are signed out")
        # Nothing is open to whoever uses this browser next.
        answer = await look.page.request.get(f"{site.url}/clusters", max_redirects=0)
        assert answer.status in {302, 401}
        assert look.complaints == []


async def test_signing_out_in_one_tab_holds_in_the_other(
    browser: Browser, site: Portal, unique: Callable[[str], str]
) -> None:
    """The issuer remembers the person, so whatever goes to the login by itself would undo it."""
    await site.lab.join("bob", unique("c"), person=Person(site.issuer.url, "bob"))

    async with looking(browser) as look:
        await look.page.clock.install()
        await sign_in(look, site, f"{site.url}/login?next=/clusters", "Bob Example")
        await expect_after_reload(look, look.page.locator(".cluster_"))
        other = await look.page.context.new_page()
        await other.goto(f"{site.url}/resources")
        await other.get_by_role("button", name="Sign out").click()
        await expect(other.locator("h1")).to_have_text("You are signed out")

        await look.page.clock.fast_forward(25_000)
        await expect(look.page.locator("h1")).to_have_text("Your session has ended")
        assert await look.broken_rules() == []
        cookies = [one["name"] for one in await look.page.context.cookies(site.url)]
        assert not [one for one in cookies if "klutch-bind-session" in one], "nobody has signed in again"

        await look.page.get_by_role("link", name="Sign in").click()
        await expect(look.page.locator("h1")).to_have_text("My clusters")
        await look.page.clock.fast_forward(25_000)
        await expect(look.page.locator(".cluster_").first).to_be_visible()
        assert look.complaints == []


async def test_operators_and_others(browser: Browser, site: Portal, home: bindlab.Lab) -> None:
    async with looking(browser) as look:
        await sign_in(look, site, f"{site.url}/login?next=/admin/tenants", "Olivia Operator")
        await expect(look.page.locator("h1")).to_have_text("Tenants")
        await look.page.get_by_role("link", name="Exports").click()
        await expect(look.page.locator("h1")).to_have_text("Exports")
        assert await look.broken_rules() == []
        assert look.complaints == []
    async with looking(browser) as look:
        await sign_in(look, site, f"{site.url}/login?next=/admin/tenants")
        await expect(look.page.locator("h1")).to_have_text("This is not allowed")
        assert await look.broken_rules() == []


async def test_refused_at_the_issuer(browser: Browser, site: Portal, home: bindlab.Lab) -> None:
    """The error of the issuer becomes a page with a way on."""
    async with looking(browser) as look, bind(home, site) as run:
        await look.page.goto(await run.address())
        await look.page.get_by_role("button", name="Refuse").click()
        await look.page.wait_for_url(f"{site.url}/**")
        await expect(look.page.locator("h1")).to_have_text("You cancelled the sign-in")
        again = look.page.get_by_role("link", name="Start again")
        await expect(again).to_be_visible()
        assert await look.broken_rules() == []
        await again.click()
        await expect(look.page.get_by_role("button", name="Sign in as Alice Example")).to_be_visible()
        run.interrupt()
        await run.finish()


async def expect_after_reload(look: Look, locator: Locator) -> None:
    """What the watch brings in a moment is there after loading the page again."""

    async def there() -> bool:
        await look.page.reload()
        return bool(await locator.count())

    await eventually(there)
