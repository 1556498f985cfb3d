"""Keeping secret values out of everything that is written for people.

Two lines of defence: values that are known to be secret travel as `SecretValue` and cannot be printed by
accident; and whatever reaches a log is searched once more, by key, by kind and by shape, before it is written
(threats A72).
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

REDACTED: Final = "[redacted]"

T = TypeVar("T", str, bytes)

_MAX_DEPTH: Final = 8
"""Deeper structures are cut: a log line is no place for them, and hostile nesting must not exhaust the
stack."""

_KEYS: Final = frozenset(
    {
        "accesstoken",
        "authorization",
        "binarydata",
        "clientcertificatedata",
        "clientkey",
        "clientkeydata",
        "clientsecret",
        "code",
        "codeverifier",
        "cookie",
        "credential",
        "credentials",
        "csrftoken",
        "data",
        "idtoken",
        "kubeconfig",
        "passwd",
        "password",
        "privatekey",
        "proxyauthorization",
        "refreshtoken",
        "secret",
        "setcookie",
        "stringdata",
        "token",
        "xcsrftoken",
    }
)

_ALSO_SCALARS: Final = frozenset({"code"})
"""Keys whose plain numbers are harmless (a status code) while their texts are not (an authorisation code)."""

_SHAPES: Final = (
    # Authorization headers; the scheme stays, it helps.
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}"), r"\1 " + REDACTED),
    # JSON Web Tokens, also service account tokens.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"), REDACTED),
    # Private keys in PEM.
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        REDACTED,
    ),
    # Fields of kubeconfigs and Secrets inside texts, JSON or YAML.
    (
        re.compile(
            r"(?i)([\"']?(?:token|password|client-key-data|id_token|access_token|refresh_token|client_secret)"
            r"[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}\"']+)"
        ),
        r"\1" + REDACTED,
    ),
    # User information in URLs.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@"), r"\1" + REDACTED + "@"),
)


class SecretValue(Generic[T]):
    """Holds a value that must not be printed: its text, repr, format and pickle give nothing away.

    >>> password = SecretValue("s3cret")
    >>> f"{password} {password!r}"
    '[redacted] SecretValue([redacted])'
    >>> password.reveal()
    's3cret'
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        """Wrap a value."""
        self._value: T = value

    def reveal(self) -> T:
        """The value, for the one place that has to send it."""
        return self._value

    def __str__(self) -> str:
        return REDACTED

    def __repr__(self) -> str:
        return f"SecretValue({REDACTED})"

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        message = "a secret value does not leave the process"
        raise TypeError(message)


def redact_text(text: str) -> str:
    """The text without anything that has the shape of a credential."""
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def redact(value: Any, *, key: str = "", depth: int = 0) -> Any:
    """A copy of the value that may be written.

    Args:
        value: anything that was given to a logger.
        key: name under which it was given.
        depth: how far inside the original value it lies.
    """
    if isinstance(value, SecretValue) or (_is_secret_key(key) and not _harmless(key, value)):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return "[too deep]" if depth >= _MAX_DEPTH else _redact_container(value, depth + 1)
    return _redact_leaf(value)


def _redact_container(value: Any, depth: int) -> Any:
    if not isinstance(value, Mapping):
        return [redact(item, depth=depth) for item in value]
    if value.get("kind") in {"Secret", "SecretList"}:
        return _reference(value)
    return {str(k): redact(v, key=str(k), depth=depth) for k, v in value.items()}


def _redact_leaf(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, BaseException):
        return redact_text(f"{type(value).__name__}: {value}")
    return redact_text(str(value))


def _is_secret_key(key: str) -> bool:
    return re.sub(r"[^a-z]", "", key.lower()) in _KEYS


def _harmless(key: str, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return True
    return isinstance(value, int) and key.lower() in _ALSO_SCALARS


def _reference(secret: Mapping[str, Any]) -> str:
    found = secret.get("metadata")
    meta = found if isinstance(found, Mapping) else {}
    return f"Secret {meta.get('namespace', '')}/{meta.get('name', '')} {REDACTED}"
