"""Own writes that the watch has not shown yet: every order of write, answer and event."""

import itertools
from typing import Any

import pytest

from bind_agent.api.meta import Object
from bind_agent.runtime.store import Entry, make_entry
from konnector.sync.recent import RecentWrites, version_number

pytestmark = pytest.mark.unit


def _obj(version: int, uid: str = "u1", **fields: Any) -> Object:
    return {"metadata": {"name": "a", "uid": uid, "resourceVersion": str(version)}, **fields}


def _entry(version: int, uid: str = "u1", **fields: Any) -> Entry:
    return make_entry(_obj(version, uid, **fields))


def _read(recent: RecentWrites, seen: Entry | None, progress: str = "") -> str | None:
    found = recent.read("a", seen, progress)
    return None if found is None else found["metadata"]["resourceVersion"]


def test_without_writes_the_store_is_believed() -> None:
    recent = RecentWrites()
    assert _read(recent, None) is None
    assert _read(recent, _entry(3)) == "3"
    assert recent.changed("a", "3")
    assert len(recent) == 0


def test_an_answer_is_shown_until_the_watch_has_caught_up() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(5), _entry(3), "4")
    assert _read(recent, _entry(3)) == "5"
    assert _read(recent, None) == "5"  # created, and the watch does not know of it yet
    assert not recent.changed("a", "5")
    assert _read(recent, _entry(5)) == "5"
    assert len(recent) == 0


def test_an_answer_that_comes_after_its_event_is_not_kept() -> None:
    for seen, progress in ((_entry(5), "5"), (_entry(6), "4"), (None, "7")):
        recent = RecentWrites()
        recent.remember("a", _obj(5), seen, progress)
        assert len(recent) == 0


def test_events_before_and_after_the_own_write_are_news() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(5), _entry(3), "3")
    assert recent.changed("a", "4")  # somebody wrote between what we saw and our write
    assert _read(recent, _entry(4)) == "5"
    assert recent.changed("a", "6")  # ours was told together with a later one
    assert len(recent) == 0


def test_reading_a_newer_store_drops_the_answer() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(5), _entry(3), "3")
    assert _read(recent, _entry(6)) == "6"
    assert len(recent) == 0


def test_what_a_server_said_is_gone_is_not_seen_any_more() -> None:
    recent = RecentWrites()
    recent.gone("a", "u1", _entry(5))
    assert _read(recent, _entry(5)) is None
    recent.deleted("a", "u2")
    assert _read(recent, _entry(5)) is None
    recent.deleted("a", "u1")
    assert len(recent) == 0


def test_a_successor_of_what_is_gone_is_seen() -> None:
    recent = RecentWrites()
    recent.gone("a", "u1", _entry(5))
    assert _read(recent, _entry(6, "u2")) == "6"
    assert recent.changed("a", "6")
    assert len(recent) == 0


def test_what_the_store_never_showed_cannot_be_seen_again() -> None:
    recent = RecentWrites()
    recent.gone("a", "u1", None)
    recent.gone("a", "u1", _entry(5, "u2"))
    assert len(recent) == 0
    assert _read(recent, _entry(5, "u2")) == "5"


def test_going_ends_an_answer() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(5), None, "3")
    recent.gone("a", "u1", _entry(3))
    assert _read(recent, _entry(3)) is None
    recent.forget("a")
    assert _read(recent, _entry(3)) == "3"


def test_a_deletion_of_an_earlier_object_leaves_the_answer_about_the_new_one() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(5, "u2"), None, "3")
    recent.deleted("a", "u1")
    assert _read(recent, None) == "5"
    recent.deleted("a", "u2")
    assert _read(recent, None) is None


# --- what no event tells ------------------------------------------------------------------------------------


def test_what_was_made_and_went_unseen_is_not_there() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(100), None, "90")
    assert _read(recent, None, "") == "100"  # a list is due, or on its way
    assert _read(recent, None, "99") == "100"
    assert _read(recent, None, "110") is None
    assert len(recent) == 0


def test_a_watch_that_has_passed_an_answer_is_believed() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(100), _entry(90), "95")
    assert _read(recent, _entry(90), "100") == "90"
    assert len(recent) == 0


def test_a_list_names_what_no_event_may_tell() -> None:
    recent = RecentWrites()
    recent.remember("shop/made", _obj(100), None, "90")
    recent.remember("store/made", _obj(101), None, "90")
    recent.gone("shop/went", "u1", _entry(80))
    assert recent.listed("shop") == ["shop/went", "shop/made"]
    assert recent.listed("shop") == ["shop/made"]  # an answer may still be ahead of that list
    assert sorted(recent.listed(None)) == ["shop/made", "store/made"]
    assert recent.listed("sho") == []


def test_what_a_list_shows_again_is_there_whatever_a_server_said_before() -> None:
    recent = RecentWrites()
    recent.gone("a", "u1", _entry(5))
    assert _read(recent, _entry(5), "9") is None  # the event may still be to come
    recent.listed(None)
    assert _read(recent, _entry(5), "9") == "5"


ORDERS = [
    order
    for order in itertools.permutations(["answer", "own", "other"])
    if order.index("own") < order.index("other")  # a watch tells changes in their order
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_whatever_the_order_nothing_stays_and_the_newest_is_read(order: tuple[str, ...]) -> None:
    """Our write gives version 5; somebody else's, version 6, follows."""
    recent = RecentWrites()
    seen, news = _entry(3), []
    for step in order:
        if step == "answer":
            recent.remember("a", _obj(5), seen, seen.resource_version)
        else:
            seen = _entry(5 if step == "own" else 6)
            news.append(recent.changed("a", seen.resource_version))
        assert int(_read(recent, seen) or 0) >= int(seen.resource_version)
    assert _read(recent, seen) == "6"
    assert news[-1]  # the other's change is always looked at
    assert len(recent) == 0


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("", 0), ("abc", 0), ("-1", 0), ("007", 7)])
def test_versions(text: str, number: int) -> None:
    assert version_number(text) == number


def test_answers_have_a_bound_beyond_which_they_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("konnector.sync.recent.MAX_BYTES", 1000)
    recent = RecentWrites()
    for n in range(5):
        recent.remember(f"n{n}", _obj(5, text="x" * 300), None, "3")
    assert len(recent) == 2
    assert recent.read("n4", None, "3") is None
    assert recent.changed("n4", "5")  # no harm: it is looked at once more
    # What is shown, gone or written again makes room.
    assert not recent.changed("n0", "5")
    recent.gone("n1", "u1", None)
    for n in (3, 4):
        recent.remember(f"n{n}", _obj(6, text="x" * 300), None, "3")
    recent.remember("n4", _obj(7, text="x" * 300), None, "3")
    assert len(recent) == 2
    assert recent.read("n4", None, "3") == _obj(7, text="x" * 300)


def test_an_answer_is_of_whoever_reads_it() -> None:
    recent = RecentWrites()
    recent.remember("a", _obj(5), None, "3")
    found = recent.read("a", None, "3")
    assert found is not None
    found["metadata"]["uid"] = "other"
    assert recent.read("a", None, "3") == _obj(5)


def test_an_answer_that_no_store_could_keep_is_forgotten() -> None:
    recent = RecentWrites()
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    recent.remember("a", _obj(5), None, "3")
    recent.remember("a", _obj(6, spec=deep), None, "3")
    assert len(recent) == 0
