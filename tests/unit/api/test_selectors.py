"""Label selectors: any map that matches completely."""

import pytest

from bind_agent.api import selectors

pytestmark = pytest.mark.unit

APP, DB = {"app": "db"}, {"app": "db", "tier": "gold"}


@pytest.mark.parametrize(
    ("maps", "labels", "expected"),
    [
        ([], {}, True),
        ([{}], {}, True),
        ([APP], {"app": "db", "x": "y"}, True),
        ([APP], {"app": "web"}, False),
        ([APP], {}, False),
        ([DB], APP, False),
        ([DB, {"x": "y"}], {"x": "y"}, True),
    ],
)
def test_matches(maps: list[dict[str, str]], labels: dict[str, str], *, expected: bool) -> None:
    assert selectors.matches(maps, labels) is expected


def test_normal_form() -> None:
    assert selectors.normalised([DB, {"x": "y"}, APP, APP]) == (APP, {"x": "y"})
    assert selectors.normalised([APP, {}]) == ()
    assert selectors.normalised([]) == ()


@pytest.mark.parametrize(
    ("maps", "query"),
    [
        ([], ""),
        ([{}], ""),
        ([{"b": "2", "a": "1"}], "a=1,b=2"),
        ([APP, DB], "app=db"),
        ([APP, {"x": "y"}], ""),
        ([{"a": "1,b=2"}], ""),
        ([{"a b": "1"}], ""),
        ([{"a": ""}], "a="),
    ],
)
def test_server_side(maps: list[dict[str, str]], query: str) -> None:
    assert selectors.server_side(maps) == query


def test_problems() -> None:
    assert selectors.problems([APP]) == []
    assert selectors.problems([APP, {"a b": "c d"}]) == [
        "[1]: not a label key: 'a b'",
        "[1]: not a label value: 'c d'",
    ]


def test_covers() -> None:
    assert selectors.covers([], [APP])
    assert selectors.covers([{}], [])
    assert not selectors.covers([APP], [])
    assert selectors.covers([APP], [DB])
    assert not selectors.covers([DB], [APP])
    assert not selectors.covers([APP], [DB, {"x": "y"}])
