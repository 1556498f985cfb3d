"""What the app cluster's API server serves of a CRD: pure."""

from collections.abc import Mapping
from typing import Any, Final

from bind_agent.api import conditions, meta
from bind_agent.api.conditions import Condition
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.resource import Resource
from bind_agent.api.text import printable

_SAID: Final = 200
"""Characters of what the API server says."""


def hindrance(crd: Mapping[str, Any]) -> Condition | None:
    """``SchemaInSync`` for a CRD that is as it should be and is not served so; None when it is.

    Names are taken within a group: by another CRD's kind, plural or short names. A CRD that was served before goes on
    under the names that it has; a new one is not served at all.

    Args:
        crd: as found on the app cluster.
    """
    found, name = conditions.of(crd), meta.name(crd)
    established = conditions.is_true(found, ConditionType.ESTABLISHED)
    if conditions.is_false(found, ConditionType.NAMES_ACCEPTED):
        serves = "does not serve all names of" if established else "does not serve"
        return conditions.false(
            ConditionType.SCHEMA_IN_SYNC,
            Reason.NAMES_NOT_ACCEPTED,
            Severity.WARNING if established else Severity.ERROR,
            f"the app cluster {serves} the CRD {name}: {_said(found, ConditionType.NAMES_ACCEPTED)}; remove the other "
            "CRD of that group which has the name, or ask the provider to choose another one",
        )
    if established:
        return None
    return conditions.false(
        ConditionType.SCHEMA_IN_SYNC,
        Reason.CRD_NOT_ESTABLISHED,
        Severity.ERROR,
        f"the app cluster does not serve the CRD {name} yet: {_said(found, ConditionType.ESTABLISHED)}; if it stays "
        "so, look at the conditions of the CRD and at the API server's logs",
    )


def _said(found: list[dict[str, Any]], condition_type: str) -> str:
    condition = conditions.get(found, condition_type)
    said = (condition.message or condition.reason) if condition is not None else ""
    return printable(said, _SAID) or "it does not say why"


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
