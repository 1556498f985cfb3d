"""The konnector's half of an export's status (spec 6.6.4 step 6): pure."""

from datetime import datetime
from typing import Any

from bind_agent.api import conditions
from bind_agent.api.conditions_catalogue import ConditionType, Reason, Severity
from bind_agent.api.meta import Object


def export_status(export: Object, binding: Object | None, crd: Object | None, *, now: datetime) -> Object:
    """The export with the konnector's half of its status (spec 6.6.4 step 6).

    Args:
        export: the export as observed.
        binding: the binding of that name, if there is one.
        crd: the consumer's CRD, if there is one.
        now: current time, UTC.
    """
    status: dict[str, Any] = dict(export.get("status") or {})
    entries = conditions.of(export)
    if binding is None:
        stated = [
            conditions.false(
                ConditionType.CONNECTED,
                Reason.BINDING_NOT_FOUND,
                Severity.INFO,
                "no binding of that name uses this tenant's kubeconfig",
            ),
            conditions.false(ConditionType.CONSUMER_IN_SYNC, Reason.NOT_AVAILABLE, Severity.INFO, ""),
        ]
    else:
        in_sync = conditions.get(conditions.of(binding), ConditionType.SCHEMA_IN_SYNC)
        stated = [
            conditions.true(ConditionType.CONNECTED),
            conditions.false(ConditionType.CONSUMER_IN_SYNC, Reason.UNKNOWN, Severity.INFO, "")
            if in_sync is None
            else conditions.Condition(
                type=ConditionType.CONSUMER_IN_SYNC,
                status=in_sync.status,
                severity=in_sync.severity,
                reason=in_sync.reason,
                message=in_sync.message,
            ),
        ]
    for condition in stated:
        entries = conditions.set_condition(entries, condition, now)
    if crd is not None:
        crd_status = crd.get("status") or {}
        for found in conditions.of(crd):
            if found.get("type") != ConditionType.READY:
                copied = dict(found)
                copied.pop("observedGeneration", None)
                if found.get("status") != "True":
                    copied["severity"] = Severity.ERROR
                entries = [e for e in entries if e.get("type") != found.get("type")]
                entries = conditions.set_condition(entries, copied, now)
        status["acceptedNames"] = crd_status.get("acceptedNames") or {}
        status["storedVersions"] = crd_status.get("storedVersions") or []
    status["conditions"] = conditions.set_summary(entries, now)
    return {**export, "status": status}
