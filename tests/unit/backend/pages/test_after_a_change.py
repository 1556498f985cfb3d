"""What follows a change: the page waits until it shows, and says so once. Excluded: the changes (test_pages.py)."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bind_agent.backend import names, retirement
from bind_agent.backend.http import sessions
from bind_agent.backend.http.cookies import Cookies
from bind_agent.backend.http.keyring import Keyring
from bind_agent.backend.http.sessions import Session
from bind_agent.backend.options.web import CookieKeys
from bind_agent.backend.pages import caught_up, notices
from bind_agent.backend.retirement import Planned
from bind_agent.runtime.store import Store, make_entry
from tests.fakes import pages_world as world

pytestmark = pytest.mark.unit

SESSION = sessions.new(world.ANNA, world.NOW)


class App:
    """What notices need of the application."""

    def __init__(self) -> None:
        self.now = world.NOW
        self.clock: Any = SimpleNamespace(now=lambda: self.now)
        self.keyring = Keyring(CookieKeys((b"s" * 32,), (b"e" * 16,)))
        self.cookies = Cookies(secure=False)


def left(app: Any, session: Session = SESSION, namespace: str = "ns") -> str:
    response = web.Response()
    notices.leave(response, app, session, namespace, "revoke")
    return response.cookies[app.cookies.notice].value


def said(app: Any, cookie: str, session: Session = SESSION, namespace: str = "ns") -> str:
    request = make_mocked_request(
        "GET", "/clusters/ns?done=revoke", headers={"Cookie": f"{app.cookies.notice}={cookie}"}
    )
    return notices.found(request, app, session, namespace)


def test_what_a_change_left_is_said_to_whoever_made_it() -> None:
    app = App()
    assert said(app, left(app)) == "revoke"


@pytest.mark.parametrize("cookie", ["", "revoke", "x" * 70_000, "gAAAA"])
def test_made_up_ones_say_nothing(cookie: str) -> None:
    assert said(App(), cookie) == ""


def test_of_another_session_cluster_or_time_they_say_nothing() -> None:
    app = App()
    assert said(app, left(app, replace(SESSION, id="other"))) == ""
    assert said(app, left(app, namespace="other")) == ""
    early = left(app)
    app.now += notices.LIFE
    assert said(app, early) == ""
    # What was sealed for something else is no notice.
    assert said(app, sessions.seal(app.keyring, SESSION, world.NOW)) == ""


def test_what_was_said_is_dropped() -> None:
    app: Any = App()
    response = web.Response()
    notices.drop(response, app)
    assert response.cookies[app.cookies.notice]["max-age"] == "0"


class Views:
    """What is watched."""

    def __init__(self) -> None:
        self.exports = SimpleNamespace(store=Store())
        self.marks: dict[str, str] = {}

    def binding(self, _: str) -> Any:
        return {"metadata": {"annotations": self.marks}}

    def show(self, planned: Planned | None) -> None:
        export = world.export("dbs", "a.example", "Db", namespace="ns")
        export["metadata"]["annotations"] = retirement.marks(planned) if planned else {}
        self.exports.store.put(make_entry(export))


async def test_it_waits_until_a_change_is_shown() -> None:
    found: list[bool] = []
    waiting = asyncio.create_task(caught_up.until(lambda: bool(found)))
    await asyncio.sleep(0.03)
    assert not waiting.done()
    found.append(True)
    assert await asyncio.wait_for(waiting, 2)


async def test_it_does_not_wait_for_ever() -> None:
    assert not await asyncio.wait_for(caught_up.until(lambda: False, patience=0.05), 2)


def test_when_a_revocation_is_shown() -> None:
    views: Any = Views()
    shown = caught_up.revocation(views, "ns", names.BY_PERSON)
    assert not shown()
    views.marks = {names.REVOKED: "x", names.REVOKED_BY: names.BY_PERSON}
    assert shown()


def test_when_a_rotation_is_shown() -> None:
    views: Any = Views()
    views.marks = {names.CREDENTIAL_CHANGED: "11@2026"}
    assert not caught_up.rotation(views, "ns", 1)()
    assert caught_up.rotation(views, "ns", 11)()


def test_when_an_end_is_shown_or_taken_back() -> None:
    views: Any = Views()
    at = world.NOW + timedelta(days=1, microseconds=7)
    ends, stays = (caught_up.end(views, "ns", "dbs.a.example", when) for when in (at, None))
    # It is gone: there is nothing to wait for.
    assert (ends(), stays()) == (True, True)
    views.show(None)
    assert (ends(), stays()) == (False, True)
    views.show(Planned(world.NOW, by=names.BY_PERSON))
    assert (ends(), stays()) == (False, False)
    views.show(Planned(at, by=names.BY_PERSON))
    assert (ends(), stays()) == (True, False)
