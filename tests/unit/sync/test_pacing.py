"""How fast the other side may make us write: a bounded number of writes, and the last change arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from konnector.sync.pacing import OBJECT, SESSION, Pace, Pacing

pytestmark = pytest.mark.unit

ENDLESS = Pace(10**9, 1e9)


def written(pacing: Pacing, key: str, times: list[float]) -> list[float]:
    """When an object was written that wants to be at these times, and looks again when it is told to."""
    waits = [pacing.ask(key, now) for now in times]
    done = [now for now, wait in zip(times, waits, strict=True) if wait == 0.0]
    if waits[-1]:
        done.append(times[-1] + waits[-1])
        assert pacing.ask(key, done[-1] + 1e-6) == 0.0
    return done


def test_an_operator_that_settles_never_waits() -> None:
    pacing = Pacing()
    assert [pacing.ask("a", 100.0 + n / 100) for n in range(10)] == [0.0] * 10
    assert [pacing.ask("a", 120.0 + n) for n in range(1000)] == [0.0] * 1000


def test_one_that_never_settles_is_written_at_a_pace() -> None:
    done = written(Pacing(), "a", [n / 100 for n in range(6000)])
    assert 1590 <= len(done) <= 1610
    assert done[999] < 10
    assert done[-1] == pytest.approx(60.0, abs=1.1)


def test_who_waits_is_told_for_how_long() -> None:
    pacing = Pacing(each=Pace(1, 0.5))
    assert pacing.ask("a", 10.0) == 0.0
    assert pacing.ask("a", 10.5) == 1.5
    assert pacing.ask("a", 12.0) == 0.0


def test_objects_do_not_wait_for_each_other() -> None:
    pacing = Pacing()
    for _ in range(2 * OBJECT.burst):
        pacing.ask("hostile", 1.0)
    assert pacing.ask("a", 1.0) == 0.0


def test_all_together_have_a_pace_and_each_its_turn() -> None:
    pacing = Pacing(together=Pace(burst=3, per_second=10.0))
    waits = [pacing.ask(f"n{n}", 0.0) for n in range(7)]
    assert waits == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4])
    # Asked again before its turn, for instance because of another event, it does not lose it and takes no second one.
    assert pacing.ask("n5", 0.1) == pytest.approx(0.2)
    assert pacing.ask("n3", 0.11) == 0.0
    assert [pacing.ask(f"n{n}", 0.41) for n in (4, 5, 6)] == [0.0] * 3
    assert pacing.ask("other", 0.41) > 0


def test_a_thousand_objects_that_change_once_or_a_few_times_are_not_slowed() -> None:
    pacing = Pacing()
    assert all(pacing.ask(f"n{n}", n / 1000) == 0.0 for _ in range(3) for n in range(1000))
    assert SESSION.per_second >= 100
    assert OBJECT.burst >= 10


def test_objects_that_rest_are_forgotten() -> None:
    pacing = Pacing(together=Pace(burst=1, per_second=1e6))
    for n in range(100_000):
        pacing.ask(f"n{n}", n / 100)
    assert pacing.remembered < 3000


@given(
    st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200),
    st.integers(1, 20),
    st.floats(0.1, 50.0),
)
def test_no_window_has_more_than_it_may_and_the_end_always_arrives(
    gaps: list[float], burst: int, rate: float
) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    done = written(Pacing(each=Pace(burst, rate), together=ENDLESS), "a", times)
    assert done[-1] >= times[-1]
    for first in range(len(done)):
        for last in range(first, len(done)):
            assert last - first + 1 <= burst + rate * (done[last] - done[first]) + 1e-3
