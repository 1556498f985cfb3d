"""The catalogue offers the command lines that wait for this browser, whatever way its person came."""

import re
from dataclasses import replace
from html import unescape

import pytest

from bind_agent.backend.http.sessions import Bind
from tests.fakes.small_web import WAITING, small_web

pytestmark = pytest.mark.unit


def catalogue_of(html: str) -> str:
    """Where the navigation leads to the catalogue."""
    (found,) = re.findall(r'<a class="nav_link[^"]*" href="([^"]*)"[^>]*>Catalogue</a>', html)
    return unescape(found)


async def test_they_are_offered() -> None:
    async with small_web() as web:
        now = int(web.context.clock.now().timestamp())
        first, second = (
            replace(WAITING, begun=now),
            Bind("sid-2", "shop-staging", "http://127.0.0.1:2/", begun=now),
        )
        for binds in ((first,), (first, second)):
            web.sign_in(*binds)
            _, text = await web.ask("/resources")
            for one in binds:
                assert f'href="/resources?s={one.sid}"' in text
                assert one.cluster_id in text
            assert "/bind?" not in text, "which of them is meant, the person says"
        _, text = await web.ask(f"/resources?s={first.sid}")
        assert "Your command line waits" in text
        assert "sid-2" not in text, "the page is about the other one"


async def test_one_that_gave_up_long_ago_is_not() -> None:
    async with small_web() as web:
        now = int(web.context.clock.now().timestamp())
        web.sign_in(replace(WAITING, begun=now - 601))
        _, text = await web.ask("/resources")
        assert WAITING.sid not in text
        assert "start on the command line" in text


async def test_it_is_still_there_after_a_look_at_the_clusters() -> None:
    async with small_web() as web:
        web.sign_in(replace(WAITING, begun=int(web.context.clock.now().timestamp())))
        _, text = await web.ask("/clusters")
        _, text = await web.ask(catalogue_of(text))
        assert f'href="/resources?s={WAITING.sid}"' in text
