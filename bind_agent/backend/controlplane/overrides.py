"""`spec.konnector.overrides` laid over the konnector's container: pure (spec 5.5).

A strategic merge as API servers do it for containers: mappings are merged, `env`, `ports`, `volumeMounts` and
`volumeDevices` by the key of their entries, every other list is replaced. Before, whatever is empty, zero or false
is dropped, because the wire has no means to tell it from a field that was not set; so an override never removes
anything. Entries of lists stay as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_KEYED: Final = {
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
}
"""Lists of a container whose entries have an identity."""

_HANDLERS: Final = frozenset({"exec", "grpc", "httpGet", "sleep", "tcpSocket"})
_VALUES: Final = frozenset({"value", "valueFrom"})
_ALTERNATIVES: Final = (_HANDLERS, _VALUES)
"""Fields of which an API server takes only one: the override's replaces the other one. A plain merge would leave both,
and the Deployment would be refused."""


def merged(container: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The container with the overrides laid over it.

    Args:
        container: as shipped.
        overrides: a part of a core Container, as it stands in the AppClusterBinding.

    Returns:
        A new mapping; neither argument is changed.
    """
    effective = pruned(overrides)
    result = _merge(container, {field: effective[field] for field in effective if field not in _KEYED})
    for field, key in _KEYED.items():
        entries = effective.get(field)
        if isinstance(entries, list):
            result[field] = _by_key(container.get(field), entries, key)
    return result


def raising(overrides: Mapping[str, Any]) -> list[str]:
    """Fields of overrides by which a container could get more than the pod security standard `restricted` allows.

    A namespace that enforces the standard refuses what goes too far. One that a Go backend made does not.

    Args:
        overrides: as for `merged`.
    """
    effective = pruned(overrides)
    ports = effective.get("ports")
    listed = ports if isinstance(ports, list) else []
    shared = any(isinstance(one, Mapping) and one.get("hostPort") for one in listed)
    found = {"securityContext": "securityContext" in effective, "ports.hostPort": shared}
    return [field for field, asked in found.items() if asked]


def pruned(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping without what is empty, zero or false, at any depth outside of lists.

    Directives of strategic merges (`$patch` …) are dropped as well: an override only ever adds or replaces.
    """
    kept = {}
    for field, entry in value.items():
        reduced = pruned(entry) if isinstance(entry, Mapping) else entry
        if reduced and not field.startswith("$"):
            kept[field] = reduced
    return kept


def _merge(base: object, patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base) if isinstance(base, Mapping) else {}
    for alternatives in _ALTERNATIVES:
        if alternatives & patch.keys():
            for field in alternatives - patch.keys():
                result.pop(field, None)
    for field, entry in patch.items():
        result[field] = _merge(result.get(field), entry) if isinstance(entry, Mapping) else entry
    return result


def _by_key(base: object, patch: Sequence[Any], key: str) -> list[Any]:
    """Entries of the base in their order, merged with those of the same key; new ones follow."""
    result = list(base) if isinstance(base, list) else []
    places = {
        entry[key]: place for place, entry in enumerate(result) if isinstance(entry, Mapping) and key in entry
    }
    for entry in patch:
        if not isinstance(entry, Mapping) or key not in entry:
            continue
        place = places.get(entry[key])
        if place is None:
            places[entry[key]] = len(result)
            result.append(dict(entry))
        else:
            result[place] = _merge(result[place], entry)
    return result
