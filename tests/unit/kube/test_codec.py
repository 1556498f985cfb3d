"""Lines, envelopes and pages: exact copies, partial decoding, bounds."""

import gc
import random

import orjson
import pytest

from bind_agent.kube import codec
from bind_agent.kube.errors import AnswerTooLarge, MalformedAnswer

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_the_same_however_they_are_cut(seed: int) -> None:
    rand = random.Random(seed)
    lines = [bytes(rand.choices(b"abc \t{}", k=rand.randint(0, 30))) for _ in range(rand.randint(0, 20))]
    text = b"".join(line + b"\n" for line in lines)
    splitter = codec.LineSplitter()
    found: list[bytes] = []
    position = 0
    while position < len(text):
        size = rand.randint(1, 25)
        found += splitter.feed(text[position : position + size])
        position += size
    assert found == [line for line in lines if line.strip()]
    assert not splitter.inside_line


def test_cut_off_line_is_noticed() -> None:
    splitter = codec.LineSplitter()
    assert splitter.feed(b"abc") == []
    assert splitter.inside_line
    assert splitter.feed(b"def\n ") == [b"abcdef"]
    assert not splitter.inside_line


def test_long_line_is_refused_before_it_is_held() -> None:
    splitter = codec.LineSplitter(limit=10)
    assert splitter.feed(b"x" * 10 + b"\n") == [b"x" * 10]
    with pytest.raises(AnswerTooLarge):
        splitter.feed(b"x" * 11)


def test_many_small_pieces_take_linear_time() -> None:
    splitter = codec.LineSplitter(limit=4_000_000)
    for _ in range(200_000):
        splitter.feed(b"xxxxxxxxxx")
    assert len(splitter.feed(b"\n")[0]) == 2_000_000


def test_items_are_copies_and_know_their_kind() -> None:
    body = orjson.dumps(
        {
            "metadata": {"resourceVersion": "5", "continue": "more"},
            "items": [
                {"metadata": {"name": "a"}},
                {"kind": "X", "apiVersion": "y/v1", "metadata": {"name": "b"}},
            ],
        }
    )
    items, version, following = codec.decode_page(body, "v1", "Secret")
    assert (version, following) == ("5", "more")
    assert [codec.decode(raw)["kind"] for raw in items] == ["Secret", "X"]
    assert items[0] == b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}'
    assert all(type(raw) is bytes for raw in items)
    assert not any(body in gc.get_referents(raw) for raw in items)


def test_items_of_an_unnamed_kind_stay_as_they_are() -> None:
    body = b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"}}]}'
    assert codec.decode_page(body, "v1", "")[0] == [b'{"metadata":{"name":"a"}}']


def test_meta_of_an_object() -> None:
    raw = orjson.dumps(
        {
            "metadata": {
                "name": "a",
                "namespace": "ns",
                "uid": "u",
                "resourceVersion": "7",
                "generation": 3,
                "deletionTimestamp": "2030-01-01T00:00:00Z",
                "labels": {"x": "y"},
            },
            "spec": {"metadata": {"name": "other"}},
        }
    )
    meta = codec.decode_meta(raw)
    assert (meta.key, meta.uid, meta.resource_version, meta.generation) == ("ns/a", "u", "7", 3)
    assert meta.deletion_timestamp == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"metadata":null}',
        b'{"metadata":{"name":""}}',
        b'{"metadata":{"name":"a","generation":"x"}}',
    ],
)
def test_objects_without_usable_metadata(raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        codec.decode_meta(raw)


def test_malformed_answers_are_not_quoted() -> None:
    for decoder in (codec.decode, codec.decode_meta, codec.decode_envelope):
        with pytest.raises(MalformedAnswer) as caught:
            decoder(b'{"metadata": {"name": 7}, "canary" "x"')
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
