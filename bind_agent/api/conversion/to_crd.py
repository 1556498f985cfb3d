"""Export -> CRD on the consumer (spec 3.10.4)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bind_agent.api import keys, naming
from bind_agent.api.conversion.from_crd import size_problem
from bind_agent.api.export import Export, ExportSpec, ExportVersion, Schema
from bind_agent.api.resource import CRDS
from bind_agent.api.shared import to_wire


class InvalidExport(ValueError):  # noqa: N818 - reads as the statement that it makes
    """An export cannot become a CRD; the message says why, for the condition `APIServiceExportInvalid`."""


def to_crd(export: Export, *, owner: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The CRD that a consumer gets.

    It has no conversion, whatever the provider's CRD has: the strategy is then None, and no API server calls
    an address of the provider's choice (threats A35). It has no labels and no annotations.

    Args:
        export: a decoded export.
        owner: owner reference to the binding, see `binding_owner`; only a cluster-scoped binding can own
            a CRD.

    Returns:
        A fresh object; schemas are shared with the export.

    Raises:
        InvalidExport: what an API server would refuse, or what we do.
    """
    spec = export.spec
    _check(export)
    part = {
        "group": spec.group,
        "names": to_wire(spec.names),
        "scope": spec.scope,
        "versions": [_version(version) for version in spec.versions],
    }
    problem = size_problem(part)
    if problem:
        raise InvalidExport(problem)
    metadata: dict[str, Any] = {"name": spec.name}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    return {"apiVersion": CRDS.api_version, "kind": CRDS.kind, "metadata": metadata, "spec": part}


def binding_owner(name: str, uid: str) -> dict[str, Any]:
    """Owner reference of the CRD to its binding, byte for byte as Go writes it (spec 12.5)."""
    return {
        "apiVersion": keys.API_VERSION,
        "kind": keys.KIND_BINDING,
        "name": name,
        "uid": uid,
        "controller": True,
    }


def _version(version: ExportVersion) -> dict[str, Any]:
    # The schema is shared, not copied: it is large, and as deep as its author liked.
    hollow = msgspec.structs.replace(version, versions_schema=Schema(open_api_v3_schema={}))
    plain = to_wire(hollow)
    plain["schema"] = {"openAPIV3Schema": version.versions_schema.open_api_v3_schema}
    plain.setdefault("served", True)
    # Always set, maybe empty: as Go does, so that neither rewrites the other's CRD.
    plain.setdefault("subresources", {})
    return plain


def _check(export: Export) -> None:
    spec = export.spec
    if export.metadata.name != spec.name:
        message = f"the export is named {export.metadata.name!r} and defines {spec.name!r}"
        raise InvalidExport(message)
    _check_names(spec)
    stored = [version.name for version in spec.versions if version.storage]
    if len(stored) != 1:
        message = f"exactly one version has to be the storage version, the export has {len(stored)}"
        raise InvalidExport(message)
    if not spec.sync_version:
        message = "no version of the export is served"
        raise InvalidExport(message)
    for version in spec.versions:
        if version.versions_schema.open_api_v3_schema.get("type") != "object":
            message = f"the schema of version {version.name} does not describe an object"
            raise InvalidExport(message)


def _check_names(spec: ExportSpec) -> None:
    if naming.is_protected_group(spec.group):
        message = f"the group {spec.group!r} belongs to Kubernetes and is never installed by a binding"
        raise InvalidExport(message)
    if spec.group in {keys.GROUP, keys.TEMPLATE_GROUP}:
        message = f"the group {spec.group!r} is the product's own and is never installed by a binding"
        raise InvalidExport(message)
    if not naming.is_group(spec.group) or not naming.is_label(spec.names.plural):
        message = f"{spec.name!r} is not the name of a resource"
        raise InvalidExport(message)
