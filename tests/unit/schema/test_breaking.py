"""Which changes of a schema go through and which are held (threats A37): each rule with its positive twin."""

import pytest

from konnector.schema.breaking import Change, breaking_changes

pytestmark = pytest.mark.unit


def spec(**field):
    """A schema whose one interesting field is `spec.x`."""
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": field}}}}


def messages(old, new):
    return [str(change) for change in breaking_changes(old, new, "v1")]


TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
OBJECT = {"type": "object"}
KEPT = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

HELD = [
    ("type changes", TEXT, NUMBER, "type changes from string to integer"),
    ("a number becomes an integer", {"type": "number"}, NUMBER, "type changes from number to integer"),
    ("anything becomes a text", {}, TEXT, "type changes from None to string"),
    ("a lower limit is added", NUMBER, {**NUMBER, "minimum": 1}, "minimum is added"),
    ("a lower limit rises", {**NUMBER, "minimum": 1}, {**NUMBER, "minimum": 2}, "minimum is tightened"),
    ("an upper limit is added", TEXT, {**TEXT, "maxLength": 1}, "maxLength is added"),
    ("an upper limit falls", {**TEXT, "maxLength": 9}, {**TEXT, "maxLength": 8}, "maxLength is tightened"),
    ("exclusive", NUMBER, {**NUMBER, "exclusiveMinimum": True}, "exclusiveMinimum is set"),
    ("unique", {"type": "array"}, {"type": "array", "uniqueItems": True}, "uniqueItems is set"),
    ("no null", {**TEXT, "nullable": True}, TEXT, "null is no longer allowed"),
    (
        "no number",
        {"x-kubernetes-int-or-string": True},
        {},
        "a number or text is no longer allowed",
    ),
    (
        "no embedded object",
        {**OBJECT, "x-kubernetes-embedded-resource": True},
        OBJECT,
        "embedded objects are no longer allowed",
    ),
    ("pruned", KEPT, OBJECT, "fields that the schema does not name are no longer kept"),
    ("a pattern is added", TEXT, {**TEXT, "pattern": "a"}, "pattern is added"),
    ("a pattern changes", {**TEXT, "pattern": "a"}, {**TEXT, "pattern": "b"}, "pattern is changed"),
    ("alternatives change", {"oneOf": [{}]}, {"oneOf": [{}, {}]}, "oneOf is changed"),
    (
        "list type",
        {"type": "array", "x-kubernetes-list-type": "set"},
        {"type": "array"},
        "x-kubernetes-list-type changes",
    ),
    ("an enum is added", TEXT, {**TEXT, "enum": ["a"]}, "an enum is added"),
    (
        "an enum shrinks",
        {**TEXT, "enum": ["a", "b"]},
        {**TEXT, "enum": ["a", "c"]},
        "enum loses 1 of its values",
    ),
    (
        "a rule is added",
        {"x-kubernetes-validations": [{"rule": "a"}]},
        {"x-kubernetes-validations": [{"rule": "a"}, {"rule": "b"}]},
        "a validation rule is added",
    ),
    (
        "required without default",
        OBJECT,
        {**OBJECT, "properties": {"n": TEXT}, "required": ["n"]},
        "n becomes required and has no default",
    ),
    (
        "required and not even described",
        OBJECT,
        {**OBJECT, "required": ["n"]},
        "n becomes required and has no default",
    ),
    ("free keys go", {**OBJECT, "additionalProperties": TEXT}, OBJECT, "free keys are no longer kept"),
    (
        "free keys are forbidden",
        {**OBJECT, "additionalProperties": True},
        {**OBJECT, "additionalProperties": False},
        "free keys are no longer kept",
    ),
    (
        "free values get a schema",
        {**OBJECT, "additionalProperties": True},
        {**OBJECT, "additionalProperties": TEXT},
        "values of free keys get a schema",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), [case[1:] for case in HELD], ids=[c[0] for c in HELD])
def test_held(old, new, message):
    assert messages(spec(**old), spec(**new)) == [f"v1.spec.x: {message}"]


FINE = [
    ("nothing changes", TEXT, TEXT),
    ("the description changes", {**TEXT, "description": "a"}, {**TEXT, "description": "b"}),
    ("the default changes", {**TEXT, "default": "a"}, {**TEXT, "default": "b"}),
    ("an integer becomes a number", NUMBER, {"type": "number"}),
    ("the type is left open", TEXT, {}),
    ("a lower limit falls", {**NUMBER, "minimum": 2}, {**NUMBER, "minimum": 1}),
    ("a lower limit goes", {**NUMBER, "minimum": 2}, NUMBER),
    ("an upper limit rises", {**TEXT, "maxLength": 1}, {**TEXT, "maxLength": 2}),
    ("limits stay", {**NUMBER, "minimum": 1, "maximum": 2}, {**NUMBER, "minimum": 1, "maximum": 2}),
    ("a pattern goes", {**TEXT, "pattern": "a"}, TEXT),
    ("an enum grows", {**TEXT, "enum": ["a"]}, {**TEXT, "enum": ["a", "b"]}),
    ("an enum goes", {**TEXT, "enum": ["a"]}, TEXT),
    ("an enum is emptied", {**TEXT, "enum": ["a"]}, {**TEXT, "enum": []}),
    ("a rule goes", {"x-kubernetes-validations": [{"rule": "a"}]}, {}),
    ("null becomes allowed", TEXT, {**TEXT, "nullable": True}),
    ("a field is added", OBJECT, {**OBJECT, "properties": {"n": TEXT}}),
    (
        "required with a default",
        OBJECT,
        {**OBJECT, "properties": {"n": {**TEXT, "default": "a"}}, "required": ["n"]},
    ),
    (
        "no longer required",
        {**OBJECT, "properties": {"n": TEXT}, "required": ["n"]},
        {**OBJECT, "properties": {"n": TEXT}},
    ),
    ("required as before", {**OBJECT, "required": ["n"]}, {**OBJECT, "required": ["n"]}),
    ("a removed field is still kept", {**OBJECT, "properties": {"n": TEXT}}, KEPT),
    ("free keys stay", {**OBJECT, "additionalProperties": TEXT}, {**OBJECT, "additionalProperties": TEXT}),
    ("free keys are still kept", {**OBJECT, "additionalProperties": TEXT}, KEPT),
    (
        "free values lose their schema",
        {**OBJECT, "additionalProperties": TEXT},
        {**OBJECT, "additionalProperties": True},
    ),
    ("no free keys before", {**OBJECT, "additionalProperties": False}, OBJECT),
]


@pytest.mark.parametrize(("old", "new"), [case[1:] for case in FINE], ids=[c[0] for c in FINE])
def test_goes_through(old, new):
    assert messages(spec(**old), spec(**new)) == []


def test_a_removed_field_names_itself():
    old = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": TEXT, "b": TEXT}}}}
    new = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": TEXT}}}}
    assert messages(old, new) == ["v1.spec.b: the field is removed, stored values would be lost"]


def test_lists_and_free_keys_are_looked_into():
    old = spec(type="array", items={"type": "object", "additionalProperties": TEXT})
    new = spec(type="array", items={"type": "object", "additionalProperties": NUMBER})
    assert messages(old, new) == ["v1.spec.x[].*: type changes from string to integer"]


def test_the_status_is_free_to_change():
    old = {"type": "object", "required": ["status"], "properties": {"status": TEXT}}
    assert messages(old, {"type": "object", "required": ["status"]}) == []
    assert messages({"type": "object"}, {"type": "object", "required": ["status", "spec"]}) == [
        "v1: spec becomes required and has no default"
    ]


def test_malformed_schemas_are_compared_without_an_exception():
    odd = {
        "type": "object",
        "properties": {"spec": "?", "x": {"properties": "?", "items": "?", "required": "?", "enum": "?"}},
        "x-kubernetes-validations": ["?"],
        "required": "?",
    }
    assert messages(odd, odd) == []


def test_a_change_without_a_path_is_about_the_whole():
    assert str(Change("", "scope changes")) == "scope changes"
