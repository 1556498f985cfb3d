"""Which binding a CRD on the app cluster belongs to, and how that is written on it: pure (spec 6.6.3 step 4, W-K15).

A binding on the app cluster itself is named by an owner reference, as Go konnectors write and expect it. A binding on
another cluster (control plane mode) must not be: the garbage collector of the app cluster would look for the owner
on its own cluster, not find it, and remove the CRD with all objects. There annotations say the same.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

from bind_agent.api import keys, meta
from bind_agent.api.conversion import binding_owner
from bind_agent.api.meta import Object

_MARKS: Final = (keys.PROVIDER, keys.SOURCE, keys.SOURCE_UID)


class Standing(Enum):
    """What an existing CRD is to the binding that a desired CRD is signed for."""

    OURS = auto()
    """Signed for this very binding, in the way that is wanted."""
    TO_BE_SIGNED = auto()
    """Ours, but the signature is of an earlier life of the binding, or of the other kind."""
    ANOTHERS = auto()
    """Of another binding of that name."""
    UNSIGNED = auto()
    """Made by somebody else."""


def signature(binding: Mapping[str, Any], *, control_plane: str = "") -> Object:
    """The part of a CRD's metadata that says which binding it belongs to.

    Args:
        binding: the APIServiceBinding.
        control_plane: identity of the cluster that holds the binding, when that is not the app cluster.

    Returns:
        ``ownerReferences``, or ``annotations`` for a binding elsewhere.

    Raises:
        InvalidExport: the binding cannot be an owner.
    """
    if not control_plane:
        return {"ownerReferences": [binding_owner(meta.name(binding), meta.uid(binding))]}
    marks = {keys.PROVIDER: control_plane, keys.SOURCE: meta.key(binding), keys.SOURCE_UID: meta.uid(binding)}
    return {"annotations": marks}


def is_owned_by(crd: Mapping[str, Any], binding: Mapping[str, Any], *, control_plane: str = "") -> bool:
    """Whether a CRD is signed for this very binding; only then its objects are synced for it.

    Args:
        crd: as found on the app cluster.
        binding: the binding.
        control_plane: as for ``signature``.
    """
    uid = meta.uid(binding)
    if control_plane:
        wanted = signature(binding, control_plane=control_plane)["annotations"]
        return bool(uid) and _marks(crd) == wanted
    return any(_is_binding(ref) and ref.get("uid") == uid for ref in meta.owner_references(crd))


def owner_uids(crd: Mapping[str, Any]) -> set[str]:
    """UIDs of all bindings that a CRD names, in either way."""
    named = {str(ref.get("uid")) for ref in meta.owner_references(crd) if _is_binding(ref)}
    marked = meta.annotation(crd, keys.SOURCE_UID)
    return named | {marked} if marked else named


def judge(existing: Mapping[str, Any], desired: Mapping[str, Any], *, old_owner_exists: bool) -> Standing:
    """What an existing CRD is to the binding that the desired one is signed for.

    Args:
        existing: the CRD of that name on the app cluster.
        desired: with the ``signature`` of the binding.
        old_owner_exists: whether a binding that the existing one names still exists. If none does, a CRD of a
            binding of the same name was left over when that was made again, and is ours.
    """
    references = meta.owner_references(desired)
    if references:
        return _by_reference(existing, references[0], old_owner_exists=old_owner_exists)
    return _by_marks(existing, _marks(desired), meta.name(desired), old_owner_exists=old_owner_exists)


def signed(existing: Mapping[str, Any], desired: Mapping[str, Any]) -> Object:
    """The metadata of an existing CRD of ours with the desired signature and annotations; all else stays."""
    wanted = meta.owner_references(desired)
    others = [
        ref
        for ref in meta.owner_references(existing)
        if not (_is_binding(ref) and ref.get("name") == meta.name(desired))
    ]
    kept = dict(meta.annotations(existing))
    if wanted:
        for mark in _MARKS:
            kept.pop(mark, None)
    return {
        **meta.metadata(existing),
        "annotations": {**kept, **meta.annotations(desired)},
        "ownerReferences": [*others, *wanted],
    }


def _by_reference(
    existing: Mapping[str, Any], owner: Mapping[str, Any], *, old_owner_exists: bool
) -> Standing:
    ours = _references(existing, owner["name"])
    if any(ref.get("uid") == owner["uid"] or not owner["uid"] for ref in ours):
        return Standing.OURS
    if not ours:
        return Standing.UNSIGNED
    return Standing.ANOTHERS if old_owner_exists else Standing.TO_BE_SIGNED


def _by_marks(
    existing: Mapping[str, Any], wanted: Mapping[str, str], name: str, *, old_owner_exists: bool
) -> Standing:
    uid = wanted.get(keys.SOURCE_UID)
    references = _references(existing, name)
    if any(uid and ref.get("uid") == uid for ref in references):
        return Standing.TO_BE_SIGNED  # by a Go konnector in control plane mode; a UID cannot be guessed
    found = _marks(existing)
    if references or not found:
        return Standing.ANOTHERS if references else Standing.UNSIGNED
    if found == wanted:
        return Standing.OURS
    same = all(found.get(mark) == wanted.get(mark) for mark in (keys.PROVIDER, keys.SOURCE))
    return Standing.TO_BE_SIGNED if same and not old_owner_exists else Standing.ANOTHERS


def _references(crd: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [ref for ref in meta.owner_references(crd) if _is_binding(ref) and ref.get("name") == name]


def _marks(crd: Mapping[str, Any]) -> dict[str, str]:
    annotations = meta.annotations(crd)
    return {mark: annotations[mark] for mark in _MARKS if mark in annotations}


def _is_binding(reference: Mapping[str, Any]) -> bool:
    version = reference.get("apiVersion")
    group = version.partition("/")[0] if isinstance(version, str) else ""
    return group == keys.GROUP and reference.get("kind") == keys.KIND_BINDING
