"""Claims in words, as a page says them. Excluded: how the command line shouts them (tests/unit/cli)."""

from typing import Any

import msgspec
import pytest

from bind_agent.api.claim_words import NEVER, Direction, Voice, describe
from bind_agent.api.claims import PermissionClaim

pytestmark = pytest.mark.unit
PAGE = Voice(here="your cluster")


def words(voice: Voice = PAGE, provider: str = "ACME", **fields: Any) -> Any:
    claim = msgspec.convert({"resource": "secrets", "version": "v1", **fields}, PermissionClaim)
    return describe(claim, api="dbs.example.com", provider=provider, voice=voice)


@pytest.mark.parametrize(
    ("owner", "direction", "leaves", "way"),
    [
        ("Provider", Direction.DOWN, False, "copied down, from ACME into your cluster"),
        ("Consumer", Direction.UP, True, "Their content leaves your cluster"),
        ("", Direction.BOTH, True, "and leaves your cluster; what the provider makes comes down"),
    ],
)
def test_direction(owner: str, direction: Direction, leaves: bool, way: str) -> None:
    told = words(selector={"owner": owner})
    assert (told.direction, told.leaves) == (direction, leaves)
    assert way in told.way


@pytest.mark.parametrize(
    ("selector", "everything", "reach"),
    [
        ({}, True, "every object of secrets in every namespace that holds objects of dbs.example.com"),
        ({"namespaces": []}, True, "outside of namespaces"),
        ({"namespaces": ["b", "a"]}, True, "in the namespaces a, b, where they hold"),
        ({"names": ["a"]}, False, "only those called a, in every namespace"),
        ({"labelSelectors": [{"app": "db"}]}, False, "only those labelled app=db"),
        ({"labelSelectors": [{"a": "1"}, {"b": "2"}]}, False, "labelled (a=1) or (b=2)"),
    ],
)
def test_reach_and_breadth(selector: dict[str, Any], everything: bool, reach: str) -> None:
    told = words(selector=selector)
    assert told.everything is everything
    assert reach in told.reach


def test_wishes_that_are_not_met_are_told() -> None:
    told = words(
        create={"replaceExisting": True},
        onConflict={"recreateWhenConsumerSideDeleted": False},
        autoAdopt=True,
    )
    assert any("does not do that" in note for note in told.notes)
    assert any("autoAdopt" in note and "recreateWhen" in note for note in told.notes)


@pytest.mark.parametrize("here", ["your cluster", "this cluster"])
@pytest.mark.parametrize("owner", ["Provider", "Consumer", ""])
def test_every_place_is_named(owner: str, here: str) -> None:
    told = words(Voice(here=here), create={"replaceExisting": True}, selector={"owner": owner})
    text = " ".join(told.lines())
    assert " here" not in text
    if owner != "Consumer":
        assert f"deleted in {here} comes back" in text
        assert f"already in {here};" in text


def test_need_comes_last_and_says_whether_it_is_required() -> None:
    assert words(required=True).lines()[-1].startswith("Required:")
    assert words().lines()[-1].startswith("Optional:")
    assert words(required=True).required


def test_capitals_are_for_media_without_emphasis() -> None:
    assert "copied DOWN" in words(Voice(loud=True), selector={"owner": "Provider"}).way
    assert "REQUIRED" in words(Voice(loud=True), required=True).need


def test_foreign_text_is_cleaned_everywhere() -> None:
    told = words(
        provider="A\u202eB\x1b",
        selector={"names": ["x\x1by"], "labelSelectors": [{"k\u2066": "v\n"}], "namespaces": ["n\x00s"]},
    )
    text = "\n".join(told.lines())
    assert not set(text) & set("\u202e\x1b\u2066\x00")
    assert "service account" in NEVER
