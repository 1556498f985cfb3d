"""Which changes of a schema would harm objects that are stored under the old one.

What only adds (an optional field, a wider enum, a dropped limit) goes through. What would prune stored
fields or make stored objects invalid is reported, so that a person decides (threats A37). The judgement
errs on the side of reporting: a changed pattern may be wider, but nobody can tell.

``status`` is left out: it is a copy of what the provider says, nothing is lost that does not come again.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]

_EMPTY: Final[Schema] = {}
_UNUSUAL: Final = re.compile(r"[^\w.$*\[\]-]", re.ASCII)

LOWER_LIMITS: Final = ("minimum", "minLength", "minItems", "minProperties")
UPPER_LIMITS: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
STRICTER_WHEN_SET: Final = ("exclusiveMinimum", "exclusiveMaximum", "uniqueItems")
LOOSER_WHEN_SET: Final = {
    "nullable": "null is no longer allowed",
    "x-kubernetes-int-or-string": "a number or text is no longer allowed",
    "x-kubernetes-embedded-resource": "embedded objects are no longer allowed",
    "x-kubernetes-preserve-unknown-fields": "fields that the schema does not name are no longer kept",
}
ANY_CHANGE: Final = ("pattern", "format", "multipleOf", "allOf", "anyOf", "oneOf", "not")
"""Added or changed they may exclude what was allowed; left out they do not."""
STRUCTURE: Final = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")


@dataclass(frozen=True, slots=True)
class Change:
    """One harmful change.

    Attributes:
        path: where, for instance ``v1.spec.size``; empty for the CRD as a whole.
        message: what would happen.
        final: the API server would refuse the change, so nobody's consent can let it through.
    """

    path: str
    message: str
    final: bool = False

    def __str__(self) -> str:
        return f"{word(self.path, 80)}: {self.message}" if self.path else self.message


def word(value: object, limit: int = 40) -> str:
    """A name out of the provider's schema, as it may stand in a sentence that tells people what to run.

    Names of fields are the provider's free choice. With blanks and quotes in them they could pass for our words.

    Args:
        value: the name.
        limit: most characters of it.
    """
    text = str(value)
    return _UNUSUAL.sub("?", text[:limit]) + ("\u2026" if len(text) > limit else "")


def breaking_changes(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """Harmful differences between two schemas of one version.

    Args:
        old: ``openAPIV3Schema`` that objects are stored under.
        new: the one that is to replace it.
        path: name of the version, the beginning of every path.

    Yields:
        One change per place and rule, from the outside in.
    """
    yield from _compare(_without_status(old), _without_status(new), path)


def _compare(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    if _narrower_type(old, new):
        yield Change(path, f"type changes from {word(old.get('type'))} to {word(new.get('type'))}")
        return
    yield from (Change(path, message) for message in _tightened(old, new))
    yield from _fields(old, new, path)
    yield from _additional(old, new, path)
    if "items" in old:
        yield from _compare(_schema(old["items"]), _schema(new.get("items")), f"{path}[]")


def _narrower_type(old: Schema, new: Schema) -> bool:
    before, after = old.get("type"), new.get("type")
    if not after or before == after:
        return False
    return (before, after) != ("integer", "number")


def _tightened(old: Schema, new: Schema) -> Iterator[str]:
    yield from _limits(old, new)
    yield from (f"{word} is set" for word in STRICTER_WHEN_SET if new.get(word) and not old.get(word))
    yield from (text for word, text in LOOSER_WHEN_SET.items() if old.get(word) and not new.get(word))
    for word in ANY_CHANGE:
        if new.get(word) and new.get(word) != old.get(word):
            yield f"{word} is {'changed' if old.get(word) else 'added'}"
    for word in STRUCTURE:
        if new.get(word) != old.get(word) and (new.get(word) or old.get(word)):
            yield f"{word} changes"
    dropped = _narrower_enum(old, new)
    if dropped:
        yield dropped
    rules = _rules(old)
    yield from ("a validation rule is added" for rule in _rules(new) if rule not in rules)
    yield from _newly_required(old, new)


def _limits(old: Schema, new: Schema) -> Iterator[str]:
    for words, sign in ((LOWER_LIMITS, 1), (UPPER_LIMITS, -1)):
        for word in words:
            before, after = old.get(word), new.get(word)
            if not isinstance(after, int | float):
                continue
            if not isinstance(before, int | float):
                yield f"{word} is added"
            elif (after - before) * sign > 0:
                yield f"{word} is tightened"


def _narrower_enum(old: Schema, new: Schema) -> str | None:
    before, after = old.get("enum"), new.get("enum")
    if not isinstance(after, list) or not after:
        return None
    if not isinstance(before, list) or not before:
        return "an enum is added"
    lost = [value for value in before if value not in after]
    return f"enum loses {len(lost)} of its values" if lost else None


def _rules(schema: Schema) -> list[Any]:
    found = schema.get("x-kubernetes-validations")
    entries = found if isinstance(found, list) else []
    return [entry.get("rule") for entry in entries if isinstance(entry, Mapping)]


def _newly_required(old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("required"), new.get("required")
    known = before if isinstance(before, list) else []
    properties = _schema(new.get("properties"))
    for name in after if isinstance(after, list) else []:
        if name not in known and "default" not in _schema(properties.get(name)):
            yield f"{word(name)} becomes required and has no default"


def _fields(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    after = _schema(new.get("properties"))
    for name, schema in _schema(old.get("properties")).items():
        if name in after:
            yield from _compare(_schema(schema), _schema(after[name]), f"{path}.{name}")
        elif not new.get("x-kubernetes-preserve-unknown-fields") and not new.get("additionalProperties"):
            yield Change(f"{path}.{name}", "the field is removed, stored values would be lost")


def _additional(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    before, after = old.get("additionalProperties"), new.get("additionalProperties")
    if not before or after is True or new.get("x-kubernetes-preserve-unknown-fields"):
        return
    if not isinstance(after, Mapping):
        yield Change(path, "free keys are no longer kept")
    elif isinstance(before, Mapping):
        yield from _compare(before, after, f"{path}.*")
    else:
        yield Change(path, "values of free keys get a schema")


def _schema(value: Any) -> Schema:
    return value if isinstance(value, Mapping) else _EMPTY


def _without_status(schema: Schema) -> Schema:
    properties = _schema(schema.get("properties"))
    required = schema.get("required")
    kept = [name for name in required if name != "status"] if isinstance(required, list) else []
    return {
        **schema,
        "properties": {name: value for name, value in properties.items() if name != "status"},
        "required": kept,
    }
