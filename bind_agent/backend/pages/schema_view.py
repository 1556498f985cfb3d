"""A readable view of an `openAPIV3Schema`: pure and bounded.

A schema comes from whoever wrote the CRD and may be megabytes, nested without need, or nonsense. What is shown
has an upper bound in every direction (depth, fields, text), and the view says where it stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from bind_agent.api.text import printable

MAX_DEPTH: Final = 12
MAX_FIELDS: Final = 1500
"""Of a whole view."""
MAX_CHILDREN: Final = 200
"""Of one field."""
MAX_TEXT: Final = 1200
"""Characters of a description."""
MAX_VALUES: Final = 40
"""Entries of an enumeration."""

_NAME: Final = 120
_VALUE: Final = 200

_LIMITS: Final = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("exclusiveMinimum", "more than {}"),
    ("exclusiveMaximum", "less than {}"),
    ("multipleOf", "multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("minProperties", "at least {} entries"),
    ("maxProperties", "at most {} entries"),
    ("pattern", "matches {}"),
)
_SIMPLE: Final = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        name: as in YAML; empty for a schema as a whole.
        type: in words, for instance `list of text`.
        required: whether it has to be given.
        default: its default as JSON, or empty.
        description: for people, or empty.
        choices: the allowed values, each as JSON or bare text.
        limits: further rules in words.
        children: fields inside, required ones first, then by name.
        more: how many fields inside are not shown.
        nullable: whether null is allowed.
    """

    name: str
    type: str
    required: bool = False
    default: str = ""
    description: str = ""
    choices: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    children: "tuple[Field, ...]" = ()
    more: int = 0
    nullable: bool = False


@dataclass(slots=True)
class _Budget:
    left: int = field(default=MAX_FIELDS)


def view(schema: object) -> tuple[Field, ...]:
    """The fields of a resource: `spec` first, `status` last, without what every object has.

    Args:
        schema: an `openAPIV3Schema`; anything that is no schema gives an empty view.
    """
    if not isinstance(schema, Mapping):
        return ()
    hidden = {"apiVersion", "kind", "metadata"}
    properties = {k: v for k, v in _mapping(schema.get("properties")).items() if k not in hidden}
    root = _field("", {**schema, "properties": properties}, required=False, depth=0, budget=_Budget())
    order = {"spec": 0, "status": 2}
    return tuple(sorted(root.children, key=lambda one: (order.get(one.name, 1), not one.required, one.name)))


def description(schema: object, limit: int = MAX_TEXT) -> str:
    """The description of a schema as a whole, or empty."""
    return _text(_mapping(schema).get("description"), limit)


def _field(name: object, schema: Mapping[str, Any], *, required: bool, depth: int, budget: _Budget) -> Field:
    children, more = _children(schema, depth, budget)
    enum = schema.get("enum")
    values = enum if isinstance(enum, list) else []
    choices = [_value(value) for value in values[:MAX_VALUES]]
    if len(values) > MAX_VALUES:
        choices.append(f"and {len(values) - MAX_VALUES} more")
    return Field(
        name=printable(name, _NAME),
        type=_type(schema, depth),
        required=required,
        default=_value(schema["default"]) if "default" in schema else "",
        description=_text(schema.get("description"), MAX_TEXT),
        choices=tuple(choices),
        limits=tuple(_limits(schema)),
        children=children,
        more=more,
        nullable=schema.get("nullable") is True,
    )


def _children(schema: Mapping[str, Any], depth: int, budget: _Budget) -> tuple[tuple[Field, ...], int]:
    inner = _inner(schema)
    properties = _mapping(inner.get("properties"))
    listed = inner.get("required")
    required = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    if depth >= MAX_DEPTH:
        return (), len(properties)
    names = sorted(properties, key=lambda name: (name not in required, str(name)))
    shown: list[Field] = []
    for name in names[:MAX_CHILDREN]:
        if budget.left <= 0:
            break
        budget.left -= 1
        child = _mapping(properties[name])
        shown.append(_field(name, child, required=name in required, depth=depth + 1, budget=budget))
    return tuple(shown), len(properties) - len(shown)


def _inner(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema whose fields are shown: of the entries, for lists and maps (of lists and maps …)."""
    for _ in range(MAX_DEPTH):
        if "properties" in schema:
            return schema
        entries = schema.get("items", schema.get("additionalProperties"))
        if not isinstance(entries, Mapping):
            return schema
        schema = entries
    return schema


def _type(schema: Mapping[str, Any], depth: int) -> str:
    if (marked := _marked(schema)) or depth >= 2 * MAX_DEPTH:
        return marked or "anything"
    entries = schema.get("additionalProperties")
    if schema.get("type") == "array":
        return f"list of {_type(_mapping(schema.get('items')), depth + 1)}"
    if isinstance(entries, Mapping):
        return f"map of {_type(entries, depth + 1)}"
    return _plain_type(schema)


def _marked(schema: Mapping[str, Any]) -> str:
    if schema.get("x-kubernetes-int-or-string") is True:
        return "whole number or text"
    return "a Kubernetes object" if schema.get("x-kubernetes-embedded-resource") is True else ""


def _plain_type(schema: Mapping[str, Any]) -> str:
    kind, form = schema.get("type"), schema.get("format")
    if kind == "object" or "properties" in schema:
        free = schema.get("x-kubernetes-preserve-unknown-fields") is True
        return "object with any fields" if free else "object"
    if not isinstance(kind, str):
        return "anything"
    words = _SIMPLE.get(kind) or printable(kind, 40)
    return f"{words} ({printable(form, 40)})" if isinstance(form, str) and form else words


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    for keyword, words in _LIMITS:
        value = schema.get(keyword)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield words.format(printable(value, _VALUE))
    if schema.get("uniqueItems") is True:
        yield "no value twice"
    rules = schema.get("x-kubernetes-validations")
    for rule in _list(rules)[:MAX_VALUES]:
        stated = _mapping(rule)
        words = _text(stated.get("message"), _VALUE) or _text(stated.get("rule"), _VALUE)
        if words:
            yield words
    for keyword, words in (("oneOf", "one of {} forms"), ("anyOf", "any of {} forms")):
        if forms := _list(schema.get(keyword)):
            yield words.format(len(forms))


def _value(value: object) -> str:
    """A value as it would stand in YAML: text bare, anything else as JSON."""
    if isinstance(value, str):
        return printable(value, _VALUE) or '""'
    try:
        return printable(orjson.dumps(value).decode(), _VALUE)
    except (TypeError, ValueError, RecursionError):
        return "a value that cannot be shown"


def _text(value: object, limit: int) -> str:
    return printable(value, limit) if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []
