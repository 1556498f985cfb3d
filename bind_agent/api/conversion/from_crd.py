"""CRD of the provider -> spec of an export, and its hash (spec 3.10.3)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from bind_agent.api import base62, meta, naming
from bind_agent.api.claims import PermissionClaim
from bind_agent.api.export import CLUSTER, ISOLATION_PREFIXED, SCOPES
from bind_agent.api.shared import to_wire
from bind_agent.api.text import printable

SIZE_LIMIT: Final = 1_000_000
"""Most bytes of JSON that an export may have: an object of 1.5 MB is more than etcd takes."""

_NAMES: Final = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
_COLUMN: Final = ("name", "type", "format", "description", "priority", "jsonPath")


class InvalidCRD(ValueError):  # noqa: N818 - reads as the statement that it makes
    """A CRD cannot be exported; the message says why and what to change."""


def crd_part(crd: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an export's spec that comes from the CRD: group, names, scope, versions.

    Versions that are not served are left out. With webhook conversion, whose webhook no consumer can call,
    only the storage version is exported. The storage version is never lost on the way: a consumer's CRD
    without one would be refused by its API server (W-B17).

    Args:
        crd: an `apiextensions.k8s.io/v1` CRD.

    Returns:
        Fresh mappings in the field order that Go writes; schemas are shared with the argument.

    Raises:
        InvalidCRD: the CRD is malformed, its group is protected, its storage version is not served, or it
            is too large.
    """
    spec = crd.get("spec")
    if not isinstance(spec, Mapping):
        message = "the CRD has no spec"
        raise InvalidCRD(message)
    group, names, scope = spec.get("group"), spec.get("names"), spec.get("scope")
    if not isinstance(group, str) or not isinstance(names, Mapping) or scope not in SCOPES:
        message = "the CRD has no group, names or scope"
        raise InvalidCRD(message)
    if naming.is_protected_group(group):
        message = f"the group {printable(group, 80)!r} belongs to Kubernetes; such resources are not exported"
        raise InvalidCRD(message)
    name = f"{names.get('plural')}.{group}"
    if meta.name(crd) != name:
        message = f"the CRD is named {printable(meta.name(crd), 80)!r} and defines {printable(name, 80)!r}"
        raise InvalidCRD(message)
    part = {
        "group": group,
        "names": {field: names[field] for field in _NAMES if names.get(field)},
        "scope": scope,
        "versions": _versions(spec),
    }
    problem = size_problem(part)
    if problem:
        message = f"{problem}; stop serving old versions or shorten descriptions"
        raise InvalidCRD(message)
    return part


def size_problem(part: Mapping[str, Any]) -> str:
    """What is wrong with the size of the CRD part of a spec; empty when nothing is."""
    try:
        size = len(orjson.dumps(part))
    except TypeError:
        return "the schemas are nested too deeply"
    return f"the schemas have {size} bytes, the limit is {SIZE_LIMIT}" if size > SIZE_LIMIT else ""


def spec_hash(part: Mapping[str, Any]) -> str:
    """Hash of the CRD part, base62 of SHA-224, for the annotation `source-spec-hash`.

    It does not depend on the order of fields inside schemas. Go computes another value for the same CRD,
    which costs one rewrite of the annotation when the backend is exchanged (spec 3.10.3).
    """
    return base62.sha224(orjson.dumps(part, option=orjson.OPT_SORT_KEYS))


def export_spec(
    part: Mapping[str, Any],
    *,
    informer_scope: str,
    isolation: str = ISOLATION_PREFIXED,
    claims: Sequence[PermissionClaim] = (),
) -> dict[str, Any]:
    """The whole spec of an export.

    Args:
        part: from `crd_part`.
        informer_scope: `Namespaced` or `Cluster`, the backend's setting.
        isolation: for cluster-scoped resources only.
        claims: those of the template.
    """
    spec = {**part, "informerScope": informer_scope}
    if part["scope"] == CLUSTER:
        spec["clusterScopedIsolation"] = isolation
    if claims:
        spec["permissionClaims"] = [to_wire(claim) for claim in claims]
    return spec


def _versions(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = spec.get("versions")
    versions = (
        [version for version in found if isinstance(version, Mapping)] if isinstance(found, list) else []
    )
    served = [version for version in versions if version.get("served") is True]
    stored = next((version for version in versions if version.get("storage") is True), None)
    if stored is None:
        message = "the CRD has no storage version"
        raise InvalidCRD(message)
    if stored not in served:
        message = (
            f"the storage version {stored.get('name')!r} of the CRD is not served, so no consumer could "
            "store objects; serve it, or make a served version the storage version"
        )
        raise InvalidCRD(message)
    chosen = [stored] if _converts_by_webhook(spec) else served
    return [_version(version) for version in chosen]


def _version(version: Mapping[str, Any]) -> dict[str, Any]:
    name = version.get("name")
    if not isinstance(name, str) or not naming.is_version(name):
        message = f"the CRD's version {printable(name, 80)!r} is not a version such as v1 or v1alpha1"
        raise InvalidCRD(message)
    holder = version.get("schema")
    schema = holder.get("openAPIV3Schema") if isinstance(holder, Mapping) else None
    if not isinstance(schema, Mapping):
        message = f"the CRD's version {name} has no schema"
        raise InvalidCRD(message)
    result: dict[str, Any] = {"name": name, "served": True, "storage": version.get("storage") is True}
    for field in ("deprecated", "deprecationWarning"):
        if version.get(field):
            result[field] = version[field]
    result["schema"] = {"openAPIV3Schema": schema}
    # Go always writes subresources, possibly empty.
    result["subresources"] = dict(version.get("subresources") or {})
    columns = version.get("additionalPrinterColumns")
    if isinstance(columns, list) and columns:
        result["additionalPrinterColumns"] = [
            {field: column[field] for field in _COLUMN if column.get(field)}
            for column in columns
            if isinstance(column, Mapping)
        ]
    return result


def _converts_by_webhook(spec: Mapping[str, Any]) -> bool:
    conversion = spec.get("conversion")
    return isinstance(conversion, Mapping) and conversion.get("strategy") == "Webhook"
