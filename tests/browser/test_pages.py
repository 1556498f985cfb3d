"""Every page in every state in a real browser: light, dark, on a phone, without JavaScript, by keyboard alone.

The pages are rendered by the shipped templates from made-up content. Excluded: logins and clusters (test_login.py).
"""

import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.fakes import pages_preview as preview
from tests.fakes.looking import DESK, PHONE, Look, looking

pytestmark = pytest.mark.e2e

LOOKS = {
    "light": {"color_scheme": "light", "viewport": DESK},
    "dark": {"color_scheme": "dark", "viewport": DESK},
    "phone": {"color_scheme": "light", "viewport": PHONE, "is_mobile": True, "has_touch": True},
}

PICTURES = {
    ("/resources?s=sid-1", "light"): "catalogue",
    ("/resources?s=sid-1", "phone"): "catalogue-phone",
    ("/resources/postgresinstances.data.northwind.example", "light"): "api",
    ("/clusters", "dark"): "clusters-dark",
    ("/clusters/cluster-7xk2pqm4ta", "light"): "cluster",
    ("/admin/tenants", "light"): "operators",
    ("/bind", "dark"): "confirm-dark",
    ("/", "light"): "start",
}

ERRORS = {"/error": 403, "/error/session": 401}


async def open_page(look: Look, base: str, path: str) -> None:
    await look.go(base + path, status=ERRORS.get(path, 200))


@pytest.mark.parametrize("path", preview.PATHS)
@pytest.mark.parametrize("kind", list(LOOKS))
async def test_each_page(browser: Browser, preview: str, path: str, kind: str) -> None:
    async with looking(browser, **LOOKS[kind]) as look:
        await open_page(look, preview, path)
        # The browser itself reports the status of an error page.
        complaints = [
            one for one in look.complaints if path not in ERRORS or "server responded with" not in one
        ]
        assert complaints == []
        assert await look.violations() == []
        assert look.foreign == []
        assert await look.overflow() == 0
        assert await look.crowded() == []
        assert await look.broken_rules() == []
        assert len(await look.page.locator("h1").all()) == 1
        if name := PICTURES.get((path, kind)):
            await look.picture(name)


@pytest.mark.parametrize("name", list(preview.HOSTILE))
async def test_hostile_text_does_nothing_and_breaks_nothing(
    browser: Browser, preview: str, name: str
) -> None:
    async with looking(browser, **LOOKS["phone"]) as look:
        await look.go(f"{preview}/hostile/{name}")
        assert "owned" not in (await look.page.title()).partition("<")[0]
        assert await look.page.locator("img").count() == 0
        assert (look.complaints, await look.violations(), look.foreign) == ([], [], [])
        assert await look.overflow() == 0


@pytest.mark.parametrize("path", preview.PATHS)
async def test_everything_is_there_without_javascript(browser: Browser, preview: str, path: str) -> None:
    async with looking(browser) as with_it, looking(browser, java_script_enabled=False) as without:
        await open_page(with_it, preview, path)
        await open_page(without, preview, path)
        main = "main"
        assert await without.page.locator(main).inner_text() == await with_it.page.locator(main).inner_text()


MAIN_ACTIONS = {
    "/": "text=Sign in",
    "/home/in": "text=Open the catalogue",
    "/resources?s=sid-1": "a.postgresinstances",
    "/resources?q=nothing-like-this": "text=Show all",
    "/resources": "#search_box",
    "/resources/postgresinstances.data.northwind.example": "a.postgresinstances",
    "/bind": "button:has-text('Bind PostgresInstance')",
    "/clusters": "a:has-text('shop-production')",
    "/clusters/none": "text=See what there is",
    "/clusters/cluster-7xk2pqm4ta": "text=Revoke …",
    "/ask/rotate": "button:has-text('Rotate now')",
    "/ask/revoke": "button:has-text('Revoke')",
    "/ask/unbind": "button:has-text('Unbind PostgresInstance')",
    "/admin": "text=11 with trouble",
    "/admin/tenants": "text=Next",
    "/admin/exports": "input[type=checkbox]",
    "/signed-out": "text=Sign in again",
    "/error": "text=Open the catalogue",
    "/error/session": "text=Go to the start page",
}


@pytest.mark.parametrize("path", list(MAIN_ACTIONS))
async def test_the_main_action_can_be_reached_by_keyboard(browser: Browser, preview: str, path: str) -> None:
    async with looking(browser) as look:
        await open_page(look, preview, path)
        await look.tab_to(f"main >> {MAIN_ACTIONS[path]}")


async def test_the_first_stop_skips_to_the_content(browser: Browser, preview: str) -> None:
    async with looking(browser) as look:
        await look.go(f"{preview}/resources")
        await look.page.keyboard.press("Tab")
        skip = look.page.locator("a.skip_link")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await look.page.keyboard.press("Enter")
        await expect(look.page.locator("main")).to_be_focused()


async def test_search_as_you_type(browser: Browser, preview: str) -> None:
    async with looking(browser) as look:
        await look.go(f"{preview}/resources?s=sid-1")
        box, cards = look.page.locator("#search_box"), look.page.locator(".offer_")
        await expect(cards).to_have_count(5)
        await box.press_sequentially("rabbit")
        await expect(cards).to_have_count(1)
        await expect(look.page.locator("#found_count")).to_have_text("1 of 5 match “rabbit”")
        await expect(box).to_be_focused()
        await expect(look.page).to_have_url(re.compile(r"/resources\?s=sid-1&q=rabbit$"))
        # What was found can be bound as before.
        await expect(look.page.locator("a.messagequeues")).to_have_attribute(
            "href", "/bind?s=sid-1&resource=messagequeues&group=mq.northwind.example&t=proof-1"
        )
        await box.fill("")
        await expect(cards).to_have_count(5)
        assert (look.complaints, await look.violations()) == ([], [])


async def test_search_without_javascript(browser: Browser, preview: str) -> None:
    async with looking(browser, java_script_enabled=False) as look:
        await look.go(f"{preview}/resources?s=sid-1")
        await look.page.locator("#search_box").fill("rabbit")
        await look.page.locator("#search_box").press("Enter")
        await expect(look.page.locator(".offer_")).to_have_count(1)
        assert urlsplit(look.page.url).query == "s=sid-1&q=rabbit"


async def test_operators_narrow_a_list_as_they_tick(browser: Browser, preview: str) -> None:
    async with looking(browser) as look:
        await look.go(f"{preview}/admin/tenants")
        box = look.page.locator("#only_box")
        await look.page.locator("#found_list").evaluate("one => one.setAttribute('data-old', 'yes')")
        await box.check()
        await expect(look.page).to_have_url(re.compile(r"/admin/tenants\?q=&only=trouble$"))
        await expect(look.page.locator("#found_list:not([data-old])")).to_have_count(1)
        await expect(box).to_be_checked()
        await box.uncheck()
        await expect(look.page).to_have_url(re.compile(r"/admin/tenants\?q=$"))
        # The field beside it goes on as before.
        await look.page.locator("#search_box").press_sequentially("shop")
        await expect(look.page).to_have_url(re.compile(r"/admin/tenants\?q=shop$"))
        assert (look.complaints, await look.violations()) == ([], [])


@pytest.mark.parametrize("path", ["/clusters", "/clusters/cluster-7xk2pqm4ta"])
async def test_health_is_refreshed_while_the_page_is_open(browser: Browser, preview: str, path: str) -> None:
    async with looking(browser) as look:
        await look.page.clock.install()
        await look.go(preview + path)
        await look.page.locator("#live_part").evaluate("one => one.setAttribute('data-old', 'yes')")
        await look.page.evaluate("window.__same_page = true")
        await look.page.clock.fast_forward(25_000)
        await expect(look.page.locator("#live_part:not([data-old])")).to_have_count(1)
        await expect(look.page.locator("#live_part h2").first).to_be_visible()
        assert await look.page.evaluate("window.__same_page")
        assert (look.complaints, await look.violations()) == ([], [])


def told(look: Look) -> Locator:
    """The line about what does not get through."""
    return look.page.locator("#live_line[role=status]")


FAILURES = {
    "away": lambda route: route.abort("connectionrefused"),
    "refused": lambda route: route.fulfill(status=429, body="later"),
    "broken": lambda route: route.fulfill(status=503, body="<h1>starting</h1>", content_type="text/html"),
}


@pytest.mark.parametrize("failure", list(FAILURES))
@pytest.mark.parametrize("path", ["/clusters", "/clusters/cluster-7xk2pqm4ta"])
async def test_a_refresh_that_fails_is_told_until_one_succeeds(
    browser: Browser, preview: str, path: str, failure: str
) -> None:
    async with looking(browser, timezone_id="UTC") as look:
        await look.page.clock.install(time="2026-06-01T14:05:00Z")
        await look.go(preview + path)
        await expect(told(look)).to_have_text("")
        await look.page.route("**/clusters**", FAILURES[failure])
        await look.page.clock.fast_forward(25_000)
        await expect(told(look)).to_have_text("This page is not up to date since 14:05; trying again.")
        await expect(told(look)).to_be_in_viewport()
        assert await look.broken_rules() == []
        # Minutes later the time is still that of what is shown.
        await look.page.clock.fast_forward(180_000)
        await expect(told(look)).to_have_text("This page is not up to date since 14:05; trying again.")
        await expect(look.page.locator("#live_part h2").first).to_be_visible()
        await look.page.unroute("**/clusters**")
        await look.page.clock.fast_forward(25_000)
        await expect(told(look)).to_have_text("")
        assert await look.violations() == []


async def test_a_search_that_fails_is_told_until_one_succeeds(browser: Browser, preview: str) -> None:
    async with looking(browser) as look:
        await look.go(f"{preview}/resources?s=sid-1")
        box, cards = look.page.locator("#search_box"), look.page.locator(".offer_")
        await look.page.route("**/resources?**", FAILURES["away"])
        await box.press_sequentially("rab")
        await expect(told(look)).to_have_text("The search did not work. Press Search to try again.")
        await expect(cards).to_have_count(5)
        await look.page.unroute("**/resources?**")
        await box.press_sequentially("bit")
        await expect(cards).to_have_count(1)
        await expect(told(look)).to_have_text("")
        assert await look.violations() == []


async def test_apis_are_refreshed_and_what_is_unfolded_stays_so(browser: Browser, preview: str) -> None:
    path = f"{preview}/clusters/cluster-7xk2pqm4ta"
    async with looking(browser) as look:
        await look.page.clock.install()
        await look.go(path)
        page = look.page
        opened = page.locator("#more_postgresinstances_data_northwind_example")
        await opened.locator("summary").click()
        await page.locator("#unbind_searchindices_search_northwind_example").focus()
        # As if it had been loaded a while ago: another state, and an API less.
        await page.locator("#live_part").evaluate(
            """one => {
                one.querySelector('#inside_postgresinstances_data_northwind_example').textContent = 'long ago';
                one.querySelector('#apis + ul').lastElementChild.remove();
                const insides = one.getAttribute('hx-select-oob').split(',');
                one.setAttribute('hx-select-oob', insides.slice(0, -1).join(','));
                one.querySelector('.badge_').textContent = 'long ago';
            }"""
        )
        await expect(page.locator("#apis + ul > li")).to_have_count(3)
        await page.clock.fast_forward(16_000)
        await expect(page.locator("#apis + ul > li")).to_have_count(4)
        await expect(page.get_by_text("long ago")).to_have_count(0)
        await expect(opened).to_have_attribute("open", "")
        await expect(opened).to_contain_text("ProviderInSync")
        await expect(page.locator("#more_searchindices_search_northwind_example")).not_to_have_attribute(
            "open", ""
        )
        await expect(page.locator("#unbind_searchindices_search_northwind_example")).to_be_focused()
        assert (look.complaints, await look.violations()) == ([], [])


async def test_a_schema_unfolds_without_javascript(browser: Browser, preview: str) -> None:
    async with looking(browser, java_script_enabled=False) as look:
        await look.go(f"{preview}/resources/postgresinstances.data.northwind.example")
        inner = look.page.get_by_text("0 2 * * *").first
        await expect(inner).to_be_hidden()
        await look.page.locator("summary", has_text="backup").first.click()
        await expect(inner).to_be_visible()


async def test_no_page_is_kept_in_the_browsers_storage(browser: Browser, preview: str) -> None:
    async with looking(browser) as look:
        await look.go(f"{preview}/resources?s=sid-1")
        await look.page.locator("#search_box").press_sequentially("post")
        await expect(look.page.locator(".offer_")).to_have_count(1)
        stored = await look.page.evaluate("[{...localStorage}, {...sessionStorage}, document.cookie]")
        # The address is all that is remembered, so that going back works.
        assert stored == [{}, {"htmx-current-path-for-history": "/resources?s=sid-1&q=post"}, ""]


@pytest.mark.parametrize("width", [320, 360, 415, 1200])
async def test_one_sees_as_whom_one_is_signed_in(browser: Browser, preview: str, width: int) -> None:
    async with looking(browser, viewport={"width": width, "height": 740}) as look:
        await look.go(f"{preview}/clusters")
        await expect(look.page.locator(".who_name")).to_be_visible()
        box = await look.page.locator(".who_name").bounding_box()
        assert box is not None
        assert box["width"] > 40
        assert await look.overflow() == 0


async def test_nothing_moves_for_those_who_do_not_want_it(browser: Browser, preview: str) -> None:
    async with looking(browser, reduced_motion="reduce") as still, looking(browser) as moving:
        for look, wanted in ((still, "0s"), (moving, "0.12s")):
            await look.go(f"{preview}/resources")
            button = look.page.locator(".button_").first
            found = await button.evaluate("one => getComputedStyle(one).transitionDuration")
            assert found.startswith(wanted)
