"""Taking over the fields of objects that a Go konnector created.

Go creates copies with a plain POST, so its manager owns the fields by `Update`; a field that is later left
out of our apply would stay for ever (spec W-K12). Once, when the copy is taken over, that ownership is
moved to our manager.
"""

from collections.abc import Mapping
from typing import Any, Final

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object
from konnector.sync.essence import ContentError

_DEPTH: Final = 200


def migration_patch(live: Mapping[str, Any]) -> list[Object]:
    """JSON patch that moves the fields of Go's manager into our apply.

    Args:
        live: the copy as the server returned it, `metadata.managedFields` included.

    Returns:
        The operations, locked on the resource version; empty when there is nothing to move.

    Raises:
        ContentError: the field sets are nested beyond reason.
    """
    entries = meta.metadata(live).get("managedFields")
    if not isinstance(entries, list):
        return []
    source = [entry for entry in entries if _is(entry, keys.GO_FIELD_MANAGER, "Update")]
    if not source:
        return []
    target = next((entry for entry in entries if _is(entry, keys.FIELD_MANAGER, "Apply")), None)
    merged: Object = dict(target or source[0]) | {"manager": keys.FIELD_MANAGER, "operation": "Apply"}
    for entry in source:
        merged["fieldsV1"] = _union(merged.get("fieldsV1"), entry.get("fieldsV1"), _DEPTH)
    rest = [entry for entry in entries if entry is not target and not any(entry is old for old in source)]
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta.resource_version(live)},
        {"op": "replace", "path": "/metadata/managedFields", "value": [merged, *rest]},
    ]


def _is(entry: Any, manager: str, operation: str) -> bool:
    return (
        isinstance(entry, Mapping)
        and entry.get("manager") == manager
        and entry.get("operation") == operation
        and not entry.get("subresource")
    )


def _union(left: Any, right: Any, depth: int) -> Object:
    if depth == 0:
        raise ContentError("its managed fields are nested too deep")
    first = left if isinstance(left, Mapping) else {}
    second = right if isinstance(right, Mapping) else {}
    merged = dict(first)
    for name, fields in second.items():
        merged[name] = _union(merged.get(name), fields, depth - 1)
    return merged
