"""Schemas of exports, each kept once: thousands of tenants have an export of one CRD, and its schema is most of it.

An export is kept with the digests of its schemas; whoever needs the whole export puts them in again. A schema that
nobody exports any more stays until the process ends: there are as many as CRDs have had revisions meanwhile.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from bind_agent.api.meta import Object
from bind_agent.runtime.transform import strip

_FIELD: Final = "schema"
_DIGEST: Final = "digest"


class SharedSchemas:
    """Takes schemas out of exports, and puts them in again."""

    def __init__(self) -> None:
        """Start without any."""
        self._kept: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def without(self, export: Object) -> Object:
        """An export as it is kept: without managedFields, digests in the place of schemas."""
        return _changed(strip(export), self._take)

    def whole(self, kept: Object) -> Object:
        """The export again as the API server gave it, apart from managedFields."""
        return _changed(kept, self._give)

    def _take(self, schema: Mapping[str, Any]) -> Object:
        body = orjson.dumps(schema)
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        self._kept.setdefault(digest, body)
        return {_DIGEST: digest}

    def _give(self, reference: Mapping[str, Any]) -> Object:
        found: Object = orjson.loads(self._kept[reference[_DIGEST]])
        return found


def _changed(export: Object, change: Callable[[Mapping[str, Any]], Object]) -> Object:
    spec = export.get("spec")
    versions = spec.get("versions") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(versions, list):
        return export
    found = [
        {**one, _FIELD: change(one[_FIELD])}
        if isinstance(one, dict) and isinstance(one.get(_FIELD), dict)
        else one
        for one in versions
    ]
    return {**export, "spec": {**spec, "versions": found}}
