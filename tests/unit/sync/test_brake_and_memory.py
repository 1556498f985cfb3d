"""The brake on mass deletion, and the pauses of fights."""

import pytest

from bind_agent.api import keys
from konnector.sync.brake import Brake
from konnector.sync.model import ApplyProvider, Attempt, Memory

pytestmark = pytest.mark.unit


def ask_many(brake: Brake, count: int, *, total: int, now: float = 0.0, first: int = 0) -> list[bool]:
    return [brake.ask(f"ns/{n}", total=total, now=now) for n in range(first, first + count)]


def counting() -> Brake:
    """A brake in which nothing rests: the numbers alone decide."""
    return Brake(rest=0.0)


def test_deleting_a_few_objects_is_nobodys_business():
    brake = counting()
    assert all(ask_many(brake, 20, total=20))
    assert not brake.held
    assert brake.message == ""


def test_deleting_many_of_many_more_is_fine():
    assert all(ask_many(counting(), 500, total=1000))


def test_more_than_half_and_more_than_twenty_stops():
    brake = counting()
    answers = ask_many(brake, 40, total=30)
    assert answers == [True] * 20 + [False] * 20
    assert brake.held
    assert "21 of 30 objects" in brake.message
    assert keys.RESUME in brake.message
    assert len(brake.waiting) == 20


def test_a_list_that_came_back_empty_stops_at_the_count():
    brake = counting()
    assert ask_many(brake, 30, total=0) == [True] * 20 + [False] * 10
    assert "21 of 21 objects" in brake.message


def test_the_measure_is_the_largest_total_of_the_window():
    brake = counting()
    answers = [brake.ask(f"ns/{n}", total=100 - n, now=0.0) for n in range(60)]
    assert answers == [True] * 50 + [False] * 10


def test_asking_again_counts_once():
    brake = counting()
    assert all(brake.ask("ns/one", total=1, now=float(n)) for n in range(50))


def test_slow_deletion_never_trips():
    brake = counting()
    assert all(brake.ask(f"ns/{n}", total=30, now=n * 10.0) for n in range(30))


def test_the_deletion_of_the_namespace_itself_is_excused():
    brake = counting()
    assert all(brake.ask(f"ns/{n}", total=30, now=0.0, excused=True) for n in range(30))
    assert all(ask_many(brake, 20, total=30))
    ask_many(brake, 5, total=30, first=20)
    assert brake.held
    assert brake.ask("ns/x", total=30, now=0.0, excused=True)


def test_time_does_not_release_it_but_a_person_does():
    brake = counting()
    ask_many(brake, 30, total=30)
    assert not brake.ask("ns/25", total=30, now=10_000.0)
    brake.resume()
    assert not brake.held
    assert all(brake.ask(f"ns/{n}", total=10, now=10_001.0) for n in range(20, 30))
    assert brake.waiting == frozenset()


def test_after_resuming_counting_begins_anew():
    brake = counting()
    ask_many(brake, 30, total=30)
    brake.resume()
    assert ask_many(brake, 30, total=30, now=1.0, first=100) == [True] * 20 + [False] * 10


def test_a_withdrawn_deletion_is_not_approved_by_a_later_resume():
    brake = counting()
    ask_many(brake, 30, total=30)
    brake.withdraw("ns/25")
    assert "ns/25" not in brake.waiting
    brake.resume()
    ask_many(brake, 30, total=30, now=1.0, first=100)
    assert not brake.ask("ns/25", total=30, now=1.0)


# --- rest: nothing goes before all is counted ---------------------------------------------------------------


def test_a_deletion_goes_when_nobody_new_has_asked_for_a_while():
    brake = Brake()
    assert not brake.ask("ns/a", total=3, now=0.0)
    assert not brake.ask("ns/b", total=3, now=4.0)
    assert not brake.ask("ns/a", total=3, now=5.0)  # the other one came just now
    assert brake.ask("ns/a", total=3, now=9.0)
    assert brake.ask("ns/b", total=3, now=9.0)
    assert not brake.held


def test_a_mass_deletion_is_held_before_the_first_one_goes():
    brake = Brake()
    assert not any(brake.ask(f"ns/{n}", total=30, now=n * 1.0) for n in range(21))
    assert brake.held
    assert len(brake.waiting) == 21  # those that rested wait for a person as well
    brake.resume()
    assert all(brake.ask(f"ns/{n}", total=30, now=30.0) for n in range(21))


def test_restarts_delete_nothing_of_a_mass_however_often():
    """Each life finds the same orphans and sees no more than its beginning."""
    orphans = {f"ns/{n}" for n in range(40)}
    for life in range(50):
        brake = Brake()  # nothing is known of the lives before
        gone = {key for key in sorted(orphans) if brake.ask(key, total=10, now=life * 7.0)}
        gone |= {key for key in sorted(orphans) if brake.ask(key, total=10, now=life * 7.0 + 6.0)}
        assert not gone
        assert brake.held


def test_a_restart_delays_a_few_deletions_and_no_more():
    brake = Brake()
    assert not any(ask_many(brake, 20, total=10))
    assert all(ask_many(brake, 20, total=10, now=5.0))


def test_who_asks_all_the_time_does_not_stop_the_others_for_ever():
    brake = Brake()
    went = [n for n in range(100) if not brake.ask(f"ns/{n}", total=1000, now=float(n)) and n >= 30]
    assert went  # nobody new ever goes at once
    assert not brake.ask("ns/80", total=1000, now=100.0)
    assert brake.ask("ns/70", total=1000, now=100.0)


def test_what_was_withdrawn_rests_again_and_what_went_does_not():
    brake = Brake()
    brake.ask("ns/a", total=3, now=0.0)
    brake.withdraw("ns/a")
    assert not brake.ask("ns/a", total=3, now=50.0)
    assert brake.ask("ns/a", total=3, now=55.0)
    brake.withdraw("ns/a")  # its copy is on its way out
    assert brake.ask("ns/a", total=3, now=56.0)


# --- restarts: what was held stays held ---------------------------------------------------------------------


def held_under(value: str) -> Brake:
    brake = counting()
    brake.note("klutch-bind/b", value)
    ask_many(brake, 30, total=30)
    assert brake.held
    return brake


def restored(brake: Brake, value: str) -> Brake:
    return Brake.restored(brake.message, binding="klutch-bind/b", resume=value, now=100.0)


@pytest.mark.parametrize("value", ["", "2026-01-01T00:00:00Z", "none", "(x)\n", "y" * 5000])
def test_the_message_says_under_which_annotation_it_holds_and_survives_restarts(value):
    brake = held_under(value)
    assert len(brake.message) < 300
    after = restored(brake, "other")
    assert after.held
    assert after.message == brake.message
    assert not after.ask("ns/x", total=30, now=1000.0)
    assert not after.is_meant(value)
    assert not after.is_meant("")
    assert after.is_meant("2026-02-02T00:00:00Z")


def test_a_release_while_the_process_was_away_counts_once_all_that_waits_was_found():
    after = restored(held_under("old"), "new")
    assert after.is_meant("new")
    assert after.gathers(100.0) == pytest.approx(30.0)
    assert not any(ask_many(after, 25, total=5, now=110.0))
    assert after.gathers(130.0) == 0.0
    after.resume()
    assert all(ask_many(after, 25, total=5, now=131.0))


def test_in_one_life_a_release_counts_at_once():
    brake = held_under("")
    assert brake.gathers(0.0) == 0.0
    brake.note("klutch-bind/b", "new")  # looking at it does not make it the old one
    assert brake.is_meant("new")
    brake.resume()
    brake.note("klutch-bind/b", "new")
    ask_many(brake, 60, total=30, first=100)
    assert brake.held
    assert not brake.is_meant("new")


def test_a_message_of_somebody_else_holds_and_the_annotation_of_now_is_the_old_one():
    for text in ("stopped by hand", ""):
        brake = Brake.restored(text, binding="b", resume="1", now=0.0)
        assert brake.held
        assert brake.message.startswith(text or "many objects")
        assert not brake.is_meant("1")
        assert brake.is_meant("2")
        again = Brake.restored(brake.message, binding="b", resume="1", now=0.0)
        assert again.message == brake.message


def test_what_stands_on_another_binding_was_not_meant_for_this():
    brake = held_under("1")
    brake.note("klutch-bind/other", "2")
    assert not brake.is_meant("2")
    assert brake.is_meant("3")


def test_without_anything_held_nothing_can_be_meant():
    brake = Brake()
    brake.note("b", "1")
    assert not brake.is_meant("2")


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
