"""Patches on the consumer object, and how a server says that a patch came too late.

Facts from a real API server (1.36), on which the locks rest:

* a patch that sets `metadata.resourceVersion` is refused with 409 unless the object is at that version;
* the status subresource ignores a wrong `metadata.uid` in merge patches and in `replace` operations, so
  only a JSON patch `test` keeps a status off an object that was created anew under the name; it fails with
  422 and empty details;
* a server-side apply with the UID of an object that is gone is refused with 409, with the UID of an object
  that another one has replaced with 422 and the cause `metadata.uid`;
* a server-side apply with a resource version creates an absent object and is refused with 409 for a
  present one.
"""

from collections.abc import Mapping
from typing import Any, Final

from bind_agent.api import keys, meta
from bind_agent.api.meta import Object

NO_VERSION: Final = "1"
"""A resource version that no object has (the store's first revision belongs to no object): create or fail."""

_UID_FIELD: Final = "metadata.uid"


def is_guarded(consumer: Mapping[str, Any]) -> bool:
    """Whether finalizer and bound mark are on the consumer object."""
    return (
        meta.has_finalizer(consumer, keys.SYNCER_FINALIZER)
        and meta.annotation(consumer, keys.BOUND) == keys.TRUE
    )


def guard(consumer: Mapping[str, Any]) -> Object:
    """Merge patch that puts on finalizer and bound mark, whichever is missing."""
    finalizers = meta.finalizers(consumer)
    if keys.SYNCER_FINALIZER not in finalizers:
        finalizers = (*finalizers, keys.SYNCER_FINALIZER)
    # Annotations are merged by the server: what informers leave out (last-applied) survives.
    return _locked(consumer, finalizers=list(finalizers), annotations={keys.BOUND: keys.TRUE})


def release(consumer: Mapping[str, Any]) -> Object:
    """Merge patch that takes off our finalizer and no other."""
    rest = [name for name in meta.finalizers(consumer) if name != keys.SYNCER_FINALIZER]
    return _locked(consumer, finalizers=rest or None)


def replace_status(consumer: Mapping[str, Any], status: Any) -> list[Object]:
    """JSON patch that makes `status` exactly what is given; None removes it.

    The status has one writer, so the whole is set and spec edits of users do not conflict with it.
    """
    same_object = {"op": "test", "path": "/metadata/uid", "value": meta.uid(consumer)}
    if status is None:
        return [same_object, {"op": "remove", "path": "/status"}]
    return [same_object, {"op": "add", "path": "/status", "value": status}]


def annotate(obj: Mapping[str, Any], annotations: Mapping[str, str | None]) -> Object:
    """Merge patch that sets annotations, or removes those given as None."""
    return _locked(obj, annotations=dict(annotations))


def lost_race(code: int, details: Mapping[str, Any]) -> bool:
    """Whether a refusal means that the object has changed since it was read: plan again.

    Args:
        code: HTTP status of the answer.
        details: `details` of the Status object, empty when absent.
    """
    if code == 409:
        return True
    if code != 422:
        return False
    if not details:
        return True
    causes = details.get("causes")
    if not isinstance(causes, list) or not causes:
        return False
    return all(isinstance(cause, Mapping) and cause.get("field") == _UID_FIELD for cause in causes)


def _locked(obj: Mapping[str, Any], **metadata: Any) -> Object:
    lock = {"uid": meta.uid(obj), "resourceVersion": meta.resource_version(obj)}
    return {"metadata": {**lock, **metadata}}
