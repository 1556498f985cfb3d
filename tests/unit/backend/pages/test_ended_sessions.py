"""A session that ends while pages are open: only a click begins a login. Excluded: a real issuer (browser tests)."""

import pytest

from bind_agent.backend.http.background import unasked
from tests.fakes.small_web import ORIGIN, PAGE, POLL, small_web

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("path", ["/clusters", "/clusters/x", "/resources?q=a", "/admin/tenants"])
async def test_a_poll_leads_to_a_page_that_says_so(path: str) -> None:
    async with small_web() as web:
        web.sign_out(web.sign_in())
        answer, _ = await web.ask(path, headers=POLL)
        assert answer.status == 200
        assert "HX-Refresh" not in answer.headers
        target = answer.headers["HX-Redirect"]
        answer, text = await web.ask(target)
        assert answer.status == 200
        assert "Your session has ended" in text
        assert web.issuer.begun == [], "looking at it begins no login"


async def test_the_link_leads_back_to_the_open_page() -> None:
    async with small_web() as web:
        sent = POLL | {"HX-Current-URL": f"{ORIGIN}/clusters/x?done=rotate"}
        answer, _ = await web.ask("/clusters/x", headers=sent)
        assert answer.headers["HX-Redirect"] == "/session-ended?next=%2Fclusters%2Fx%3Fdone%3Drotate"
        _, text = await web.ask(answer.headers["HX-Redirect"])
        assert 'href="/login?next=%2Fclusters%2Fx%3Fdone%3Drotate"' in text
        answer, _ = await web.ask("/login?next=%2Fclusters%2Fx%3Fdone%3Drotate")
        assert (answer.status, len(web.issuer.begun)) == (302, 1), "a click begins one"


@pytest.mark.parametrize(
    "current", ["https://evil.example/x", "//evil.example", f"{ORIGIN}//evil.example", "http://[", ""]
)
async def test_the_link_leads_nowhere_else(current: str) -> None:
    async with small_web() as web:
        answer, _ = await web.ask("/clusters", headers=POLL | {"HX-Current-URL": current})
        assert "evil" not in answer.headers["HX-Redirect"]
        for foreign in ("https://evil.example", "//evil.example", "/%5Cevil.example"):
            _, text = await web.ask(f"/session-ended?next={foreign}")
            assert 'href="/login?next=%2F"' in text


async def test_whoever_is_signed_in_again_goes_on() -> None:
    async with small_web() as web:
        web.sign_in()
        _, text = await web.ask("/session-ended?next=%2Fclusters")
        assert "You are signed in again" in text
        assert 'class="button_ button_main" href="/clusters"' in text
        answer, _ = await web.ask("/clusters", headers=POLL)
        assert "HX-Redirect" not in answer.headers, "with a session the part is answered"


AUTHORIZE = "/authorize?u=http%3A%2F%2Flocalhost%3A1%2Fcb&s=abc123&c=cluster-1"
ASIDE = [
    {"HX-Request": "true"},
    {"Sec-Fetch-Mode": "cors"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Purpose": "prefetch"},
]


@pytest.mark.parametrize("sent", ASIDE)
async def test_nothing_that_no_person_asked_for_begins_a_login(sent: dict[str, str]) -> None:
    async with small_web() as web:
        for path in ("/login?next=%2Fclusters", "/clusters", AUTHORIZE):
            answer, _ = await web.ask(path, headers=PAGE | sent)
            assert answer.status != 302
        assert web.issuer.begun == []


@pytest.mark.parametrize("sent", [{}, {"Sec-Fetch-Mode": "navigate"}])
async def test_a_person_or_a_program_does(sent: dict[str, str]) -> None:
    async with small_web() as web:
        answer, _ = await web.ask("/clusters", headers=PAGE | sent)
        assert answer.status == 302
        assert answer.headers["Location"].startswith("/login?next=")
        for number, path in enumerate(("/login?next=%2Fclusters", AUTHORIZE), 1):
            answer, _ = await web.ask(path, headers=PAGE | sent)
            assert answer.status == 302
            assert len(web.issuer.begun) == number


def test_the_word_for_it() -> None:
    from aiohttp.test_utils import make_mocked_request

    assert all(unasked(make_mocked_request("GET", "/", headers=sent)) for sent in ASIDE)
    assert not unasked(make_mocked_request("GET", "/"))
