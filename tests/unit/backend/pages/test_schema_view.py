"""What a person sees of a schema, and that no schema makes a page without end. Excluded: its HTML."""

from typing import Any

import pytest

from bind_agent.backend.pages import schema_view
from bind_agent.backend.pages.schema_view import Field
from tests.fakes.pages_world import POSTGRES

pytestmark = pytest.mark.unit


def view(schema: Any) -> tuple[Field, ...]:
    return schema_view.view(schema).children


def one(**schema: Any) -> Field:
    return view({"properties": {"spec": schema}})[0]


def count(fields: tuple[Field, ...]) -> int:
    return sum(1 + count(field.children) for field in fields)


def test_spec_first_status_last_and_nothing_that_every_object_has() -> None:
    assert [field.name for field in view(POSTGRES)] == ["spec", "status"]
    mixed = view({"properties": {"status": {}, "data": {}, "spec": {}, "kind": {}, "metadata": {}}})
    assert [field.name for field in mixed] == ["spec", "data", "status"]


def test_required_fields_come_first() -> None:
    spec = view(POSTGRES)[0]
    assert [field.name for field in spec.children][:2] == ["plan", "version"]
    assert [field.required for field in spec.children] == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "text"),
        ({"type": "integer", "format": "int32"}, "whole number (int32)"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "object"}, "object"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "object with any fields"),
        ({"x-kubernetes-int-or-string": True}, "whole number or text"),
        ({"x-kubernetes-embedded-resource": True}, "a Kubernetes object"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "array"}, "list of anything"),
        ({"additionalProperties": {"type": "array", "items": {"type": "number"}}}, "map of list of number"),
        ({}, "anything"),
        ({"type": 7}, "anything"),
        ({"type": "tuple"}, "tuple"),
    ],
)  # fmt: skip
def test_types_in_words(schema: dict[str, Any], words: str) -> None:
    assert one(**schema).type == words


def test_defaults_choices_and_limits() -> None:
    spec = {field.name: field for field in view(POSTGRES)[0].children}
    assert spec["plan"].default == "small"
    assert spec["plan"].choices == ("small", "medium", "large")
    assert spec["version"].limits == ("at least 14", "at most 18")
    assert spec["plan"].more_choices == 0
    assert one(default=False).default == "false"
    assert one(default={"a": [1]}).default == '{"a":[1]}'
    assert one(default="").default == '""'
    assert one(nullable=True).nullable
    assert one(uniqueItems=True, oneOf=[{}, {}]).limits == ("no value twice", "one of 2 forms")
    assert one(**{"x-kubernetes-validations": [{"rule": "a"}, {"rule": "b", "message": "m"}, 3]}).limits == (
        "a",
        "m",
    )


def test_fields_inside_of_lists_and_maps_are_shown() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    for schema in ({"type": "array", "items": inner}, {"type": "object", "additionalProperties": inner}):
        children = one(**schema).children
        assert [(child.name, child.required) for child in children] == [("a", True)]


@pytest.mark.parametrize(
    "schema",
    [
        None, [], "x", 7, {}, {"properties": []}, {"properties": {"spec": None}},
        {"properties": {"spec": {"properties": "x", "required": "y", "enum": "z", "description": 3}}},
        {"properties": {"spec": {"enum": [object()], "default": object(), "minimum": True}}},
        {"properties": {7: {"type": "string"}}},
    ],
)  # fmt: skip
def test_nonsense_gives_a_view(schema: Any) -> None:
    assert isinstance(view(schema), tuple)
    assert schema_view.description(schema) == ""


def test_depth_is_bounded_and_told() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "object", "properties": {"a": schema}}
    fields = view(schema)
    depth = 0
    while fields:
        depth, last, fields = depth + 1, fields[0], fields[0].children
    assert depth == schema_view.MAX_DEPTH
    assert last.more == 1


def test_lists_of_lists_without_end_have_an_end() -> None:
    schema: dict[str, Any] = {"type": "array", "items": {}}
    schema["items"] = schema  # what a hostile decoder could hand us
    assert one(**schema).type.startswith("list of list of")


def test_width_is_bounded_and_told() -> None:
    wide = {"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(1000)}}
    spec = one(**wide)
    assert len(spec.children) == schema_view.MAX_CHILDREN
    assert spec.more == 1000 - schema_view.MAX_CHILDREN
    both = {"type": "object", "properties": {f"g{n}": wide for n in range(150)}}
    assert count(view({"properties": {"spec": both}})) <= schema_view.MAX_FIELDS


def test_a_large_spec_leaves_room_for_status() -> None:
    wide = {"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(150)}}
    large = {"type": "object", "properties": {f"g{n}": wide for n in range(150)}}
    whole = schema_view.view({"properties": {"spec": large, "status": wide, "data": {"type": "string"}}})
    assert [(field.name, len(field.children)) for field in whole.children] == [
        ("spec", 150), ("data", 0), ("status", 150)
    ]  # fmt: skip
    assert whole.more == 0
    assert count(whole.children) == schema_view.MAX_FIELDS
    told = sum(field.more for field in whole.children[0].children)
    shown = sum(len(field.children) for field in whole.children[0].children)
    assert shown + told == 150 * 150, "every field is shown or counted"


def test_what_is_left_out_at_the_top_is_counted() -> None:
    many = {f"f{n:03}": {"type": "string"} for n in range(300)}
    whole = schema_view.view({"properties": many | {"spec": {}, "status": {}}})
    names = [field.name for field in whole.children]
    assert (names[0], names[-1], len(names)) == ("spec", "status", schema_view.MAX_CHILDREN)
    assert whole.more == 302 - schema_view.MAX_CHILDREN


def test_text_is_bounded_and_inert() -> None:
    field = one(
        description="a\u202e\x1b[2J" + "x" * 100_000, enum=[f"v{n}" for n in range(1000)], pattern="y" * 9999
    )
    assert len(field.description) == schema_view.MAX_TEXT
    assert not set(field.description) & set("\u202e\x1b")
    # The remainder is no value that could be given.
    assert len(field.choices) == schema_view.MAX_VALUES
    assert field.more_choices == 1000 - schema_view.MAX_VALUES
    assert len(field.limits[0]) < 300
    assert view({"properties": {"n\u202e\nx" + "y" * 500: {}}})[0].name.startswith("n x")
