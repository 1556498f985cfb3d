"""Where the button of an error's page leads: somewhere that helps, and never away from a command line that waits."""

import random
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest

from bind_agent.backend.http import csrf
from bind_agent.backend.http.handlers import logout
from bind_agent.kube.errors import ConnectionFailed, error_from_answer
from tests.fakes.small_web import ORIGIN, PAGE, WAITING, SmallWeb, small_web

pytestmark = pytest.mark.unit

OFFER = {"resource": "buckets", "group": "storage.northwind.example"}
QUESTION = f"/bind?s={WAITING.sid}&resource={OFFER['resource']}&group={OFFER['group']}"
OURS = PAGE | {"Origin": ORIGIN}


def button(html: str) -> tuple[str, str]:
    """Address and words of the main button."""
    main = html.partition("<main")[2]
    found = re.findall(r'<a class="button_ button_main" href="([^"]*)">([^<]*)</a>', main)
    assert len(found) == 1, html
    return unescape(found[0][0]), found[0][1]


def catalogue_of(html: str) -> str:
    """Where the navigation leads to the catalogue."""
    (found,) = re.findall(r'<a class="nav_link[^"]*" href="([^"]*)"[^>]*>Catalogue</a>', html)
    return unescape(found)


class TestTheCommandLineThatWaits:
    @pytest.mark.parametrize(
        "path",
        [
            f"/bind?s={WAITING.sid}&resource=nothing&group=like.this",
            f"/bind?s={WAITING.sid}&resource=NO&group=x",
            f"/resources/no.such?s={WAITING.sid}",
        ],
    )
    async def test_a_refusal_keeps_it(self, path: str) -> None:
        async with small_web() as web:
            web.sign_in(WAITING)
            answer, text = await web.ask(path)
            assert answer.status >= 400
            assert button(text) == (f"/resources?s={WAITING.sid}", "Open the catalogue")
            assert catalogue_of(text) == f"/resources?s={WAITING.sid}"

    async def test_a_refused_form_keeps_it(self) -> None:
        async with small_web() as web:
            session = web.sign_in(WAITING)
            token = web.token(session, csrf.bind_purpose(WAITING.sid))
            sent = {"s": WAITING.sid, "resource": "nothing", "group": "like.this", "csrf": token}
            answer, text = await web.ask("/bind", "POST", headers=OURS, data=sent)
            assert answer.status == 403
            assert button(text)[0] == f"/resources?s={WAITING.sid}"

    @pytest.mark.parametrize("sid", ["somebody-elses", "", "a&s=b", "%3Cscript%3E", "x" * 300])
    async def test_one_that_does_not_wait_here_is_not_repeated(self, sid: str) -> None:
        async with small_web() as web:
            web.sign_in(WAITING)
            _, text = await web.ask(f"/resources/no.such?s={sid}")
            assert button(text)[0] == "/resources"
            assert catalogue_of(text) == "/resources"


class TestAgain:
    async def test_what_passes_by_itself_can_be_tried_again(self) -> None:
        async with small_web() as web:
            web.sign_in()
            web.tenants.away = ConnectionFailed("canary")
            answer, text = await web.ask("/clusters?done=rotate")
            assert answer.status == 503
            assert button(text) == ("/clusters?done=rotate", "Try again")

    async def test_what_does_not_leads_elsewhere(self) -> None:
        async with small_web() as web:
            web.sign_in()
            web.tenants.away = error_from_answer(403, b"canary")
            _, text = await web.ask("/clusters")
            assert button(text) == ("/resources", "Open the catalogue")

    async def test_after_the_form_of_a_bind_one_is_asked_again(self) -> None:
        async with small_web() as web:
            session = web.sign_in(WAITING)
            token = web.token(session, csrf.bind_purpose(WAITING.sid))
            sent = {"s": WAITING.sid, **OFFER, "csrf": token}
            web.spent.away = ConnectionFailed("canary")
            answer, text = await web.ask("/bind", "POST", headers=OURS, data=sent)
            assert answer.status == 503
            assert button(text) == (QUESTION, "Try again")
            web.spent.away = None
            answer, text = await web.ask(QUESTION)
            assert (answer.status, "Bind Bucket?" in text) == (200, True)

    async def test_a_form_without_its_token_leads_to_the_question(self) -> None:
        async with small_web() as web:
            web.sign_in(WAITING)
            sent = {"s": WAITING.sid, **OFFER, "csrf": "wrong"}
            answer, text = await web.ask("/bind", "POST", headers=OURS, data=sent)
            assert answer.status == 403
            assert button(text) == (QUESTION, "Open the page again")

    async def test_a_form_whose_api_cannot_be_read_leads_to_the_catalogue(self) -> None:
        async with small_web() as web:
            web.sign_in(WAITING)
            sent = {"s": WAITING.sid, "resource": "<x>", "group": "//evil.example", "csrf": "wrong"}
            _, text = await web.ask("/bind", "POST", headers=OURS, data=sent)
            assert button(text)[0] == f"/resources?s={WAITING.sid}"

    async def test_after_signing_out_failed_to_the_start_page(self) -> None:
        async with small_web() as web:
            session = web.sign_in()
            web.spent.away = ConnectionFailed("canary")
            sent = {"csrf": web.token(session, logout.PURPOSE)}
            answer, text = await web.ask("/logout", "POST", headers=OURS, data=sent)
            assert answer.status == 503
            assert button(text) == ("/", "Go to the start page")
            answer, _ = await web.ask(button(text)[0])
            assert answer.status == 200

    @pytest.mark.parametrize(
        ("path", "method"), [("/logout", "GET"), ("/redeem", "GET"), ("/resources", "POST"), ("/", "POST")]
    )
    async def test_a_method_that_there_is_not_says_what_to_do(self, path: str, method: str) -> None:
        async with small_web() as web:
            answer, text = await web.ask(path, method)
            assert answer.status == 405
            assert text.count("This is not possible here") == 2, "heading of the window and of the page"
            assert "What you can do" in text
            assert button(text) == ("/", "Go to the start page")


async def _post(web: SmallWeb, path: str, **form: str) -> str:
    answer, text = await web.ask(path, "POST", headers=OURS, data=form)
    assert answer.status == 401, text
    return text


class TestWithoutASession:
    @pytest.mark.parametrize(
        ("path", "form", "back"),
        [
            ("/clusters/x/rotate", {}, "/login?next=%2Fclusters%2Fx%2Frotate"),
            (
                "/bind",
                {"s": WAITING.sid, **OFFER},
                "/login?next=%2Fbind%3Fs%3Dsid-1%26resource%3Dbuckets%26group%3Dstorage.northwind.example",
            ),
            ("/logout", {}, "/login?next=%2F"),
        ],
    )
    async def test_a_form_leads_back_to_its_page(self, path: str, form: dict[str, str], back: str) -> None:
        async with small_web() as web:
            assert button(await _post(web, path, **form)) == (back, "Sign in")


def heading(html: str) -> str:
    (found,) = re.findall(r"<h1>([^<]*)</h1>", html)
    return str(found)


class TestWords:
    """A heading that says what happened, and a button that says where it leads."""

    async def _state(self, web: SmallWeb, path: str = "/login?next=%2Fclusters") -> str:
        """Begin a login; its state."""
        answer, _ = await web.ask(path)
        assert answer.status == 302
        for name, one in answer.cookies.items():
            web.cookies[name] = one.value
        return web.issuer.begun[-1]

    async def test_a_cancelled_sign_in(self) -> None:
        async with small_web() as web:
            state = await self._state(web)
            answer, text = await web.ask(f"/callback?error=access_denied&state={state}")
            assert answer.status == 403
            assert heading(text) == "You cancelled the sign-in"
            assert button(text) == ("/login?next=%2Fclusters", "Start again")
            assert "AccessDenied" not in text

    async def test_one_that_the_issuer_refuses_is_not_said_to_be_cancelled(self) -> None:
        async with small_web() as web:
            state = await self._state(web)
            for error in ("temporarily_unavailable", "something_else"):
                _, text = await web.ask(f"/callback?error={error}&state={state}")
                assert heading(text) == "The sign-in did not succeed"

    async def test_one_that_took_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with small_web() as web:
            monkeypatch.setattr("bind_agent.backend.http.flowstate.LIFE", timedelta(seconds=-1))
            state = await self._state(web)
            _, text = await web.ask(f"/callback?code=x&state={state}")
            assert heading(text) == "The sign-in took too long"
            assert button(text)[1] == "Start again"

    async def test_one_that_is_complete(self) -> None:
        async with small_web() as web:
            path = f"/callback?code=x&state={await self._state(web)}"
            assert (await web.ask(path))[0].status == 302
            _, text = await web.ask(path)
            assert heading(text) == "This sign-in is already complete"

    async def test_too_many_groups(self) -> None:
        async with small_web() as web:
            draw = random.Random(1)
            groups = tuple("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=200)) for _ in range(300))
            web.issuer.person = replace(web.issuer.person, groups=groups)
            _, text = await web.ask(f"/callback?code=x&state={await self._state(web)}")
            assert heading(text) == "You are in too many groups"
            assert "Ask the operators of this provider" in text

    async def test_a_cluster_that_there_is_not(self) -> None:
        async with small_web() as web:
            web.sign_in()
            _, text = await web.ask("/clusters/none")
            assert heading(text) == "There is no such cluster"
            assert button(text) == ("/clusters", "Look at your clusters")

    async def test_the_wrong_host(self) -> None:
        async with small_web() as web:
            answer, text = await web.ask("/clusters", headers=PAGE | {"Host": "other.example"})
            assert answer.status == 421
            assert button(text) == (f"{ORIGIN}/", f"Go to {ORIGIN}")

    async def test_one_word_for_signing_in(self) -> None:
        async with small_web() as web:
            text = await _post(web, "/logout")
            assert heading(text) == "Please sign in"
            assert "log in" not in text.lower()
            assert "logged" not in text.lower()
            answer, said = await web.ask("/logout", "POST", headers={})
            assert (answer.status, '"login_required"' in said) == (401, True), "the word of the wire stays"
