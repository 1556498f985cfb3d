"""No planted secret value comes out of a log, whatever way it went in (threats A72)."""

import io
import json
import logging
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bind_agent.obs import logging as logs
from bind_agent.obs.redaction import REDACTED, SecretValue, redact, redact_text

pytestmark = pytest.mark.unit

CANARY = "c4nary-v4lue"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"


def test_secret_value_tells_nothing() -> None:
    secret = SecretValue(CANARY)

    assert secret.reveal() == CANARY
    assert CANARY not in f"{secret} {secret!r} {secret:>20} {[secret]}" + str(secret)
    assert secret == SecretValue(CANARY)
    assert secret != CANARY
    assert secret != SecretValue("other")
    assert hash(secret) == hash(SecretValue(CANARY))
    assert secret
    assert not SecretValue(b"")
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "value",
    [
        {"token": CANARY},
        {"stringData": {"a": CANARY}},
        {"data": {"a": CANARY}},
        {"nested": [{"client-key-data": CANARY}]},
        {"clientSecret": CANARY},
        {"Set-Cookie": CANARY},
        {"obj": {"kind": "Secret", "metadata": {"annotations": {"x": CANARY}}}},
        {"obj": {"kind": "SecretList", "metadata": None, "items": [CANARY]}},
        {"v": SecretValue(CANARY)},
        {"code": CANARY},
        {"raw": CANARY.encode()},
        {"error": ValueError(f"token: {CANARY}")},
        {"url": f"https://user:{CANARY}@host/x"},
        {"header": f"Authorization: Bearer {CANARY}"},
        {"text": f'{{"password": "{CANARY}"}}'},
        {"text": f"client-key-data: {CANARY}\n"},
        ({"password": CANARY},),
    ],
    ids=str,
)
def test_redact(value: Any) -> None:
    assert CANARY not in str(redact(value))


@pytest.mark.parametrize("text", [JWT, f"x {PEM} y", PEM[:-20]])
def test_shapes(text: str) -> None:
    assert REDACTED in redact_text(text)
    assert "MIIE" not in redact_text(text)
    assert "c2lnbmF0dXJl" not in redact_text(text)


@pytest.mark.parametrize(
    "value",
    [
        {"code": 404},
        {"token": None},
        {"kubeconfig": True},
        {"name": "databases.example.com", "count": 3, "share": 0.5},
        {"secret_name": "kubeconfig-abc"},
        {"url": "https://host:6443/api/v1/namespaces"},
    ],
)
def test_harmless_values_stay(value: dict[str, Any]) -> None:
    assert redact(value) == value


def test_depth_is_bounded() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"x": deep}

    assert "[too deep]" in str(redact(deep))


@pytest.fixture(autouse=True)
def _unbound() -> Iterator[None]:
    yield
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_of_ours_and_of_libraries() -> None:
    stream = io.StringIO()
    logs.setup("info", form="json", stream=stream)
    structlog.contextvars.bind_contextvars(binding="a.b")

    logs.get_logger("mine").info("hello", token=CANARY, code=404, odd=object, key={1: "x"})
    logs.get_logger("mine").debug("too quiet")
    logging.getLogger("lib").warning("password=%s", CANARY, extra={"cookie": CANARY})
    try:
        int(f"token={CANARY}")
    except ValueError:
        logging.getLogger("lib").exception("bad")
        logs.get_logger("mine").exception("bad")

    assert CANARY not in stream.getvalue()
    first, second, third, fourth = lines(stream)
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert (first["event"], first["logger"], first["code"], first["binding"]) == ("hello", "mine", 404, "a.b")
    assert (second["logger"], second["level"], second["cookie"]) == ("lib", "warning", REDACTED)
    assert "ValueError" in third["exception"]
    assert "ValueError" in fourth["exception"]


def test_console_for_eyes() -> None:
    stream = io.StringIO()
    logs.setup("debug", form="console", stream=stream)

    logs.get_logger("mine").debug("hello", password=CANARY)

    assert "hello" in stream.getvalue()
    assert CANARY not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_auto_is_json_away_from_a_terminal() -> None:
    stream = io.StringIO()
    logs.setup(stream=stream)

    logs.get_logger("mine").info("hello")

    assert lines(stream)[0]["event"] == "hello"


def test_auto_is_console_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        """Says that eyes look at it."""

        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.setup(stream=stream)
    logs.get_logger("mine").info("hello")

    assert "\x1b[" in stream.getvalue()


def test_warnings_are_logged() -> None:
    stream = io.StringIO()
    logs.setup(form="json", stream=stream)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Whoever captured before may have had it undone since; only a change of mind hooks in anew.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        try:
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        finally:
            logging.captureWarnings(capture=False)

    assert "DeprecationWarning" in lines(stream)[0]["event"]


def test_logger_without_a_name() -> None:
    stream = io.StringIO()
    logs.setup(form="json", stream=stream)

    structlog.get_logger().info("hello")

    assert "logger" not in lines(stream)[0]


def test_unknown_level() -> None:
    with pytest.raises(ValueError, match="choose one of debug, info"):
        logs.setup("loud")
