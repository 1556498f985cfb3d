"""A readable view of an `openAPIV3Schema`: pure and bounded.

A schema comes from whoever wrote the CRD and may be megabytes, nested without need, or nonsense. What is shown
has an upper bound in every direction (depth, fields, text), and the view says where it stopped.
"""

from collections import deque
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

_EVERYWHERE: Final = frozenset({"apiVersion", "kind", "metadata"})
_ORDER: Final = {"spec": 0, "status": 2}

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
        more_choices: how many allowed values are not shown.
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
    more_choices: int = 0
    limits: tuple[str, ...] = ()
    children: "tuple[Field, ...]" = ()
    more: int = 0
    nullable: bool = False


@dataclass(slots=True)
class _Node:
    """A field whose children are still being chosen."""

    name: object
    schema: Mapping[str, Any]
    required: bool = False
    depth: int = 0
    children: "list[_Node]" = field(default_factory=list)
    more: int = 0


def view(schema: object) -> Field:
    """A resource as one field without a name: `spec` first, `status` last, without what every object has.

    Args:
        schema: an `openAPIV3Schema`; anything that is no schema gives a view without fields.
    """
    whole = _mapping(schema)
    properties = {k: v for k, v in _mapping(whole.get("properties")).items() if k not in _EVERYWHERE}
    root = _Node("", {**whole, "properties": properties})
    _grow(root)
    root.children.sort(key=lambda one: (_ORDER.get(str(one.name), 1), not one.required, str(one.name)))
    return _finished(root)


def description(schema: object, limit: int = MAX_TEXT) -> str:
    """The description of a schema as a whole, or empty."""
    return _text(_mapping(schema).get("description"), limit)


def _grow(root: _Node) -> None:
    """Choose the fields that are shown, level by level: a large `spec` never takes the place of `status`."""
    left, waiting = MAX_FIELDS, deque([root])
    while waiting:
        node = waiting.popleft()
        inner = _inner(node.schema)
        properties = _mapping(inner.get("properties"))
        required = {name for name in _list(inner.get("required")) if isinstance(name, str)}
        names = sorted(
            properties,
            key=lambda name: (node is root and name not in _ORDER, name not in required, str(name)),
        )
        most = min(MAX_CHILDREN, left) if node.depth < MAX_DEPTH else 0
        for name in names[:most]:
            child = _Node(name, _mapping(properties[name]), name in required, node.depth + 1)
            node.children.append(child)
            waiting.append(child)
        left -= len(node.children)
        node.more = len(properties) - len(node.children)


def _finished(node: _Node) -> Field:
    schema = node.schema
    values = _list(schema.get("enum"))
    return Field(
        name=printable(node.name, _NAME),
        type=_type(schema, node.depth),
        required=node.required,
        default=_value(schema["default"]) if "default" in schema else "",
        description=_text(schema.get("description"), MAX_TEXT),
        choices=tuple(_value(value) for value in values[:MAX_VALUES]),
        more_choices=max(0, len(values) - MAX_VALUES),
        limits=tuple(_limits(schema)),
        children=tuple(_finished(child) for child in node.children),
        more=node.more,
        nullable=schema.get("nullable") is True,
    )


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
