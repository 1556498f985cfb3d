"""The audit log of an API server, read as events.

The log has the Metadata level: who asked for what and how it was answered, no bodies and so no Secret values.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The policy file. A request is logged when its answer begins (watches only) and when it is complete.
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
"""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One stage of one request.

    Attributes:
        audit_id: Same for all stages of a request.
        stage: ``ResponseStarted`` (watches), ``ResponseComplete`` or ``Panic``.
        user: User name.
        verb: Kubernetes verb, like ``patch`` or ``watch``.
        uri: Path and query.
        group: API group, empty for core and for paths that are no resource.
        resource: Plural, empty for paths that are no resource.
        subresource: Like ``status``, or empty.
        namespace: Empty for cluster-wide requests.
        name: Empty for collections.
        code: HTTP status.
        user_agent: As the client sent it.
        raw: The event as logged.
    """

    audit_id: str
    stage: str
    user: str
    verb: str
    uri: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    user_agent: str
    raw: Mapping[str, Any]


def parse(line: bytes) -> AuditEvent:
    """Read one line of the log.

    Raises:
        ValueError: It is not an audit event.
    """
    event = json.loads(line)
    if not isinstance(event, dict) or event.get("kind") != "Event":
        raise ValueError("not an audit event")
    target = event.get("objectRef") or {}
    return AuditEvent(
        audit_id=event.get("auditID", ""),
        stage=event.get("stage", ""),
        user=(event.get("user") or {}).get("username", ""),
        verb=event.get("verb", ""),
        uri=event.get("requestURI", ""),
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
        user_agent=event.get("userAgent", ""),
        raw=event,
    )


def mark(path: Path) -> int:
    """Return the place in the log that is its end now; 0 when there is none yet."""
    return path.stat().st_size if path.exists() else 0


def events(path: Path, *, since: int = 0) -> Iterator[AuditEvent]:
    """Read the events after a place from `mark`; a line that is still being written is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(since)
        for line in file:
            if line.endswith(b"\n"):
                yield parse(line)


def requests(path: Path, *, since: int = 0) -> list[AuditEvent]:
    """Read one event per request, its last stage: what to count when requests are counted."""
    return list({event.audit_id: event for event in events(path, since=since)}.values())
