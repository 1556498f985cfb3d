"""Whether and how an existing CRD becomes the desired one (design 4.6, spec 6.6.3).

Written only when different; never over somebody else's CRD; never so that stored objects suffer.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bind_agent.api import conditions, keys, meta
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.meta import Object
from konnector.schema import owner
from konnector.schema.breaking import Change, breaking_changes, word
from konnector.schema.owner import Standing
from konnector.sync import essence

MOST_CHANGES: Final = 100
"""A report longer than this helps nobody; a hostile schema could make it endless."""


@dataclass(frozen=True, slots=True)
class Create:
    """There is no CRD of that name."""

    object: Object


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing to write."""


@dataclass(frozen=True, slots=True)
class Update:
    """PUT this: the existing metadata (resource version included) with the desired spec."""

    object: Object


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing is written, since stored objects would suffer.

    Attributes:
        changes: what would be harmful, at most a hundred.
        offer: what a person's consent has to name to let this very update through; empty where the API server
            would refuse it all the same.
        has_objects: whether objects may be stored.
    """

    changes: tuple[Change, ...]
    offer: str = ""
    has_objects: bool = True


@dataclass(frozen=True, slots=True)
class Foreign:
    """The CRD belongs to somebody else and is left as it is."""

    message: str


_ALWAYS_SAID: Final = frozenset({"served", "storage"})
"""Switches of a version, which the API server gives back also when they are off."""

Verdict: TypeAlias = Create | Unchanged | Update | Held | Foreign


def compare(
    existing: Mapping[str, Any] | None,
    desired: Object,
    *,
    old_owner_exists: bool = True,
    has_objects: bool = True,
    consent: str = "",
) -> Verdict:
    """Decide what to do about a CRD.

    Args:
        existing: the CRD of that name on the app cluster, None when there is none.
        desired: from ``desired_crd``.
        old_owner_exists: whether a binding that the existing CRD names still exists (``owner.judge``).
        has_objects: whether objects may be stored; without any, changes of the schema harm nothing.
        consent: the offer that a person has consented to (``offer_of``), if any.
    """
    if existing is None:
        return Create(desired)
    standing = owner.judge(existing, desired, old_owner_exists=old_owner_exists)
    if standing in {Standing.ANOTHERS, Standing.UNSIGNED}:
        return _foreign(existing, standing)
    old_spec, new_spec = _mapping(existing.get("spec")), _mapping(desired["spec"])
    digest = meta.annotation(desired, keys.CONTENT_DIGEST)
    noted = meta.annotation(existing, keys.CONTENT_DIGEST) == digest
    if noted and standing is Standing.OURS and essence.difference(_stated(new_spec), old_spec) is None:
        return Unchanged()
    # What is final comes first, so the end of the report does not hide it.
    harm = _harm(existing, old_spec, new_spec, has_objects=has_objects)
    changes = tuple(itertools.islice(harm, MOST_CHANGES))
    offer = "" if any(change.final for change in changes) else offer_of(existing, desired)
    if changes and (not offer or consent != offer):
        return Held(changes, offer, has_objects)
    return Update({**desired, "metadata": owner.signed(existing, desired)})


def offer_of(existing: Mapping[str, Any], desired: Mapping[str, Any]) -> str:
    """Name of the offer to replace the CRD as it is by the desired one.

    Not the desired content alone names it: the binding keeps a consent for good, and a provider could add a field
    again that was consented to be removed, wait until it is used, and remove it again without a question. With UID
    and generation of the CRD a consent is used up by what it let through, and by any other change of the CRD.

    Args:
        existing: the CRD as found on the app cluster.
        desired: from ``desired_crd``.
    """
    content = meta.annotation(desired, keys.CONTENT_DIGEST)
    return essence.digest([content, meta.uid(existing), meta.generation(existing)])


def _foreign(existing: Mapping[str, Any], standing: Standing) -> Foreign:
    reason = (
        "is of another binding of that name"
        if standing is Standing.ANOTHERS
        else "was not installed by this binding"
    )
    return Foreign(
        f"the CRD {meta.name(existing)} {reason} and is left as it is; remove that CRD, or do not bind this "
        "API to this cluster"
    )


def _harm(
    existing: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], *, has_objects: bool
) -> Iterator[Change]:
    # The API server gives scope and kind away only before it has served them for the first time.
    served = conditions.is_true(conditions.of(existing), ConditionType.ESTABLISHED)
    for field, before, after in (
        ("scope", old.get("scope"), new.get("scope")),
        ("names.kind", _mapping(old.get("names")).get("kind"), _mapping(new.get("names")).get("kind")),
    ):
        if before != after:
            change = f"{field} changes from {word(before)} to {word(after)}"
            yield Change("", change, final=served)
    before_versions, after_versions = _versions(old), _versions(new)
    stored = _mapping(existing.get("status")).get("storedVersions")
    for name in stored if isinstance(stored, list) else []:
        if name not in after_versions:
            removed = "the version is removed, but status.storedVersions of the CRD names it"
            yield Change(str(name), removed, final=True)
    if has_objects:
        for name, version in before_versions.items():
            if name in after_versions:
                yield from breaking_changes(_schema(version), _schema(after_versions[name]), name)


def _versions(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = spec.get("versions")
    entries = found if isinstance(found, list) else []
    return {str(entry.get("name")): entry for entry in entries if isinstance(entry, Mapping)}


def _schema(version: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(version.get("schema")).get("openAPIV3Schema"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _stated(value: Any) -> Any:
    """Without empty fields: the API server leaves most of them out when it gives a CRD back."""
    if isinstance(value, Mapping):
        return {name: _stated(entry) for name, entry in value.items() if entry or name in _ALWAYS_SAID}
    if isinstance(value, list):
        return [_stated(entry) for entry in value]
    return value
