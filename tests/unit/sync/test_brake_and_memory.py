"""The brake on mass deletion, and the pauses of fights."""

import pytest

from bind_agent.api import keys
from konnector.sync.brake import Brake
from konnector.sync.model import ApplyProvider, Attempt, Memory

pytestmark = pytest.mark.unit


def ask_many(brake: Brake, count: int, *, total: int, now: float = 0.0, first: int = 0) -> list[bool]:
    return [brake.ask(f"ns/{n}", total=total, now=now) for n in range(first, first + count)]


def test_deleting_a_few_objects_is_nobodys_business():
    brake = Brake()
    assert all(ask_many(brake, 20, total=20))
    assert not brake.held
    assert brake.message == ""


def test_deleting_many_of_many_more_is_fine():
    assert all(ask_many(Brake(), 500, total=1000))


def test_more_than_half_and_more_than_twenty_stops():
    brake = Brake()
    answers = ask_many(brake, 40, total=30)
    assert answers == [True] * 20 + [False] * 20
    assert brake.held
    assert "21 of 30 objects" in brake.message
    assert keys.RESUME in brake.message
    assert len(brake.waiting) == 20


def test_a_list_that_came_back_empty_stops_at_the_count():
    brake = Brake()
    assert ask_many(brake, 30, total=0) == [True] * 20 + [False] * 10
    assert "21 of 21 objects" in brake.message


def test_the_measure_is_the_largest_total_of_the_window():
    brake = Brake()
    answers = [brake.ask(f"ns/{n}", total=100 - n, now=0.0) for n in range(60)]
    assert answers == [True] * 50 + [False] * 10


def test_asking_again_counts_once():
    brake = Brake()
    assert all(brake.ask("ns/one", total=1, now=float(n)) for n in range(50))


def test_slow_deletion_never_trips():
    brake = Brake()
    assert all(brake.ask(f"ns/{n}", total=30, now=n * 10.0) for n in range(30))


def test_the_deletion_of_the_namespace_itself_is_excused():
    brake = Brake()
    assert all(brake.ask(f"ns/{n}", total=30, now=0.0, excused=True) for n in range(30))
    assert all(ask_many(brake, 20, total=30))
    ask_many(brake, 5, total=30, first=20)
    assert brake.held
    assert brake.ask("ns/x", total=30, now=0.0, excused=True)


def test_time_does_not_release_it_but_a_person_does():
    brake = Brake()
    ask_many(brake, 30, total=30)
    assert not brake.ask("ns/25", total=30, now=10_000.0)
    brake.resume()
    assert not brake.held
    assert all(brake.ask(f"ns/{n}", total=10, now=10_001.0) for n in range(20, 30))
    assert brake.waiting == frozenset()


def test_after_resuming_counting_begins_anew():
    brake = Brake()
    ask_many(brake, 30, total=30)
    brake.resume()
    assert ask_many(brake, 30, total=30, now=1.0, first=100) == [True] * 20 + [False] * 10


def test_a_withdrawn_deletion_is_not_approved_by_a_later_resume():
    brake = Brake()
    ask_many(brake, 30, total=30)
    brake.withdraw("ns/25")
    assert "ns/25" not in brake.waiting
    brake.resume()
    ask_many(brake, 30, total=30, now=1.0, first=100)
    assert not brake.ask("ns/25", total=30, now=1.0)


# --- attempts -----------------------------------------------------------------------------------------------


def test_the_first_write_of_a_content_is_no_repeat():
    attempt = Attempt("old", "5", repeats=7, at=1.0).after("new", "5", "6", 2.0)
    assert attempt == Attempt("new", "6", 0, 2.0)
    assert attempt.wait("new", 2.0) == 0.0


def test_a_write_without_effect_is_remembered_and_is_no_repeat():
    attempt = Attempt("d", "5", repeats=2, at=1.0).after("d", "6", "6", 9.0)
    assert attempt == Attempt("d", "6", 2, 1.0)
    assert attempt.is_futile("d", "6")
    assert not attempt.is_futile("d", "7")
    assert not attempt.is_futile("e", "6")
    assert not Attempt().is_futile("", "")


def test_repeats_count_and_a_long_rest_ends_the_fight():
    attempt = Attempt("d", "5", repeats=7, at=100.0)
    assert attempt.after("d", "6", "7", 101.0).repeats == 8
    assert attempt.after("d", "6", "7", 701.0).repeats == 1


@pytest.mark.parametrize(
    ("repeats", "pause"), [(0, 0.0), (4, 0.0), (5, 1.0), (6, 2.0), (10, 32.0), (14, 300.0), (9999, 300.0)]
)
def test_pauses_grow_to_a_limit(repeats, pause):
    assert Attempt("d", "5", repeats=repeats, at=100.0).wait("d", 100.0) == pause
    assert Attempt("d", "5", repeats=repeats, at=100.0).wait("other", 100.0) == 0.0


def test_memory_forgets_that_a_copy_was_gone_when_one_is_made():
    memory = Memory().after_gone()
    assert memory.provider_gone
    step = ApplyProvider({}, creates=True, digest="d")
    memory = memory.after_apply(step, {"metadata": {"resourceVersion": "9"}}, 1.0)
    assert not memory.provider_gone
    assert memory.copy == Attempt("d", "9", 0, 1.0)
