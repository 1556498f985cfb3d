"""Text fit to be shown, and base64 of both alphabets."""

import base64

import pytest

from bind_agent.api import encoding
from bind_agent.api.text import printable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("two\r\nlines\tand\0more", "two lines and more"),
        ("safe\u202eevil\u200b", "safe evil"),
        ("\u2028x\ue000", "x"),
        ("umlaut \u00e4 \u4e2d", "umlaut \u00e4 \u4e2d"),
        (12, "12"),
    ],
)
def test_printable(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_printable_cuts_with_a_mark() -> None:
    assert printable("x" * 300, limit=10) == "x" * 9 + "\u2026"
    assert printable("x" * 10, limit=10) == "x" * 10
    # What was cut away may have been spaces only; the mark stands all the same.
    assert printable("x" + " " * 300, limit=10) == "x\u2026"


RAW = bytes(range(256)) + b"?>~"


@pytest.mark.parametrize(
    "text",
    [
        encoding.to_base64(RAW),
        encoding.to_base64_urlsafe(RAW),
        encoding.to_base64(RAW).rstrip("="),
        encoding.to_base64_urlsafe(RAW).rstrip("="),
        f"\n {encoding.to_base64(RAW)}\n",
        encoding.to_base64(RAW).replace("+", " "),
        base64.encodebytes(RAW).decode(),
    ],
    ids=["standard", "urlsafe", "unpadded", "urlsafe-unpadded", "space-around", "plus-as-space", "wrapped"],
)
def test_reads_every_form(text: str) -> None:
    assert encoding.from_base64(text) == RAW


@pytest.mark.parametrize("text", ["a", "abc$", "ab=c", "\u00e4\u00e4\u00e4\u00e4"])
def test_refuses(text: str) -> None:
    with pytest.raises(encoding.EncodingError):
        encoding.from_base64(text)


def test_refuses_what_is_too_long() -> None:
    assert encoding.from_base64("YWFh", limit=4) == b"aaa"
    with pytest.raises(encoding.EncodingError, match="more than 4"):
        encoding.from_base64("YWFhYQ==", limit=4)


def test_json() -> None:
    assert encoding.from_base64_json(encoding.to_base64_json({"a": 1})) == {"a": 1}
    with pytest.raises(encoding.EncodingError, match="not JSON") as caught:
        encoding.from_base64_json(encoding.to_base64(b"s3cret{"))
    assert "s3cret" not in str(caught.value)
    with pytest.raises(encoding.EncodingError, match="not an object"):
        encoding.from_base64_json(encoding.to_base64(b"[]"))
