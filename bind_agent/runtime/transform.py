"""What is left out of objects before they are kept.

A transform gets an object that nobody else holds, may change it in place, and returns it.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from bind_agent.api import keys, meta

Object = meta.Object
Transform: TypeAlias = Callable[[Object], Object]

_METADATA_ONLY: Final = ("apiVersion", "kind", "metadata")


def strip(obj: Object) -> Object:
    """Leave out managedFields and kubectl's copy of the whole object. The default of informers."""
    return strip_last_applied(strip_managed_fields(obj))


def strip_managed_fields(obj: Object) -> Object:
    """Leave out `metadata.managedFields`, often the larger half of an object."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return obj


def strip_last_applied(obj: Object) -> Object:
    """Leave out the annotation in which kubectl keeps the object as applied, a Secret's values included."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return obj
    annotations = metadata.get("annotations")
    if (
        isinstance(annotations, dict)
        and annotations.pop(keys.LAST_APPLIED, None) is not None
        and not annotations
    ):
        # As if it had never been there, so that digests agree.
        del metadata["annotations"]
    return obj


def metadata_only(obj: Object) -> Object:
    """Leave out everything but type and (stripped) metadata: where the content is of no use or secret."""
    return strip({field: obj[field] for field in _METADATA_ONLY if field in obj})


def compose(*transforms: Transform) -> Transform:
    """One transform that does these in order."""

    def composed(obj: Object) -> Object:
        for transform in transforms:
            obj = transform(obj)
        return obj

    return composed
