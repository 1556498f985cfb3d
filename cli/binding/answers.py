"""What a request on the provider says: whether it is ours, how far it is, and why it failed. Pure."""

from typing import Any, Final

from bind_agent.api.claims import content_hash
from bind_agent.api.meta import Object, name
from cli.binding.claims import ClaimError, parse_claim
from cli.binding.request import ExportRequest
from cli.errors import CliError
from cli.output import inert

PENDING: Final = "Pending"
FAILED: Final = "Failed"
SUCCEEDED: Final = "Succeeded"


def phase(obj: Object) -> str:
    """The phase; `Pending` while there is none."""
    status = obj.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    return phase if isinstance(phase, str) and phase else PENDING


def state(obj: Object | None) -> str:
    """What a pending request says about itself: the message of its first condition that does not hold."""
    status = (obj or {}).get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    for condition in conditions if isinstance(conditions, list) else []:
        if isinstance(condition, dict) and condition.get("status") == "False" and condition.get("message"):
            return f"the provider says: {inert(condition['message'], limit=300)}"
    return ""


def failed(obj: Object) -> CliError:
    """The error of a request that the provider refused, with its words."""
    said = str((obj.get("status") or {}).get("terminalMessage") or "") or "no reason given"
    return CliError(
        f"the provider refused the request {inert(name(obj))}: {inert(said, limit=400)}",
        next_step="do what the provider says; or check the API's name and group against its catalogue",
    )


def same_request(existing: Object, request: ExportRequest) -> bool:
    """Whether a request on the provider asks for the same, with and without the server's defaults."""
    spec = existing.get("spec")
    if not isinstance(spec, dict):
        return False
    return bool(_content(spec) == _content(dict(request.spec)))


def _content(spec: dict[str, Any]) -> Any:
    resources = [entry for entry in spec.get("resources") or [] if isinstance(entry, dict)]
    return (
        spec.get("parameters") or {},
        [
            (
                entry.get("group") or "",
                entry.get("resource"),
                entry.get("versions") or [],
                [_claim_hash(claim) for claim in entry.get("permissionClaims") or []],
            )
            for entry in resources
        ],
    )


def _claim_hash(raw: Any) -> str:
    try:
        return content_hash(parse_claim(raw, ""))
    except ClaimError:
        return ""
