"""What the app cluster's API server serves of a CRD: pure."""

from collections.abc import Mapping
from typing import Any

from bind_agent.api import conditions
from bind_agent.api.conditions_catalogue import ConditionType
from bind_agent.api.resource import Resource


def listable(crd: Mapping[str, Any]) -> Resource | None:
    """Where the objects of a CRD can be listed, None when nobody can say what is stored.

    Every served version shows all objects, whichever they are stored in; the stored one needs no conversion. A CRD
    that is not established is not served at all.

    Args:
        crd: as found on the app cluster.
    """
    spec = crd.get("spec")
    if not isinstance(spec, Mapping) or not conditions.is_true(conditions.of(crd), ConditionType.ESTABLISHED):
        return None
    versions, names = spec.get("versions"), spec.get("names")
    served = [
        (not version.get("storage"), str(version.get("name")))
        for version in (versions if isinstance(versions, list) else [])
        if isinstance(version, Mapping) and version.get("served")
    ]
    plural = names.get("plural") if isinstance(names, Mapping) else None
    if not served or not plural:
        return None
    namespaced = spec.get("scope") == "Namespaced"
    return Resource(str(spec.get("group") or ""), min(served)[1], str(plural), namespaced)
