"""Style sheet, script and icon: there for every page, also for one that refuses, and kept by browsers."""

import re

import pytest

from tests.fakes.small_web import PAGE, SmallWeb, small_web

pytestmark = pytest.mark.unit


async def drawn(web: SmallWeb, html: str) -> None:
    """Every file that a page names is served."""
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', html)
    assert len(found) >= 3
    for path in found:
        answer, _ = await web.ask(path, headers={})
        assert answer.status == 200, path


async def test_a_page_that_refuses_further_requests_is_drawn() -> None:
    async with small_web(rate=1) as web:
        for _ in range(5):
            await web.ask("/")
        answer, text = await web.ask("/resources?q=x")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert "Try again in 1 second." in text
        assert 'href="/resources?q=x">Try again</a>' in text
        await drawn(web, text)
        answer, _ = await web.ask("/")
        assert answer.status == 429, "files are free, pages are not"


@pytest.mark.parametrize(
    ("path", "method"), [("/static/none.css", "GET"), ("/static/", "GET"), ("/static/pages.css", "POST")]
)
async def test_what_is_no_file_is_charged(path: str, method: str) -> None:
    """Its answer is a page, which is rendered each time."""
    async with small_web(rate=1) as web:
        statuses = [(await web.ask(path, method))[0].status for _ in range(7)]
        assert 429 not in statuses[:5]
        assert statuses[5:] == [429, 429]


@pytest.mark.parametrize("path", ["/static/pages.css", "/static/pages.css?v=0", "/static/%70ages.css"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_files_are_free(path: str, method: str) -> None:
    async with small_web(rate=1) as web:
        assert {(await web.ask(path, method))[0].status for _ in range(30)} == {200}
        answer, _ = await web.ask("/")
        assert answer.status == 200, "nothing was charged"


async def test_several_seconds_are_said_so() -> None:
    async with small_web(rate=1) as web:
        for _ in range(5):
            await web.ask("/")
        answer, text = await web.ask("/login", "POST", headers=PAGE)
        assert answer.status == 429
        assert "Try again in 4 seconds." in text
        assert ">Try again</a>" in text


async def test_a_page_of_a_server_that_is_starting_is_drawn() -> None:
    async with small_web(ready=False) as web:
        answer, text = await web.ask("/clusters")
        assert answer.status == 503
        assert 'href="/clusters">Try again</a>' in text
        await drawn(web, text)
        for path in ("/export", "/favicon.ico"):
            answer, _ = await web.ask(path)
            assert answer.status == 503, "nothing else is answered"


async def test_what_was_kept_may_be_kept_on() -> None:
    """An answer that nothing has changed is about the file that is kept: `no-store` would drop it."""
    async with small_web() as web:
        _, text = await web.ask("/")
        (path,) = re.findall(r'href="(/static/pages\.css\?v=[0-9a-f]+)"', text)
        whole, _ = await web.ask(path, headers={})
        assert "immutable" in whole.headers["Cache-Control"]
        same, _ = await web.ask(path, headers={"If-None-Match": whole.headers["ETag"]})
        assert same.status == 304
        assert same.headers["Cache-Control"] == whole.headers["Cache-Control"]
        icon, _ = await web.ask("/favicon.ico", headers={})
        assert (icon.status, icon.headers["Cache-Control"]) == (204, "public, max-age=86400")


@pytest.mark.parametrize("path", ["/", "/static/none.css", "/clusters"])
async def test_nothing_else_is_kept(path: str) -> None:
    async with small_web() as web:
        answer, _ = await web.ask(path)
        assert answer.headers["Cache-Control"] == "no-store"
