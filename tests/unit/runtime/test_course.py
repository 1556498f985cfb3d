"""What a reflector does after each end of a connection: the pure part."""

import pytest

from bind_agent.kube.errors import ConnectionFailed, Forbidden, NotFound, TooManyRequests
from bind_agent.runtime.course import SILENCE, Course

pytestmark = pytest.mark.unit


def course(version: str = "7") -> Course:
    fresh = Course.start(draw=lambda: 0.999999)
    fresh.version = version
    return fresh


def test_a_watch_that_lived_long_is_reopened_at_once() -> None:
    it = course()
    assert it.closed(lasted=300.0, received=0) == 0.0
    assert it.version == "7"


def test_two_brief_watches_in_a_row_that_brought_nothing_mean_a_list() -> None:
    it = course()
    assert it.closed(lasted=0.1, received=0) > 0
    assert it.version == "7"
    it.closed(lasted=0.1, received=0)
    assert it.version == ""


def test_a_bookmark_in_between_starts_the_count_again() -> None:
    it = course()
    it.closed(lasted=0.1, received=0)
    it.advance("8")
    it.closed(lasted=0.1, received=1)
    it.closed(lasted=0.1, received=0)
    assert it.version == "8"


def test_a_bookmark_without_a_version_changes_nothing() -> None:
    it = course()
    it.advance("")
    assert it.version == "7"


def test_a_lost_connection_resumes_where_it_was() -> None:
    it = course()
    for _ in range(20):
        it.failed(ConnectionFailed("refused"), lasted=0.0, received=0)
    assert it.version == "7"


def test_a_connection_that_was_silent_twice_is_distrusted() -> None:
    it = course()
    it.failed(ConnectionFailed("silent"), lasted=SILENCE, received=0)
    assert it.version == "7"
    it.failed(ConnectionFailed("silent"), lasted=SILENCE, received=0)
    assert it.version == ""


def test_waits_grow_to_thirty_seconds_and_start_again_after_health() -> None:
    it = course()
    waits = [it.failed(Forbidden("no", code=403), lasted=0.0, received=0) for _ in range(12)]
    assert waits[0] == pytest.approx(0.2, rel=1e-3)
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(30.0, rel=1e-3)
    it.closed(lasted=11.0, received=3)
    assert it.failed(ConnectionFailed("reset"), lasted=0.0, received=0) == pytest.approx(0.2, rel=1e-3)


def test_endless_410_is_slowed_down() -> None:
    it = course()
    waits = []
    for version in range(12):
        waits.append(it.expired(lasted=0.1))
        assert it.version == ""
        it.advance(str(version))
    assert waits[-1] == pytest.approx(30.0, rel=1e-3)


def test_410_after_a_healthy_watch_is_answered_quickly() -> None:
    it = course()
    for _ in range(10):
        it.expired(lasted=0.0)
    assert it.expired(lasted=60.0) <= 0.2


def test_a_server_that_ends_each_watch_after_one_event_is_slowed_down_a_server_with_short_limits_is_not() -> (
    None
):
    it = course()
    waits = [it.closed(lasted=0.01, received=1) for _ in range(12)]
    assert waits[-1] == pytest.approx(30.0, rel=1e-3)
    it = course()
    assert [it.closed(lasted=1.5, received=1) for _ in range(5)] == [0.2] * 5


def test_the_wait_that_a_server_asks_for_is_respected_within_the_cap() -> None:
    it = course()
    error = TooManyRequests("slow", code=429, retry_after=12.0)
    assert it.failed(error, lasted=0.0, received=0) == 12.0
    assert it.failed(TooManyRequests("x", code=429, retry_after=1e9), lasted=0.0, received=0) == 30.0


def test_history_of_a_kind_that_is_gone_is_of_no_use() -> None:
    it = course()
    it.failed(NotFound("no such resource", code=404), lasted=0.0, received=0)
    assert it.version == ""
