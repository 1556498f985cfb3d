"""Refusals: told once, counted, and how long they last."""

from typing import Any, cast

import pytest

from bind_agent.api.meta import Object
from bind_agent.obs import metrics
from konnector.sync.model import Reason
from konnector.sync.patience import Patience, recheck_after
from konnector.sync.reports import Reports
from tests.fakes.parts import NotedEvents

pytestmark = pytest.mark.unit


def _subject(name: str = "one") -> Object:
    return {"metadata": {"name": name, "namespace": "ns"}}


def _sample(binding: str, state: str) -> float:
    found = [
        sample.value
        for metric in metrics.REGISTRY.collect()
        for sample in metric.samples
        if metric.name.endswith("_objects") and sample.labels == {"binding": binding, "state": state}
    ]
    return found[0]


def test_a_refusal_is_told_once_and_again_when_it_is_another_one() -> None:
    events = NotedEvents()
    reports = Reports(cast("Any", events), "things.once")
    for _ in range(3):
        reports.refuse("ns/one", _subject(), Reason.CONFLICT, "taken")
    assert events.events == [("one", "ObjectConflict", "taken")]
    reports.refuse("ns/one", _subject(), Reason.CONFLICT, "taken by somebody else")
    reports.refuse("ns/one", _subject(), Reason.REJECTED, "too long")
    assert [event[1:] for event in events.events[1:]] == [
        ("ObjectConflict", "taken by somebody else"),
        ("ObjectRefused", "too long"),
    ]
    assert reports.refused == {"ns/one": Reason.REJECTED}
    reports.clear("ns/one")
    reports.clear("ns/one")
    assert reports.refused == {}
    reports.refuse("ns/one", _subject(), Reason.REJECTED, "too long")
    assert len(events.events) == 4


def test_conflicts_and_refusals_are_counted_apart() -> None:
    reports = Reports(cast("Any", NotedEvents()), "things.counted")
    reports.refuse("ns/a", _subject("a"), Reason.CONFLICT, "x")
    reports.refuse("ns/b", _subject("b"), Reason.FOREIGN_MARK, "x")
    reports.refuse("ns/c", _subject("c"), Reason.PROTECTED, "x")
    assert (_sample("things.counted", "conflict"), _sample("things.counted", "refused")) == (2.0, 1.0)
    reports.clear("ns/a")
    reports.clear("ns/c")
    assert (_sample("things.counted", "conflict"), _sample("things.counted", "refused")) == (1.0, 0.0)


def test_only_causes_that_are_shared_hinder_a_whole_binding() -> None:
    reports = Reports(cast("Any", NotedEvents()), "things.shared")
    reports.refuse("ns/a", _subject("a"), Reason.CONFLICT, "taken")
    assert reports.hindrance is None
    reports.refuse("ns/b", _subject("b"), Reason.DENIED, "no right")
    reports.refuse("ns/c", _subject("c"), Reason.CREDENTIAL, "no credential")
    assert reports.hindrance == (Reason.DENIED, "no right")
    reports.clear("ns/b")
    assert reports.hindrance == (Reason.CREDENTIAL, "no credential")
    reports.refuse("ns/c", _subject("c"), Reason.CONFLICT, "taken")
    assert reports.hindrance is None


def test_difficulties_last_from_their_beginning_to_their_end() -> None:
    reports = Reports(cast("Any", NotedEvents()), "things.lasting")
    assert reports.lasted("ns/a", 10.0) == 0.0
    assert reports.lasted("ns/a", 12.5) == 2.5
    reports.clear("ns/a")
    assert reports.lasted("ns/a", 20.0) == 0.0


def test_patience_is_kept_per_subject() -> None:
    patience = Patience()
    assert patience.lasted("a", 1.0) == 0.0
    assert patience.lasted("b", 2.0) == 0.0
    patience.over("a")
    patience.over("never")
    assert patience.lasted("a", 4.0) == 0.0
    assert patience.lasted("b", 4.0) == 2.0


@pytest.mark.parametrize(
    ("lasted", "after"), [(0.0, 1.0), (1.0, 1.0), (3.0, 1.5), (20.0, 10.0), (60.0, 30.0), (9999.0, 30.0)]
)
def test_what_lasts_is_looked_at_less_often(lasted: float, after: float) -> None:
    assert recheck_after(lasted) == after
