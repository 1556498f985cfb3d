"""The status of an object. Pure; time is passed in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from bind_agent.api.meta import Object
from bind_agent.devcluster.demo.model import Instance
from bind_agent.devcluster.demo.objects import Address
from bind_agent.devcluster.demo.plan import Seen

Phase: TypeAlias = Literal["Pending", "Ready", "Failed", "Deleting"]

DATABASE_READY: Final = "DatabaseReady"
CREDENTIALS_READY: Final = "CredentialsReady"
READY: Final = "Ready"


@dataclass(frozen=True, slots=True)
class Condition:
    """One finding about an object.

    Attributes:
        type: what it is about.
        status: whether it holds.
        reason: one word for programs.
        message: what a person should know, with the next step when something is wrong.
    """

    type: str
    status: bool
    reason: str
    message: str = ""


def merge_conditions(present: object, findings: Iterable[Condition], now: datetime) -> list[Object]:
    """The list of conditions after new findings, `Ready` first, then by type.

    A finding that says the same as before leaves the entry as it is, so an unchanged object causes no write;
    the transition time moves with the status only.
    """
    entries: dict[str, Object] = {}
    for entry in present if isinstance(present, Sequence) and not isinstance(present, str) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("type"), str):
            entries[entry["type"]] = dict(entry)
    for finding in findings:
        before = entries.get(finding.type, {})
        status = "True" if finding.status else "False"
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        entries[finding.type] = {
            "type": finding.type,
            "status": status,
            "reason": finding.reason,
            "message": finding.message,
            "lastTransitionTime": since or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    return sorted(entries.values(), key=lambda entry: (entry["type"] != READY, entry["type"]))


def condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """The entry of this type, empty when there is none."""
    entries = status.get("conditions")
    for entry in entries if isinstance(entries, Sequence) and not isinstance(entries, str) else ():
        if isinstance(entry, Mapping) and entry.get("type") == type_:
            return entry
    return {}


def ready(
    instance: Instance,
    seen: Seen,
    *,
    address: Address,
    version: str,
    credentials: Condition,
    now: datetime,
) -> Object:
    """Status of an object that has its database; limits and settings are those that the server has.

    Args:
        instance: the object.
        seen: the server after all steps.
        address: where users find it.
        version: of the server.
        credentials: how the Secret came to be as it is.
        now: in UTC.
    """
    role = seen.role
    assert role is not None  # noqa: S101 - the steps made it
    findings = (
        Condition(DATABASE_READY, status=True, reason="Available"),
        credentials,
        Condition(READY, status=True, reason="Available"),
    )
    return {
        "phase": "Ready",
        "host": address.host,
        "port": address.port,
        "database": instance.database,
        "role": instance.database,
        "connectionLimit": role.connection_limit,
        "parameters": {name: role.parameters[name] for name in sorted(instance.parameters)},
        "serverVersion": version,
        "secretName": instance.secret,
        "configMapName": instance.config_map,
        "observedGeneration": instance.generation,
        "conditions": merge_conditions(instance.status.get("conditions"), findings, now),
    }


def failed(
    status: Mapping[str, Any], *, generation: int, finding: Condition, phase: Phase, now: datetime
) -> Object:
    """Status of an object that lacks something: as before, but for the finding and the summary.

    Args:
        status: as the object reports it now.
        generation: of the object.
        finding: what is wrong.
        phase: what the object is in now.
        now: in UTC.
    """
    summary = Condition(READY, status=False, reason=finding.reason, message=finding.message)
    return {
        **status,
        "phase": phase,
        "observedGeneration": generation,
        "conditions": merge_conditions(status.get("conditions"), (finding, summary), now),
    }


def changes(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """The merge patch of a status: only what differs, None for what goes."""
    patch: Object = {key: None for key in present if key not in wanted}
    for key, value in wanted.items():
        old = present.get(key)
        if old == value:
            continue
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            patch[key] = {**{name: None for name in old if name not in value}, **value}
        else:
            patch[key] = value
    return patch
