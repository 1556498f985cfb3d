"""From a decoded API object to a typed, valid one, or an error that says what to put right."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from bind_agent.api import meta
from bind_agent.api.app_cluster_binding import AppClusterBinding
from bind_agent.api.binding import Binding
from bind_agent.api.cluster_binding import ClusterBinding
from bind_agent.api.export import Export
from bind_agent.api.export_request import ExportRequest
from bind_agent.api.service_namespace import ServiceNamespace
from bind_agent.api.shared import OwnObject, without_nulls
from bind_agent.api.template import ExportTemplate
from bind_agent.api.validation import InvalidObject, Problem

KINDS: Final[Mapping[str, type[OwnObject]]] = {
    cls.RESOURCE.kind: cls
    for cls in (
        ExportTemplate,
        Binding,
        Export,
        ExportRequest,
        ServiceNamespace,
        ClusterBinding,
        AppClusterBinding,
    )
}
"""The seven kinds by name."""

O = TypeVar("O", bound=OwnObject)  # noqa: E741 - read only in signatures
P = TypeVar("P", bound=msgspec.Struct)


def decode(cls: type[O], obj: Mapping[str, Any]) -> O:
    """The typed object.

    Fields that the types do not know are ignored, as an API server prunes them; null counts as absent.
    Objects from lists, which carry neither `apiVersion` nor `kind`, are fine.

    Args:
        cls: one of the seven kinds.
        obj: a decoded object.

    Raises:
        InvalidObject: of another kind, not shaped like it, or against its rules; all problems are listed
            as far as they can be found at once.
    """
    head = _head_problems(cls, obj)
    if head:
        raise InvalidObject(cls.RESOURCE.kind, meta.key(obj), head)
    typed = decode_part(cls, obj)
    found = typed.problems()
    if found:
        raise InvalidObject(cls.RESOURCE.kind, meta.key(obj), found)
    return typed


def decode_any(obj: Mapping[str, Any]) -> OwnObject:
    """The typed object of whichever own kind it says it is.

    Raises:
        InvalidObject: it says none of them, or is invalid.
    """
    kind = obj.get("kind")
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise InvalidObject(
            str(kind), meta.key(obj), [Problem("kind", f"must be one of {', '.join(sorted(KINDS))}")]
        )
    return decode(cls, obj)


def decode_part(cls: type[P], value: Any) -> P:
    """Any of the types of this package from plain data, by shape alone; rules are not looked at.

    Raises:
        InvalidObject: wrong types or missing fields.
    """
    try:
        return msgspec.convert(without_nulls(value), cls)
    except ValueError as error:  # msgspec's own error is one
        name = meta.key(value) if isinstance(value, Mapping) else ""
        raise InvalidObject(cls.__name__, name, [_problem(error)]) from None


def problems(obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Problem]:
    """Everything that is wrong with an object of an own kind, or with changing `old` into it."""
    try:
        typed = decode_any(obj)
        return typed.update_problems(decode(type(typed), old)) if old is not None else []
    except InvalidObject as error:
        return list(error.problems)


def _head_problems(cls: type[OwnObject], obj: Mapping[str, Any]) -> list[Problem]:
    expected = {"apiVersion": cls.RESOURCE.api_version, "kind": cls.RESOURCE.kind}
    return [
        Problem(field, f"must be {word}, not {obj[field]!r}")
        for field, word in expected.items()
        if obj.get(field) and obj[field] != word
    ]


def _problem(error: ValueError) -> Problem:
    # msgspec says "Expected `str`, got `int` - at `$.spec.names`".
    text, _, path = str(error).partition(" - at `")
    return Problem(path.removesuffix("`").removeprefix("$").removeprefix("."), text)
