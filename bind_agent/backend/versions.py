"""Which versions of a resource its export offers: pure (spec 3.3, W-B9, W-B17).

A template may select one version. A new export offers that one alone. An export that exists never loses a version by
it: consumers have objects stored in what was offered, and their CRDs cannot give a stored version up. Go never looked
at the selection, and before its release 1.5 every template had to name one, so what stands there may name anything;
exports that Go made go on following their CRD.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bind_agent.api import meta
from bind_agent.backend import names


@dataclass(frozen=True, slots=True)
class Offered:
    """What an export offers.

    Attributes:
        part: the CRD part with these versions, in the order of the CRD, exactly one of which is stored.
        mark: value of the annotation `names.VERSIONS`; empty for none.
    """

    part: Mapping[str, Any]
    mark: str = ""


def serves(part: Mapping[str, Any], version: str) -> bool:
    """Whether a version can be exported.

    Args:
        part: of the CRD, see `api.conversion.crd_part`.
        version: its name.
    """
    return version in _names(part)


def of_new(part: Mapping[str, Any], selected: str) -> Offered:
    """What a new export offers.

    Args:
        part: of the CRD.
        selected: by the template, and served; empty for all.
    """
    if not selected:
        return Offered(part)
    return Offered(_narrowed(part, {selected}, [selected]), names.VERSIONS_OF_TEMPLATE)


def of_existing(part: Mapping[str, Any], selected: str, export: Mapping[str, Any]) -> Offered:
    """What an existing export offers from now on. Asked about the result, it says the same again.

    Args:
        part: of the CRD.
        selected: by the template, whether it is served or not; empty for all.
        export: as observed.
    """
    mark = meta.annotation(export, names.VERSIONS)
    if mark == names.VERSIONS_OF_CRD or not meta.annotation(export, names.TEMPLATE):
        return Offered(part, names.VERSIONS_OF_CRD)
    if not selected:
        return Offered(part)
    if not serves(part, selected) and mark != names.VERSIONS_OF_TEMPLATE:
        # It has followed its CRD so far, and nobody can say to what it is to be narrowed.
        return Offered(part)
    spec = export.get("spec")
    old = spec if isinstance(spec, Mapping) else {}
    kept = {selected, *_names(old)}
    stored = (one.get("name") for one in _versions(old) if one.get("storage") is True)
    if not kept & set(_names(part)):
        # Nothing of what it offered is left; an export without a version is none.
        return Offered(part, names.VERSIONS_OF_TEMPLATE)
    return Offered(_narrowed(part, kept, [selected, *stored]), names.VERSIONS_OF_TEMPLATE)


def _narrowed(part: Mapping[str, Any], kept: set[str], preferred: Iterable[object]) -> Mapping[str, Any]:
    """The CRD part with some of its versions; the version that the CRD stores is stored if it is among them.

    Args:
        part: of the CRD.
        kept: names of versions, at least one of which is served.
        preferred: which one is stored otherwise, the best first.
    """
    chosen = [one for one in _versions(part) if one["name"] in kept]
    if len(chosen) == len(_versions(part)):
        return part
    own = [one["name"] for one in chosen if one["storage"]]
    left = {one["name"] for one in chosen}
    stored = next(name for name in [*own, *preferred, chosen[0]["name"]] if name in left)
    return {**part, "versions": [{**one, "storage": one["name"] == stored} for one in chosen]}


def _names(spec: Mapping[str, Any]) -> list[str]:
    return [one["name"] for one in _versions(spec) if isinstance(one.get("name"), str)]


def _versions(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = spec.get("versions")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
