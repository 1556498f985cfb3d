"""Times in words, and addresses of pages."""

from datetime import UTC, datetime, timedelta

import pytest

from bind_agent.backend.pages import links
from bind_agent.backend.pages.times import length, moment, relative

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-4, "just now"),
        (-42, "42 seconds ago"),
        (90, "in 1 minute 30 seconds"),
        (-150, "2 minutes 30 seconds ago"),
        (-600, "10 minutes ago"),
        (3600, "in 1 hour"),
        (5 * 3600 + 60, "in 5 hours"),
        (-(86400 + 3600 * 4), "1 day 4 hours ago"),
        (40 * 86400, "in 40 days"),
    ],
)
def test_relative(seconds: int, words: str) -> None:
    assert relative(timedelta(seconds=seconds)) == words


def test_length_of_nothing() -> None:
    assert length(timedelta()) == "0 seconds"


def test_a_moment_says_when_exactly() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    found = moment(now - timedelta(hours=3), now)
    assert (found.words, found.exact, found.machine) == (
        "3 hours ago",
        "2026-01-02 00:04 UTC",
        "2026-01-02T00:04:05Z",
    )


def test_the_anchor_of_the_wire() -> None:
    assert links.bind(sid="a b", plural="dbs", group="x.y", proof="p+/=") == (
        "/bind?s=a+b&resource=dbs&group=x.y&t=p%2B%2F%3D"
    )
    assert links.bind(sid="1", plural="dbs", group="") == "/bind?s=1&resource=dbs&group="


def test_parts_of_paths_are_quoted() -> None:
    assert links.api("a/../b?c#d") == "/resources/a%2F..%2Fb%3Fc%23d"
    assert links.api("dbs.x", "1&2") == "/resources/dbs.x?s=1%262"
    assert links.unbind("ns", "a/b") == "/clusters/ns/exports/a%2Fb/unbind"
    assert links.change("ns", "rotate") == "/clusters/ns/rotate"
    assert links.tenant("ns") == "/admin/tenants/ns"
    assert links.login("/clusters?x=1") == "/login?next=%2Fclusters%3Fx%3D1"
    assert (
        links.listing("/admin/exports", 2, "a&b", only=True) == "/admin/exports?page=2&q=a%26b&only=trouble"
    )
    assert links.catalogue() == "/resources"
    assert links.catalogue("s1", "q") == "/resources?s=s1&q=q"
