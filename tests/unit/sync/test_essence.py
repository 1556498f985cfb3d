"""What counts as content, its digest and where two contents differ."""

import pytest

from konnector.sync import essence

pytestmark = pytest.mark.unit


def nested(depth: int) -> dict[str, object]:
    root: dict[str, object] = {}
    for _ in range(depth):
        root = {"a": root}
    return root


def test_content_is_everything_but_the_envelope():
    obj = {"apiVersion": "v1", "kind": "X", "metadata": {}, "status": {}, "spec": 1, "data": 2, "x": None}
    assert essence.content(obj) == {"spec": 1, "data": 2, "x": None}


def test_an_absent_status_is_none_and_an_empty_one_is_a_status():
    assert essence.status({}) is None
    assert essence.status({"status": {}}) == {}


def test_the_digest_ignores_the_order_of_fields_and_nothing_else():
    assert essence.digest({"a": 1, "b": [1, 2]}) == essence.digest({"b": [1, 2], "a": 1})
    assert essence.digest({"a": [1, 2]}) != essence.digest({"a": [2, 1]})
    assert essence.digest({"a": None}) != essence.digest({})
    assert len(essence.digest({})) == 40


@pytest.mark.parametrize("value", [nested(300), {"n": 2**70}], ids=["too deep", "a number beyond 64 bits"])
def test_content_that_peers_cannot_hold_is_refused(value):
    with pytest.raises(essence.ContentError, match="too deep, or holds a number"):
        essence.digest(value)
    with pytest.raises(essence.ContentError):
        essence.same(value, {})


def test_deep_but_reasonable_content_is_fine():
    assert essence.difference(nested(200), nested(200)) is None
    assert essence.same(nested(200), nested(200))


@pytest.mark.parametrize(
    ("desired", "actual"),
    [
        pytest.param({}, {"a": 1}, id="more fields than desired"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, id="more fields further down"),
        pytest.param([{"a": 1}], [{"a": 1, "b": 2}], id="more fields in a list element"),
        pytest.param({"a": None}, {}, id="null desired, nothing there"),
        pytest.param({"a": None}, {"a": None}, id="null desired, null there"),
        pytest.param(1, 1.0, id="numbers"),
        pytest.param(True, True, id="booleans"),
        pytest.param("x", "x", id="texts"),
        pytest.param([], [], id="empty lists"),
    ],
)
def test_found(desired, actual):
    assert essence.difference(desired, actual) is None


@pytest.mark.parametrize(
    ("desired", "actual", "path"),
    [
        pytest.param({"a": 1}, {}, ".a", id="missing"),
        pytest.param({"a": None}, {"a": 1}, ".a", id="a value instead of null"),
        pytest.param({"a": {}}, {}, ".a", id="an empty map missing"),
        pytest.param({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, ".a.b[1].c", id="deep down"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, ".a", id="a longer list"),
        pytest.param({"a": [1]}, {"a": {"0": 1}}, ".a", id="no list"),
        pytest.param({"a": {"b": 1}}, {"a": [1]}, ".a", id="no map"),
        pytest.param({"a": True}, {"a": 1}, ".a", id="a number for a boolean"),
        pytest.param({"a": 0}, {"a": False}, ".a", id="a boolean for a number"),
        pytest.param({"a": "1"}, {"a": 1}, ".a", id="a number for a text"),
        pytest.param(1, 2, "", id="the values themselves"),
    ],
)
def test_the_first_difference_is_named(desired, actual, path):
    assert essence.difference(desired, actual) == path


def test_same_is_exact():
    assert essence.same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not essence.same({"a": 1}, {"a": 1, "b": 2})
    assert not essence.same({"a": True}, {"a": 1})


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({"kind": "Secret", "metadata": {"name": "a", "namespace": "n"}}, "Secret n/a"),
        ({"metadata": {"name": "a"}}, "a"),
    ],
)
def test_title(obj, text):
    assert essence.title(obj) == text
