"""What counts as the content of an object, when two objects have the same content, and its digest.

Comparison is by containment: the provider's copy must hold every desired value, and may hold more
(defaults, fields that a provider's controller writes). What the consumer no longer says is noticed by the
digest on the copy.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from bind_agent.api import meta
from bind_agent.api.meta import Object

_ENVELOPE: Final = frozenset({"apiVersion", "kind", "metadata", "status"})

_DIGEST_CHARS: Final = 40


class ContentError(ValueError):
    """The content cannot be carried over; the message names no value."""


def content(obj: Mapping[str, Any]) -> Object:
    """All top-level fields but the envelope: `spec`, `data`, `rules`, whatever the kind has (design 4.1)."""
    return {name: value for name, value in obj.items() if name not in _ENVELOPE}


def status(obj: Mapping[str, Any]) -> Any:
    """`status` as it is, None when absent. An empty status is a status."""
    return obj.get("status")


def digest(value: object) -> str:
    """Digest that does not depend on the order of fields.

    Args:
        value: JSON data.

    Returns:
        40 hexadecimal digits of SHA-256.

    Raises:
        ContentError: the value is nested too deep, or holds a number that not every JSON reader can hold.
    """
    return hashlib.sha256(_encode(value)).hexdigest()[:_DIGEST_CHARS]


def _encode(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Not chained: the encoder's text is about content. Its depth limit (254) also bounds our own
        # recursion.
        raise ContentError("it is nested too deep, or holds a number beyond 64 bits") from None


def difference(desired: Any, actual: Any) -> str | None:
    """Where a desired value is not found.

    Mappings are compared field by field and may have more fields than desired. Lists must have the same
    length and are compared element by element in the same way, since an element can have been defaulted. A
    desired null is found where there is null or nothing. 1 and 1.0 are the same number; booleans are no
    numbers.

    Args:
        desired: JSON data that should be there.
        actual: JSON data that is there.

    Returns:
        The path of the first difference, for instance ``.spec.nodes[1].size`` (names only, never values),
        or None when everything desired is found. An empty path means the two themselves.
    """
    if isinstance(desired, dict):  # an ABC check costs ten times as much
        return _map_difference(desired, actual) if isinstance(actual, dict) else ""
    if isinstance(desired, list):
        return _list_difference(desired, actual) if isinstance(actual, list) else ""
    if isinstance(desired, bool) or isinstance(actual, bool):
        return None if desired is actual else ""
    return None if desired == actual else ""


def _map_difference(desired: Mapping[str, Any], actual: Mapping[str, Any]) -> str | None:
    for name, value in desired.items():
        if name in actual:
            rest = difference(value, actual[name])
            if rest is not None:
                return f".{name}{rest}"
        elif value is not None:
            return f".{name}"
    return None


def _list_difference(desired: list[Any], actual: list[Any]) -> str | None:
    if len(desired) != len(actual):
        return ""
    for index, (value, found) in enumerate(zip(desired, actual, strict=True)):
        rest = difference(value, found)
        if rest is not None:
            return f"[{index}]{rest}"
    return None


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal, the order of fields aside.

    Raises:
        ContentError: as in ``digest``.
    """
    return left is right or _encode(left) == _encode(right)


def title(obj: Mapping[str, Any]) -> str:
    """How messages name an object: ``Kind namespace/name``."""
    kind = obj.get("kind")
    return f"{kind} {meta.key(obj)}" if isinstance(kind, str) else meta.key(obj)
