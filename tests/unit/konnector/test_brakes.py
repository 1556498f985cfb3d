"""The brakes of a session: how one is found again after a restart, and what the binding says."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bind_agent.api import conditions, keys
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from konnector.controllers.brakes import Brakes, News
from konnector.controllers.exports import Exports
from tests.fakes.parts import StillInformer, app_cluster, provider

pytestmark = pytest.mark.unit

NAME, KEY = "things.g", "klutch-bind/things.g"


class Status:
    """The conditions of bindings, which outlive sessions and processes."""

    def __init__(self) -> None:
        self.written: dict[str, Condition] = {}

    def state(self, binding_keys: Any, *wanted: Condition) -> None:
        (condition,) = wanted
        self.written.update(dict.fromkeys(binding_keys, condition))

    def stated(self, binding_key: str, condition_type: str) -> Condition | None:
        assert condition_type == ConditionType.DELETIONS_ALLOWED
        return self.written.get(binding_key)

    @property
    def allowed(self) -> str:
        return self.written[KEY].status if KEY in self.written else ""


def brakes(status: Status) -> Brakes:
    return Brakes(cast("Any", status))


def trip(status: Status, resume: str = "") -> Brakes:
    found = brakes(status)
    found.follow(NAME, KEY, resume, now=0.0)
    assert not any(found[NAME].ask(f"ns/{n}", total=30, now=1.0) for n in range(25))
    found.follow(NAME, KEY, resume, now=2.0)
    assert status.allowed == "False"
    return found


def test_a_binding_of_which_nothing_was_held_says_nothing() -> None:
    status = Status()
    found = brakes(status)
    assert found.follow(NAME, KEY, "", now=0.0) == News()
    assert status.written == {}
    with pytest.raises(KeyError):
        found["others.g"]


def test_what_was_held_stays_held_over_restarts_and_the_alarm_stays_as_it_is() -> None:
    status = Status()
    trip(status, "old")
    said = status.written[KEY]
    for life in range(3):
        found = brakes(status)
        assert found.follow(NAME, KEY, "old", now=0.0) == News()
        assert status.written[KEY] == said
        asked = [found[NAME].ask(f"ns/{n}", total=30, now=t) for t in (1.0, 90.0) for n in range(25)]
        assert not any(asked), life


def test_a_release_that_was_said_while_nobody_listened_counts() -> None:
    status = Status()
    trip(status, "old")
    found = brakes(status)
    news = found.follow(NAME, KEY, "new", now=0.0)
    assert news.look_again == pytest.approx(30.0)
    assert status.allowed == "False"
    for n in range(25):
        found[NAME].ask(f"ns/{n}", total=30, now=1.0)
    news = found.follow(NAME, KEY, "new", now=31.0)
    assert news == News(approved=frozenset(f"ns/{n}" for n in range(25)))
    assert status.allowed == "True"
    assert all(found[NAME].ask(f"ns/{n}", total=30, now=32.0) for n in range(25))
    # The next life begins without an alarm, and with the value that has had its effect.
    assert brakes(status).follow(NAME, KEY, "new", now=0.0) == News()
    assert status.allowed == "True"


def test_in_one_life_a_release_takes_effect_at_once_and_once_only() -> None:
    status = Status()
    found = trip(status)
    assert found.follow(NAME, KEY, "now", now=3.0).approved == frozenset(f"ns/{n}" for n in range(25))
    assert status.allowed == "True"
    for n in range(100, 140):
        found[NAME].ask(f"ns/{n}", total=30, now=4.0)
    assert found.follow(NAME, KEY, "now", now=5.0) == News()
    assert status.allowed == "False"


def test_another_alarm_of_the_same_type_is_not_ours_to_keep() -> None:
    status = Status()
    other = conditions.false(ConditionType.DELETIONS_ALLOWED, Reason.PAUSED, Severity.INFO, "paused")
    status.written[KEY] = other
    found = brakes(status)
    found.follow(NAME, KEY, "", now=0.0)
    assert not found[NAME].held
    assert status.allowed == "True"


def test_a_session_that_starts_anew_goes_on_with_what_the_binding_says() -> None:
    """The exports controller, which both modes share, before and after a restart of its session."""
    status = Status()

    def session() -> Exports:
        bindings = cast("Any", StillInformer())
        return Exports(
            app_cluster(),
            provider(),
            cast("Any", StillInformer()),
            bindings,
            cast("Any", None),
            served=lambda: frozenset({KEY}),
            status=cast("Any", status),
        )

    trip(status, "old")
    said = status.written[KEY]
    following = session()
    looked_again: list[Any] = []
    following.controller = cast("Any", SimpleNamespace(enqueue=lambda *a, **k: looked_again.append((a, k))))
    following._follow_brake(NAME, KEY, "old")
    assert status.written[KEY] == said
    assert keys.RESUME in said.message
    assert not any(following._brakes[NAME].ask(f"k{i}", total=25, now=i / 10) for i in range(25))
    assert looked_again == []
    rechecked: list[Any] = []
    following._running[NAME] = cast("Any", (None, SimpleNamespace(recheck=rechecked.append), None))
    following._follow_brake(NAME, KEY, "new")
    assert looked_again[0][0] == (NAME,)
    assert looked_again[0][1]["after"] > 25
    assert rechecked == [frozenset()]
